//! A poll between two looks: whether anything may have changed, in at most two requests.
//!
//! Layout 2: a LIST that starts at the earliest instant which is not settled, and a HEAD of the
//! properties. Layout 1: a LIST of one level, where the properties lie as well.
//!
//! # Invariants
//! - "Unchanged" is said only of what the last look of this process saw, object by object.
//! - What is settled is not looked at: that archival removed it, or that a writer with a slow
//!   clock began an older instant, is seen by the next look that lists everything.

use std::collections::BTreeMap;

use table_sync_core::{InstantTime, LogObject, Position, RelPath, SourceError};

use crate::instant::{Action, Layout};
use crate::log::HudiLog;
use crate::timeline::{Timeline, properties_key};

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
    if has_moved(seen, head) {
        return Ok(false);
    }
    let (key, name) = (properties_key()?, from(seen).to_string());
    let mut objects = match seen.layout {
        Layout::V1 => log.level(seen.folder.as_str()).await?.objects,
        Layout::V2 => log.list_from(seen.folder.as_str(), &name).await?,
    };
    let properties = match objects.remove(&key) {
        Some(properties) => Some(properties),
        None => log.head(&key).await?,
    };
    if properties.as_ref() != Some(&seen.properties_read.object) {
        return Ok(false);
    }
    let first = RelPath::parse(&format!("{}/{name}", seen.folder));
    let first = first.map_err(|error| crate::log::io_error(&seen.folder, error))?;
    // The history and what writers keep beside instants (locks, heartbeats) change without a
    // commit.
    let asked = |key: &RelPath| *key >= first && seen.name_of(key).is_some();
    objects.retain(|key, _| asked(key));
    let known = seen.objects_from(&first).filter(|(key, _)| asked(key));
    let known: BTreeMap<&RelPath, &LogObject> = known.collect();
    Ok(objects.iter().eq(known))
}
