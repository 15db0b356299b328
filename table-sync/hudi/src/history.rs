//! The history of layout 2: Parquet files of completed instants, and the manifests that name them.
//!
//! `_version_` names the newest `manifest_N`; a manifest names the files. All but `_version_` are
//! written once.
//!
//! # Invariants
//! - Only the columns asked for are decoded, a batch of rows at a time.
//! - What a file declares is bounded before anything is decoded.
//! - A name of a manifest is a history file's name: it cannot leave the folder.
//!
//! Source: Hudi `LSMTimeline`, `LSMTimelineWriter`, `HoodieLSMTimelineInstant.avsc`.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use serde::Deserialize;
use table_sync_core::InstantTime;

use crate::error::DecodeError;
use crate::instant::Action;

/// Name of the object that names the newest manifest.
pub const VERSION_FILE: &str = "_version_";

/// Largest manifest or version object, in bytes: one line per file.
pub const MANIFEST_BYTES_MAX: usize = 16 << 20;

/// Largest history file, in bytes. Hudi compacts levels to files of 1 GB at most.
pub const HISTORY_FILE_BYTES_MAX: usize = 2 << 30;

/// Most rows of one history file.
const ROWS_MAX: i64 = 1 << 24;

/// Most bytes of one column of a row group, decoded.
const COLUMN_BYTES_MAX: i64 = 4 << 30;

/// Rows that are decoded together: metadata of one instant may take megabytes.
const BATCH_ROWS: usize = 64;

/// One completed instant of an archive or a history.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Archived {
    /// Its id.
    pub requested: InstantTime,
    /// When it completed; `None` where the writer did not keep it (before Hudi 0.14), which
    /// readers take for the id.
    pub completion: Option<InstantTime>,
    /// What it did.
    pub action: Action,
}

const MANIFEST_PREFIX: &str = "manifest_";

const KIND: &str = "history file";

/// Name of a history file: `<min>_<max>_<level>.parquet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryFileName {
    /// Smallest id in it.
    pub min: InstantTime,
    /// Largest id in it.
    pub max: InstantTime,
    /// How often its rows were compacted.
    pub level: u8,
}

impl HistoryFileName {
    /// Parses a file name; `None` for anything else.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".parquet")?.split('_');
        let (min, max, level) = (parts.next()?, parts.next()?, parts.next()?);
        let is_level = level.len() == 1 && level.bytes().all(|byte| byte.is_ascii_digit());
        if parts.next().is_some() || !is_level {
            return None;
        }
        let (min, max) = (InstantTime::parse(min)?, InstantTime::parse(max)?);
        Some(Self { min, max, level: level.parse().ok()? })
    }
}

impl fmt::Display for HistoryFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}.parquet", self.min, self.max, self.level)
    }
}

/// One file that a manifest names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryFile {
    /// Its name.
    pub name: HistoryFileName,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// The number of a manifest by its name; `None` for anything else.
pub fn manifest_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix(MANIFEST_PREFIX)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.parse().ok()).flatten()
}

/// The name of a manifest by its number.
pub fn manifest_name(number: u64) -> String {
    format!("{MANIFEST_PREFIX}{number}")
}

/// Reads `_version_`: the number of the newest manifest.
///
/// # Errors
/// [`DecodeError`] when it is no number; readers then list the manifests.
pub fn parse_version(object: &str, bytes: &[u8]) -> Result<u64, DecodeError> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let damaged = || DecodeError::damaged(object, "history version", "it is no number");
    text.trim().parse().map_err(|_| damaged())
}

#[derive(Deserialize)]
struct ManifestRecord {
    files: Vec<FileRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileRecord {
    file_name: String,
    file_len: u64,
}

/// Reads a manifest: the files of the history, in the writer's order.
///
/// # Errors
/// [`DecodeError`], also when a name is not a history file's.
pub fn parse_manifest(object: &str, bytes: &[u8]) -> Result<Vec<HistoryFile>, DecodeError> {
    let kind = "history manifest";
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(DecodeError::limit(object, "size in bytes", MANIFEST_BYTES_MAX as u64));
    }
    // A table whose history is new has a manifest without content.
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let manifest: ManifestRecord =
        serde_json::from_slice(bytes).map_err(|error| DecodeError::damaged(object, kind, error))?;
    let file = |file: FileRecord| {
        let unknown = || format!("{:?} is not the name of a history file", file.file_name);
        let name = HistoryFileName::parse(&file.file_name)
            .ok_or_else(|| DecodeError::damaged(object, kind, unknown()))?;
        Ok(HistoryFile { name, size_bytes: file.file_len })
    };
    manifest.files.into_iter().map(file).collect()
}

/// One instant of a history, with what its files held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedFiles {
    /// The instant.
    pub archived: Archived,
    /// Its completed file: decode it as metadata of its action. Empty where it had no content.
    pub metadata: Bytes,
    /// Its requested file: decode it as a plan of its action. Empty where it had no content.
    pub plan: Bytes,
}

/// Visits the instants of a history file, in its order: ascending by id.
///
/// # Errors
/// [`DecodeError`]. What was visited before it stands.
pub fn for_each(
    object: &str,
    bytes: &Bytes,
    visit: &mut dyn FnMut(Archived),
) -> Result<(), DecodeError> {
    let columns = ["instantTime", "completionTime", "action"];
    for batch in Batches::open(object, bytes, &columns)? {
        let batch = batch?;
        let rows = Rows::of(object, &batch)?;
        for row in 0..rows.count {
            visit(rows.archived(row)?);
        }
    }
    Ok(())
}

