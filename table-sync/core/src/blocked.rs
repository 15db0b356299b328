//! Why a table waits for a person.

use std::fmt;

use crate::Position;

/// A named reason why a position cannot be published. The last good position stays readable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Blocked {
    /// Stable code for machines.
    pub code: BlockCode,
    /// What is wrong and what to do, for people. Names the table's object where there is one.
    pub message: String,
    /// The first position that cannot be published, where there is one.
    pub position: Option<Position>,
}

impl Blocked {
    /// A reason that concerns no single position.
    pub fn table(code: BlockCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), position: None }
    }

    /// A reason that concerns one position.
    pub fn at(code: BlockCode, position: Position, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), position: Some(position) }
    }
}

macro_rules! block_codes {
    ($($(#[$doc:meta])+ $name:ident => $text:literal,)+) => {
        /// Stable codes of [`Blocked`]; part of the command line's contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum BlockCode { $($(#[$doc])+ $name,)+ }

        impl BlockCode {
            /// Every code, in the order of this list.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as machines read it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

block_codes! {
    /// No table log at this location.
    NotATable => "not_a_table",
    /// The table needs a reader feature that a byte copy cannot carry, or that is unknown.
    UnsupportedReaderFeature => "unsupported_reader_feature",
    /// The table's protocol or layout version is unknown.
    UnsupportedVersion => "unsupported_version",
    /// The log names an object outside the table root.
    ForeignPath => "foreign_path",
    /// The newest commits may exist only in a catalog.
    CatalogManaged => "catalog_managed",
    /// The source no longer holds any whole version at or above what is wanted.
    HistoryLost => "history_lost",
    /// The source's own newest version is not whole.
    SourceDamaged => "source_damaged",
    /// A commit does not parse, and stayed so.
    CommitDamaged => "commit_damaged",
    /// A commit that was published has other bytes at the source now.
    CommitRewritten => "commit_rewritten",
    /// The source's history is not the one that was replicated.
    Rewound => "rewound",
    /// The target holds a commit with other bytes, or something that we did not write.
    Diverged => "diverged",
    /// The target holds a table that this program did not write; it may be adopted.
    ForeignReplica => "foreign_replica",
    /// The target store cannot hold a replica safely.
    UnfitTarget => "unfit_target",
    /// Publishing in place would show some readers a mixture for a moment, which is not allowed.
    V6Window => "v6_window",
    /// A limit of this program was exceeded.
    LimitExceeded => "limit_exceeded",
}

impl fmt::Display for BlockCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for BlockCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
