//! Live files: the replay of a log, newest first.
//!
//! # Invariants
//! - Memory is a hash for each file that commits above the base touch; the base streams.
//! - Inside one commit the first mention of a file counts, as in delta-kernel; a commit that adds
//!   and removes the same file is not valid by the protocol.
//!
//! Source: Delta protocol, "Action Reconciliation".

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use futures::{future, stream};
use table_sync_core::{FileKey, FileRef, Role, SetDigest, SourceError};

use crate::action::{Action, Metadata, Remove};
use crate::checkpoint::{Checkpoint, to_refs};
use crate::commit::LogBytes;
use crate::describe::{checked_commit, read_commit};
use crate::files::{self, LiveFile, Origin, Visit, stream_actions};
use crate::listing::{CheckpointSet, Listing};
use crate::log::{LogReader, key_error};
use crate::name::commit_key;
use crate::reference::Reference;

/// A stream of the files of a snapshot.
pub(crate) type LiveStream = BoxStream<'static, Result<Vec<LiveFile>, SourceError>>;

/// What a commit says about one file.
pub(crate) enum Mention {
    Added(LiveFile),
    Removed { key: FileKey, unique_id: Option<Box<str>> },
}

impl Mention {
    /// What tells a live file from others: its object and the id of its deletion vector.
    pub(crate) fn key(&self) -> (&FileKey, Option<&str>) {
        match self {
            Self::Added(file) => (&file.key, file.qualifier()),
            Self::Removed { key, unique_id } => (key, unique_id.as_deref()),
        }
    }
}

/// From what a snapshot is rebuilt.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    /// Checkpoints of one version, any of which will do.
    pub(crate) base: Vec<CheckpointSet>,
    /// Commits above the base, ascending.
    pub(crate) commits: std::ops::RangeInclusive<u64>,
}

impl Replay {
    /// Every replay to `version`, the shortest first; with `below`, from checkpoints below it.
    pub(crate) fn candidates(listing: &Listing, version: u64, below: bool) -> Vec<Self> {
        let mut candidates = Vec::new();
        let mut limit = if below { version.checked_sub(1) } else { Some(version) };
        while let Some(at) = limit.and_then(|limit| listing.checkpoint_at_or_below(limit)) {
            let base = listing.checkpoints_of(at).cloned().collect();
            candidates.push(Self { base, commits: at.saturating_add(1)..=version });
            limit = at.checked_sub(1);
        }
        candidates.push(Self { base: Vec::new(), commits: 0..=version });
        let whole = |replay: &Self| {
            let mut versions = replay.commits.clone();
            versions.all(|version| listing.commits.contains(&version))
        };
        // Below the first hole no replay is whole, so the look ends there.
        let whole = candidates.iter().take_while(|replay| whole(replay)).count();
        candidates.truncate(whole);
        candidates
    }

    /// The shortest replay to `version`; `None` where the log does not hold one.
    pub(crate) fn to(listing: &Listing, version: u64) -> Option<Self> {
        Self::candidates(listing, version, false).into_iter().next()
    }

    /// Streams the live files, each once.
    pub(crate) fn files(self, reader: &LogReader) -> LiveStream {
        let (commit_reader, base_reader) = (reader.clone(), reader.clone());
        let commits = stream::iter(self.commits.rev())
            .map(move |version| mentions(commit_reader.clone(), version))
            .buffered(4)
            .try_flatten();
        let base = self.base;
        let base = stream::once(async move {
            match open_first(&base_reader, &base).await? {
                Some(checkpoint) => Ok::<_, SourceError>(checkpoint.files(&base_reader)),
                None => Ok(stream::empty().boxed()),
            }
        });
        let base = base.try_flatten().map_ok(|chunk: Vec<LiveFile>| -> Vec<Mention> {
            chunk.into_iter().map(Mention::Added).collect()
        });
        let mut seen = HashSet::new();
        let reference = reader.reference().clone();
        // An entry of the base is unique by protocol, so only commits add to the set.
        let commits = commits.map_ok(|chunk| (chunk, true));
        let base = base.map_ok(|chunk| (chunk, false));
        commits
            .chain(base)
            .map_ok(move |(chunk, remember)| first_mentions(chunk, remember, &mut seen, &reference))
            .try_filter(|chunk| future::ready(!chunk.is_empty()))
            .boxed()
    }
}

/// Keeps the added files of which nothing newer was said.
fn first_mentions(
    chunk: Vec<Mention>,
    remember: bool,
    seen: &mut HashSet<u128>,
    reference: &Reference,
) -> Vec<LiveFile> {
    let mut live = Vec::new();
    for mention in chunk {
        if seen.is_empty() && !remember {
            if let Mention::Added(file) = mention {
                live.push(file);
            }
            continue;
        }
        let (key, id) = mention.key();
        let key = SetDigest::entry(&reference.name(key), id);
        let first = if remember { seen.insert(key) } else { !seen.contains(&key) };
        if let (true, Mention::Added(file)) = (first, mention) {
            live.push(file);
        }
    }
    live
}

