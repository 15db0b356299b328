//! Files that a position needs, and the identity of stored objects.

use std::fmt;

use crate::RelPath;

/// One object that must be at the target before a position may be visible there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileRef {
    /// Key below the table root, the same at source and target.
    pub path: RelPath,
    /// Size in bytes as the log states it; `None` where the log does not (deletion vectors).
    pub size_bytes: Option<u64>,
    /// What the file is to the format.
    pub role: Role,
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
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::DeletionVector => "deletion vector",
            Self::ChangeData => "change data",
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
