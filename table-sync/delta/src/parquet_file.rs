//! Projected reading of one Parquet object, pinned to its identity.
//!
//! # Invariants
//! - Only the columns asked for are fetched; every range is read from the identity that was
//!   listed.
//! - What a file declares is bounded before anything is allocated for it: footer, rows, and the
//!   bytes of one row group.
//! - A file that does not parse is told apart from a store that failed.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use futures::{FutureExt, TryFutureExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader};
use table_sync_core::{ObjectIdentity, RelPath, SourceError};

use crate::files::Origin;
use crate::log::{LogReader, log_object, read_error};

/// First read of a footer, in bytes; larger footers take a second read.
const FOOTER_GUESS_BYTES: u64 = 64 << 10;

/// Magic, length of the footer, magic: less is no Parquet file, in bytes.
const FILE_BYTES_MIN: u64 = 12;

/// Largest footer that is read, in bytes.
const FOOTER_BYTES_MAX: u64 = 128 << 20;

/// Most rows of one file.
const ROWS_MAX: i64 = 1 << 32;

/// Most bytes of the wanted columns in one row group: they are fetched together.
const ROW_GROUP_BYTES_MAX: i64 = 1 << 30;

/// One Parquet object of a log.
#[derive(Clone)]
pub(crate) struct ParquetFile {
    pinned: Pinned,
    origin: Origin,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    /// Reads the footer.
    pub(crate) async fn open(
        reader: &LogReader,
        origin: Origin,
        key: &RelPath,
        identity: &ObjectIdentity,
    ) -> Result<Self, SourceError> {
        let pinned = Pinned {
            store: Arc::clone(reader.store()),
            location: reader.location(key)?,
            key: key.clone(),
            identity: identity.clone(),
            footer: None,
        };
        let (pinned, metadata) = guarded(&origin, key, pinned.footer()).await?;
        Ok(Self { pinned, origin, metadata })
    }

    /// Rows of the file, as the footer declares them.
    pub(crate) fn rows(&self) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        groups.iter().map(|group| group.num_rows().unsigned_abs()).sum()
    }

    /// Whether the file has a column of this name, or below it.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        let schema = self.metadata.parquet_schema();
        let below = |path: &str| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        schema.columns().iter().any(|column| {
            let path = column.path().string();
            path == name || below(&path)
        })
    }

    /// Streams batches of at most `rows` rows with the columns `names` (those that exist).
    pub(crate) fn batches(
        &self,
        names: &[&str],
        rows: usize,
    ) -> BoxStream<'static, Result<RecordBatch, SourceError>> {
        let names: Vec<&str> = names.iter().copied().filter(|name| self.has_column(name)).collect();
        if names.is_empty() {
            return stream::empty().boxed();
        }
        let mask = ProjectionMask::columns(self.metadata.parquet_schema(), names);
        let (origin, key) = (self.origin.clone(), self.pinned.key.clone());
        if let Err(error) = self.check_groups(&mask) {
            let error = parquet_error(&origin, &key, error);
            return stream::once(async move { Err(error) }).boxed();
        }
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(
            self.pinned.clone(),
            self.metadata.clone(),
        );
        let built = builder.with_projection(mask).with_batch_size(rows).build();
        let batches = match built {
            Ok(batches) => batches,
            Err(error) => {
                let error = parquet_error(&origin, &key, error);
                return stream::once(async move { Err(error) }).boxed();
            }
        };
        stream::try_unfold(batches, move |mut batches| {
            let (origin, key) = (origin.clone(), key.clone());
            async move {
                let next = guarded(&origin, &key, batches.try_next()).await?;
                Ok(next.map(|batch| (batch, batches)))
            }
        })
        .boxed()
    }

    fn check_groups(&self, mask: &ProjectionMask) -> Result<(), ParquetError> {
        for group in self.metadata.metadata().row_groups() {
            let columns = group.columns().iter().enumerate();
            let wanted = columns.filter(|(leaf, _)| mask.leaf_included(*leaf));
            let sizes = wanted.map(|(_, column)| column.compressed_size().max(0));
            if sizes.fold(0, i64::saturating_add) > ROW_GROUP_BYTES_MAX {
                return Err(ParquetError::General("row group is too large".to_owned()));
            }
        }
        Ok(())
    }
}

/// Reads ranges of one object, conditional on its identity.
#[derive(Clone)]
struct Pinned {
    store: Arc<dyn ObjectStore>,
    location: Path,
    key: RelPath,
    identity: ObjectIdentity,
    footer: Option<Arc<ParquetMetaData>>,
}

