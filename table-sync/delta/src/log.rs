//! The log in its store: every read goes through here.
//!
//! # Invariants
//! - Keys are built from a [`RelPath`] below the table root, never from text of a log.
//! - Reading an object again, or after it was listed, is conditional on its identity.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use table_sync_core::limits::{COMMIT_BYTES_IN_MEMORY_MAX, SMALL_OBJECT_BYTES_MAX};
use table_sync_core::{
    BlockCode, Blocked, BoxError, LogObject, ObjectIdentity, PathError, RelPath, Sha256Digest,
    SourceError, SpoolFile,
};
use tokio::io::AsyncWriteExt;

use crate::commit::LogBytes;
use crate::headroom::Known;
use crate::name::{LOG_PREFIX, last_checkpoint_key};
use crate::reference::{AbsolutePaths, Reference, is_mapped};
use crate::verify::Verdicts;

/// Bytes of one write to a spool file.
const SPOOL_BUFFER_BYTES: usize = 1 << 20;

/// How a log is read.
#[derive(Debug, Clone)]
pub struct Options {
    /// What happens to absolute references.
    pub absolute_paths: AbsolutePaths,
    /// Where the table's root is, as its writers spell it: `s3://bucket/prefix`. Only
    /// [`AbsolutePaths::Alias`] needs it.
    pub table_url: Option<String>,
    /// Where this log's own root is, when it is a replica of the one at `table_url`. Only
    /// [`AbsolutePaths::Alias`] needs it: see [`DeltaLog::misplaced`].
    pub replica_url: Option<String>,
    /// Folder for log objects too large for memory.
    pub spool_dir: PathBuf,
    /// Whether the store lists keys in byte order. S3 and GCS do, and a pass then stops before
    /// folders that sort behind the log's own names.
    pub lists_in_order: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            absolute_paths: AbsolutePaths::Refuse,
            table_url: None,
            replica_url: None,
            spool_dir: std::env::temp_dir(),
            lists_in_order: false,
        }
    }
}

/// The log of one Delta table, at a source or at a target.
#[derive(Clone)]
pub struct DeltaLog {
    pub(crate) reader: LogReader,
    /// What was found about derived objects, so that each is read once.
    pub(crate) verdicts: Arc<Mutex<Verdicts>>,
    /// How long the table keeps what its newest state does not need, as it was last read.
    pub(crate) retention: Arc<Mutex<Option<Known>>>,
}

impl DeltaLog {
    /// A log below `root` in `store`; `root` is the table's own folder, empty for the store's root.
    ///
    /// # Errors
    /// [`object_store::path::Error`] when `root` is not a key.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        root: &str,
        options: Options,
    ) -> Result<Self, object_store::path::Error> {
        let reference = Reference::new(&options.absolute_paths, options.table_url.as_deref());
        let root = Path::parse(root)?;
        let shared = Shared { store, root, reference, options };
        let reader = LogReader { shared: Arc::new(shared) };
        Ok(Self { reader, verdicts: Arc::default(), retention: Arc::default() })
    }

    /// Why this log cannot be a replica whose absolute references are followed: readers there
    /// would follow them to another place than the one that holds the copies, and so leave the
    /// site. `None` where it can, and where absolute references are refused anyway.
    ///
    /// The log's bytes are never rewritten, so its references lead to the same bucket and key at
    /// every site; it is the readers' setting of the endpoint that makes them local.
    pub fn misplaced(&self) -> Option<Blocked> {
        let Options { absolute_paths, table_url, replica_url, .. } = &self.reader.shared.options;
        let (Some(table), Some(replica)) = (table_url, replica_url) else { return None };
        if *absolute_paths == AbsolutePaths::Refuse || is_mapped(table, replica) {
            return None;
        }
        let message = format!(
            "{replica} cannot be a target with --absolute-paths alias: readers there would follow \
             absolute references of the log to {table}, away from the copies; a target for them \
             has the source's bucket and path at another endpoint, to which its readers are set; \
             name such a target, or leave the option away for tables without such references"
        );
        Some(Blocked::table(BlockCode::ForeignPath, message))
    }
}

