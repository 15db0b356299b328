//! Why the bytes of a timeline do not give what they should.

use table_sync_core::PathError;

/// An object of a timeline that could not be decoded. `object` is the name that the caller gave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Cut short, damaged, or written by something else. May be a write in progress.
    #[error("decode {object} as {kind}: {message}; read it again, then restore it at the source")]
    Damaged {
        /// Name of the object.
        object: String,
        /// What it should be.
        kind: &'static str,
        /// Where and why, without a trailing full stop.
        message: String,
    },
    /// Names a file that is not below the table's root.
    #[error(
        "read file names of {object}: {path:?} is not a file of the table; \
         rewrite the table with paths below its root"
    )]
    ForeignPath {
        /// Name of the object.
        object: String,
        /// The name, shortened.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// Names a file of the table's metadata as one of its data.
    #[error(
        "read file names of {object}: {path:?} lies in the metadata folder; \
         repair the commit at the source"
    )]
    ReservedPath {
        /// Name of the object.
        object: String,
        /// The name, shortened.
        path: String,
    },
    /// Larger than this program reads.
    #[error("read {object}: {what} exceeds {limit}; raise the limit or rewrite the object")]
    LimitExceeded {
        /// Name of the object.
        object: String,
        /// What was measured.
        what: &'static str,
        /// The limit, in the unit of `what`.
        limit: u64,
    },
}

impl DecodeError {
    pub(crate) fn damaged(object: &str, kind: &'static str, message: impl ToString) -> Self {
        Self::Damaged { object: object.to_owned(), kind, message: message.to_string() }
    }

    pub(crate) fn foreign(object: &str, path: &str, source: PathError) -> Self {
        Self::ForeignPath { object: object.to_owned(), path: shortened(path), source }
    }

    pub(crate) fn reserved(object: &str, path: &str) -> Self {
        Self::ReservedPath { object: object.to_owned(), path: shortened(path) }
    }

    pub(crate) fn limit(object: &str, what: &'static str, limit: u64) -> Self {
        Self::LimitExceeded { object: object.to_owned(), what, limit }
    }
}

/// Most characters of a foreign path that an error repeats.
const SHOWN_CHARS_MAX: usize = 120;

fn shortened(path: &str) -> String {
    path.chars().take(SHOWN_CHARS_MAX).collect()
}