impl Pinned {
    async fn footer(mut self) -> Result<(Self, ArrowReaderMetadata), ParquetError> {
        let too_short = || ParquetError::General("file is too short".to_owned());
        let size_bytes = self.identity.size_bytes;
        if size_bytes < FILE_BYTES_MIN {
            return Err(too_short());
        }
        let guess = size_bytes.min(FOOTER_GUESS_BYTES);
        let start = size_bytes - guess;
        let mut tail = self.range(start..size_bytes).await?;
        let end: [u8; 8] = *tail.last_chunk().ok_or_else(too_short)?;
        let footer_bytes = FooterTail::try_new(&end)?.metadata_length() as u64;
        if footer_bytes > FOOTER_BYTES_MAX {
            return Err(ParquetError::General("footer is too large".to_owned()));
        }
        let whole = footer_bytes + 8;
        let start = size_bytes.checked_sub(whole).ok_or_else(too_short)?;
        if whole > guess {
            tail = self.range(start..size_bytes).await?;
        }
        let skip = (tail.len() as u64).checked_sub(whole).ok_or_else(too_short)?;
        let skip = usize::try_from(skip).map_err(|_| too_short())?;
        let footer = tail.get(skip..tail.len() - 8).ok_or_else(too_short)?;
        let metadata = Arc::new(ParquetMetaDataReader::decode_metadata(footer)?);
        let rows = metadata.row_groups().iter().map(|group| group.num_rows());
        let negative = rows.clone().any(|rows| rows < 0);
        if negative || rows.fold(0, i64::saturating_add) > ROWS_MAX {
            return Err(ParquetError::General("number of rows is out of bounds".to_owned()));
        }
        self.footer = Some(Arc::clone(&metadata));
        // Without the writer's Arrow schema every string is `Utf8`, whoever wrote the file.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        Ok((self, ArrowReaderMetadata::try_new(metadata, options)?))
    }

    async fn range(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        let options = GetOptions {
            if_match: self.identity.e_tag.clone(),
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let wrap = |error: object_store::Error| ParquetError::External(Box::new(error));
        let result = self.store.get_opts(&self.location, options).await.map_err(wrap)?;
        if !self.identity.is_same(&log_object(&result.meta).identity) {
            let error = object_store::Error::Precondition {
                path: self.key.to_string(),
                source: "object is not the one that was listed".into(),
            };
            return Err(wrap(error));
        }
        let bytes = result.bytes().await.map_err(wrap)?;
        if bytes.len() as u64 != range.end.saturating_sub(range.start) {
            // The store's fault, not the file's: it has the size that was listed.
            let source = "body is shorter than the range asked for".into();
            return Err(wrap(object_store::Error::Generic { store: "range", source }));
        }
        Ok(bytes)
    }
}

impl AsyncFileReader for Pinned {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.range(range).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            // Columns that lie close together come in one request.
            let read = |range: Range<u64>| self.range(range).map_err(into_store_error);
            let gap_bytes = object_store::OBJECT_STORE_COALESCE_DEFAULT;
            let read = object_store::coalesce_ranges(&ranges, read, gap_bytes).await;
            read.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let footer = self.footer.clone();
        async move { footer.ok_or_else(|| ParquetError::General("footer not read".to_owned())) }
            .boxed()
    }
}

fn into_store_error(error: ParquetError) -> object_store::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<object_store::Error>() {
            Ok(error) => *error,
            Err(source) => object_store::Error::Generic { store: "parquet", source },
        },
        error => object_store::Error::Generic { store: "parquet", source: Box::new(error) },
    }
}

/// Runs the Parquet library on bytes that nobody vouches for: a panic is a file that does not
/// parse.
async fn guarded<T>(
    origin: &Origin,
    key: &RelPath,
    work: impl Future<Output = Result<T, ParquetError>>,
) -> Result<T, SourceError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(parquet_error(origin, key, error)),
        Err(_) => Err(origin.unreadable(key, "the Parquet library panicked")),
    }
}

fn parquet_error(origin: &Origin, key: &RelPath, error: ParquetError) -> SourceError {
    match error {
        ParquetError::External(source) => match source.downcast::<object_store::Error>() {
            Ok(error) => read_error(key, *error),
            Err(_) => origin.unreadable(key, "Parquet error"),
        },
        error => origin.unreadable(key, &error.to_string()),
    }
}