/// The first of several checkpoints of one version that parses.
pub(crate) async fn open_first(
    reader: &LogReader,
    sets: &[CheckpointSet],
) -> Result<Option<Checkpoint>, SourceError> {
    let mut missing = None;
    for set in sets {
        match Checkpoint::open(reader, set).await {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(error @ SourceError::Missing { .. }) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    missing.map_or(Ok(None), Err)
}

/// The first replay whose base parses; the last one is taken as it is.
pub(crate) async fn first_readable(
    reader: &LogReader,
    replays: Vec<Replay>,
) -> Result<Replay, SourceError> {
    let mut missing = None;
    for replay in replays {
        match open_first(reader, &replay.base).await {
            Ok(_) => return Ok(replay),
            Err(error @ SourceError::Missing { .. }) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    let path = crate::name::last_checkpoint_key().map_err(key_error)?;
    Err(missing.unwrap_or(SourceError::Missing { path }))
}

/// Streams what a commit says about files.
pub(crate) async fn mentions(
    reader: LogReader,
    version: u64,
) -> Result<BoxStream<'static, Result<Vec<Mention>, SourceError>>, SourceError> {
    let key = commit_key(version).map_err(key_error)?;
    let read = read_commit(&reader, version).await?;
    let read = read.ok_or(SourceError::Missing { path: key })?;
    let origin = Origin::Commit { version, modified_ms: read.object.modified_ms };
    Ok(mentions_of(&reader, read.bytes, origin))
}

/// Streams what the bytes of a log object say about files.
pub(crate) fn mentions_of(
    reader: &LogReader,
    bytes: LogBytes,
    origin: Origin,
) -> BoxStream<'static, Result<Vec<Mention>, SourceError>> {
    let (reference, at) = (reader.reference().clone(), origin.clone());
    let visit: Visit<Mention> = Arc::new(move |action, out| {
        match action {
            Action::Add(add) => out.push(Mention::Added(LiveFile::of(&add, &reference, &at)?)),
            Action::Remove(Remove { path, deletion_vector }) => {
                // What does not resolve was never live here: its `add` would have been refused.
                let vector = files::vector(deletion_vector.as_ref(), &reference);
                if let (Ok(key), Ok(vector)) = (reference.resolve(&path), vector) {
                    let unique_id = vector.map(|vector| vector.unique_id);
                    out.push(Mention::Removed { key, unique_id });
                }
            }
            _ => {}
        }
        Ok(())
    });
    stream_actions(bytes, origin, visit)
}

/// Digest of a stream of files.
pub(crate) async fn digest(
    reader: &LogReader,
    mut files: LiveStream,
) -> Result<SetDigest, SourceError> {
    let mut digest = SetDigest::default();
    while let Some(chunk) = files.try_next().await? {
        for file in chunk {
            digest.insert(&reader.reference().name(&file.key), file.qualifier());
        }
    }
    Ok(digest)
}

/// Files of a snapshot as a target needs them.
pub(crate) fn refs(files: LiveStream) -> table_sync_core::FileStream {
    to_refs(files)
}

/// Whether `file`, which version `since` needed, is part of the snapshot at `head`.
pub(crate) async fn live_at(
    reader: &LogReader,
    listing: &Listing,
    file: &FileRef,
    since: u64,
    head: u64,
) -> Result<bool, SourceError> {
    match file.role {
        Role::Data => {}
        // Snapshots never need change data.
        Role::ChangeData => return Ok(false),
        // Several live files may share it, so only the whole snapshot tells.
        _ => return in_snapshot(reader, listing, file, head).await,
    }
    for version in (since.saturating_add(1)..=head).rev() {
        if !listing.commits.contains(&version) {
            return in_snapshot(reader, listing, file, head).await;
        }
        if let Some(live) = newest_mention(reader, version, &file.key()).await? {
            return Ok(live);
        }
    }
    Ok(true)
}

/// What a commit leaves of an object: `None` when it does not mention it.
async fn newest_mention(
    reader: &LogReader,
    version: u64,
    key: &FileKey,
) -> Result<Option<bool>, SourceError> {
    let mut mentions = mentions(reader.clone(), version).await?;
    let mut found = None;
    while let Some(chunk) = mentions.try_next().await? {
        for mention in chunk {
            match mention {
                Mention::Added(file) if file.key == *key => return Ok(Some(true)),
                Mention::Removed { key: removed, .. } if removed == *key => found = Some(false),
                _ => {}
            }
        }
    }
    Ok(found)
}

async fn in_snapshot(
    reader: &LogReader,
    listing: &Listing,
    file: &FileRef,
    head: u64,
) -> Result<bool, SourceError> {
    let Some(replay) = Replay::to(listing, head) else {
        let path = commit_key(head).map_err(key_error)?;
        return Err(SourceError::Missing { path });
    };
    let key = file.key();
    let mut files = replay.files(reader);
    while let Some(chunk) = files.try_next().await? {
        let named = |live: &LiveFile| {
            let vector = live.vector.as_ref().and_then(|vector| vector.file.as_ref());
            live.key == key || vector == Some(&key)
        };
        if chunk.iter().any(named) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The table's id at a version.
pub(crate) async fn table_id(
    reader: &LogReader,
    listing: &Listing,
    version: u64,
) -> Result<Option<String>, SourceError> {
    Ok(metadata(reader, listing, version).await?.map(|metadata| metadata.id))
}

/// The newest metadata at or below a version; `None` where the log does not reach down to it.
pub(crate) async fn metadata(
    reader: &LogReader,
    listing: &Listing,
    version: u64,
) -> Result<Option<Metadata>, SourceError> {
    let mut at = Some(version);
    while let Some(version) = at {
        if let Some(metadata) = metadata_at_checkpoint(reader, listing, version).await? {
            return Ok(Some(metadata));
        }
        if !listing.commits.contains(&version) {
            return Ok(None);
        }
        let commit = checked_commit(reader, version).await?;
        if let Some(metadata) = commit.summary.metadata {
            return Ok(Some(metadata));
        }
        at = version.checked_sub(1);
    }
    Ok(None)
}

async fn metadata_at_checkpoint(
    reader: &LogReader,
    listing: &Listing,
    version: u64,
) -> Result<Option<Metadata>, SourceError> {
    for set in listing.checkpoints_of(version) {
        match Checkpoint::open(reader, set).await {
            Ok(checkpoint) => return Ok(checkpoint.head.metadata),
            Err(SourceError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