impl DeltaLog {
    /// Reads the hint that a listing shows, unless the same was read before. Short enough to
    /// stay in memory; `None` when it is gone, or too long to be a hint.
    pub(crate) async fn hint(
        &self,
        key: &RelPath,
        listed: &LogObject,
    ) -> Result<Option<(Bytes, Sha256Digest)>, SourceError> {
        let known = self.verdicts.lock().ok().and_then(|known| known.hint(listed).cloned());
        let read = match known {
            Some(read) => read,
            None => match self.reader.read(key, None, SMALL_OBJECT_BYTES_MAX).await {
                Ok(Some(read)) => read,
                Ok(None) | Err(SourceError::Blocked(_)) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        if let Ok(mut verdicts) = self.verdicts.lock()
            && read.object.identity.e_tag == listed.identity.e_tag
        {
            verdicts.put_hint(listed, read.clone());
        }
        Ok(match read.bytes {
            LogBytes::Memory(body) => Some((body, read.sha256)),
            LogBytes::Spool(_) => None,
        })
    }
}

impl fmt::Debug for DeltaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeltaLog").field("root", &self.reader.shared.root).finish_non_exhaustive()
    }
}

/// Reads the objects of one log.
#[derive(Clone)]
pub(crate) struct LogReader {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn ObjectStore>,
    root: Path,
    reference: Reference,
    options: Options,
}

/// An object as it was read.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRead {
    pub(crate) bytes: LogBytes,
    pub(crate) sha256: Sha256Digest,
    pub(crate) object: LogObject,
}

impl LogReader {
    pub(crate) fn reference(&self) -> &Reference {
        &self.shared.reference
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.shared.store
    }

    pub(crate) fn root(&self) -> &Path {
        &self.shared.root
    }

    pub(crate) fn location(&self, key: &RelPath) -> Result<Path, SourceError> {
        let root = self.shared.root.as_ref();
        let full = if root.is_empty() { key.to_string() } else { format!("{root}/{key}") };
        Path::parse(full).map_err(|error| io_error(key, error))
    }

    /// Lists the log, from the objects of version `from` on.
    pub(crate) async fn list(
        &self,
        from: Option<u64>,
    ) -> Result<BTreeMap<RelPath, LogObject>, SourceError> {
        let folder = self.shared.root.clone().join(LOG_PREFIX.trim_end_matches('/'));
        let offset = from.map(|version| folder.clone().join(format!("{version:020}")));
        let store = &self.shared.store;
        let mut listing = match &offset {
            Some(offset) => store.list_with_offset(Some(&folder), offset),
            None => store.list(Some(&folder)),
        };
        let last = last_checkpoint_key().map_err(key_error)?;
        let mut objects = BTreeMap::new();
        while let Some(meta) = listing.next().await {
            let meta = match meta {
                Ok(meta) => meta,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(io_error(LOG_PREFIX, error)),
            };
            let Some(key) = self.key_of(&meta.location) else { continue };
            if self.shared.options.lists_in_order && key > last {
                break;
            }
            objects.insert(key, log_object(&meta));
        }
        Ok(objects)
    }

    fn key_of(&self, location: &Path) -> Option<RelPath> {
        let root = self.shared.root.as_ref();
        let rest = match root {
            "" => location.as_ref(),
            root => location.as_ref().strip_prefix(root)?.strip_prefix('/')?,
        };
        RelPath::parse(rest).ok()
    }

