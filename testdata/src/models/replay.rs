//! Replay of actions into a snapshot, and the truth about a source table.
//!
//! # Invariants
//! - A file is identified by path and deletion vector; the newest action about it wins.
//! - Within one commit removals come first, so that an action order inside a file never matters.

use std::collections::BTreeMap;

use super::action::{Action, FileId};
use super::log::{CheckpointFiles, LOG_DIR, Log, commit_key};
use super::{LiveFile, OpenError, Opened, Protocol, checkpoint, parsed};
use crate::Objects;

/// State while actions are applied, oldest first.
#[derive(Debug, Default)]
pub(super) struct Replay {
    live: BTreeMap<FileId, i64>,
    protocol: Option<Protocol>,
    /// Id, and whether the schema can be used.
    metadata: Option<(String, bool)>,
}

impl Replay {
    pub(super) fn checkpoint(
        &mut self,
        objects: &Objects,
        files: &CheckpointFiles,
    ) -> Result<(), OpenError> {
        self.apply(&checkpoint::read(objects, files)?);
        Ok(())
    }

    pub(super) fn commit(&mut self, objects: &Objects, version: u64) -> Result<(), OpenError> {
        self.json(objects, &commit_key(version))
    }

    pub(super) fn compacted(
        &mut self,
        objects: &Objects,
        first: u64,
        last: u64,
    ) -> Result<(), OpenError> {
        self.json(objects, &format!("{LOG_DIR}{first:020}.{last:020}.compacted.json"))
    }

    fn json(&mut self, objects: &Objects, key: &str) -> Result<(), OpenError> {
        self.apply(&parsed::actions(objects, key)?);
        Ok(())
    }

    fn apply(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::Remove { id } = action {
                self.live.remove(id);
            }
        }
        for action in actions {
            match action {
                Action::Add { id, size } => {
                    self.live.insert(id.clone(), *size);
                }
                Action::Protocol(protocol) => self.protocol = Some(protocol.clone()),
                Action::Metadata { id, usable } => self.metadata = Some((id.clone(), *usable)),
                Action::Remove { .. } | Action::Sidecar(_) | Action::Cdc(_) => {}
            }
        }
    }

    pub(super) fn finish(self, version: u64) -> Result<Opened, OpenError> {
        let files = self.live.into_iter();
        let (metadata_id, usable) = self.metadata.ok_or(OpenError::MetadataNotFound)?;
        if !usable {
            return Err(OpenError::SchemaUnusable);
        }
        Ok(Opened {
            version,
            files: files.map(|((path, dv), size)| LiveFile { path, dv, size }).collect(),
            metadata_id,
            protocol: self.protocol.ok_or(OpenError::ProtocolNotFound)?,
        })
    }
}

/// Full replay of a source table at a version: the truth that replicas are compared with.
///
/// Starts at commit 0 when every commit is there, else at the newest complete checkpoint from
/// which the commits reach the version. The hint is never used.
///
/// # Errors
/// [`OpenError::NoSuchVersion`] if no such start exists; any error of the objects that are read.
pub fn snapshot_of_source(objects: &Objects, version: u64) -> Result<Opened, OpenError> {
    let log = Log::of(objects);
    let whole = |first: u64| (first..=version).all(|v| log.commits.contains(&v));
    let mut replay = Replay::default();
    let mut next = 0;
    if !whole(0) {
        let mut bases = log.checkpoints.range(..=version).rev();
        let base = bases.find(|(v, _)| **v == version || whole(**v + 1));
        let (base, files) = base.ok_or(OpenError::NoSuchVersion { version })?;
        replay.checkpoint(objects, files)?;
        next = *base + 1;
    }
    for v in next..=version {
        replay.commit(objects, v)?;
    }
    replay.finish(version)
}
