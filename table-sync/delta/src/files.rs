//! Files that a log object names: checked once, then streamed as often as asked.
//!
//! # Invariants
//! - A stream holds one chunk and one action in memory, whatever the object's size.
//! - Every reference is resolved by the table's policy before it is handed on.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use table_sync_core::{BlockCode, Blocked, FileKey, FileRef, Position, RelPath, Role, SourceError};

use crate::action::{Action, Add, Cdc, Metadata, Protocol, Remove, Vector};
use crate::commit::{ActionReader, FramingError, LogBytes, for_each};
use crate::deletion_vector::DeletionVector;
use crate::feature;
use crate::log::io_error;
use crate::reference::{Reference, ReferenceError};

/// Files in a chunk of a stream. One live file with its deletion vector counts as one.
pub(crate) const CHUNK_FILES: usize = 1024;

/// JSON objects that are looked at for one chunk, so that a chunk's time is bounded.
const CHUNK_OBJECTS: usize = 64 * 1024;

/// Unknown actions that are counted by name.
const UNKNOWN_NAMES_MAX: usize = 16;

/// A log object, for error texts and for what an error means.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A commit: damage may be a write in progress.
    Commit {
        /// Its version.
        version: u64,
        /// Last modification, ms since the epoch.
        modified_ms: i64,
    },
    /// A checkpoint, or a part of one: damage means that it is no base.
    Derived {
        /// The version whose state it holds.
        version: u64,
        /// Its key.
        key: RelPath,
    },
}

impl Origin {
    pub(crate) fn position(&self) -> Position {
        match self {
            Self::Commit { version, .. } | Self::Derived { version, .. } => {
                Position::Version(*version)
            }
        }
    }

    pub(crate) fn framing(&self, error: FramingError) -> SourceError {
        match (self, error) {
            (_, error @ FramingError::Limit { .. }) => {
                let message = format!("version {} exceeds a limit: {error}", self.position());
                Blocked::at(BlockCode::LimitExceeded, self.position(), message).into()
            }
            (_, FramingError::Io(error)) => io_error(format!("version {}", self.position()), error),
            (Self::Commit { modified_ms, .. }, error) => SourceError::Damaged {
                position: self.position(),
                message: error.to_string(),
                modified_ms: *modified_ms,
            },
            (Self::Derived { key, .. }, error) => self.unreadable(key, &error.to_string()),
        }
    }

    /// A derived object that does not parse is as good as none.
    pub(crate) fn unreadable(&self, key: &RelPath, what: &str) -> SourceError {
        tracing::warn!(%key, what, "a derived log object does not parse and is passed over");
        SourceError::Missing { path: key.clone() }
    }

    pub(crate) fn reference(&self, error: ReferenceError) -> SourceError {
        error.blocked(self.position()).into()
    }
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveFile {
    pub(crate) key: FileKey,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) vector: Option<DeletionVector>,
}

impl LiveFile {
    pub(crate) fn of(
        add: &Add<'_>,
        reference: &Reference,
        origin: &Origin,
    ) -> Result<Self, SourceError> {
        let resolved = reference.resolve(&add.path);
        let key = resolved.map_err(|error| origin.reference(error))?;
        let size_bytes = size_bytes(add.size, origin.position())?;
        let vector = vector(add.deletion_vector.as_ref(), reference);
        let vector = vector.map_err(|error| origin.reference(error))?;
        Ok(Self { key, size_bytes, vector })
    }

    /// The deletion vector's part of the key.
    pub(crate) fn qualifier(&self) -> Option<&str> {
        self.vector.as_ref().map(|vector| &*vector.unique_id)
    }

    pub(crate) fn push_refs(self, out: &mut Vec<FileRef>) {
        out.push(file_ref(self.key, self.size_bytes, Role::Data));
        if let Some(key) = self.vector.and_then(|vector| vector.file) {
            out.push(file_ref(key, None, Role::DeletionVector));
        }
    }
}

pub(crate) fn file_ref(key: FileKey, size_bytes: Option<u64>, role: Role) -> FileRef {
    let FileKey { place, path } = key;
    FileRef { place, path, size_bytes, role }
}

pub(crate) fn vector(
    vector: Option<&Vector<'_>>,
    reference: &Reference,
) -> Result<Option<DeletionVector>, ReferenceError> {
    let resolve = |vector: &Vector<'_>| {
        DeletionVector::resolve(&vector.storage_type, &vector.value, vector.offset, reference)
    };
    vector.map(resolve).transpose()
}

/// A negative size is a lie that no reader can act on.
fn size_bytes(size: Option<i64>, position: Position) -> Result<Option<u64>, SourceError> {
    size.map(u64::try_from).transpose().map_err(|_| {
        let message = format!("version {position} names a file with a negative size");
        Blocked::at(BlockCode::SourceDamaged, position, message).into()
    })
}

/// The files that an action of a commit needs.
pub(crate) fn needs_of(
    action: &Action<'_>,
    reference: &Reference,
    origin: &Origin,
    out: &mut Vec<FileRef>,
) -> Result<(), SourceError> {
    match action {
        Action::Add(add) => LiveFile::of(add, reference, origin)?.push_refs(out),
        Action::Cdc(Cdc { path, size }) => {
            let resolved = reference.resolve(path);
            let key = resolved.map_err(|error| origin.reference(error))?;
            let size_bytes = size_bytes(*size, origin.position())?;
            out.push(file_ref(key, size_bytes, Role::ChangeData));
        }
        // Nothing to copy. Readers of a change feed may open what was removed, though, so a
        // removed file must not lie elsewhere.
        Action::Remove(Remove { path, .. }) => {
            reference.resolve(path).map_err(|error| origin.reference(error))?;
        }
        _ => {}
    }
    Ok(())
}