    /// An object's identity and age; `None` where there is none.
    pub(crate) async fn head(&self, key: &RelPath) -> Result<Option<LogObject>, SourceError> {
        match self.shared.store.head(&self.location(key)?).await {
            Ok(meta) => Ok(Some(log_object(&meta))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(io_error(key, error)),
        }
    }

    /// Reads a whole object; `None` where there is none. Large ones go to disk.
    ///
    /// With `expect`, an object of another identity is [`SourceError::Changed`].
    pub(crate) async fn read(
        &self,
        key: &RelPath,
        expect: Option<&ObjectIdentity>,
        bytes_max: u64,
    ) -> Result<Option<ObjectRead>, SourceError> {
        let location = self.location(key)?;
        let if_match = expect.and_then(|identity| identity.e_tag.clone());
        let options = GetOptions { if_match, ..GetOptions::default() };
        let result = match self.shared.store.get_opts(&location, options).await {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(read_error(key, error)),
        };
        let object = log_object(&result.meta);
        let size_bytes = object.identity.size_bytes;
        if expect.is_some_and(|expect| !expect.is_same(&object.identity)) {
            return Err(SourceError::Changed { path: key.clone() });
        }
        if size_bytes > bytes_max {
            let message = format!("{key} has {size_bytes} bytes, more than {bytes_max}");
            return Err(Blocked::table(BlockCode::LimitExceeded, message).into());
        }
        let (bytes, sha256) = if size_bytes <= COMMIT_BYTES_IN_MEMORY_MAX {
            let bytes = result.bytes().await.map_err(|error| io_error(key, error))?;
            let sha256 = Sha256Digest::of(&bytes);
            (LogBytes::Memory(bytes), sha256)
        } else {
            let file = self.spool(key, result).await?;
            let sha256 = file.sha256;
            (LogBytes::Spool(file), sha256)
        };
        if bytes.size_bytes() != size_bytes {
            let message = format!("read {} of {size_bytes} bytes", bytes.size_bytes());
            return Err(SourceError::Io { path: key.to_string(), source: message.into() });
        }
        Ok(Some(ObjectRead { bytes, sha256, object }))
    }

    async fn spool(&self, key: &RelPath, result: GetResult) -> Result<SpoolFile, SourceError> {
        let failed = |error: std::io::Error| io_error(key, error);
        let file = tempfile::NamedTempFile::new_in(&self.shared.options.spool_dir);
        let (file, guard) = file.map_err(failed)?.into_parts();
        // Stores hand out small pieces; each write to a file is a hop to another thread.
        let file = tokio::fs::File::from_std(file);
        let mut file = tokio::io::BufWriter::with_capacity(SPOOL_BUFFER_BYTES, file);
        let mut hasher = Sha256::new();
        let mut size_bytes = 0;
        let mut stream = result.into_stream();
        while let Some(chunk) = stream.try_next().await.map_err(|error| io_error(key, error))? {
            hasher.update(&chunk);
            size_bytes += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        let sha256 = Sha256Digest(hasher.finalize().into());
        Ok(SpoolFile::new(guard.to_path_buf(), size_bytes, sha256, guard))
    }
}

pub(crate) fn log_object(meta: &ObjectMeta) -> LogObject {
    let identity = ObjectIdentity {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
        size_bytes: meta.size,
    };
    LogObject { identity, modified_ms: meta.last_modified.timestamp_millis() }
}

pub(crate) fn io_error(path: impl fmt::Display, source: impl Into<BoxError>) -> SourceError {
    SourceError::Io { path: path.to_string(), source: source.into() }
}

/// A failed read of an object that was seen before.
pub(crate) fn read_error(key: &RelPath, error: object_store::Error) -> SourceError {
    match error {
        object_store::Error::NotFound { .. } => SourceError::Missing { path: key.clone() },
        object_store::Error::Precondition { .. } => SourceError::Changed { path: key.clone() },
        error => io_error(key, error),
    }
}

/// A name of the log's own that is not a key: cannot happen, but must not be a panic.
pub(crate) fn key_error(error: PathError) -> SourceError {
    io_error(LOG_PREFIX, error)
}
