//! A listing, understood: commits, and the checkpoints that are complete as far as names tell.
//!
//! Source: Delta protocol, "Checkpoints".

use std::collections::{BTreeMap, BTreeSet};

use table_sync_core::{LogObject, RelPath};

use crate::name::{CheckpointName, LogName};

/// The objects of a log, by what they are.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) commits: BTreeSet<u64>,
    /// Complete checkpoints, ascending by version; of one version, what readers prefer first.
    pub(crate) checkpoints: Vec<CheckpointSet>,
    /// `N.crc`.
    pub(crate) crcs: BTreeSet<u64>,
    /// `x.y.compacted.json`.
    pub(crate) compacted: BTreeSet<(u64, u64)>,
}

/// One complete checkpoint. Several of one version hold the same state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckpointSet {
    pub(crate) version: u64,
    pub(crate) kind: SetKind,
    /// Its objects in order, sidecars excepted. Never empty.
    pub(crate) objects: Vec<(RelPath, LogObject)>,
}

/// Naming schemes, most preferred first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SetKind {
    UuidJson,
    UuidParquet,
    Parts(u32),
    Classic,
}

/// Parts of one multi-part checkpoint, by number.
type Parts = BTreeMap<u32, (RelPath, LogObject)>;

impl CheckpointSet {
    /// The object that completes it.
    pub(crate) fn last_key(&self) -> Option<&RelPath> {
        self.objects.last().map(|(key, _)| key)
    }
}

impl Listing {
    pub(crate) fn of(objects: &BTreeMap<RelPath, LogObject>) -> Self {
        let mut listing = Self::default();
        let mut parts: BTreeMap<(u64, u32), Parts> = BTreeMap::new();
        for (key, object) in objects {
            match LogName::of(key) {
                LogName::Commit(version) => {
                    listing.commits.insert(version);
                }
                LogName::Crc(version) => {
                    listing.crcs.insert(version);
                }
                LogName::Compacted { first, last } => {
                    listing.compacted.insert((first, last));
                }
                LogName::Checkpoint { version, kind } => {
                    let kind = match kind {
                        CheckpointName::Classic => SetKind::Classic,
                        CheckpointName::Uuid { json: true, .. } => SetKind::UuidJson,
                        CheckpointName::Uuid { json: false, .. } => SetKind::UuidParquet,
                        CheckpointName::Part { part, of } => {
                            let set = parts.entry((version, of)).or_default();
                            set.insert(part, (key.clone(), object.clone()));
                            continue;
                        }
                    };
                    let objects = vec![(key.clone(), object.clone())];
                    listing.checkpoints.push(CheckpointSet { version, kind, objects });
                }
                LogName::LastCheckpoint | LogName::Other => {}
            }
        }
        for ((version, of), set) in parts {
            // Part numbers are distinct and within 1..=of, so a full count is a full set.
            if set.len() as u64 != u64::from(of) {
                continue;
            }
            let objects = set.into_values().collect();
            listing.checkpoints.push(CheckpointSet { version, kind: SetKind::Parts(of), objects });
        }
        listing.checkpoints.sort_by_key(|set| (set.version, set.kind));
        listing
    }

    /// Whether it shows no commit and no complete checkpoint.
    pub(crate) fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.checkpoints.is_empty()
    }

    /// The version that a reader of checkpoint `version` opens: its own, or the next one where its
    /// own commit is gone. `None` when neither commit is there: Spark needs one.
    pub(crate) fn base_position(&self, version: u64) -> Option<u64> {
        if self.commits.contains(&version) {
            return Some(version);
        }
        version.checked_add(1).filter(|next| self.commits.contains(next))
    }

    /// The checkpoints with which a jump to `position` is made.
    pub(crate) fn bases_of(&self, position: u64) -> Vec<&CheckpointSet> {
        let of = |version: u64| -> Vec<&CheckpointSet> {
            let usable = self.base_position(version) == Some(position);
            self.checkpoints.iter().filter(|set| usable && set.version == version).collect()
        };
        let own = of(position);
        match position.checked_sub(1) {
            Some(below) if own.is_empty() => of(below),
            _ => own,
        }
    }

    /// The newest version up to `position` that has a complete checkpoint.
    pub(crate) fn checkpoint_at_or_below(&self, position: u64) -> Option<u64> {
        let versions = self.checkpoints.iter().map(|set| set.version);
        versions.filter(|version| *version <= position).max()
    }

    /// The checkpoints of a version.
    pub(crate) fn checkpoints_of(&self, version: u64) -> impl Iterator<Item = &CheckpointSet> {
        self.checkpoints.iter().filter(move |set| set.version == version)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use table_sync_core::ObjectIdentity;

    use super::*;

    fn listing(names: &[&str]) -> Listing {
        let object = || LogObject {
            identity: ObjectIdentity { e_tag: None, version: None, size_bytes: 1 },
            modified_ms: 0,
        };
        let key = |name: &&str| RelPath::parse(&format!("_delta_log/{name}")).unwrap();
        Listing::of(&names.iter().map(|name| (key(name), object())).collect())
    }

    #[track_caller]
    fn check(names: &[&str], expect: &[(u64, SetKind, usize)]) {
        let listing = listing(names);
        let sets = listing.checkpoints.iter();
        let found: Vec<_> = sets.map(|set| (set.version, set.kind, set.objects.len())).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn multi_part_checkpoint_needs_all_parts() {
        let one = "00000000000000000001.checkpoint.0000000001.0000000002.parquet";
        let two = "00000000000000000001.checkpoint.0000000002.0000000002.parquet";
        let other = "00000000000000000001.checkpoint.0000000002.0000000003.parquet";
        check(&[one], &[]);
        check(&[one, other], &[]);
        check(&[one, two, other], &[(1, SetKind::Parts(2), 2)]);
    }

    #[test]
    fn siblings_come_in_readers_order() {
        check(
            &[
                "00000000000000000001.checkpoint.parquet",
                "00000000000000000001.checkpoint.0000000001.0000000001.parquet",
                "00000000000000000001.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",
            ],
            &[(1, SetKind::UuidJson, 1), (1, SetKind::Parts(1), 1), (1, SetKind::Classic, 1)],
        );
    }

    #[test]
    fn base_without_its_commit_opens_at_the_next() {
        let checkpoint = "00000000000000000004.checkpoint.parquet";
        let commit = |version: u64| format!("{version:020}.json");
        assert_eq!(listing(&[checkpoint]).base_position(4), None);
        assert_eq!(listing(&[checkpoint, &commit(5)]).base_position(4), Some(5));
        assert_eq!(listing(&[checkpoint, &commit(4), &commit(5)]).base_position(4), Some(4));
        assert_eq!(listing(&[checkpoint, &commit(6)]).base_position(4), None);
        assert_eq!(listing(&[checkpoint, &commit(5)]).bases_of(5).len(), 1);
        assert_eq!(listing(&[checkpoint, &commit(4), &commit(5)]).bases_of(5).len(), 0);
    }
}
