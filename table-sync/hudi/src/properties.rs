//! `hoodie.properties`: what a table is, and the edits that its replica needs.
//!
//! # Invariants
//! - Bytes that no edit names stay as they are: order, comments, escapes, line ends.
//! - The checksum of an edited text is valid where the text had one: it covers only
//!   `<database>.<table>`, so only an edit of those two keys changes it.
//! - Of a key that comes twice the last line counts, as in `java.util.Properties`.
//!
//! Source: Hudi `HoodieTableConfig`; `java.util.Properties.load`, `store`.

mod table;
mod text;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::error::DecodeError;
pub use table::{TableConfig, TableType};
use text::LogicalLine;

/// File name of the properties below the metadata folder.
pub const FILE_NAME: &str = "hoodie.properties";

/// Folder of a table's metadata below its root.
pub const METADATA_FOLDER: &str = ".hoodie";

/// Largest properties file that is read, in bytes. A create schema of thousands of columns takes
/// some hundred KiB.
pub const PROPERTIES_BYTES_MAX: usize = 4 << 20;

/// Keys that a replica may set, drop or change: they say how a copy is read, not what it holds.
pub const TARGET_SIDE_KEYS: [&str; 5] = [
    key::METADATA_PARTITIONS,
    key::METADATA_PARTITIONS_INFLIGHT,
    key::TIMELINE_PATH,
    key::INDEX_DEFS_PATH,
    key::CHECKSUM,
];

/// Names of the properties that replication looks at.
pub mod key {
    /// Table version.
    pub const VERSION: &str = "hoodie.table.version";
    /// `COPY_ON_WRITE` or `MERGE_ON_READ`.
    pub const TYPE: &str = "hoodie.table.type";
    /// Name of the table.
    pub const NAME: &str = "hoodie.table.name";
    /// Name of its database.
    pub const DATABASE: &str = "hoodie.database.name";
    /// CRC-32 of `<database>.<table>`.
    pub const CHECKSUM: &str = "hoodie.table.checksum";
    /// Version of the timeline's layout.
    pub const LAYOUT_VERSION: &str = "hoodie.timeline.layout.version";
    /// Folder of the active timeline below `.hoodie`, layout 2.
    pub const TIMELINE_PATH: &str = "hoodie.timeline.path";
    /// Folder of the history below the timeline, layout 2.
    pub const HISTORY_PATH: &str = "hoodie.timeline.history.path";
    /// Folder of the archive below `.hoodie`, layout 1.
    pub const ARCHIVE_FOLDER: &str = "hoodie.archivelog.folder";
    /// Partitions of the metadata table that readers may use.
    pub const METADATA_PARTITIONS: &str = "hoodie.table.metadata.partitions";
    /// Partitions of the metadata table that are being built.
    pub const METADATA_PARTITIONS_INFLIGHT: &str = "hoodie.table.metadata.partitions.inflight";
    /// Where the index definitions lie.
    pub const INDEX_DEFS_PATH: &str = "hoodie.table.index.defs.path";
    /// Columns by which the table is partitioned.
    pub const PARTITION_FIELDS: &str = "hoodie.table.partition.fields";
    /// Columns that make the record key.
    pub const RECORD_KEY_FIELDS: &str = "hoodie.table.recordkey.fields";
    /// Class of the key generator.
    pub const KEY_GENERATOR_CLASS: &str = "hoodie.table.keygenerator.class";
    /// Type of the key generator, table version 8 and later.
    pub const KEY_GENERATOR_TYPE: &str = "hoodie.table.keygenerator.type";
    /// How records of one key merge, table version 8 and later.
    pub const MERGE_MODE: &str = "hoodie.record.merge.mode";
    /// Class that merges records of one key.
    pub const PAYLOAD_CLASS: &str = "hoodie.compaction.payload.class";
    /// Column that orders records of one key, to table version 8.
    pub const PRECOMBINE_FIELD: &str = "hoodie.table.precombine.field";
    /// Columns that order records of one key, table version 9.
    pub const ORDERING_FIELDS: &str = "hoodie.table.ordering.fields";
    /// Where the rows of a bootstrap table lie.
    pub const BOOTSTRAP_BASE_PATH: &str = "hoodie.bootstrap.base.path";
    /// Whether data files leave out the partition columns.
    pub const DROP_PARTITION_COLUMNS: &str = "hoodie.datasource.write.drop.partition.columns";
    /// Whether partition folders are `column=value`.
    pub const HIVE_STYLE: &str = "hoodie.datasource.write.hive_style_partitioning";
    /// Whether partition folders are percent-encoded values.
    pub const URL_ENCODE: &str = "hoodie.datasource.write.partitionpath.urlencode";
    /// Whether writers keep a change feed.
    pub const CDC_ENABLED: &str = "hoodie.table.cdc.enabled";
    /// Zone of the timeline's instants: `LOCAL` or `UTC`.
    pub const TIMEZONE: &str = "hoodie.table.timeline.timezone";
    /// Format of base files.
    pub const BASE_FILE_FORMAT: &str = "hoodie.table.base.file.format";
    /// Whether partition metadata is a base file.
    pub const PARTITION_METAFILE_USE_BASE_FORMAT: &str =
        "hoodie.partition.metafile.use.base.format";
}

/// A properties text, and what its lines say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    bytes: Bytes,
    entries: Vec<Entry>,
}

/// One line with a key. A line that goes on in the next counts as one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    key: String,
    value: String,
    /// With its line end.
    range: Range<usize>,
    /// Where its line end starts.
    end: usize,
}

