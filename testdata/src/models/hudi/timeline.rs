//! The active timeline: instants from the names of objects.
//!
//! # Invariants
//! - Per request time and comparable action the highest state counts, so leftovers of earlier
//!   states beside a completed object change nothing.
//!
//! Source: Hudi's `InstantFileNameParserV2`, `InstantGeneratorV1`, `TimelineLayout`,
//! `BaseHoodieTimeline`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;

use super::names::is_instant;
use super::table::Table;
use super::{HudiObjects, Loud, archive, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Requested,
    Inflight,
    Completed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instant {
    /// Request time.
    pub(super) time: String,
    pub(super) action: String,
    pub(super) state: State,
    /// Completion time of a completed instant; up to version 6 the time of the object.
    pub(super) completion: Option<String>,
    /// Key of the object, relative to the table root.
    pub(super) key: String,
}

/// The instants of the active timeline, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeline {
    pub(super) instants: Vec<Instant>,
    /// Completion times of the history.
    archived: BTreeMap<String, String>,
}

impl Timeline {
    pub(super) fn load(objects: &HudiObjects, table: &Table) -> Result<Self, Loud> {
        let mut best: BTreeMap<(String, &'static str), Instant> = BTreeMap::new();
        let folder = format!("{}/", table.timeline);
        let listed = objects.range(folder.clone()..);
        for (key, object) in listed.take_while(|(key, _)| key.starts_with(&folder)) {
            let name = key.get(folder.len()..).unwrap_or_default();
            let Some(mut instant) = parse(name, table.layout) else { continue };
            instant.key.clone_from(key);
            if instant.state == State::Completed && instant.completion.is_none() {
                instant.completion = Some(format_ms(object.modified_ms));
            }
            let slot = (instant.time.clone(), comparable(&instant.action));
            if best.get(&slot).is_none_or(|found| found.state < instant.state) {
                best.insert(slot, instant);
            }
        }
        let archived = match table.layout {
            2 => archive::completions(objects, table)?,
            _ => BTreeMap::new(),
        };
        Ok(Self { instants: best.into_values().collect(), archived })
    }

    /// Instants that count for what is visible: completed writes and pending compactions.
    pub(super) fn visible(&self) -> Span {
        let writes = self.instants.iter().filter(|i| is_write(&i.action));
        let counted = writes.filter(|i| i.state == State::Completed || i.action == "compaction");
        Span::of(counted, &self.savepoints())
    }

    /// Completed writes.
    pub(super) fn completed(&self) -> Span {
        let writes = self.instants.iter().filter(|i| is_write(&i.action));
        Span::of(writes.filter(|i| i.state == State::Completed), &self.savepoints())
    }

    /// Start of the timeline as completion times see it: pending writes count too.
    pub(super) fn start_with_pending(&self) -> Option<String> {
        let writes = self.instants.iter().filter(|i| is_write(&i.action));
        Span::of(writes, &self.savepoints()).start
    }

    pub(super) fn is_inflight(&self, time: &str) -> bool {
        let found = |i: &Instant| i.time == time && i.state == State::Inflight;
        self.instants.iter().any(|i| is_write(&i.action) && found(i))
    }

    /// Completion time of an instant of the active timeline.
    pub(super) fn active_completion(&self, time: &str) -> Option<&str> {
        let found = self.instants.iter().filter(|i| i.time == time);
        found.filter_map(|i| i.completion.as_deref()).next()
    }

    /// Completion time of an archived instant.
    pub(super) fn archived_completion(&self, time: &str) -> Option<&str> {
        self.archived.get(time).map(String::as_str)
    }

    /// File groups that a completed replace commit of the active timeline hides.
    pub(super) fn replaced(
        &self,
        objects: &HudiObjects,
    ) -> Result<BTreeSet<(String, String)>, Loud> {
        let mut hidden = BTreeSet::new();
        let done = self.instants.iter().filter(|i| i.state == State::Completed);
        for instant in done.filter(|i| i.action == "replacecommit") {
            let metadata = content(objects, &instant.key)?;
            let map = metadata.get("partitionToReplaceFileIds").and_then(|m| m.as_object());
            for (partition, ids) in map.into_iter().flatten() {
                for id in ids.as_array().into_iter().flatten().filter_map(|id| id.as_str()) {
                    hidden.insert((partition.clone(), id.to_owned()));
                }
            }
        }
        Ok(hidden)
    }

    /// File groups under a pending compaction, with its instant.
    pub(super) fn pending_compactions(
        &self,
        objects: &HudiObjects,
        table: &Table,
    ) -> Result<BTreeMap<(String, String), String>, Loud> {
        let mut pending = BTreeMap::new();
        for instant in self.instants.iter().filter(|i| i.action == "compaction") {
            let key = format!("{}/{}.compaction.requested", table.timeline, instant.time);
            let plan = content(objects, &key)?;
            let operations = plan.get("operations").and_then(|o| o.as_array());
            for operation in operations.into_iter().flatten() {
                let text = |key| json::text(operation, key);
                pending.insert((text("partitionPath"), text("fileId")), instant.time.clone());
            }
        }
        Ok(pending)
    }

    fn savepoints(&self) -> BTreeSet<&str> {
        let found = self.instants.iter().filter(|i| i.action == "savepoint");
        found.map(|i| i.time.as_str()).collect()
    }
}

/// What a set of instants says about what is committed.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    times: BTreeSet<String>,
    /// First instant without a savepoint.
    pub(super) start: Option<String>,
}

