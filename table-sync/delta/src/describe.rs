//! Description of one commit: its bytes as they are, after everything they name.
//!
//! Source: Delta protocol, "Delta Log Entries", "Creation of New Log Entries".

use std::sync::Arc;

use table_sync_core::limits::COMMIT_BYTES_MAX;
use table_sync_core::{
    BlockCode, Blocked, Body, Description, Kind, Op, Position, Publication, RelPath, SeenCommit,
    SourceError, Step,
};

use crate::commit::LogBytes;
use crate::files::{Origin, Summary, check_bytes, commit_needs};
use crate::log::{LogReader, ObjectRead, key_error};
use crate::name::commit_key;

/// A commit that was read and checked.
pub(crate) struct CheckedCommit {
    pub(crate) key: RelPath,
    pub(crate) origin: Origin,
    pub(crate) bytes: LogBytes,
    pub(crate) summary: Summary,
    pub(crate) seen: SeenCommit,
}

/// Reads a commit's bytes; `None` where there is none.
pub(crate) async fn read_commit(
    reader: &LogReader,
    version: u64,
) -> Result<Option<ObjectRead>, SourceError> {
    let key = commit_key(version).map_err(key_error)?;
    let read = reader.read(&key, None, COMMIT_BYTES_MAX).await;
    read.map_err(|error| match error {
        SourceError::Blocked(blocked) => {
            SourceError::Blocked(Blocked { position: Some(Position::Version(version)), ..blocked })
        }
        other => other,
    })
}

/// Reads a commit and checks all that it names.
pub(crate) async fn checked_commit(
    reader: &LogReader,
    version: u64,
) -> Result<CheckedCommit, SourceError> {
    let key = commit_key(version).map_err(key_error)?;
    let Some(read) = read_commit(reader, version).await? else {
        return Err(SourceError::Missing { path: key });
    };
    let position = Position::Version(version);
    let modified_ms = read.object.modified_ms;
    if read.bytes.size_bytes() == 0 {
        let message = "the object is empty".to_owned();
        return Err(SourceError::Damaged { position, message, modified_ms });
    }
    let origin = Origin::Commit { version, modified_ms };
    let summary = check_bytes(&read.bytes, &origin, reader.reference()).await?;
    let seen = SeenCommit { position, sha256: read.sha256, identity: read.object.identity };
    Ok(CheckedCommit { key, origin, bytes: read.bytes, summary, seen })
}

/// The step that makes a commit visible.
pub(crate) fn commit_step(commit: &CheckedCommit) -> Step {
    let body = match &commit.bytes {
        LogBytes::Memory(bytes) => Body::Bytes(bytes.clone()),
        LogBytes::Spool(file) => Body::Spool(file.clone()),
    };
    let reveals = Some(commit.seen.position);
    Step { key: commit.key.clone(), body, op: Op::Create, reveals }
}

/// Describes the next commit.
pub(crate) async fn describe_append(
    reader: &LogReader,
    version: u64,
) -> Result<Description, SourceError> {
    let commit = checked_commit(reader, version).await?;
    let position = commit.seen.position;
    if version == 0 && (commit.summary.protocol.is_none() || commit.summary.metadata.is_none()) {
        let message = "version 0 holds no protocol or no metadata, so no reader opens the table";
        return Err(Blocked::at(BlockCode::SourceDamaged, position, message).into());
    }
    let publication = Publication::of(position, Kind::Append, vec![commit_step(&commit)]);
    let CheckedCommit { origin, bytes, seen, .. } = commit;
    let reference = reader.reference().clone();
    let needs = move || commit_needs(bytes.clone(), origin.clone(), reference.clone());
    Ok(Description { publication, needs: Arc::new(needs), seen: Some(seen) })
}
