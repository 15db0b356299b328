//! Status and lag of a table at a site: pure functions of what was recorded and of the time.
//!
//! # Invariants
//! - Lag is zero only while the source was looked at within the freshness of the check; what is
//!   not known is `None`, never zero.
//! - Lag grows while a table is paused, blocked or without an owner.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Progress;
use crate::policy::words;
use crate::transition::Desired;

words! {
    /// What a table is doing at a site.
    Status {
        /// Caught up, and the source was looked at just now.
        Ok => "ok",
        /// Behind, and moving toward the source.
        CatchingUp => "catching_up",
        /// Behind by more than the lag target.
        Lagging => "lagging",
        /// A person has paused it.
        Paused => "paused",
        /// Publishing waits for the source to go on; nobody has to act.
        Held => "held",
        /// There is work, and nothing has moved for long.
        Stalled => "stalled",
        /// No process works on it.
        Stopped => "stopped",
        /// Waits for a person; the reason is beside it.
        Blocked => "blocked",
        /// The source's history is not the one that was published.
        Rewound => "rewound",
        /// The site does not hold what was published there.
        Diverged => "diverged",
        /// The source could not be looked at.
        Unknown => "unknown",
    }
}

words! {
    /// How the last pass at a site ended.
    Condition {
        /// No pass ended yet.
        New => "new",
        /// Well.
        Well => "well",
        /// Publishing waits; the reason is beside it.
        Held => "held",
        /// It failed; a retry may help.
        Failed => "failed",
        /// A person must decide.
        Blocked => "blocked",
        /// A person must decide: the source's history changed.
        Rewound => "rewound",
        /// A person must decide: the site holds something else.
        Diverged => "diverged",
    }
}

/// Nothing moved for this long although there is work: stalled, ms. Several retries fit in it.
const STALLED_AFTER_MS: i64 = 5 * 60_000;

/// What a status depends on beside the progress.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// What is wanted.
    pub desired: Desired,
    /// A process works on the table: its lease is held and its heartbeat goes on.
    pub owned: bool,
    /// See [`crate::Policy::check_fresh_ms`].
    pub check_fresh_ms: i64,
    /// See [`crate::Policy::lag_target_seconds`].
    pub lag_target_ms: i64,
    /// Now, ms since the epoch.
    pub now_ms: i64,
}

/// The lag of a table at a site, ms: the age of the oldest commit that is not published. `None`
/// where it is not known.
pub fn lag_ms(progress: &Progress, at: &Circumstances) -> Option<i64> {
    match progress.oldest_pending_ms {
        Some(oldest) => Some(at.now_ms.saturating_sub(oldest).max(0)),
        None if is_fresh(progress, at) && progress.pending_versions == Some(0) => Some(0),
        None => None,
    }
}

fn is_fresh(progress: &Progress, at: &Circumstances) -> bool {
    progress.checked_ms.is_some_and(|checked| at.now_ms - checked <= at.check_fresh_ms)
}

/// The status of a table at a site.
pub fn status(progress: &Progress, at: &Circumstances) -> Status {
    match (at.desired, progress.condition) {
        (Desired::Paused, _) => return Status::Paused,
        (_, Condition::Blocked) => return Status::Blocked,
        (_, Condition::Rewound) => return Status::Rewound,
        (_, Condition::Diverged) => return Status::Diverged,
        _ => {}
    }
    if !at.owned {
        return Status::Stopped;
    }
    if !is_fresh(progress, at) {
        return Status::Unknown;
    }
    if progress.condition == Condition::Held {
        return Status::Held;
    }
    let Some(lag) = lag_ms(progress, at) else { return Status::Unknown };
    if progress.pending_versions == Some(0) {
        return Status::Ok;
    }
    // Time alone misleads: a table that moves is late, not stuck.
    let since = progress.moved_ms.max(progress.oldest_pending_ms);
    let still = since.is_none_or(|moved| at.now_ms - moved > STALLED_AFTER_MS);
    if still && progress.condition == Condition::Failed {
        return Status::Stalled;
    }
    if lag > at.lag_target_ms { Status::Lagging } else { Status::CatchingUp }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 10_000_000;

    fn at() -> Circumstances {
        Circumstances {
            desired: Desired::Active,
            owned: true,
            check_fresh_ms: 60_000,
            lag_target_ms: 300_000,
            now_ms: NOW,
        }
    }

    fn in_step() -> Progress {
        Progress {
            condition: Condition::Well,
            checked_ms: Some(NOW - 1_000),
            pending_versions: Some(0),
            moved_ms: Some(NOW - 1_000),
            ..Progress::default()
        }
    }

    fn behind(lag: i64) -> Progress {
        Progress { pending_versions: Some(3), oldest_pending_ms: Some(NOW - lag), ..in_step() }
    }

    #[track_caller]
    fn check(progress: &Progress, at: &Circumstances, expect: (Status, Option<i64>)) {
        assert_eq!((status(progress, at), lag_ms(progress, at)), expect);
    }

    #[test]
    fn in_step_and_behind() {
        check(&in_step(), &at(), (Status::Ok, Some(0)));
        check(&behind(5_000), &at(), (Status::CatchingUp, Some(5_000)));
        check(&behind(400_000), &at(), (Status::Lagging, Some(400_000)));
        // The source's clock may be ahead of ours.
        check(&behind(-5_000), &at(), (Status::CatchingUp, Some(0)));
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        let stale = Progress { checked_ms: Some(NOW - 61_000), ..in_step() };
        check(&stale, &at(), (Status::Unknown, None));
        check(&Progress::default(), &at(), (Status::Unknown, None));
        let never = Progress { checked_ms: None, ..behind(9_000) };
        check(&never, &at(), (Status::Unknown, Some(9_000)));
    }

    #[test]
    fn lag_grows_while_nobody_works() {
        let paused = Circumstances { desired: Desired::Paused, ..at() };
        check(&behind(5_000), &paused, (Status::Paused, Some(5_000)));
        let later = Circumstances { now_ms: NOW + 7_000, ..paused };
        check(&behind(5_000), &later, (Status::Paused, Some(12_000)));
        let orphan = Circumstances { owned: false, ..at() };
        check(&behind(5_000), &orphan, (Status::Stopped, Some(5_000)));
    }

    #[test]
    fn a_person_is_called_before_anything_else_is_said() {
        for (condition, expect) in [
            (Condition::Blocked, Status::Blocked),
            (Condition::Rewound, Status::Rewound),
            (Condition::Diverged, Status::Diverged),
        ] {
            let orphan = Circumstances { owned: false, ..at() };
            let progress = Progress { condition, ..behind(1_000) };
            check(&progress, &orphan, (expect, Some(1_000)));
        }
        let held = Progress { condition: Condition::Held, ..behind(1_000) };
        check(&held, &at(), (Status::Held, Some(1_000)));
    }

    #[test]
    fn stalled_needs_time_work_and_failure() {
        let moved = |ms| Some(NOW - ms);
        let failed =
            Progress { condition: Condition::Failed, moved_ms: moved(400_000), ..behind(400_000) };
        check(&failed, &at(), (Status::Stalled, Some(400_000)));
        let moving = Progress { moved_ms: moved(1_000), ..failed.clone() };
        check(&moving, &at(), (Status::Lagging, Some(400_000)));
        // A commit that has just come, after a week without any.
        let idle = Progress { moved_ms: moved(600_000_000), ..behind(1_000) };
        check(&idle, &at(), (Status::CatchingUp, Some(1_000)));
    }
}
