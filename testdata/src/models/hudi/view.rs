//! File groups and their slices, as a listing reader builds them.
//!
//! # Invariants
//! - Rule R0: a slice counts if its base instant is in the visible timeline or older than its
//!   start, and not newer than its last instant.
//! - Slices of a group are keyed by their base instant, newest first wins.
//!
//! Source: Hudi 0.15 and 1.x `HoodieFileGroup`, `AbstractTableFileSystemView`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;

use super::names::{BaseName, LogName, split_key};
use super::table::Table;
use super::timeline::{Span, Timeline};
use super::{BlockKind, HudiObjects, Loud, Slice, Snapshot, log_blocks};

/// How a reader finds the slice of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slicing {
    /// By the base instant in its name (0.15).
    BaseInstant,
    /// By the completion time of the instant in its name (1.x).
    Completion {
        /// Whether logs whose base completed after the newest instant are ignored.
        ignore_late: bool,
    },
}

/// One listed file.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) partition: String,
    pub(super) name: String,
}

impl Listed {
    fn path(&self) -> String {
        match self.partition.as_str() {
            "" => self.name.clone(),
            partition => format!("{partition}/{}", self.name),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Files {
    base: Option<String>,
    logs: BTreeMap<LogName, String>,
}

#[derive(Debug, Default)]
struct Group {
    bases: BTreeMap<String, String>,
    logs: BTreeMap<LogName, String>,
}

/// Partition and file id.
type GroupId = (String, String);

/// What the timeline says, whichever files are listed.
pub(super) struct Facts {
    timeline: Timeline,
    visible: Span,
    pub(super) completed: Span,
    start_with_pending: Option<String>,
    replaced: BTreeSet<GroupId>,
    pending: BTreeMap<GroupId, String>,
}

impl Facts {
    pub(super) fn load(objects: &HudiObjects, table: &Table) -> Result<Self, Loud> {
        let timeline = Timeline::load(objects, table)?;
        Ok(Self {
            replaced: timeline.replaced(objects)?,
            pending: timeline.pending_compactions(objects, table)?,
            visible: timeline.visible(),
            completed: timeline.completed(),
            start_with_pending: timeline.start_with_pending(),
            timeline,
        })
    }
}

/// Everything that decides what a reader sees.
pub(super) struct View<'a> {
    objects: &'a HudiObjects,
    table: Table,
    facts: Rc<Facts>,
    groups: BTreeMap<GroupId, Group>,
    /// Prefix of the table within the objects, empty or with slash at the end.
    root: String,
    /// Instants whose log blocks count; all without it.
    valid: Option<BTreeSet<String>>,
}

impl<'a> View<'a> {
    pub(super) fn new(
        objects: &'a HudiObjects,
        table: Table,
        facts: Rc<Facts>,
        root: &str,
        listed: &[Listed],
    ) -> Self {
        let mut groups: BTreeMap<GroupId, Group> = BTreeMap::new();
        for file in listed {
            if let Some(log) = LogName::parse(&file.name) {
                let id = (file.partition.clone(), log.file_id.clone());
                if !log.cdc {
                    groups.entry(id).or_default().logs.insert(log, file.path());
                }
            } else if let Some(base) = BaseName::parse(&file.name, &table.extension) {
                let id = (file.partition.clone(), base.file_id);
                groups.entry(id).or_default().bases.insert(base.instant, file.path());
            }
        }
        let root = root.to_owned();
        Self { objects, table, facts, groups, root, valid: None }
    }

    /// The view without log blocks of other instants.
    pub(super) fn only(mut self, valid: BTreeSet<String>) -> Self {
        self.valid = Some(valid);
        self
    }

    /// The latest merged slices.
    pub(super) fn snapshot(&self, slicing: Slicing) -> Snapshot {
        let latest = self.facts.completed.last().map(str::to_owned);
        let shown = self.groups.iter().filter(|(id, _)| !self.facts.replaced.contains(*id));
        let slices = shown.filter_map(|(id, group)| {
            let files = self.latest_files(id, &self.slices(id, group, slicing))?;
            self.merged(id, &files)
        });
        Snapshot { latest, slices: slices.collect() }
    }

    /// The latest committed base files.
    pub(super) fn base_files(&self) -> Snapshot {
        let latest = self.facts.completed.last().map(str::to_owned);
        let shown = self.groups.iter().filter(|(id, _)| !self.facts.replaced.contains(*id));
        let slices = shown.filter_map(|(id, group)| {
            let pending = self.facts.pending.get(id);
            let counts = |time: &String| self.is_committed(time) && pending != Some(time);
            let (_, path) = group.bases.iter().rfind(|(time, _)| counts(time))?;
            let (partition, file_id) = id.clone();
            Some(Slice { partition, file_id, base: Some(path.clone()), logs: Vec::new() })
        });
        Snapshot { latest, slices: slices.collect() }
    }

    /// The latest merged slices, if every file of theirs is there: a listing can name others.
    pub(super) fn whole(&self, slicing: Slicing) -> Result<Snapshot, Loud> {
        let shown = self.groups.iter().filter(|(id, _)| !self.facts.replaced.contains(*id));
        for (id, group) in shown {
            let files = self.latest_files(id, &self.slices(id, group, slicing));
            let Some(files) = files else { continue };
            let mut paths = files.base.into_iter().chain(files.logs.into_values());
            if let Some(key) = paths.find(|path| !self.objects.contains_key(path)) {
                return Err(Loud::ObjectMissing { key });
            }
        }
        Ok(self.snapshot(slicing))
    }

    /// The latest slices with the content of each log block that counts, in merge order.
    pub(super) fn contents(&self, slicing: Slicing) -> Vec<(Slice, Vec<(String, Bytes)>)> {
        let content = |slice: Slice| {
            let mut found = Vec::new();
            for log in &slice.logs {
                let bytes = self.bytes(&log.path);
                let blocks = log_blocks::blocks_of(&bytes);
                for block in log.blocks.iter().filter_map(|number| blocks.get(*number)) {
                    if block.kind == BlockKind::Data {
                        found.push((log.path.clone(), bytes.slice(block.content.clone())));
                    }
                }
            }
            (slice, found)
        };
        self.snapshot(slicing).slices.into_iter().map(content).collect()
    }

    fn is_committed(&self, time: &str) -> bool {
        let last = self.facts.visible.last().is_some_and(|last| time <= last);
        last && self.facts.visible.contains_or_before_start(time)
    }

    /// All slices of a group by base instant.
    fn slices(&self, id: &GroupId, group: &Group, slicing: Slicing) -> BTreeMap<String, Files> {
        let mut slices: BTreeMap<String, Files> = BTreeMap::new();
        for (instant, path) in &group.bases {
            slices.entry(instant.clone()).or_default().base = Some(path.clone());
        }
        if let Some(instant) = self.facts.pending.get(id) {
            slices.entry(instant.clone()).or_default();
        }
        for (log, path) in &group.logs {
            let base = match slicing {
                Slicing::BaseInstant => log.instant.clone(),
                Slicing::Completion { ignore_late } => {
                    if ignore_late && self.is_late(log) {
                        continue;
                    }
                    self.base_by_completion(&slices, log)
                }
            };
            slices.entry(base).or_default().logs.insert(log.clone(), path.clone());
        }
        slices
    }

    /// Up to version 6: the base of the log completed when the newest instant had been requested.
    fn is_late(&self, log: &LogName) -> bool {
        let completion = self.facts.timeline.active_completion(&log.instant);
        let newest = self.facts.completed.last();
        self.table.version < 8 && completion.zip(newest).is_some_and(|(c, newest)| c >= newest)
    }

    fn base_by_completion(&self, slices: &BTreeMap<String, Files>, log: &LogName) -> String {
        let Some(newest) = slices.keys().next_back() else { return log.instant.clone() };
        let Some(completion) = self.completion(newest, &log.instant) else {
            return newest.clone();
        };
        let base = slices.keys().rev().find(|base| completion >= **base);
        base.unwrap_or(&log.instant).clone()
    }

    fn completion(&self, newest_base: &str, instant: &str) -> Option<String> {
        let active = self.facts.timeline.active_completion(instant);
        let found = match self.table.version {
            8.. => active.or_else(|| self.facts.timeline.archived_completion(instant)),
            _ => active.or_else(|| self.is_archived(instant).then_some(instant)),
        };
        // A completion time that is no date next to a base that is one, or the reverse.
        found.map(|c| if c.len() == newest_base.len() { c } else { instant }.to_owned())
    }

    fn is_archived(&self, instant: &str) -> bool {
        self.facts.start_with_pending.as_deref().is_some_and(|start| instant < start)
    }

    /// From version 8: logs of an instant that never completed are dropped by name.
    fn is_completed(&self, instant: &str) -> bool {
        self.facts.timeline.active_completion(instant).is_some()
            || self.facts.timeline.archived_completion(instant).is_some()
            || self.is_archived(instant)
    }

    fn latest_files(&self, id: &GroupId, slices: &BTreeMap<String, Files>) -> Option<Files> {
        let (instant, top) = slices.iter().rfind(|(time, _)| self.is_committed(time))?;
        let mut files = top.clone();
        if self.table.version >= 8 {
            files.logs.retain(|log, _| self.is_completed(&log.instant));
        }
        if self.facts.pending.get(id) == Some(instant) {
            // A pending compaction splits a slice in two; the reader puts it together again.
            let before = slices.range(..instant.clone());
            if let Some((_, before)) = before.rev().find(|(time, _)| self.is_committed(time)) {
                files.base.clone_from(&before.base);
                files.logs.extend(before.logs.clone());
            }
        }
        Some(files)
    }

    /// What is merged of the files; `None` if nothing is left.
    fn merged(&self, id: &GroupId, files: &Files) -> Option<Slice> {
        let paths: Vec<String> = files.logs.values().cloned().collect();
        let blocks: Vec<_> =
            paths.iter().map(|path| log_blocks::blocks_of(&self.bytes(path))).collect();
        let placed = log_blocks::merged(&blocks, |instant| self.block_counts(instant));
        let logs = log_blocks::by_path(&placed, &paths);
        let (partition, file_id) = id.clone();
        let base = files.base.clone();
        (base.is_some() || !logs.is_empty()).then_some(Slice { partition, file_id, base, logs })
    }

    /// Up to version 6 a log holds blocks of failed writes, so each is looked up in the timeline.
    fn block_counts(&self, instant: &str) -> bool {
        let newer = self.facts.completed.last().is_none_or(|last| instant > last);
        if newer || self.valid.as_ref().is_some_and(|valid| !valid.contains(instant)) {
            return false;
        }
        self.table.version >= 8
            || (!self.facts.timeline.is_inflight(instant)
                && self.facts.completed.contains_or_before_start(instant))
    }

    /// Content of a listed file, empty if a listing names what is not there.
    pub(super) fn bytes(&self, path: &str) -> Bytes {
        let object = self.objects.get(&format!("{}{path}", self.root));
        object.map(|object| object.bytes.clone()).unwrap_or_default()
    }
}

/// What storage lists below a table: data files of every partition.
///
/// With `markers`, a partitioned table has only the partitions that say so by their
/// `.hoodie_partition_metadata`; Trino asks the metastore instead.
pub(super) fn list(objects: &HudiObjects, table: &Table, markers: bool) -> Vec<Listed> {
    let data = objects.keys().filter(|key| !key.starts_with(".hoodie/"));
    let split: Vec<(&str, &str)> = data.map(|key| split_key(key)).collect();
    let marked = split.iter().filter(|(_, name)| name.starts_with(".hoodie_partition_metadata"));
    let marked: BTreeSet<&str> = marked.map(|(folder, _)| *folder).collect();
    let is_partition = |folder: &str| match (table.partitioned, markers) {
        (false, _) => folder.is_empty(),
        (true, true) => marked.contains(folder),
        (true, false) => !folder.is_empty(),
    };
    let files = split.iter().filter(|(folder, _)| is_partition(folder));
    let file = |(folder, name): &(&str, &str)| Listed {
        partition: (*folder).to_owned(),
        name: (*name).to_owned(),
    };
    files.map(file).collect()
}