/// What the checksum of a properties text says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// There is none, as before table version 4.
    Absent,
    /// It is that of the table's name.
    Valid,
    /// It is another one, no number, or the table has no name: the text is damaged.
    Invalid,
}

impl Properties {
    /// Reads a properties text. `object` names it in errors.
    ///
    /// # Errors
    /// [`DecodeError`] for a malformed Unicode escape, which Java refuses as well, and for a text
    /// above [`PROPERTIES_BYTES_MAX`].
    pub fn parse(object: &str, bytes: &Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > PROPERTIES_BYTES_MAX {
            let limit = PROPERTIES_BYTES_MAX as u64;
            return Err(DecodeError::limit(object, "size in bytes", limit));
        }
        let mut entries = Vec::new();
        for line in text::lines(bytes) {
            let LogicalLine { range, end, text } = line;
            let (key, value) = text::key_value(&text).map_err(|error| {
                let message = format!("{error} at byte {}", range.start);
                DecodeError::damaged(object, "properties", message)
            })?;
            entries.push(Entry { key, value, range, end });
        }
        Ok(Self { bytes: bytes.clone(), entries })
    }

    /// The text as it was read.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut entries = self.entries.iter().rev();
        entries.find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// Keys and values, without lines that a later line supersedes.
    pub fn to_map(&self) -> BTreeMap<&str, &str> {
        let entries = self.entries.iter();
        entries.map(|entry| (entry.key.as_str(), entry.value.as_str())).collect()
    }

    /// What the table is, apart from how a copy of it is read: compare replica and source, or two
    /// states of a source, by this.
    pub fn meaning(&self) -> BTreeMap<&str, &str> {
        let mut map = self.to_map();
        map.retain(|key, _| !TARGET_SIDE_KEYS.contains(key));
        map
    }

    /// The typed view.
    pub fn table(&self) -> TableConfig<'_> {
        TableConfig::new(self)
    }

    /// Compares the checksum with the table's name.
    ///
    /// Source: Hudi `HoodieTableConfig.validateChecksum`.
    pub fn checksum(&self) -> Checksum {
        let Some(stated) = self.get(key::CHECKSUM) else {
            return Checksum::Absent;
        };
        let Some(name) = self.get(key::NAME) else {
            return Checksum::Invalid;
        };
        let expected = checksum(self.get(key::DATABASE).unwrap_or_default(), name);
        match stated.parse::<i64>() {
            Ok(stated) if stated == i64::from(expected) => Checksum::Valid,
            _ => Checksum::Invalid,
        }
    }

    /// The text without the keys of `remove` and with the keys and values of `set`, which come
    /// last where they are new. A key in both is set. A line that already says it stays.
    pub fn edit(&self, remove: &[&str], set: &[(&str, &str)]) -> Bytes {
        let mut set: BTreeMap<&str, String> =
            set.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        if let Some(checksum) = self.checksum_after(remove, &set) {
            set.insert(key::CHECKSUM, checksum);
        }
        let mut last = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            last.insert(entry.key.as_str(), index);
        }
        let mut edited = Vec::with_capacity(self.bytes.len());
        let mut copied = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            let wanted = set.get(entry.key.as_str());
            let is_last = last.get(entry.key.as_str()) == Some(&index);
            let touched = wanted.is_some() || remove.contains(&entry.key.as_str());
            if !touched || (is_last && wanted == Some(&entry.value)) {
                continue;
            }
            edited.extend_from_slice(self.slice(copied..entry.range.start));
            copied = entry.range.end;
            if let (true, Some(value)) = (is_last, wanted) {
                text::write_line(&mut edited, &entry.key, value);
                edited.extend_from_slice(self.slice(entry.end..entry.range.end));
            }
        }
        edited.extend_from_slice(self.slice(copied..self.bytes.len()));
        for (key, value) in set.iter().filter(|(key, _)| !last.contains_key(*key)) {
            text::end_line(&mut edited);
            text::write_line(&mut edited, key, value);
            edited.push(b'\n');
        }
        edited.into()
    }

    /// The checksum to write when an edit renames the table, or restores its checksum.
    fn checksum_after(&self, remove: &[&str], set: &BTreeMap<&str, String>) -> Option<String> {
        let named = |key: &str| set.contains_key(key) || remove.contains(&key);
        let renamed = named(key::NAME) || named(key::DATABASE);
        if !renamed || named(key::CHECKSUM) || self.get(key::CHECKSUM).is_none() {
            return None;
        }
        let after = |key: &str| match set.get(key) {
            Some(value) => Some(value.as_str()),
            None if remove.contains(&key) => None,
            None => self.get(key),
        };
        let database = after(key::DATABASE).unwrap_or_default();
        Some(checksum(database, after(key::NAME)?).to_string())
    }

    fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }
}

/// Checksum of a table's name.
///
/// Source: Hudi `HoodieTableConfig.generateChecksum`, `BinaryUtil.generateChecksum`.
pub fn checksum(database: &str, table: &str) -> u32 {
    crc32(format!("{database}.{table}").as_bytes())
}

/// CRC-32 as in zlib and `java.util.zip.CRC32`, bit by bit: its inputs are names.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (POLYNOMIAL * carry);
        }
    }
    !crc
}

/// Parses arbitrary bytes: for fuzzing.
///
/// # Errors
/// As [`Properties::parse`].
pub fn parse_bytes(bytes: &[u8]) -> Result<Properties, DecodeError> {
    Properties::parse(FILE_NAME, &Bytes::copy_from_slice(bytes))
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
