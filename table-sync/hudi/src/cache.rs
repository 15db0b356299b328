//! What was read of a timeline before, and does not change: each object is read once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use table_sync_core::{InstantTime, ObjectIdentity, RelPath};

use crate::headroom::Kept;
use crate::look::Look;
use crate::metadata::CommitMetadata;

/// Most decoded commits that are kept. A commit of a million files takes some hundred MB, which
/// is why their files are counted as well.
const COMMITS_MAX: usize = 4_096;

/// Most files that the kept commits name together.
const FILES_MAX: usize = 1 << 20;

/// See the module.
#[derive(Default)]
pub(crate) struct Cache {
    /// Replace commits of a replica whose files are gone.
    hide_nothing: HashSet<InstantTime>,
    /// The last look at the timeline.
    look: Option<Look>,
    commits: HashMap<RelPath, (ObjectIdentity, Arc<CommitMetadata>)>,
    files: usize,
    /// Ids that a rollback or restore took back, by its key.
    retracted: HashMap<RelPath, (ObjectIdentity, Arc<[InstantTime]>)>,
    /// Archived instants with their completion, by the file of the history that names them.
    archived: HashMap<RelPath, (ObjectIdentity, Arc<[Archived]>)>,
    /// The newest manifest of the history.
    manifest: Option<(RelPath, ObjectIdentity, Arc<BTreeSet<String>>)>,
    /// What the last clean kept.
    kept: Option<(RelPath, ObjectIdentity, Kept)>,
}

/// An archived write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Archived {
    pub(crate) requested: InstantTime,
    pub(crate) completion: Option<InstantTime>,
    /// Whether it is a state of the table that is published by itself.
    pub(crate) is_commit: bool,
}

impl Cache {
    pub(crate) fn hides_nothing(&self, replacing: InstantTime) -> bool {
        self.hide_nothing.contains(&replacing)
    }

    pub(crate) fn put_hides_nothing(&mut self, replacing: InstantTime) {
        self.hide_nothing.insert(replacing);
    }

    pub(crate) fn put_look(&mut self, look: Look) {
        self.look = Some(look);
    }

    pub(crate) fn look(&self) -> Option<Look> {
        self.look.clone()
    }

    pub(crate) fn forget_look(&mut self) {
        self.look = None;
    }

    /// Where a completed commit lies, as the last look showed it.
    pub(crate) fn key(&self, requested: InstantTime) -> Option<RelPath> {
        let look = self.look.as_ref()?;
        look.timeline.commit(requested).map(|instant| instant.key.clone())
    }

    /// Names that a manifest of the history lists.
    pub(crate) fn manifest(
        &self,
        key: &RelPath,
        identity: &ObjectIdentity,
    ) -> Option<Arc<BTreeSet<String>>> {
        let (known_key, known, names) = self.manifest.as_ref()?;
        (known_key == key && known == identity).then(|| Arc::clone(names))
    }

    pub(crate) fn put_manifest(
        &mut self,
        key: &RelPath,
        identity: &ObjectIdentity,
        names: &Arc<BTreeSet<String>>,
    ) {
        self.manifest = Some((key.clone(), identity.clone(), Arc::clone(names)));
    }

    /// What a clean kept, where it is the last that was read.
    pub(crate) fn kept(&self, key: &RelPath, identity: &ObjectIdentity) -> Option<Kept> {
        let (known_key, known, kept) = self.kept.as_ref()?;
        (known_key == key && known == identity).then_some(*kept)
    }

    pub(crate) fn put_kept(&mut self, key: &RelPath, identity: &ObjectIdentity, kept: Kept) {
        self.kept = Some((key.clone(), identity.clone(), kept));
    }

    pub(crate) fn commit(
        &self,
        key: &RelPath,
        identity: &ObjectIdentity,
    ) -> Option<Arc<CommitMetadata>> {
        known(&self.commits, key, identity)
    }

    pub(crate) fn put_commit(
        &mut self,
        key: &RelPath,
        identity: &ObjectIdentity,
        commit: &Arc<CommitMetadata>,
    ) {
        let files = commit.writes.len();
        if self.commits.len() >= COMMITS_MAX || self.files + files > FILES_MAX {
            self.commits.clear();
            self.files = 0;
        }
        self.files += files;
        self.commits.insert(key.clone(), (identity.clone(), Arc::clone(commit)));
    }

    pub(crate) fn retracted(
        &self,
        key: &RelPath,
        identity: &ObjectIdentity,
    ) -> Option<Arc<[InstantTime]>> {
        known(&self.retracted, key, identity)
    }

    pub(crate) fn put_retracted(
        &mut self,
        key: &RelPath,
        identity: &ObjectIdentity,
        ids: &Arc<[InstantTime]>,
    ) {
        self.retracted.insert(key.clone(), (identity.clone(), Arc::clone(ids)));
    }

    pub(crate) fn archived(
        &self,
        key: &RelPath,
        identity: &ObjectIdentity,
    ) -> Option<Arc<[Archived]>> {
        known(&self.archived, key, identity)
    }

    pub(crate) fn put_archived(
        &mut self,
        key: &RelPath,
        identity: &ObjectIdentity,
        instants: &Arc<[Archived]>,
    ) {
        self.archived.insert(key.clone(), (identity.clone(), Arc::clone(instants)));
    }
}

fn known<T: ?Sized>(
    entries: &HashMap<RelPath, (ObjectIdentity, Arc<T>)>,
    key: &RelPath,
    identity: &ObjectIdentity,
) -> Option<Arc<T>> {
    let (known, value) = entries.get(key)?;
    (known == identity).then(|| Arc::clone(value))
}
