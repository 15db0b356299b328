//! Checkpoints: the state of a version, streamed.
//!
//! # Invariants
//! - A stream holds one chunk of files; no set is ever held whole.
//! - Only what names an object is read: paths, sizes and deletion vectors, never statistics.
//! - A sidecar holds files, not further sidecars.
//! - Damage is [`SourceError::Missing`]: a checkpoint that does not parse is no base.
//!
//! Source: Delta protocol, "Checkpoints", "V2 Spec", "Sidecar File Information".

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use table_sync_core::limits::COMMIT_BYTES_MAX;
use table_sync_core::{LogObject, ObjectIdentity, RelPath, SourceError};

use crate::action::{Action, Metadata, Protocol, Sidecar};
use crate::commit::{FramingError, for_each};
use crate::feature;
use crate::files::{self, CHUNK_FILES, LiveFile, Origin, Visit, adaptive, stream_actions};
use crate::listing::{CheckpointSet, SetKind};
use crate::log::LogReader;
use crate::parquet_file::ParquetFile;
use crate::reference::Reference;

mod batch;

/// Most sidecars of one checkpoint.
const SIDECARS_MAX: usize = 1 << 20;

/// Rows of a batch where only a few rows hold anything.
const SPARSE_ROWS: usize = 8 * 1024;

const HEAD_COLUMNS: &[&str] = &[
    "protocol",
    "metaData.id",
    "metaData.name",
    "metaData.format.provider",
    "metaData.schemaString",
    "metaData.partitionColumns",
    "metaData.configuration",
    "sidecar.path",
    "sidecar.sizeInBytes",
];

const FILE_COLUMNS: &[&str] = &[
    "add.path",
    "add.size",
    "add.deletionVector.storageType",
    "add.deletionVector.pathOrInlineDv",
    "add.deletionVector.offset",
];

/// What a checkpoint holds beside its files.
#[derive(Debug, Clone, Default)]
pub(crate) struct CheckpointHead {
    pub(crate) protocol: Option<Protocol>,
    pub(crate) metadata: Option<Metadata>,
    /// Sidecars with the size that the checkpoint states.
    pub(crate) sidecars: Vec<(RelPath, Option<u64>)>,
    /// Actions in the checkpoint's own objects.
    pub(crate) actions: u64,
}

/// A checkpoint whose head was read, and whose sidecars are there.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub(crate) set: CheckpointSet,
    pub(crate) head: CheckpointHead,
    pub(crate) sidecars: Vec<(RelPath, LogObject)>,
}

impl CheckpointHead {
    fn visit(
        &mut self,
        action: Action<'_>,
        reference: &Reference,
        origin: &Origin,
    ) -> Result<(), SourceError> {
        let position = origin.position();
        match action {
            Action::Protocol(protocol) => {
                feature::check_protocol(&protocol, position)?;
                self.protocol = Some(protocol);
            }
            Action::Metadata(metadata) => {
                feature::check_metadata(&metadata, position)?;
                self.metadata = Some(*metadata);
            }
            Action::Sidecar(Sidecar { path, size }) => {
                let key = reference.sidecar(&path).map_err(|error| origin.reference(error))?;
                self.sidecars.push((key, size.and_then(|size| u64::try_from(size).ok())));
                if self.sidecars.len() > SIDECARS_MAX {
                    let limit = "the checkpoint names more than 2^20 sidecars";
                    return Err(origin.framing(FramingError::Limit { offset: 0, what: limit }));
                }
            }
            Action::Adaptive => return Err(adaptive(position).into()),
            _ => {}
        }
        Ok(())
    }
}

impl Checkpoint {
    /// Reads a checkpoint's head: features are checked, sidecars looked up.
    pub(crate) async fn open(reader: &LogReader, set: &CheckpointSet) -> Result<Self, SourceError> {
        let head = read_head(reader, set).await?;
        let unreadable = |what| {
            let (key, _) = set.objects.first()?;
            let origin = Origin::Derived { version: set.version, key: key.clone() };
            Some(origin.unreadable(key, what))
        };
        if (head.protocol.is_none() || head.metadata.is_none())
            && let Some(error) = unreadable("no protocol or no metadata")
        {
            return Err(error);
        }
        let found = stream::iter(head.sidecars.clone()).map(|(key, stated)| async move {
            let Some(object) = reader.head(&key).await? else {
                return Err(SourceError::Missing { path: key });
            };
            if stated.is_some_and(|stated| stated != object.identity.size_bytes) {
                return Err(SourceError::Missing { path: key });
            }
            Ok((key, object))
        });
        let sidecars = found.buffered(16).try_collect().await?;
        Ok(Self { set: set.clone(), head, sidecars })
    }

    /// Streams the files that are live at the checkpoint's version.
    pub(crate) fn files(
        &self,
        reader: &LogReader,
    ) -> BoxStream<'static, Result<Vec<LiveFile>, SourceError>> {
        let own = self.set.objects.iter().map(|(key, object)| (key, object, false));
        let sidecars = self.sidecars.iter().map(|(key, object)| (key, object, true));
        let json = self.set.kind == SetKind::UuidJson;
        let streams: Vec<_> = own
            .chain(sidecars)
            .map(|(key, object, sidecar)| {
                let origin = Origin::Derived { version: self.set.version, key: key.clone() };
                let identity = object.identity.clone();
                if json && !sidecar {
                    manifest_files(reader.clone(), origin, key.clone(), identity)
                } else {
                    parquet_files(reader.clone(), origin, key.clone(), identity, sidecar)
                }
            })
            .collect();
        stream::iter(streams).flatten().boxed()
    }
}

