//! Files that a position needs, and the identity of stored objects.

use std::fmt;

use crate::RelPath;

/// One object that must be at the target before a position may be visible there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileRef {
    /// The root that `path` is below.
    pub place: Place,
    /// Key below that root, the same at source and target.
    pub path: RelPath,
    /// Size in bytes as the log states it; `None` where the log does not (deletion vectors).
    pub size_bytes: Option<u64>,
    /// What the file is to the format.
    pub role: Role,
}

impl FileRef {
    /// What tells the file's object from every other object that the table needs.
    pub fn key(&self) -> FileKey {
        FileKey { place: self.place, path: self.path.clone() }
    }
}

/// The root that a file lies below.
///
/// Nothing but the table's own root and roots that a person declared is ever read or written,
/// whatever a log says; so a place is an index of a declaration, never text of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The table's own root.
    #[default]
    Table,
    /// The alias root that was declared at this index: files of another table, which this one
    /// only refers to. They are never retired and never overwritten.
    Alias(u8),
}

/// An object of a table: its root, and its key below that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The root.
    pub place: Place,
    /// Key below it.
    pub path: RelPath,
}

impl FileKey {
    /// A key below the table's own root.
    pub fn of_table(path: RelPath) -> Self {
        Self { place: Place::Table, path }
    }
}

/// What a file is to its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Rows.
    Data,
    /// Marks of deleted rows; several may share one file.
    DeletionVector,
    /// Rows of a change feed. Snapshots do not need it, so losing it loses only the feed.
    ChangeData,
    /// Changes that readers merge into a base file.
    Log,
    /// What makes a folder a partition to engines that list storage.
    PartitionMetadata,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::DeletionVector => "deletion vector",
            Self::ChangeData => "change data",
            Self::Log => "log",
            Self::PartitionMetadata => "partition metadata",
        })
    }
}

/// What tells one content of a key from another: the store's ETag, and its version where it has
/// one (a GCS generation, an S3 version id).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectIdentity {
    /// ETag as the store spells it, with its quotes.
    pub e_tag: Option<String>,
    /// Store version or generation.
    pub version: Option<String>,
    /// Size in bytes.
    pub size_bytes: u64,
}

impl ObjectIdentity {
    /// Whether an object that was read is the one that was seen: not every server heeds
    /// `If-Match`, and some spell one tag in two ways.
    pub fn is_same(&self, read: &Self) -> bool {
        let tag = |tag: &str| tag.trim_start_matches("W/").trim_matches('"').to_owned();
        let same_tag = match (&self.e_tag, &read.e_tag) {
            (Some(seen), Some(read)) => tag(seen) == tag(read),
            _ => true,
        };
        same_tag && self.size_bytes == read.size_bytes
    }
}
