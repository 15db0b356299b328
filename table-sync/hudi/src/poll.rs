//! A poll between two looks: whether anything may have changed, in at most two requests.
//!
//! # Invariants
//! - "Unchanged" is said only of what the last look of this process saw: see [`Mark`].

use table_sync_core::{InstantTime, Position, SourceError};

use crate::instant::Action;
use crate::log::HudiLog;
use crate::mark::Mark;
use crate::timeline::Timeline;

/// How many commits back a poll looks: a writer takes its id before it rolls back what failed and
/// before its first object is there.
const MARGIN_COMMITS: usize = 8;

/// Where a poll begins: the earliest instant that may not be settled yet.
pub(crate) fn from(timeline: &Timeline) -> InstantTime {
    let mut pending = timeline.instants().filter(|at| !at.is_completed());
    let earliest = pending.next().map(|at| at.name.requested);
    let writes = timeline.instants().rev().filter(|at| at.is_commit());
    let margin = writes.take(MARGIN_COMMITS).last().map(|at| at.name.requested);
    earliest.into_iter().chain(margin).min().unwrap_or(InstantTime::ZERO)
}

/// Whether a look saw another newest commit, or one that is about to be taken back.
pub(crate) fn has_moved(timeline: &Timeline, head: Position) -> bool {
    let mut pending = timeline.instants().filter(|at| !at.is_completed());
    let restoring = pending.any(|at| at.name.action == Action::Restore);
    restoring || timeline.commits().last().map(|at| at.position()) != Some(head)
}

/// Looks again: whether `head` is still the newest commit, for all that can be told cheaply.
/// `false` only says that a look is needed.
pub(crate) async fn is_unchanged(
    log: &HudiLog,
    seen: &Timeline,
    head: Position,
) -> Result<bool, SourceError> {
    Ok(!has_moved(seen, head) && Mark::of(log, seen)?.stands(log).await?)
}