/// What a look at a whole log object found.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) protocol: Option<Protocol>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) in_commit_ms: Option<i64>,
    pub(crate) actions: u64,
    pub(crate) unknown: BTreeMap<String, u64>,
}

/// Reads a commit once: features, references, sizes.
pub(crate) fn check(
    source: impl Read,
    origin: &Origin,
    reference: &Reference,
) -> Result<Summary, SourceError> {
    let position = origin.position();
    let mut summary = Summary::default();
    let mut files = Vec::new();
    let checked = for_each(source, &mut |action| {
        summary.actions += 1;
        match action {
            Action::Protocol(protocol) => {
                feature::check_protocol(&protocol, position)?;
                summary.protocol = Some(protocol);
            }
            Action::Metadata(metadata) => {
                feature::check_metadata(&metadata, position)?;
                summary.metadata = Some(*metadata);
            }
            Action::CommitInfo(info) => summary.in_commit_ms = info.in_commit_ms,
            Action::Adaptive => return Err(adaptive(position).into()),
            Action::Unknown(name) => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                if summary.unknown.len() < UNKNOWN_NAMES_MAX || summary.unknown.contains_key(&name)
                {
                    *summary.unknown.entry(name).or_default() += 1;
                }
            }
            action => {
                needs_of(&action, reference, origin, &mut files)?;
                files.clear();
            }
        }
        Ok::<(), SourceError>(())
    });
    checked.map_err(|error| origin.framing(error))??;
    if !summary.unknown.is_empty() {
        tracing::info!(%position, unknown = ?summary.unknown, "commit holds unknown actions");
    }
    Ok(summary)
}

pub(crate) fn adaptive(position: Position) -> Blocked {
    Blocked::at(
        BlockCode::UnsupportedReaderFeature,
        position,
        format!(
            "version {position} keeps its files in manifests outside the log (feature \
             adaptiveMetadata); drop the feature at the source"
        ),
    )
}

/// Runs [`check`] without holding up the runtime for long.
pub(crate) async fn check_bytes(
    bytes: &LogBytes,
    origin: &Origin,
    reference: &Reference,
) -> Result<Summary, SourceError> {
    let source = bytes.open().map_err(|error| origin.framing(error))?;
    match bytes {
        LogBytes::Memory(_) => check(source, origin, reference),
        LogBytes::Spool(_) => {
            let (task_origin, reference) = (origin.clone(), reference.clone());
            let task = move || check(source, &task_origin, &reference);
            let joined = tokio::task::spawn_blocking(task).await;
            joined.map_err(|error| io_error(format!("version {}", origin.position()), error))?
        }
    }
}

/// What one action adds to a chunk.
pub(crate) type Visit<T> =
    Arc<dyn Fn(Action<'_>, &mut Vec<T>) -> Result<(), SourceError> + Send + Sync>;

/// Streams what `visit` makes of each action, in chunks.
pub(crate) fn stream_actions<T: Send + 'static>(
    bytes: LogBytes,
    origin: Origin,
    visit: Visit<T>,
) -> BoxStream<'static, Result<Vec<T>, SourceError>> {
    let inline = matches!(bytes, LogBytes::Memory(_));
    let start = Chunks { bytes: Some(bytes), reader: None, origin, visit };
    let step = move |mut chunks: Chunks<T>| async move {
        if inline {
            let chunk = chunks.next()?;
            return Ok(chunk.map(|chunk| (chunk, chunks)));
        }
        let position = chunks.origin.position();
        let joined = tokio::task::spawn_blocking(move || chunks.next().map(|c| (c, chunks))).await;
        let (chunk, chunks) =
            joined.map_err(|error| io_error(format!("version {position}"), error))??;
        Ok(chunk.map(|chunk| (chunk, chunks)))
    };
    stream::try_unfold(start, step).boxed()
}

struct Chunks<T> {
    /// Opened when the first chunk is asked for.
    bytes: Option<LogBytes>,
    reader: Option<(LogBytes, ActionReader<Box<dyn Read + Send>>)>,
    origin: Origin,
    visit: Visit<T>,
}

impl<T> Chunks<T> {
    fn next(&mut self) -> Result<Option<Vec<T>>, SourceError> {
        if let Some(bytes) = self.bytes.take() {
            let source = bytes.open().map_err(|error| self.origin.framing(error))?;
            // The bytes are kept so that a spool file lives as long as its reader.
            self.reader = Some((bytes, ActionReader::new(source)));
        }
        let Some((_, reader)) = &mut self.reader else { return Ok(None) };
        let mut chunk = Vec::new();
        let visit = &self.visit;
        for _ in 0..CHUNK_OBJECTS {
            let next = reader.next(&mut |action| visit(action, &mut chunk));
            match next.map_err(|error| self.origin.framing(error))? {
                Some(visited) => visited?,
                None => {
                    self.reader = None;
                    return Ok((!chunk.is_empty()).then_some(chunk));
                }
            }
            if chunk.len() >= CHUNK_FILES {
                break;
            }
        }
        Ok(Some(chunk))
    }
}

/// Streams the files that a commit needs.
pub(crate) fn commit_needs(
    bytes: LogBytes,
    origin: Origin,
    reference: Reference,
) -> BoxStream<'static, Result<Vec<FileRef>, SourceError>> {
    let at = origin.clone();
    let visit: Visit<FileRef> =
        Arc::new(move |action, out| needs_of(&action, &reference, &at, out));
    stream_actions(bytes, origin, visit)
}
