//! Description of a jump: a checkpoint first, then the commit that Spark asks for, then the hint
//! that Trino follows.
//!
//! # Invariants
//! - The order is sidecars, checkpoint, commit, `_last_checkpoint`: commits first is
//!   silently wrong in kernel readers, and the hint before the commit only moves Spark's error.
//! - Every complete checkpoint of the version goes along, so that readers at both sites pick the
//!   same one.
//!
//! Source: the order is derived from the readers' behaviour, measured with Spark 3.5, Trino 476
//! and delta-rs; see `docs/delta.md`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use table_sync_core::limits::SMALL_OBJECT_BYTES_MAX;
use table_sync_core::{
    Body, Description, FileKey, FileRef, FileStream, Kind, LogObject, Op, Position, Publication,
    RelPath, SourceError, SourceView, Step,
};

use crate::checkpoint::{Checkpoint, to_refs};
use crate::commit::LogBytes;
use crate::describe::{checked_commit, commit_step};
use crate::files::commit_needs;
use crate::last_checkpoint::{LastCheckpoint, V2Checkpoint};
use crate::listing::{CheckpointSet, Listing, SetKind};
use crate::log::{LogReader, ObjectRead, io_error, key_error};
use crate::name::{commit_key, last_checkpoint_key};

/// Describes a jump to `version`.
pub(crate) async fn describe_jump(
    reader: &LogReader,
    view: &SourceView,
    version: u64,
) -> Result<Description, SourceError> {
    let listing = Listing::of(&view.objects);
    let checkpoints = open_all(reader, listing.bases_of(version), version).await?;
    let commit = checked_commit(reader, version).await?;
    let mut steps = Vec::new();
    for checkpoint in &checkpoints {
        steps.extend(checkpoint_steps(checkpoint, &Op::CreateOrReplace));
    }
    steps.push(commit_step(&commit));
    let key = last_checkpoint_key().map_err(key_error)?;
    let own = source_hint(reader, &key).await;
    if let Some(body) = hint_body(own.as_ref(), &checkpoints, reader)? {
        steps.push(Step {
            key,
            body: Body::Bytes(body),
            op: Op::CreateOrReplace,
            reveals: Some(Position::Version(version)),
        });
    }
    let publication = Publication::of(Position::Version(version), Kind::Jump, steps);
    let seen = Some(commit.seen);
    let (bytes, origin) = (commit.bytes, commit.origin);
    let reader = reader.clone();
    let checkpoints = Arc::new(checkpoints);
    let needs = move || -> FileStream {
        let commit = commit_needs(bytes.clone(), origin.clone(), reader.reference().clone());
        let live = checkpoints.iter().map(|checkpoint| to_refs(checkpoint.files(&reader)));
        let live: Vec<_> = live.collect();
        once(commit, stream::iter(live).flatten().boxed())
    };
    Ok(Description { publication, needs: Arc::new(needs), seen })
}

/// The commit's own files that are remembered, so that the checkpoint does not name them again.
const REMEMBERED_MAX: usize = 100_000;

/// The files of the commit, then those of the checkpoint that the commit did not name.
fn once(commit: FileStream, live: FileStream) -> FileStream {
    let named: Arc<Mutex<HashSet<FileKey>>> = Arc::default();
    let seen = Arc::clone(&named);
    let commit = commit.inspect_ok(move |chunk| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let room = REMEMBERED_MAX.saturating_sub(seen.len());
        seen.extend(chunk.iter().take(room).map(FileRef::key));
    });
    let live = live.map_ok(move |mut chunk| {
        let named = named.lock().unwrap_or_else(PoisonError::into_inner);
        if !named.is_empty() {
            chunk.retain(|file| !named.contains(&file.key()));
        }
        chunk
    });
    commit.chain(live).boxed()
}

