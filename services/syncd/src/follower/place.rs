//! One site of a table that is followed: how far it is, and when it is looked at next.

use std::time::Duration;

use driftless_catalog::Progress;
use table_sync_core::Position;
use table_sync_engine::{PassReport, TargetReport};
use tokio::time::Instant;

use super::{RETRY_MAX, RETRY_MIN};
use crate::report::Owner;

/// At the latest after this long a pass is carried out although nothing seems new, so that objects
/// which came late are attached, and a replaced source or a foreign write is found.
const PASS_EVERY: Duration = Duration::from_secs(15 * 60);

/// After something was published, one more pass attaches what its writer wrote behind the commit.
const LATE_AFTER: Duration = Duration::from_secs(20);

/// A table that waits for a person is looked at again after this long, in case somebody helped at
/// the source.
const BLOCKED_RETRY: Duration = Duration::from_secs(120);

/// One site of the table.
pub(super) struct Place {
    pub(super) owner: Owner,
    pub(super) progress: Progress,
    /// A pass or a look works on it, begun then.
    pub(super) busy: Option<Instant>,
    /// When it is looked at next.
    pub(super) due: Instant,
    /// Passes that failed one after the other.
    pub(super) failed: u32,
    /// When a pass is carried out in any case.
    pub(super) pass_by: Instant,
    /// Holds what the source held.
    pub(super) in_step: bool,
    /// Somebody said that there may be something new, and nothing was begun since.
    pub(super) is_told: bool,
    /// Somebody said so while it was busy: what works on it may have looked before.
    pub(super) hurries: bool,
    /// It was in step, and is looked at although nobody said anything.
    pub(super) is_untold: bool,
}

impl Place {
    /// Something is begun: a look, a pass after it, or a pass without one.
    pub(super) fn begin(&mut self, now: Instant) {
        self.busy = Some(now);
        if self.in_step {
            self.is_untold = !std::mem::take(&mut self.is_told);
        }
    }

    /// Somebody says that there may be something new: look now, whatever was planned.
    pub(super) fn tell(&mut self, now: Instant) {
        (self.due, self.is_told, self.is_untold) = (now, true, false);
        self.hurries = self.busy.is_some();
    }

    /// Nothing works on it any more: the next look is at `due`, unless somebody spoke meanwhile.
    pub(super) fn rest(&mut self, due: Instant) {
        self.busy = None;
        self.due = if std::mem::take(&mut self.hurries) { Instant::now() } else { due };
    }

    /// How many commits above `known` a pass found that nobody told of. Before it settles.
    pub(super) fn untold(&self, target: &TargetReport, known: Option<Position>) -> u64 {
        if !self.is_untold {
            return 0;
        }
        let published = target.published.iter().filter(|at| Some(**at) > known).count() as u64;
        published + target.pending.map_or(0, |pending| pending.versions)
    }

    /// When to look again, after a pass.
    pub(super) fn settle(&mut self, pass: &PassReport, target: &TargetReport, wait: Duration) {
        let now = Instant::now();
        self.in_step = false;
        self.is_untold = false;
        if target.failure.is_some() {
            self.failed = self.failed.saturating_add(1);
            let backoff = RETRY_MIN.saturating_mul(1 << self.failed.min(8)).min(RETRY_MAX);
            self.rest(now + backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
            return;
        }
        self.failed = 0;
        if target.blocked.is_some() {
            self.rest(now + BLOCKED_RETRY);
            return;
        }
        self.in_step = pass.source_head.is_some() && target.head == pass.source_head;
        self.rest(now + wait);
        let late = !target.receipts.is_empty();
        self.pass_by = now + if late { LATE_AFTER } else { PASS_EVERY };
    }
}

/// When the work at these of the places began, ms since the epoch.
pub(super) fn began_ms(places: &[Place], group: &[usize], now_ms: i64) -> i64 {
    let begun = group.iter().filter_map(|at| places.get(*at)?.busy);
    let took = begun.map(|began| began.elapsed().as_millis()).max().unwrap_or_default();
    now_ms.saturating_sub(i64::try_from(took).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn place(now: Instant) -> Place {
        let owner =
            Owner { table: "t".to_owned(), site: "east".to_owned(), epoch: 1, incarnation: 1 };
        let (progress, busy) = (Progress::default(), None);
        Place {
            owner,
            progress,
            busy,
            due: now,
            failed: 0,
            pass_by: now,
            in_step: true,
            is_told: false,
            hurries: false,
            is_untold: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_while_it_is_busy_is_followed_at_once() {
        let (now, wait) = (Instant::now(), Duration::from_secs(30));
        let mut place = place(now);
        place.begin(now);
        place.rest(now + wait);
        assert_eq!(place.due, now + wait);
        place.begin(now);
        place.tell(now);
        place.rest(now + wait);
        assert_eq!((place.due, place.busy), (now, None));
        // Once.
        place.begin(now);
        place.rest(now + wait);
        assert_eq!(place.due, now + wait);
    }
}
