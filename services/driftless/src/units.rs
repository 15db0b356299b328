//! Sizes, rates and durations as people write and read them.
//!
//! Parsers are strict: a number without a unit is refused, since nobody can tell what it means.

use std::num::NonZeroU64;
use std::time::Duration;

/// Units of size, longest first, so that `MiB` is not read as `B` after `Mi`.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Units of network speed, in bits a second.
const BIT_UNITS: &[(&str, u64)] = &[
    ("kbps", 1_000),
    ("Kbps", 1_000),
    ("Mbps", 1_000_000),
    ("Gbps", 1_000_000_000),
    ("Tbps", 1_000_000_000_000),
    ("bps", 1),
];

/// Takes a rate and gives bytes a second: `2Gbps` and `500Mbps` count bits; `100MB/s` and
/// `64MiB/s` count bytes.
///
/// # Errors
/// Text for people when it is not a number with a known unit, or rounds to nothing.
pub(crate) fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let bits = |text| scaled(text, BIT_UNITS).map(|bits| bits / 8.0);
    let bytes = |text: &str| scaled(text.strip_suffix("/s")?, SIZE_UNITS);
    let rate = bits(text).or_else(|| bytes(text));
    rate.and_then(whole).and_then(NonZeroU64::new).ok_or_else(|| {
        "write a rate with its unit, such as 2Gbps, 500Mbps (bits) or 100MB/s, 64MiB/s (bytes)"
            .to_owned()
    })
}

/// Takes a duration: `60s`, `5m`, `1h 30m`, `250ms`.
///
/// # Errors
/// Text for people when it is not a number with a known unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "write a duration with its unit, such as 60s, 5m or 1h 30m".to_owned())
}

/// Takes a price in USD for a GiB: a finite number that is not negative.
///
/// # Errors
/// Text for people.
pub(crate) fn parse_price(text: &str) -> Result<f64, String> {
    let price = text.parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| "write a price in USD, such as 0.09".to_owned())
}

/// The number in front of one of the units, times that unit.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<f64> {
    let (number, unit) = units.iter().find_map(|(name, unit)| {
        text.strip_suffix(name).map(|number| (number.trim_end(), *unit))
    })?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !digits || !number.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "units are exact in a double")]
    let unit = unit as f64;
    number.parse::<f64>().ok().map(|number| number * unit)
}

fn whole(number: f64) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    (number.is_finite() && (0.0..1e18).contains(&number)).then_some(number as u64)
}

/// A size with three digits at most: `0 B`, `9.8 KiB`, `120 GiB`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((name, unit)) = units.into_iter().find(|(_, unit)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    let number = bytes as f64 / unit as f64;
    if number < 10.0 { format!("{number:.1} {name}") } else { format!("{number:.0} {name}") }
}

/// A duration, rounded for people: `250 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 2 h`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let rate = |text| parse_rate(text).ok().map(NonZeroU64::get);
        let cases = [
            ("2Gbps", Some(250_000_000)),
            ("500 Mbps", Some(62_500_000)),
            ("8bps", Some(1)),
            ("100MB/s", Some(100_000_000)),
            ("64MiB/s", Some(64 << 20)),
            ("1.5GiB/s", Some(3 << 29)),
            ("2B/s", Some(2)),
            ("0Gbps", None),
            ("1bps", None),
            ("100MB", None),
            ("100", None),
            ("-1Gbps", None),
            ("1e9bps", None),
            ("infGbps", None),
            (".5Gbps", None),
            ("1.2.3Gbps", None),
            ("Gbps", None),
            ("", None),
            ("2gbps", None),
            ("9999999999TB/s", None),
        ];
        for (text, expect) in cases {
            assert_eq!(rate(text), expect, "{text}");
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("60s", Some(Duration::from_secs(60))),
            ("5m", Some(Duration::from_secs(300))),
            ("1h 30m", Some(Duration::from_secs(5_400))),
            ("250ms", Some(Duration::from_millis(250))),
            ("60", None),
            ("-5s", None),
            ("", None),
            ("soon", None),
        ];
        for (text, expect) in cases {
            assert_eq!(parse_duration(text).ok(), expect, "{text}");
        }
    }

    #[test]
    fn prices() {
        for (text, expect) in
            [("0.09", Some(0.09)), ("0", Some(0.0)), ("-1", None), ("NaN", None), ("$1", None)]
        {
            assert_eq!(parse_price(text).ok(), expect, "{text}");
        }
    }

    #[test]
    fn sizes_are_short() {
        let cases = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (10 << 20, "10 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16777216 TiB"),
        ];
        for (bytes, expect) in cases {
            assert_eq!(show_bytes(bytes), expect);
        }
    }

    #[test]
    fn durations_are_short() {
        let cases = [
            (5, "5 ms"),
            (12_000, "12 s"),
            (185_000, "3 min 5 s"),
            (7_800_000, "2 h 10 min"),
            (352_800_000, "4 d 2 h"),
        ];
        for (ms, expect) in cases {
            assert_eq!(show_duration(Duration::from_millis(ms)), expect);
        }
    }
}
