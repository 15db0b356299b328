//! Instant times: the ids that a Hudi timeline gives its actions.

use std::fmt;

/// Digits of the longest id: `yyyyMMddHHmmssSSS`.
const DIGITS_MAX: usize = 17;

/// The id of an action on a Hudi timeline, or the time at which it completed.
///
/// Usually a time of 17 digits (milliseconds) or 14 (seconds), in the writer's time zone; some
/// are no times at all (`00000000000001`). Ordered as Hudi orders them: by text, so that a
/// shorter id sorts before a longer one which it begins.
///
/// Source: Hudi technical specification, "Timeline".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstantTime {
    /// The digits, filled up with zeros at the end: comparing numbers is then comparing texts.
    filled: u64,
    digits: u8,
}

impl InstantTime {
    /// The id that sorts before all others of its digits: no action has it.
    pub const ZERO: Self = Self { filled: 0, digits: 1 };

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

    /// Takes an id as timelines write it: 1 to 17 decimal digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let count = text.len();
        if count == 0 || count > DIGITS_MAX || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value: u64 = text.parse().ok()?;
        let missing = u32::try_from(DIGITS_MAX - count).ok()?;
        let filled = value.checked_mul(10u64.checked_pow(missing)?)?;
        Some(Self { filled, digits: u8::try_from(count).ok()? })
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
        let text = format!("{:0width$}", self.filled, width = DIGITS_MAX);
        f.write_str(text.get(..usize::from(self.digits)).unwrap_or(&text))
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
        for text in ["20240102030405678", "20240102030405", "00000000000001", "0", "001"] {
            assert_eq!(InstantTime::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "x", "2024-01-02", "202401020304056789", "-1", "+1", " 1"] {
            assert_eq!(InstantTime::parse(text), None, "{text}");
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
            let count = random.usize(1..=DIGITS_MAX);
            (0..count).map(|_| random.char('0'..='2')).collect::<String>()
        };
        for _ in 0..10_000 {
            let (a, b) = (text(&mut random), text(&mut random));
            let (left, right) = (InstantTime::parse(&a).unwrap(), InstantTime::parse(&b).unwrap());
            assert_eq!(left.cmp(&right), a.cmp(&b), "{a} {b}");
        }
    }
}
