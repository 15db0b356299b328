//! Instant times: the ids that a Hudi timeline gives its actions.

use std::fmt;

/// Digits of the longest time: `yyyyMMddHHmmssSSS`.
const TIME_DIGITS: u8 = 17;
const TIME_DIGITS_MAX: usize = TIME_DIGITS as usize;

/// Digits that a metadata table of a release before 1.0 adds to the time of the instant after
/// which it compacts or cleans.
const SUFFIX_DIGITS: usize = 3;

/// The id of an action on a Hudi timeline, or the time at which it completed.
///
/// Usually a time of 17 digits (milliseconds) or 14 (seconds), in the writer's time zone; some
/// are no times at all (`00000000000001`), and a metadata table may add three digits. Ordered as
/// Hudi orders them: by text, so that a shorter id sorts before a longer one which it begins.
///
/// Source: Hudi technical specification, "Timeline".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstantTime {
    /// The digits, filled up with zeros at the end: comparing numbers is then comparing texts.
    filled: u64,
    /// What follows the digits of a time, 0 where nothing does.
    suffix: u16,
    digits: u8,
}

impl InstantTime {
    /// The id that sorts before all others of its digits: no action has it.
    pub const ZERO: Self = Self { filled: 0, suffix: 0, digits: 1 };

    /// The time as a 17-digit id in UTC. `ms`: since the epoch; times outside the years 0 to 9999
    /// give [`InstantTime::ZERO`].
    pub fn of_ms(ms: i64) -> Self {
        let (days, in_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        let (year, month, day) = civil_of_days(days);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1_000 % 60, in_day % 1_000);
        let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{milli:03}");
        Self::parse(&text).unwrap_or(Self::ZERO)
    }

    /// Takes an id as timelines write it: 1 to 17 decimal digits, or 20; `None` for
    /// anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (time, suffix) = text.split_at_checked(TIME_DIGITS_MAX).unwrap_or((text, ""));
        let decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if time.is_empty() || !decimal(text) || !matches!(suffix.len(), 0 | SUFFIX_DIGITS) {
            return None;
        }
        let missing = u32::try_from(TIME_DIGITS_MAX.checked_sub(time.len())?).ok()?;
        let filled = time.parse::<u64>().ok()?.checked_mul(10u64.checked_pow(missing)?)?;
        let suffix = if suffix.is_empty() { 0 } else { suffix.parse().ok()? };
        Some(Self { filled, suffix, digits: u8::try_from(text.len()).ok()? })
    }

    /// The time without what a metadata table added to it.
    #[must_use]
    pub fn without_suffix(self) -> Self {
        let digits = self.digits.min(TIME_DIGITS);
        Self { suffix: 0, digits, ..self }
    }
}

const DAY_MS: i64 = 86_400_000;

/// Year, month and day of a day since the epoch, in the proleptic Gregorian calendar.
fn civil_of_days(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, in_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

impl fmt::Display for InstantTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { filled, suffix, digits } = self;
        let text = format!(
            "{filled:0time$}{suffix:0after$}",
            time = TIME_DIGITS_MAX,
            after = SUFFIX_DIGITS
        );
        f.write_str(text.get(..usize::from(*digits)).unwrap_or(&text))
    }
}

impl fmt::Debug for InstantTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_digits() {
        let ids = ["20240102030405678", "20240102030405", "00000000000001", "0", "001"];
        for text in ids.into_iter().chain(["20240102030405678001", "20240102030405678000"]) {
            assert_eq!(InstantTime::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "x", "2024-01-02", "-1", "+1", " 1", "20240102030405678+01"] {
            assert_eq!(InstantTime::parse(text), None, "{text}");
        }
        for text in [
            "202401020304056780",
            "2024010203040567800",
            "202401020304056780012",
            "2024010203040567\u{e9}",
        ] {
            assert_eq!(InstantTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_suffix_is_taken_off() {
        for (text, time) in [
            ("20240102030405678001", "20240102030405678"),
            ("20240102030405678", "20240102030405678"),
            ("20240102", "20240102"),
        ] {
            assert_eq!(InstantTime::parse(text).unwrap().without_suffix().to_string(), time);
        }
    }

    #[test]
    fn times_become_ids() {
        for (ms, text) in [
            (0, "19700101000000000"),
            (951_782_399_999, "20000228235959999"),
            (951_782_400_000, "20000229000000000"),
            (1_704_164_645_678, "20240102030405678"),
            (-1, "19691231235959999"),
        ] {
            assert_eq!(InstantTime::of_ms(ms).to_string(), text);
        }
        assert_eq!(InstantTime::of_ms(i64::MAX), InstantTime::ZERO);
    }

    #[test]
    fn ids_sort_as_their_text_does() {
        let mut random = fastrand::Rng::with_seed(7);
        let text = |random: &mut fastrand::Rng| {
            let count = random.usize(1..=TIME_DIGITS_MAX + 1);
            let count =
                if count > TIME_DIGITS_MAX { TIME_DIGITS_MAX + SUFFIX_DIGITS } else { count };
            (0..count).map(|_| random.char('0'..='2')).collect::<String>()
        };
        for _ in 0..10_000 {
            let (a, b) = (text(&mut random), text(&mut random));
            let (left, right) = (InstantTime::parse(&a).unwrap(), InstantTime::parse(&b).unwrap());
            assert_eq!(left.cmp(&right), a.cmp(&b), "{a} {b}");
        }
    }
}
