//! A poll between two looks: whether anything may have changed, in at most two requests.
//!
//! Layout 2: a LIST that starts at the earliest instant which is not settled, and a HEAD of the
//! properties. Layout 1: a LIST of one level, where the properties lie as well.
//!
//! # Invariants
//! - "Unchanged" is said only of what the last look of this process saw, object by object.
//! - What is settled is not looked at: that archival removed it, or that a writer with a slow
//!   clock began an older instant, is seen by the next look, which lists everything.

use std::collections::BTreeMap;

use table_sync_core::{InstantTime, LogObject, Position, RelPath, SourceError};

use crate::instant::{Action, InstantName, Layout};
use crate::log::HudiLog;
use crate::timeline::{Timeline, properties_key};

/// How many commits back a poll looks: a writer takes its id before it rolls back what failed and
/// before its first object is there.
const MARGIN_COMMITS: usize = 8;

/// What a look saw, as far as a poll asks for it again.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    layout: Layout,
    folder: RelPath,
    /// The listing starts here (layout 2).
    from: String,
    objects: BTreeMap<RelPath, LogObject>,
    properties: LogObject,
    newest: Option<Position>,
    /// A restore is under way: it takes back commits before it completes.
    restoring: bool,
}

impl Seen {
    pub(crate) fn of(timeline: &Timeline) -> Self {
        let newest = timeline.commits().last().map(|at| at.position());
        let mut pending = timeline.instants.iter().filter(|at| !at.is_completed());
        let earliest = pending.next().map(|at| at.name.requested);
        let writes = timeline.instants.iter().rev().filter(|at| at.is_commit());
        let margin = writes.take(MARGIN_COMMITS).last().map(|at| at.name.requested);
        let from = earliest.into_iter().chain(margin).min().unwrap_or(InstantTime::ZERO);
        let restoring =
            |at: &crate::timeline::Instant| at.name.action == Action::Restore && !at.is_completed();
        let mut seen = Self {
            layout: timeline.layout,
            folder: timeline.folder.clone(),
            from: from.to_string(),
            objects: BTreeMap::new(),
            properties: timeline.properties_read.object.clone(),
            newest,
            restoring: timeline.instants.iter().any(restoring),
        };
        let asked = timeline.objects.iter().filter(|(key, _)| seen.asks_for(key));
        seen.objects = asked.map(|(key, object)| (key.clone(), object.clone())).collect();
        seen
    }

    /// Instants of the timeline's folder, from the unsettled ones on. The history and what writers
    /// keep there beside instants (locks, heartbeats) change without a commit.
    fn asks_for(&self, key: &RelPath) -> bool {
        let name = key.as_str().strip_prefix(self.folder.as_str());
        let name = name.and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        name >= self.from.as_str() && InstantName::parse(name, self.layout).is_some()
    }

    /// Whether it saw another newest commit, or one that is about to be taken back.
    pub(crate) fn has_moved(&self, head: Position) -> bool {
        self.restoring || self.newest != Some(head)
    }

    /// Looks again: whether `head` is still the newest commit, for all that can be told cheaply.
    /// `false` only says that a whole look is needed.
    pub(crate) async fn is_unchanged(
        &self,
        log: &HudiLog,
        head: Position,
    ) -> Result<bool, SourceError> {
        if self.has_moved(head) {
            return Ok(false);
        }
        let key = properties_key()?;
        let mut objects = match self.layout {
            Layout::V1 => log.level(self.folder.as_str()).await?.objects,
            Layout::V2 => log.list_from(self.folder.as_str(), &self.from).await?,
        };
        let properties = match objects.remove(&key) {
            Some(properties) => Some(properties),
            None => log.head(&key).await?,
        };
        objects.retain(|key, _| self.asks_for(key));
        Ok(properties.as_ref() == Some(&self.properties) && objects == self.objects)
    }
}
