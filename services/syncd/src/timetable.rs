//! Timetables: how much of the network may be used at which time of day.
//!
//! `08:00-18:00 2Gbps, 18:00-22:00 5Gbps`; at other times there is no limit. Times are UTC. Pure.

use std::num::NonZeroU64;

const MINUTES: u16 = 24 * 60;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timetable(Vec<Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// Minute of the day; the end is not part of it. An entry may go over midnight.
    from: u16,
    to: u16,
    /// Bytes a second.
    rate: NonZeroU64,
}

/// Why a text is no timetable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is no entry of a timetable: write `08:00-18:00 2Gbps`, or a rate for all day")]
pub struct TimetableError {
    part: String,
}

impl Timetable {
    /// Reads a timetable. `rate` reads one rate: bytes a second.
    ///
    /// # Errors
    /// The entry that is none.
    pub fn parse(
        text: &str,
        rate: impl Fn(&str) -> Option<NonZeroU64>,
    ) -> Result<Self, TimetableError> {
        let entry = |part: &str| {
            let part = part.trim();
            let (from, to, rate_text) = match part.split_once(' ') {
                Some((times, rate)) => {
                    let (from, to) = times.split_once('-')?;
                    (minute(from)?, minute(to)?, rate.trim())
                }
                None => (0, MINUTES, part),
            };
            (from != to).then_some(Entry { from, to, rate: rate(rate_text)? })
        };
        let parts = text
            .split(',')
            .map(|part| entry(part).ok_or_else(|| TimetableError { part: part.trim().to_owned() }));
        parts.collect::<Result<_, _>>().map(Self)
    }

    /// The limit at this time: bytes a second. The lowest of the entries that apply.
    pub fn at(&self, now_ms: i64) -> Option<NonZeroU64> {
        let minute = u16::try_from(now_ms.div_euclid(60_000).rem_euclid(i64::from(MINUTES)));
        let minute = minute.unwrap_or(0);
        let applies = |entry: &&Entry| match entry.from < entry.to {
            true => (entry.from..entry.to).contains(&minute),
            false => minute >= entry.from || minute < entry.to,
        };
        self.0.iter().filter(applies).map(|entry| entry.rate).min()
    }
}

/// `HH:MM` as a minute of the day; `24:00` is its end.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= MINUTES).then_some(minute)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Option<NonZeroU64> {
        NonZeroU64::new(text.strip_suffix('B')?.parse().ok()?)
    }

    #[track_caller]
    fn check(text: &str, at: &str, expect: Option<u64>) {
        let table = Timetable::parse(text, rate).unwrap();
        let now = i64::from(minute(at).unwrap()) * 60_000 + 86_400_000 * 20_000 + 59_999;
        assert_eq!(table.at(now).map(NonZeroU64::get), expect, "{text} at {at}");
    }

    #[test]
    fn entries_apply_at_their_times() {
        let day = "08:00-18:00 2B, 18:00-22:00 5B";
        for (at, expect) in [
            ("07:59", None),
            ("08:00", Some(2)),
            ("17:59", Some(2)),
            ("18:00", Some(5)),
            ("22:00", None),
        ] {
            check(day, at, expect);
        }
        for (at, expect) in
            [("21:59", None), ("22:00", Some(3)), ("00:00", Some(3)), ("06:00", None)]
        {
            check("22:00-06:00 3B", at, expect);
        }
        check("7B", "00:00", Some(7));
        check("7B, 10:00-24:00 2B", "23:59", Some(2));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "x",
            "8:00-18:00 2B",
            "08:00-18:60 2B",
            "08:00-25:00 2B",
            "08:00 2B",
            "08:00-08:00 2B",
            "08:00-09:00 0B",
            "1B,",
        ] {
            assert!(Timetable::parse(text, rate).is_err(), "{text}");
        }
        // Before 1970 there was a time of day, too.
        assert_eq!(Timetable::parse("7B", rate).unwrap().at(-1).map(NonZeroU64::get), Some(7));
    }
}