impl Span {
    fn of<'a>(instants: impl Iterator<Item = &'a Instant>, savepoints: &BTreeSet<&str>) -> Self {
        let times: BTreeSet<String> = instants.map(|i| i.time.clone()).collect();
        let start = times.iter().find(|time| !savepoints.contains(time.as_str())).cloned();
        Self { times, start }
    }

    pub(super) fn times(&self) -> impl Iterator<Item = &String> {
        self.times.iter()
    }

    pub(super) fn last(&self) -> Option<&str> {
        self.times.last().map(String::as_str)
    }

    /// Rule R0: in the timeline, or older than its start and so archived and committed.
    pub(super) fn contains_or_before_start(&self, time: &str) -> bool {
        let second = time.strip_suffix("999").filter(|short| short.len() == 14);
        self.times.contains(time)
            || second.is_some_and(|second| self.times.contains(second))
            || self.start.as_deref().is_some_and(|start| time < start)
    }
}

/// Milliseconds since 1970 as an instant in UTC.
pub(super) fn format_ms(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().format("%Y%m%d%H%M%S%3f").to_string()
}

/// The decoded content of a timeline object.
pub(super) fn content(objects: &HudiObjects, key: &str) -> Result<serde_json::Value, Loud> {
    let missing = || Loud::ObjectMissing { key: key.to_owned() };
    let object = objects.get(key).ok_or_else(missing)?;
    json::decode(&object.bytes).map_err(|reason| Loud::Unreadable { key: key.to_owned(), reason })
}

fn is_write(action: &str) -> bool {
    let writes = ["commit", "deltacommit", "replacecommit", "clustering", "compaction"];
    writes.contains(&action)
}

/// The action under which the states of one instant meet.
fn comparable(action: &str) -> &'static str {
    match action {
        "commit" | "compaction" => "commit",
        "deltacommit" | "logcompaction" => "deltacommit",
        "replacecommit" | "clustering" => "replacecommit",
        "clean" => "clean",
        "rollback" => "rollback",
        "restore" => "restore",
        "savepoint" => "savepoint",
        "indexing" => "indexing",
        _ => "other",
    }
}

/// Parses the name of a timeline object; the key is left empty.
fn parse(name: &str, layout: u32) -> Option<Instant> {
    let (times, rest) = name.split_once('.')?;
    let (time, completion) = match times.split_once('_') {
        Some((time, completion)) if layout == 2 => (time, Some(completion)),
        Some(_) => return None,
        None => (times, None),
    };
    if !is_instant(time) || !completion.is_none_or(is_instant) {
        return None;
    }
    let (action, state) = match rest.split_once('.') {
        None if rest == "inflight" => ("commit", State::Inflight),
        None => (rest, State::Completed),
        Some((action, "requested")) => (action, State::Requested),
        Some((action, "inflight")) => (action, State::Inflight),
        Some(_) => return None,
    };
    (comparable(action) != "other").then(|| Instant {
        time: time.to_owned(),
        action: action.to_owned(),
        state,
        completion: completion.map(str::to_owned),
        key: String::new(),
    })
}
