//! States of a table: the files that readers of a position merge, and what commits wrote.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{TryStreamExt as _, stream};
use table_sync_core::{
    FileRef, FileStream, LogObject, Position, RelPath, Role, SetDigest, SourceError,
};

use crate::archived;
use crate::error::DecodeError;
use crate::instant::{Action, Layout};
use crate::log::{HudiLog, META_FOLDER, Side, Slices};
use crate::metadata::CommitMetadata;
use crate::properties::TableType;
use crate::slices::{Committed, Groups, Logs};
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

/// The files that readers of a position merge, by listing the table: folder by folder, so that
/// only one is held.
///
/// Ends with [`SourceError::Changed`] when the cleaner, a rollback or a restore was there since the
/// timeline was looked at: what it removed may have been listed no more.
pub(crate) async fn files(
    log: &HudiLog,
    timeline: &Timeline,
    position: Position,
    slices: Slices,
) -> Result<Files, SourceError> {
    let committed = Arc::new(committed(log, timeline, position).await?);
    let removals = Arc::new(removals(timeline));
    Ok(Files { log: log.clone(), committed, removals, slices })
}

/// A state's files, to be listed as often as they are asked for.
#[derive(Clone)]
pub(crate) struct Files {
    log: HudiLog,
    committed: Arc<Committed>,
    removals: Arc<BTreeSet<RelPath>>,
    slices: Slices,
}

/// How far a listing came.
enum Listing {
    Start,
    Folders(std::vec::IntoIter<String>),
    Done,
}

impl Files {
    /// Lists them.
    pub(crate) fn stream(&self) -> FileStream {
        let files = self.clone();
        let chunks = stream::try_unfold(Listing::Start, move |listing| {
            let files = files.clone();
            async move { files.next(listing).await }
        });
        Box::pin(chunks)
    }

    async fn next(&self, listing: Listing) -> Result<Option<(Vec<FileRef>, Listing)>, SourceError> {
        let mut groups = Groups::default();
        let listing = match listing {
            Listing::Start => {
                let top = self.log.level("").await?;
                for (path, object) in top.objects {
                    groups.add(path, &object);
                }
                let mut folders = top.folders;
                folders.retain(|folder| folder != META_FOLDER);
                Listing::Folders(folders.into_iter())
            }
            Listing::Folders(mut folders) => match folders.next() {
                Some(folder) => {
                    let add = |path, object: LogObject| groups.add(path, &object);
                    self.log.each(&folder, add).await?;
                    Listing::Folders(folders)
                }
                None => {
                    self.check_removals().await?;
                    Listing::Done
                }
            },
            Listing::Done => return Ok(None),
        };
        Ok(Some((groups.into_files(&self.committed, self.slices), listing)))
    }

    async fn check_removals(&self) -> Result<(), SourceError> {
        let Some(timeline) = Timeline::load(&self.log).await? else { return Ok(()) };
        match removals(&timeline).into_iter().find(|key| !self.removals.contains(key)) {
            Some(path) => Err(SourceError::Changed { path }),
            None => Ok(()),
        }
    }
}

/// Instants that remove files, in any state.
fn removals(timeline: &Timeline) -> BTreeSet<RelPath> {
    let removes =
        |action: &Action| matches!(action, Action::Clean | Action::Rollback | Action::Restore);
    let removals = timeline.instants().filter(|at| removes(&at.name.action));
    removals.map(|at| at.key.clone()).collect()
}

/// What completed instants say about files, up to a position.
pub(crate) async fn committed(
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
            for (partition, file_id) in replaced.iter().cloned() {
                committed.replaced.entry(partition).or_default().insert(file_id);
            }
        }
    }
    let merges = timeline.table_type == TableType::MergeOnRead;
    if merges && timeline.layout == Layout::V2 {
        let known = archived::completions(log, timeline).await?;
        committed.completions.extend(known);
    }
    if merges && timeline.layout == Layout::V1 {
        committed.logs = match log.options().side {
            Side::Source => {
                let named = named_logs(log, timeline, position).await?;
                Logs::Named(named, timeline.oldest_ms())
            }
            // Only named ones were ever copied, and the timeline may start later than they do.
            Side::Replica => Logs::All,
        };
    }
    Ok(committed)
}

/// Logs that completed writes name, layout 1.
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
    named.extend(archived::logs(log, timeline).await?);
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
        .instants()
        .find(|instant| instant.name.action == Action::Clean && instant.position() > position);
    if let Some(clean) = cleaned
        && timeline.commits().last().is_some_and(|head| head.position() > position)
    {
        return Err(SourceError::Missing { path: clean.key.clone() });
    }
    let mut digest = SetDigest::default();
    let mut files = files(log, timeline, position, Slices::Latest).await?.stream();
    while let Some(chunk) = files.try_next().await? {
        for file in chunk.iter().filter(|file| file.role != Role::PartitionMetadata) {
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
