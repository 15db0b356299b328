//! Cadence: when to look at a source again, by how often it was written to.
//!
//! A table that is written each minute is looked at every few seconds, one that is written each
//! night as seldom as its policy allows. Pure: times come in, waits come out.

use std::time::Duration;

/// Looks between two commits that come at the usual pace.
const LOOKS_PER_COMMIT: u32 = 6;

/// Part of the newest gap between two commits in the estimate: high enough that a table which
/// wakes up is followed soon.
const NEWEST: f64 = 0.3;

/// Part of a wait that is left to chance, so that tables do not move in step.
const JITTER: f64 = 0.1;

/// How one table was written to.
#[derive(Debug, Clone)]
pub(crate) struct Cadence {
    least: Duration,
    most: Duration,
    /// Estimated time between two commits.
    gap: Option<Duration>,
    /// Waits since the last commit was seen.
    idle: u32,
    last_commit_ms: Option<i64>,
}

impl Cadence {
    pub(crate) fn new(least: Duration, most: Duration) -> Self {
        Self { least: least.min(most), most, gap: None, idle: 0, last_commit_ms: None }
    }

    /// A commit was seen, made at this time.
    pub(crate) fn commit(&mut self, committed_ms: i64) {
        self.idle = 0;
        let last = self.last_commit_ms.replace(committed_ms);
        let gap = last.and_then(|last| u64::try_from(committed_ms - last).ok());
        let Some(gap) = gap.map(Duration::from_millis) else { return };
        self.gap = Some(match self.gap {
            Some(before) => before.mul_f64(1.0 - NEWEST) + gap.mul_f64(NEWEST),
            None => gap,
        });
    }

    /// The next wait. `chance`: from 0 to 1.
    pub(crate) fn wait(&mut self, chance: f64) -> Duration {
        let usual = self.gap.map_or(self.most, |gap| gap / LOOKS_PER_COMMIT);
        let usual = usual.clamp(self.least, self.most);
        // What comes later than usual may not come for long.
        let beyond = self.idle.saturating_sub(2 * LOOKS_PER_COMMIT).min(10);
        self.idle = self.idle.saturating_add(1);
        let wait = usual.saturating_mul(1 << beyond).min(self.most);
        wait.mul_f64(1.0 - JITTER * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(30);

    /// Commits at this pace, in seconds; the wait after the last of them.
    fn after(gap: i64) -> Cadence {
        let mut cadence = Cadence::new(LEAST, MOST);
        for at in 0..20 {
            cadence.commit(at * gap * 1_000);
        }
        cadence
    }

    #[test]
    fn waits_follow_the_writer() {
        for (gap, wait) in [(1, 1), (12, 2), (60, 10), (600, 30), (86_400, 30)] {
            let found = after(gap).wait(0.0);
            let expect = Duration::from_secs(wait);
            let apart = found.abs_diff(expect);
            assert!(apart < Duration::from_millis(20), "{gap}: {found:?}");
        }
        assert_eq!(Cadence::new(LEAST, MOST).wait(0.0), MOST);
    }

    #[test]
    fn a_writer_that_stopped_is_asked_less_and_less() {
        let mut cadence = after(1);
        let waits: Vec<_> = (0..40).map(|_| cadence.wait(0.0).as_secs()).collect();
        assert_eq!(waits[..13], [1; 13]);
        assert_eq!(waits[13..19], [2, 4, 8, 16, 30, 30]);
        cadence.commit(20_000);
        assert_eq!(cadence.wait(0.0), LEAST);
    }

    #[test]
    fn chance_only_shortens() {
        let mut cadence = after(600);
        let wait = cadence.wait(1.0);
        assert!(wait < MOST && wait >= MOST.mul_f64(0.9), "{wait:?}");
    }

    #[test]
    fn clocks_that_go_back_change_nothing() {
        let mut cadence = after(12);
        cadence.commit(0);
        let wait = cadence.wait(0.0);
        assert!(wait.abs_diff(Duration::from_secs(2)) < Duration::from_millis(20), "{wait:?}");
    }
}
