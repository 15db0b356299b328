//! Instants, and stretches of a timeline's folder.

use std::collections::BTreeMap;

use table_sync_core::{BlockCode, Blocked, InstantTime, LogObject, Position, RelPath, SourceError};

use crate::instant::{Action, InstantName, Layout, State, furthest};

/// An instant of the active timeline, in its furthest state.
#[derive(Debug, Clone)]
pub(crate) struct Instant {
    pub(crate) name: InstantName,
    pub(crate) key: RelPath,
    pub(crate) object: LogObject,
    position: Position,
}

impl Instant {
    fn of(name: InstantName, key: RelPath, object: LogObject) -> Self {
        let by_clock = || InstantTime::of_ms(object.modified_ms);
        let completed = name.completion.unwrap_or_else(by_clock);
        let position = Position::Instant { completed, requested: name.requested };
        Self { name, key, object, position }
    }

    pub(crate) fn is_completed(&self) -> bool {
        self.name.state == State::Completed
    }

    /// Where it stands in the order of completion.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Whether it is a state of the table that is published by itself: it changes what a snapshot
    /// holds, or takes commits back.
    pub(crate) fn is_commit(&self) -> bool {
        let counts = self.name.action.writes_data() || self.name.action == Action::Restore;
        self.is_completed() && counts
    }

    /// Whether it takes other instants back.
    pub(crate) fn takes_back(&self) -> bool {
        matches!(self.name.action, Action::Rollback | Action::Restore)
    }
}

/// Names of a timeline's folder that sort next to each other, whole ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stretch {
    /// What was listed, instants or not.
    pub(crate) objects: BTreeMap<RelPath, LogObject>,
    /// By id, then by action.
    pub(crate) instants: Vec<Instant>,
    has_plans: bool,
}

impl Stretch {
    /// Reads the names of a listing. An action that is unknown is refused.
    pub(crate) fn of(
        objects: BTreeMap<RelPath, LogObject>,
        folder: &RelPath,
        layout: Layout,
    ) -> Result<Self, SourceError> {
        let mut found = Vec::new();
        let mut has_plans = false;
        for (key, object) in &objects {
            let Some(name) = name_in(folder, key, layout) else { continue };
            if let Action::Unknown(action) = &name.action {
                let message = format!(
                    "the timeline holds {key}, whose action {action} is unknown; upgrade this program"
                );
                return Err(Blocked::table(BlockCode::UnsupportedReaderFeature, message).into());
            }
            has_plans |= name.action == Action::Compaction;
            found.push((name, key, object));
        }
        let instants = furthest(found, |(name, _, _)| name).into_iter();
        let instants =
            instants.map(|(name, key, object)| Instant::of(name, key.clone(), object.clone()));
        Ok(Self { instants: instants.collect(), objects, has_plans })
    }

    /// Takes off everything before an id of a timeline in `folder`; `None` where names of one
    /// instant would be on both sides.
    pub(crate) fn split_before(&mut self, id: InstantTime, folder: &RelPath) -> Option<Self> {
        let from = RelPath::parse(&format!("{folder}/{id}")).ok()?;
        let at = self.instants.partition_point(|instant| instant.name.requested < id);
        // `<id>_<completion>.commit` sorts behind all names of a longer id that begins so.
        let (before, after) = self.instants.split_at_checked(at)?;
        let whole = before.iter().all(|instant| instant.key < from)
            && after.iter().all(|instant| instant.key > from);
        if !whole {
            return None;
        }
        let instants = self.instants.split_off(at);
        let objects = self.objects.split_off(&from);
        let has_plans = self.has_plans;
        let after = Self { instants, objects, has_plans };
        Some(std::mem::replace(self, after))
    }

    /// Whether plans of compactions are among the objects, pending or not.
    pub(crate) fn has_plans(&self) -> bool {
        self.has_plans
    }

    /// The same with fewer instants.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&Instant) -> bool) -> Self {
        let instants = self.instants.iter().filter(|at| keep(at)).cloned().collect();
        Self { instants, objects: self.objects.clone(), has_plans: self.has_plans }
    }
}

/// The name of an instant, where a key is that of one of a timeline's folder.
pub(crate) fn name_in(folder: &RelPath, key: &RelPath, layout: Layout) -> Option<InstantName> {
    let rest = key.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')?;
    // A folder below it is no instant: no action's name holds a slash.
    InstantName::parse(rest, layout)
}