/// Reads what the files of the wanted instants held. Instants that are not in it are left out.
///
/// # Errors
/// [`DecodeError`].
pub fn files_of(
    object: &str,
    bytes: &Bytes,
    wanted: &BTreeSet<InstantTime>,
) -> Result<Vec<ArchivedFiles>, DecodeError> {
    let columns = ["instantTime", "completionTime", "action", "metadata", "plan"];
    let mut found = Vec::new();
    for batch in Batches::open(object, bytes, &columns)? {
        let batch = batch?;
        let rows = Rows::of(object, &batch)?;
        for row in 0..rows.count {
            let archived = rows.archived(row)?;
            if wanted.contains(&archived.requested) {
                let (metadata, plan) = (rows.bytes("metadata", row), rows.bytes("plan", row));
                found.push(ArchivedFiles { archived, metadata, plan });
            }
        }
    }
    Ok(found)
}

/// Batches of one file; nothing more after the first error.
struct Batches {
    object: String,
    reader: Option<ParquetRecordBatchReader>,
}

impl Batches {
    fn open(object: &str, bytes: &Bytes, columns: &[&str]) -> Result<Self, DecodeError> {
        if bytes.len() > HISTORY_FILE_BYTES_MAX {
            let limit = HISTORY_FILE_BYTES_MAX as u64;
            return Err(DecodeError::limit(object, "size in bytes", limit));
        }
        let open = || {
            // Without the writer's Arrow schema every string is `Utf8`, whoever wrote the file.
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let builder =
                ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options)
                    .map_err(|error| DecodeError::damaged(object, KIND, error))?;
            check_size(object, &builder)?;
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
            builder.build().map_err(|error| DecodeError::damaged(object, KIND, error))
        };
        let reader = guarded(object, open)??;
        Ok(Self { object: object.to_owned(), reader: Some(reader) })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        match guarded(&self.object, || reader.next()) {
            Ok(None) => None,
            Ok(Some(Ok(batch))) => {
                self.reader = Some(reader);
                Some(Ok(batch))
            }
            Ok(Some(Err(error))) => Some(Err(DecodeError::damaged(&self.object, KIND, error))),
            Err(error) => Some(Err(error)),
        }
    }
}

fn check_size(
    object: &str,
    builder: &ParquetRecordBatchReaderBuilder<Bytes>,
) -> Result<(), DecodeError> {
    let groups = builder.metadata().row_groups();
    let rows = groups.iter().map(|group| group.num_rows());
    if rows.clone().any(|rows| rows < 0) {
        return Err(DecodeError::damaged(object, KIND, "number of rows is negative"));
    }
    if rows.fold(0, i64::saturating_add) > ROWS_MAX {
        return Err(DecodeError::limit(object, "number of rows", ROWS_MAX.unsigned_abs()));
    }
    let mut columns = groups.iter().flat_map(|group| group.columns());
    if columns.any(|column| column.uncompressed_size() > COLUMN_BYTES_MAX) {
        let limit = COLUMN_BYTES_MAX.unsigned_abs();
        return Err(DecodeError::limit(object, "size of a column in bytes", limit));
    }
    Ok(())
}

/// Runs the Parquet library on bytes that nobody vouches for: a panic is a damaged file.
fn guarded<T>(object: &str, work: impl FnOnce() -> T) -> Result<T, DecodeError> {
    let panicked = |_| DecodeError::damaged(object, KIND, "the Parquet library panicked");
    catch_unwind(AssertUnwindSafe(work)).map_err(panicked)
}

/// The columns of one batch.
struct Rows<'a> {
    object: &'a str,
    batch: &'a RecordBatch,
    count: usize,
}

impl<'a> Rows<'a> {
    fn of(object: &'a str, batch: &'a RecordBatch) -> Result<Self, DecodeError> {
        for name in ["instantTime", "action"] {
            if text_column(batch, name).is_none() {
                let message = format!("it has no text column {name}");
                return Err(DecodeError::damaged(object, KIND, message));
            }
        }
        Ok(Self { object, batch, count: batch.num_rows() })
    }

    fn archived(&self, row: usize) -> Result<Archived, DecodeError> {
        let requested = self.text("instantTime", row).and_then(InstantTime::parse);
        let action = self.text("action", row).and_then(Action::parse);
        let (Some(requested), Some(action)) = (requested, action) else {
            let message = "a row has no instant or no action";
            return Err(DecodeError::damaged(self.object, KIND, message));
        };
        let completion = self.text("completionTime", row).and_then(InstantTime::parse);
        Ok(Archived { requested, completion, action })
    }

    fn text(&self, name: &str, row: usize) -> Option<&str> {
        let column = text_column(self.batch, name)?;
        (row < column.len() && column.is_valid(row)).then(|| column.value(row))
    }

    fn bytes(&self, name: &str, row: usize) -> Bytes {
        let column = self.batch.column_by_name(name).and_then(|column| column.as_binary_opt());
        let value = column.filter(|column: &&arrow_array::BinaryArray| {
            row < column.len() && column.is_valid(row)
        });
        value.map(|column| Bytes::copy_from_slice(column.value(row))).unwrap_or_default()
    }
}

fn text_column<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a arrow_array::StringArray> {
    batch.column_by_name(name)?.as_string_opt()
}

/// Reads arbitrary bytes as a history file, a manifest and a version: for fuzzing.
pub fn parse_bytes(bytes: &[u8]) -> [bool; 3] {
    const OBJECT: &str = "input";
    let file = Bytes::copy_from_slice(bytes);
    [
        for_each(OBJECT, &file, &mut |_| {}).is_ok(),
        parse_manifest(OBJECT, bytes).is_ok(),
        parse_version(OBJECT, bytes).is_ok(),
    ]
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
