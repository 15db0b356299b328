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

use std::collections::{BTreeMap, BTreeSet, HashMap};

use table_sync_core::{FileRef, InstantTime, Place, RelPath, Role};

use crate::file_name::{FileName, PARTITION_METADATA};
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
    /// File groups that a later write replaced: `(partition, file id)`.
    pub(crate) replaced: BTreeSet<(String, String)>,
    /// Logs that completed writes name, layout 1: such a log says of itself only which base it
    /// belongs to.
    pub(crate) named_logs: Option<BTreeSet<RelPath>>,
}

impl Committed {
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
}

#[derive(Debug, Default)]
struct Group {
    bases: Vec<Member>,
    logs: Vec<Member>,
}

/// File groups of a table, filled from a listing.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<(String, String), Group>,
    /// Partition metadata by partition.
    partitions: BTreeMap<String, Member>,
}

/// The folder of a key; empty for the table's root.
pub(crate) fn partition_of(path: &RelPath) -> &str {
    path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Groups {
    /// Takes one listed object of the table.
    pub(crate) fn add(&mut self, path: RelPath, size_bytes: u64) {
        let partition = partition_of(&path).to_owned();
        let name = path.file_name();
        if name.starts_with(PARTITION_METADATA) {
            let instant = InstantTime::ZERO;
            self.partitions.insert(partition, Member { instant, path, size_bytes });
            return;
        }
        match FileName::parse(name) {
            FileName::Base { file_id, instant, .. } => {
                let group = self.groups.entry((partition, file_id.into())).or_default();
                group.bases.push(Member { instant, path, size_bytes });
            }
            // Change data is no part of a snapshot.
            FileName::Log { is_cdc: true, .. } => {}
            FileName::Log { file_id, instant, .. } => {
                let group = self.groups.entry((partition, file_id.into())).or_default();
                group.logs.push(Member { instant, path, size_bytes });
            }
            FileName::Other(_) => {}
        }
    }

    /// The files of the committed slices, with the metadata of their partitions.
    pub(crate) fn files(&self, committed: &Committed, slices: Slices) -> Vec<FileRef> {
        let mut files = Vec::new();
        let mut partitions = BTreeSet::new();
        for (key, group) in &self.groups {
            if slices == Slices::Latest && committed.replaced.contains(key) {
                continue;
            }
            let before = files.len();
            group.files(committed, slices, &mut files);
            if files.len() > before {
                partitions.insert(key.0.as_str());
            }
        }
        for (partition, member) in &self.partitions {
            if partitions.contains(partition.as_str()) {
                files.push(member.file(Role::PartitionMetadata));
            }
        }
        files
    }
}

impl Group {
    fn files(&self, committed: &Committed, slices: Slices, out: &mut Vec<FileRef>) {
        let bases = self.bases.iter().filter(|base| committed.is_committed(base.instant));
        let newest = bases.clone().map(|base| base.instant).max();
        let kept = |base: &&Member| slices == Slices::All || Some(base.instant) == newest;
        out.extend(bases.filter(kept).map(|base| base.file(Role::Data)));
        for log in &self.logs {
            let belongs = match &committed.named_logs {
                None => {
                    let completion = committed.completions.get(&log.instant);
                    let late = completion.is_none_or(|at| newest.is_none_or(|base| *at >= base));
                    committed.is_committed(log.instant) && (late || slices == Slices::All)
                }
                Some(named) => {
                    let late = newest.is_none_or(|base| log.instant >= base);
                    named.contains(&log.path) && (late || slices == Slices::All)
                }
            };
            if belongs {
                out.push(log.file(Role::Log));
            }
        }
    }
}

impl Member {
    fn file(&self, role: Role) -> FileRef {
        let size_bytes = Some(self.size_bytes);
        FileRef { place: Place::Table, path: self.path.clone(), size_bytes, role }
    }
}
