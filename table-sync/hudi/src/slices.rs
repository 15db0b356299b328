//! File slices: which files readers of a state merge, found by listing.
//!
//! Layout 2 only gives each log the time of its own commit, so that its slice follows from when
//! that commit completed; layout 1 names a log after the base file that it changes.
//!
//! # Invariants
//! - No file of an instant that is not committed is ever named: it would turn into rows as soon
//!   as a timeline starts later than it (rule R0).
//! - Where it cannot be told to which of two slices a log belongs, it is named: a file that no
//!   reader merges does no harm.
//!
//! Source: Hudi `HoodieFileGroup`, `AbstractTableFileSystemView`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use table_sync_core::{FileRef, InstantTime, LogObject, Place, RelPath, Role};

use crate::file_name::{self, Kind, PARTITION_METADATA};
use crate::log::Slices;

/// What committed instants say about files, up to some position.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// Completed writes of the active timeline.
    pub(crate) completed: BTreeSet<InstantTime>,
    /// Where the active timeline starts.
    pub(crate) start: Option<InstantTime>,
    /// When writes completed, as far as it is known.
    pub(crate) completions: HashMap<InstantTime, InstantTime>,
    /// File groups that a later write replaced: file ids by partition.
    pub(crate) replaced: HashMap<String, HashSet<String>>,
    /// Which logs count.
    pub(crate) logs: Logs,
}

/// How it is told whether a log is committed.
#[derive(Debug, Default)]
pub(crate) enum Logs {
    /// By the commit in its name, layout 2.
    #[default]
    OfCommits,
    /// Layout 1, where a log says of itself only which base it belongs to: completed writes name
    /// it, or it is older than everything in the timeline (ms since the epoch).
    Named(BTreeSet<RelPath>, i64),
    /// Layout 1: all that are there.
    All,
}

impl Committed {
    fn is_replaced(&self, partition: &str, file_id: &str) -> bool {
        self.replaced.get(partition).is_some_and(|groups| groups.contains(file_id))
    }

    /// Rule R0: an instant older than the timeline is archived, hence committed.
    pub(crate) fn is_committed(&self, instant: InstantTime) -> bool {
        self.completed.contains(&instant) || self.start.is_some_and(|start| instant < start)
    }
}

/// One file of a group.
#[derive(Debug, Clone)]
struct Member {
    instant: InstantTime,
    path: RelPath,
    size_bytes: u64,
    modified_ms: i64,
}

#[derive(Debug, Default)]
struct Group {
    bases: Vec<Member>,
    logs: Vec<Member>,
}

/// File groups of some partitions, filled from a listing.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    partitions: BTreeMap<Box<str>, Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    groups: BTreeMap<Box<str>, Group>,
    metadata: Vec<Member>,
}

/// The folder of a key; empty for the table's root.
pub(crate) fn partition_of(path: &RelPath) -> &str {
    path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Groups {
    /// Takes one listed object of the table.
    pub(crate) fn add(&mut self, path: RelPath, object: &LogObject) {
        let is_marker = path.file_name().starts_with(PARTITION_METADATA);
        let known = file_name::glance(path.file_name());
        let (group, instant, kind) = match known {
            // Change data is no part of a snapshot.
            Some((_, _, Kind::ChangeFeed)) => return,
            Some((group, instant, kind)) => (Some(group), instant, kind),
            None if is_marker => (None, InstantTime::ZERO, Kind::Base),
            None => return,
        };
        let size_bytes = object.identity.size_bytes;
        let member = |path| Member { instant, path, size_bytes, modified_ms: object.modified_ms };
        with(&mut self.partitions, partition_of(&path), |partition| match group {
            None => partition.metadata.push(member(path.clone())),
            Some(group) => with(&mut partition.groups, group, |group| {
                let members = if kind == Kind::Log { &mut group.logs } else { &mut group.bases };
                members.push(member(path.clone()));
            }),
        });
    }

    /// The files of the committed slices, with the metadata of their partitions.
    pub(crate) fn into_files(self, committed: &Committed, slices: Slices) -> Vec<FileRef> {
        let mut files = Vec::new();
        for (folder, partition) in self.partitions {
            let before = files.len();
            for (file_id, group) in partition.groups {
                let hidden = slices == Slices::Latest && committed.is_replaced(&folder, &file_id);
                if !hidden {
                    group.into_files(committed, slices, &mut files);
                }
            }
            if files.len() > before {
                let markers = partition.metadata.into_iter();
                files.extend(markers.map(|marker| marker.into_file(Role::PartitionMetadata)));
            }
        }
        files
    }
}

/// Works on the entry of a key, which is copied only where there is none yet.
fn with<V: Default>(map: &mut BTreeMap<Box<str>, V>, key: &str, work: impl FnOnce(&mut V)) {
    match map.get_mut(key) {
        Some(value) => work(value),
        None => work(map.entry(key.into()).or_default()),
    }
}

impl Group {
    fn into_files(self, committed: &Committed, slices: Slices, out: &mut Vec<FileRef>) {
        let mut bases = self.bases;
        bases.retain(|base| committed.is_committed(base.instant));
        let newest = bases.iter().map(|base| base.instant).max();
        bases.retain(|base| slices == Slices::All || Some(base.instant) == newest);
        out.extend(bases.into_iter().map(|base| base.into_file(Role::Data)));
        let belongs = |log: &Member| {
            let after_base = || newest.is_none_or(|base| log.instant >= base);
            let (known, late) = match &committed.logs {
                Logs::OfCommits => {
                    let completion = committed.completions.get(&log.instant);
                    let late = completion.is_none_or(|at| newest.is_none_or(|base| *at >= base));
                    (committed.is_committed(log.instant), late)
                }
                Logs::Named(named, older_ms) => {
                    let known = log.modified_ms < *older_ms || named.contains(&log.path);
                    (known, after_base())
                }
                Logs::All => (true, after_base()),
            };
            known && (late || slices == Slices::All)
        };
        let logs = self.logs.into_iter().filter(belongs);
        out.extend(logs.map(|log| log.into_file(Role::Log)));
    }
}

impl Member {
    fn into_file(self, role: Role) -> FileRef {
        let size_bytes = Some(self.size_bytes);
        FileRef { place: Place::Table, path: self.path, size_bytes, role }
    }
}
