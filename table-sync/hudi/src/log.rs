//! The timeline in its store: every read goes through here.
//!
//! # Invariants
//! - Keys are built from a [`RelPath`] below the table root, never from text of a timeline.
//! - Reading an object again, or after it was listed, is conditional on its identity.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use table_sync_core::{
    BlockCode, Blocked, BoxError, LogObject, ObjectIdentity, RelPath, Sha256Digest, SourceError,
};

use crate::cache::Cache;
use crate::look::Margin;
use crate::properties;
use crate::timeline::meta_key;

/// Folder of a table's own objects.
pub(crate) const META_FOLDER: &str = ".hoodie";

/// Largest object of a timeline that is read. Metadata of a commit that wrote a million files
/// takes some hundred MB.
pub(crate) const INSTANT_BYTES_MAX: u64 = 1 << 30;

/// Which slices of a file group the first publication takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slices {
    /// Those that readers of the newest state merge.
    #[default]
    Latest,
    /// All that the cleaner left: time travel works as far back as at the source.
    All,
}

/// What is done about the table's metadata table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataTable {
    /// The replica has none: one property is edited.
    #[default]
    Drop,
    /// The replica's is kept in step with its table, as far as that can be done.
    Mirror,
}

/// Which releases of Hudi read a table's replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readers {
    /// Up to 0.15.
    Zero,
    /// From 1.0 on.
    One,
    /// Any.
    #[default]
    Both,
}

/// Whether the history of a copy-on-write table of layout 2 is part of its replicas. Readers of
/// such a table do not need it; stock Trino up to 476 fails where it consults one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum History {
    /// It is: time travel and incremental queries reach as far back as at the source.
    #[default]
    Carry,
    /// It is left out.
    Omit,
}

/// What is done where a version 6 merge-on-read table cannot be published in one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum V6Window {
    /// It is published, and for how long readers may have seen a mixture is reported.
    #[default]
    Allow,
    /// The table is blocked.
    Refuse,
}

/// Whose timeline it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// A writer's.
    #[default]
    Source,
    /// One that this program writes: what was not committed was never copied, and the objects'
    /// times are those of the copy.
    Replica,
}

/// How a timeline is read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whose it is.
    pub side: Side,
    /// Releases that read the replicas.
    pub readers: Readers,
    /// Windows of version 6 merge-on-read tables.
    pub v6_window: V6Window,
    /// The history of copy-on-write tables.
    pub history: History,
    /// Slices of the first publication.
    pub slices: Slices,
    /// The metadata table.
    pub metadata_table: MetadataTable,
}

/// The timeline of one Hudi table, at a source or at a target.
#[derive(Clone)]
pub struct HudiLog {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn ObjectStore>,
    root: Path,
    options: Options,
    margin: Margin,
    cache: Mutex<Cache>,
}

/// An object as it was read.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRead {
    pub(crate) bytes: Bytes,
    pub(crate) sha256: Sha256Digest,
    pub(crate) object: LogObject,
}

/// One level of a folder.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    pub(crate) folders: Vec<String>,
    pub(crate) objects: BTreeMap<RelPath, LogObject>,
}