/// Opens the checkpoints of a version; those that do not parse are left out while one does.
async fn open_all(
    reader: &LogReader,
    sets: Vec<&CheckpointSet>,
    version: u64,
) -> Result<Vec<Checkpoint>, SourceError> {
    let mut checkpoints = Vec::new();
    let mut missing = None;
    for set in sets {
        match Checkpoint::open(reader, set).await {
            Ok(checkpoint) => checkpoints.push(checkpoint),
            Err(error @ SourceError::Missing { .. }) => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    if checkpoints.is_empty() {
        let path = commit_key(version).map_err(key_error)?;
        return Err(missing.unwrap_or(SourceError::Missing { path }));
    }
    Ok(checkpoints)
}

/// The writes of one checkpoint: sidecars, then its own objects, the last of which reveals it.
pub(crate) fn checkpoint_steps(checkpoint: &Checkpoint, op: &Op) -> Vec<Step> {
    let copy = |(key, object): &(RelPath, LogObject)| Step {
        key: key.clone(),
        body: Body::Copy(object.identity.clone()),
        op: op.clone(),
        reveals: None,
    };
    let objects = checkpoint.sidecars.iter().chain(&checkpoint.set.objects);
    let mut steps: Vec<_> = objects.map(copy).collect();
    if let Some(last) = steps.last_mut() {
        last.reveals = Some(Position::Version(checkpoint.set.version));
    }
    steps
}

/// The hint for one version's checkpoints: the source's own body where it names one of them and
/// no reader is misled by it, else one of our own. `None` without a checkpoint.
///
/// Readers built on kernel take the checkpoint that they prefer, but count its parts by the hint,
/// so the hint must name as many parts as the preferred checkpoint has.
pub(crate) fn hint_body(
    own: Option<&Bytes>,
    checkpoints: &[Checkpoint],
    reader: &LogReader,
) -> Result<Option<Bytes>, SourceError> {
    let Some(first) = checkpoints.first() else { return Ok(None) };
    if let Some(body) = own
        && let Some(hint) = LastCheckpoint::parse(body)
    {
        let parts = first.set.objects.len();
        let mut named = checkpoints.iter().filter(|other| other.set.objects.len() == parts);
        if named.any(|checkpoint| names(&hint, checkpoint, reader)) {
            return Ok(Some(body.clone()));
        }
    }
    let composed = compose(first).compose();
    let composed = composed.map_err(|error| io_error("_delta_log/_last_checkpoint", error))?;
    Ok(Some(composed.into()))
}

/// The body of the source's hint. It is optional: whatever is wrong with it, a composed one does.
async fn source_hint(reader: &LogReader, key: &RelPath) -> Option<Bytes> {
    match reader.read(key, None, SMALL_OBJECT_BYTES_MAX).await {
        Ok(Some(ObjectRead { bytes: LogBytes::Memory(body), .. })) => Some(body),
        _ => None,
    }
}

/// Whether a hint names exactly this checkpoint.
fn names(hint: &LastCheckpoint, checkpoint: &Checkpoint, reader: &LogReader) -> bool {
    let set = &checkpoint.set;
    if hint.version != set.version {
        return false;
    }
    match (set.kind, hint.parts, &hint.v2) {
        (SetKind::Classic, None, None) => true,
        (SetKind::Parts(of), Some(parts), None) => parts == of,
        // Writers state `v2Checkpoint` for a manifest with a classic name, too.
        (SetKind::Classic | SetKind::UuidJson | SetKind::UuidParquet, None, Some(v2)) => {
            let own = set.last_key().map(RelPath::file_name);
            let known = |path: &str| {
                let key = reader.reference().sidecar(path).ok();
                key.is_some_and(|key| checkpoint.sidecars.iter().any(|(own, _)| *own == key))
            };
            let mut sidecars = v2.sidecar_files.iter().flatten();
            own == Some(v2.path.as_str()) && sidecars.all(|sidecar| known(&sidecar.path))
        }
        _ => false,
    }
}

/// A hint that names a checkpoint.
fn compose(checkpoint: &Checkpoint) -> LastCheckpoint {
    let set = &checkpoint.set;
    let size = i64::try_from(checkpoint.head.actions).unwrap_or(i64::MAX);
    let parts = match set.kind {
        SetKind::Parts(of) => Some(of),
        SetKind::Classic | SetKind::UuidJson | SetKind::UuidParquet => None,
    };
    let v2 = match (set.kind, set.objects.last()) {
        (SetKind::UuidJson | SetKind::UuidParquet, Some((key, object))) => Some(V2Checkpoint {
            path: key.file_name().to_owned(),
            size_in_bytes: object.identity.size_bytes,
            modification_time: object.modified_ms,
            sidecar_files: None,
        }),
        _ => None,
    };
    LastCheckpoint { version: set.version, size, parts, v2 }
}
