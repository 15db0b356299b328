//! States of a table: the files that readers of a position merge, and what commits wrote.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream;
use table_sync_core::{FileRef, FileStream, Position, RelPath, Role, SetDigest, SourceError};

use crate::archived;
use crate::error::DecodeError;
use crate::instant::{Action, Layout};
use crate::log::{HudiLog, META_FOLDER, Slices};
use crate::metadata::CommitMetadata;
use crate::properties::TableType;
use crate::slices::{Committed, Groups};
use crate::timeline::{Instant, Timeline};

/// Files in one chunk of a stream.
const CHUNK_FILES: usize = 1_024;

/// Files as the engine streams them.
pub(crate) fn stream(files: Vec<FileRef>) -> FileStream {
    let chunks: Vec<_> = files.chunks(CHUNK_FILES).map(|chunk| Ok(chunk.to_vec())).collect();
    Box::pin(stream::iter(chunks))
}

/// What a completed write says that it did.
pub(crate) async fn commit(
    log: &HudiLog,
    instant: &Instant,
) -> Result<Arc<CommitMetadata>, SourceError> {
    let known = log.cache(|cache| cache.commit(&instant.key, &instant.object.identity));
    if let Some(known) = known {
        return Ok(known);
    }
    let read = log.read_seen(&instant.key, &instant.object).await?;
    decode(log, instant, &read.bytes)
}

/// Decodes the bytes of a completed write, and remembers them.
pub(crate) fn decode(
    log: &HudiLog,
    instant: &Instant,
    bytes: &[u8],
) -> Result<Arc<CommitMetadata>, SourceError> {
    let decoded = CommitMetadata::decode(instant.key.as_str(), bytes);
    let commit = Arc::new(decoded.map_err(|error| decode_error(instant, &error))?);
    log.cache(|cache| cache.put_commit(&instant.key, &instant.object.identity, &commit));
    Ok(commit)
}

/// What an object of the timeline that does not decode means.
pub(crate) fn decode_error(instant: &Instant, error: &DecodeError) -> SourceError {
    use table_sync_core::{BlockCode, Blocked};
    let position = instant.position();
    match error {
        DecodeError::ForeignPath { .. } | DecodeError::ReservedPath { .. } => {
            Blocked::at(BlockCode::ForeignPath, position, error.to_string()).into()
        }
        DecodeError::LimitExceeded { .. } => {
            Blocked::at(BlockCode::LimitExceeded, position, error.to_string()).into()
        }
        _ => SourceError::Damaged {
            position,
            message: error.to_string(),
            modified_ms: instant.object.modified_ms,
        },
    }
}

/// The files that readers of a position merge, by listing the table.
pub(crate) async fn files(
    log: &HudiLog,
    timeline: &Timeline,
    position: Position,
    slices: Slices,
) -> Result<Vec<FileRef>, SourceError> {
    let groups = groups(log).await?;
    let committed = committed(log, timeline, position).await?;
    Ok(groups.files(&committed, slices))
}

/// Lists the table's files, its own folder left out.
async fn groups(log: &HudiLog) -> Result<Groups, SourceError> {
    let mut groups = Groups::default();
    let top = log.level("").await?;
    for (path, object) in top.objects {
        groups.add(path, object.identity.size_bytes);
    }
    for folder in top.folders.iter().filter(|folder| *folder != META_FOLDER) {
        log.each(folder, |path, object| groups.add(path, object.identity.size_bytes)).await?;
    }
    Ok(groups)
}

async fn committed(
    log: &HudiLog,
    timeline: &Timeline,
    position: Position,
) -> Result<Committed, SourceError> {
    let mut committed = Committed {
        completed: timeline.completed(position),
        start: timeline.start,
        ..Committed::default()
    };
    let writes = timeline.commits();
    for instant in writes.iter().filter(|instant| instant.position() <= position) {
        if let Position::Instant { completed, requested } = instant.position() {
            committed.completions.insert(requested, completed);
        }
        if instant.name.action == Action::ReplaceCommit {
            let replaced = &commit(log, instant).await?.replaced;
            committed.replaced.extend(replaced.iter().cloned());
        }
    }
    let merges = timeline.table_type == TableType::MergeOnRead;
    if merges && timeline.layout == Layout::V2 {
        let known = archived::completions(log, timeline).await?;
        committed.completions.extend(known);
    }
    if merges && timeline.layout == Layout::V1 {
        committed.named_logs = Some(named_logs(log, timeline, position).await?);
    }
    Ok(committed)
}

/// Logs that completed writes of the active timeline name, layout 1.
async fn named_logs(
    log: &HudiLog,
    timeline: &Timeline,
    position: Position,
) -> Result<BTreeSet<RelPath>, SourceError> {
    let mut named = BTreeSet::new();
    for instant in timeline.commits() {
        if instant.position() <= position && instant.name.action.writes_data() {
            let commit = commit(log, instant).await?;
            named.extend(commit.writes.iter().map(|write| write.path.clone()));
        }
    }
    Ok(named)
}

/// Digest of the live files at a position. [`SourceError::Missing`] where the cleaner was there
/// since: the state can no longer be listed.
pub(crate) async fn digest(
    log: &HudiLog,
    timeline: &Timeline,
    position: Position,
) -> Result<SetDigest, SourceError> {
    let cleaned = timeline
        .instants
        .iter()
        .find(|instant| instant.name.action == Action::Clean && instant.position() > position);
    if let Some(clean) = cleaned
        && timeline.commits().last().is_some_and(|head| head.position() > position)
    {
        return Err(SourceError::Missing { path: clean.key.clone() });
    }
    let mut digest = SetDigest::default();
    for file in files(log, timeline, position, Slices::Latest).await? {
        if file.role != Role::PartitionMetadata {
            digest.insert(file.path.as_str(), None);
        }
    }
    Ok(digest)
}

/// Whether a file that a commit wrote is still part of the newest state: no later commit wrote
/// its group's base anew, or replaced the group.
pub(crate) async fn is_live(
    log: &HudiLog,
    timeline: &Timeline,
    file: &FileRef,
    since: Position,
) -> Result<bool, SourceError> {
    use crate::file_name::FileName;
    let partition = crate::slices::partition_of(&file.path).to_owned();
    let name = FileName::parse(file.path.file_name());
    let Some(file_id) = name.file_id() else { return Ok(true) };
    let key = (partition, file_id.to_owned());
    for later in timeline.commits().into_iter().filter(|at| at.position() > since) {
        if !later.name.action.writes_data() {
            return Ok(false);
        }
        let commit = commit(log, later).await?;
        let rewritten = commit.writes.iter().any(|write| {
            let base = matches!(FileName::parse(write.path.file_name()), FileName::Base { .. });
            base && write.partition == key.0 && write.file_id == key.1
        });
        if rewritten || commit.replaced.contains(&key) {
            return Ok(false);
        }
    }
    // A commit that was taken back needs its files no more.
    let requested = since.requested();
    Ok(requested.is_some_and(|requested| timeline.commit(requested).is_some()))
}