/// Visits the head of a JSON manifest. Reads arbitrary bytes: for fuzzing, too. Returns the keys
/// of its sidecars and how many actions it holds.
///
/// # Errors
/// [`SourceError`] when the manifest does not parse or names what is refused.
pub fn parse_manifest(bytes: &[u8]) -> Result<(Vec<RelPath>, u64), SourceError> {
    let key = crate::name::last_checkpoint_key().map_err(crate::log::key_error)?;
    let origin = Origin::Derived { version: 0, key };
    let head = manifest_head(bytes, &origin, &Reference::refuse())?;
    Ok((head.sidecars.into_iter().map(|(key, _)| key).collect(), head.actions))
}

fn manifest_head(
    source: impl std::io::Read,
    origin: &Origin,
    reference: &Reference,
) -> Result<CheckpointHead, SourceError> {
    let mut head = CheckpointHead::default();
    let visited = for_each(source, &mut |action| {
        head.actions += 1;
        head.visit(action, reference, origin)
    });
    visited.map_err(|error| origin.framing(error))??;
    Ok(head)
}

/// Reads a checkpoint's head: features are checked, sidecars not looked up.
pub(crate) async fn read_head(
    reader: &LogReader,
    set: &CheckpointSet,
) -> Result<CheckpointHead, SourceError> {
    let mut head = CheckpointHead::default();
    for (key, object) in &set.objects {
        let origin = Origin::Derived { version: set.version, key: key.clone() };
        if set.kind == SetKind::UuidJson {
            let read = reader.read(key, Some(&object.identity), COMMIT_BYTES_MAX).await?;
            let read = read.ok_or_else(|| SourceError::Missing { path: key.clone() })?;
            let source = read.bytes.open().map_err(|error| origin.framing(error))?;
            head = manifest_head(source, &origin, reader.reference())?;
            continue;
        }
        let file = ParquetFile::open(reader, origin.clone(), key, &object.identity).await?;
        head.actions += file.rows();
        let mut batches = file.batches(HEAD_COLUMNS, SPARSE_ROWS);
        while let Some(batch) = batches.try_next().await? {
            let actions = batch::head_actions(&batch);
            let actions = actions.map_err(|what| origin.unreadable(key, what))?;
            for action in actions {
                head.visit(action, reader.reference(), &origin)?;
            }
        }
    }
    Ok(head)
}

fn manifest_files(
    reader: LogReader,
    origin: Origin,
    key: RelPath,
    identity: ObjectIdentity,
) -> BoxStream<'static, Result<Vec<LiveFile>, SourceError>> {
    let opened = async move {
        let read = reader.read(&key, Some(&identity), COMMIT_BYTES_MAX).await?;
        let read = read.ok_or_else(|| SourceError::Missing { path: key.clone() })?;
        let (reference, at) = (reader.reference().clone(), origin.clone());
        let visit: Visit<LiveFile> = Arc::new(move |action, out| {
            if let Action::Add(add) = action {
                out.push(LiveFile::of(&add, &reference, &at)?);
            }
            Ok(())
        });
        Ok::<_, SourceError>(stream_actions(read.bytes, origin, visit))
    };
    stream::once(opened).try_flatten().boxed()
}

fn parquet_files(
    reader: LogReader,
    origin: Origin,
    key: RelPath,
    identity: ObjectIdentity,
    sidecar: bool,
) -> BoxStream<'static, Result<Vec<LiveFile>, SourceError>> {
    let opened = async move {
        let file = ParquetFile::open(&reader, origin.clone(), &key, &identity).await?;
        if sidecar {
            refuse_nested(&file, &origin, &key).await?;
        }
        let batches = file.batches(FILE_COLUMNS, CHUNK_FILES);
        Ok::<_, SourceError>(batches.map(move |batch| {
            let batch = batch?;
            let adds = batch::Adds::of(&batch).map_err(|what| origin.unreadable(&key, what))?;
            let live = |add| LiveFile::of(&add, reader.reference(), &origin);
            adds.iter().map(live).collect::<Result<Vec<_>, _>>()
        }))
    };
    stream::once(opened).try_flatten().boxed()
}

/// A sidecar that names sidecars is no sidecar: following it could go on for ever.
async fn refuse_nested(
    file: &ParquetFile,
    origin: &Origin,
    key: &RelPath,
) -> Result<(), SourceError> {
    let mut batches = file.batches(&["sidecar.path"], SPARSE_ROWS);
    while let Some(batch) = batches.try_next().await? {
        let nested = batch::head_actions(&batch);
        if !nested.map_err(|what| origin.unreadable(key, what))?.is_empty() {
            return Err(origin.unreadable(key, "a sidecar names sidecars"));
        }
    }
    Ok(())
}

/// Turns files of a snapshot into what a target needs.
pub(crate) fn to_refs(
    files: BoxStream<'static, Result<Vec<files::LiveFile>, SourceError>>,
) -> table_sync_core::FileStream {
    files
        .map_ok(|chunk| {
            let mut refs = Vec::with_capacity(chunk.len());
            chunk.into_iter().for_each(|file| file.push_refs(&mut refs));
            refs
        })
        .boxed()
}