impl HudiLog {
    /// A timeline below `root` in `store`; `root` is the table's own folder, empty for the store's
    /// root.
    ///
    /// # Errors
    /// [`object_store::path::Error`] when `root` is not a key.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        root: &str,
        options: Options,
    ) -> Result<Self, object_store::path::Error> {
        let root = Path::parse(root)?;
        Ok(Self::over(store, root, options, Margin::default()))
    }

    /// The same timeline, of which looks list at least `margin` again.
    #[must_use]
    pub fn with_margin(&self, margin: Margin) -> Self {
        let Shared { store, root, options, .. } = &*self.shared;
        Self::over(Arc::clone(store), root.clone(), options.clone(), margin)
    }

    fn over(store: Arc<dyn ObjectStore>, root: Path, options: Options, margin: Margin) -> Self {
        let cache = Mutex::default();
        Self { shared: Arc::new(Shared { store, root, options, margin, cache }) }
    }

    /// Whether the folder holds a Hudi table, however damaged.
    ///
    /// # Errors
    /// [`SourceError::Io`] when the store fails.
    pub async fn exists(&self) -> Result<bool, SourceError> {
        for name in [properties::FILE_NAME.to_owned(), format!("{}.backup", properties::FILE_NAME)]
        {
            if self.head(&meta_key(&name)?).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The table at a folder of this one, which has no metadata table.
    pub(crate) fn below(&self, folder: &str) -> Result<Self, SourceError> {
        let Shared { store, options, margin, .. } = &*self.shared;
        let options = Options { metadata_table: MetadataTable::Drop, ..options.clone() };
        Ok(Self::over(Arc::clone(store), self.location(folder)?, options, *margin))
    }

    pub(crate) fn margin(&self) -> Margin {
        self.shared.margin
    }

    /// Makes the next look list everything: something is not as the last one saw it.
    pub(crate) fn look_whole(&self) {
        self.cache(|cache| cache.forget_look());
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// What was read before, and does not change.
    pub(crate) fn cache<T>(&self, work: impl FnOnce(&mut Cache) -> T) -> T {
        work(&mut self.shared.cache.lock().unwrap_or_else(|lock| lock.into_inner()))
    }

    fn location(&self, key: &str) -> Result<Path, SourceError> {
        let root = self.shared.root.as_ref();
        let full = match (root, key) {
            ("", key) => key.to_owned(),
            (root, "") => root.to_owned(),
            (root, key) => format!("{root}/{key}"),
        };
        Path::parse(full).map_err(|error| io_error(key, error))
    }

    fn key_of(&self, location: &Path) -> Option<RelPath> {
        let root = self.shared.root.as_ref();
        let rest = match root {
            "" => location.as_ref(),
            root => location.as_ref().strip_prefix(root)?.strip_prefix('/')?,
        };
        RelPath::parse(rest).ok()
    }

    /// Lists everything below a folder.
    pub(crate) async fn list(
        &self,
        folder: &str,
    ) -> Result<BTreeMap<RelPath, LogObject>, SourceError> {
        let mut objects = Vec::new();
        self.each(folder, |key, object| objects.push((key, object))).await?;
        Ok(objects.into_iter().collect())
    }

    /// Lists what lies below a folder from a name on.
    pub(crate) async fn list_from(
        &self,
        folder: &str,
        name: &str,
    ) -> Result<BTreeMap<RelPath, LogObject>, SourceError> {
        let (prefix, offset) =
            (self.location(folder)?, self.location(&format!("{folder}/{name}"))?);
        let listing = self.shared.store.list_with_offset(Some(&prefix), &offset);
        let found: Vec<_> = match listing.try_collect().await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(io_error(folder, error)),
        };
        let object = |meta: &ObjectMeta| Some((self.key_of(&meta.location)?, log_object(meta)));
        Ok(found.iter().filter_map(object).collect())
    }

    /// Goes through everything below a folder.
    pub(crate) async fn each(
        &self,
        folder: &str,
        mut take: impl FnMut(RelPath, LogObject),
    ) -> Result<(), SourceError> {
        let prefix = self.location(folder)?;
        let mut listing = self.shared.store.list(Some(&prefix));
        loop {
            match listing.try_next().await {
                Ok(Some(meta)) => {
                    if let Some(key) = self.key_of(&meta.location) {
                        take(key, log_object(&meta));
                    }
                }
                Ok(None) => return Ok(()),
                // A folder of a file system that went away while it was listed.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(io_error(folder, error)),
            }
        }
    }

    /// Lists one level of a folder.
    pub(crate) async fn level(&self, folder: &str) -> Result<Folder, SourceError> {
        let prefix = self.location(folder)?;
        let listed = self.shared.store.list_with_delimiter(Some(&prefix)).await;
        let listed = match listed {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => return Ok(Folder::default()),
            Err(error) => return Err(io_error(folder, error)),
        };
        let folders = listed.common_prefixes.iter().filter_map(|prefix| self.key_of(prefix));
        let objects = listed.objects.iter();
        let objects =
            objects.filter_map(|meta| Some((self.key_of(&meta.location)?, log_object(meta))));
        Ok(Folder {
            folders: folders.map(|key| key.to_string()).collect(),
            objects: objects.collect(),
        })
    }

    /// An object's identity and age; `None` where there is none.
    pub(crate) async fn head(&self, key: &RelPath) -> Result<Option<LogObject>, SourceError> {
        match self.shared.store.head(&self.location(key.as_str())?).await {
            Ok(meta) => Ok(Some(log_object(&meta))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(io_error(key, error)),
        }
    }

    /// Reads a whole object; `None` where there is none.
    ///
    /// With `expect`, an object of another identity is [`SourceError::Changed`].
    pub(crate) async fn read(
        &self,
        key: &RelPath,
        expect: Option<&ObjectIdentity>,
    ) -> Result<Option<ObjectRead>, SourceError> {
        let location = self.location(key.as_str())?;
        let if_match = expect.and_then(|identity| identity.e_tag.clone());
        let options = GetOptions { if_match, ..GetOptions::default() };
        let result = match self.shared.store.get_opts(&location, options).await {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(object_store::Error::Precondition { .. }) => {
                self.look_whole();
                return Err(SourceError::Changed { path: key.clone() });
            }
            Err(error) => return Err(io_error(key, error)),
        };
        let object = log_object(&result.meta);
        if expect.is_some_and(|expect| !expect.is_same(&object.identity)) {
            self.look_whole();
            return Err(SourceError::Changed { path: key.clone() });
        }
        let size_bytes = object.identity.size_bytes;
        if size_bytes > INSTANT_BYTES_MAX {
            let message = format!("{key} has {size_bytes} bytes, more than {INSTANT_BYTES_MAX}");
            return Err(Blocked::table(BlockCode::LimitExceeded, message).into());
        }
        let bytes = result.bytes().await.map_err(|error| io_error(key, error))?;
        if bytes.len() as u64 != size_bytes {
            let message = format!("read {} of {size_bytes} bytes", bytes.len());
            return Err(SourceError::Io { path: key.to_string(), source: message.into() });
        }
        Ok(Some(ObjectRead { sha256: Sha256Digest::of(&bytes), bytes, object }))
    }

    /// Reads an object that was seen.
    pub(crate) async fn read_seen(
        &self,
        key: &RelPath,
        seen: &LogObject,
    ) -> Result<ObjectRead, SourceError> {
        let read = self.read(key, Some(&seen.identity)).await?;
        read.ok_or_else(|| {
            self.look_whole();
            SourceError::Missing { path: key.clone() }
        })
    }
}

impl fmt::Debug for HudiLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HudiLog").field("root", &self.shared.root).finish_non_exhaustive()
    }
}

fn log_object(meta: &ObjectMeta) -> LogObject {
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
