//! Errors of reads and writes, and what each asks for.

use table_sync_core::{BoxError, Disposition};

/// Why an object was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No object has this key.
    #[error("find {key}")]
    NotFound {
        /// Key below the store root.
        key: String,
    },
    /// The key holds another object than the pinned one, or changed while it was read.
    #[error("read {key}: the object is not the one that was observed")]
    Changed {
        /// Key below the store root.
        key: String,
    },
    /// The store refuses these credentials.
    #[error("read {key}: access denied; check the credentials and their permissions")]
    Denied {
        /// Key below the store root.
        key: String,
        /// What the store said.
        source: BoxError,
    },
    /// The store asks to slow down.
    #[error("read {key}: the store throttles")]
    Throttled {
        /// Key below the store root.
        key: String,
        /// What the store said.
        source: BoxError,
    },
    /// The object is larger than the caller takes.
    #[error("read {key}: {object_bytes} bytes are more than the limit of {bytes_max}")]
    TooLarge {
        /// Key below the store root.
        key: String,
        /// Size of the object, bytes.
        object_bytes: u64,
        /// The limit, bytes.
        bytes_max: u64,
    },
    /// The key is not one that can be confined to the store root.
    #[error("read {key:?}: not a key below the store root")]
    BadKey {
        /// The key as given.
        key: String,
        /// What is wrong with it.
        source: BoxError,
    },
    /// Anything else: the network, a server error, a local disk.
    #[error("read {key}")]
    Io {
        /// Key below the store root.
        key: String,
        /// The cause.
        source: BoxError,
    },
}

impl ReadError {
    /// What the caller does next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::NotFound { .. } | Self::Changed { .. } => Disposition::Replan,
            Self::Denied { .. } | Self::TooLarge { .. } | Self::BadKey { .. } => Disposition::Halt,
            Self::Throttled { .. } | Self::Io { .. } => Disposition::Retry,
        }
    }

    pub(crate) fn io(key: &str, source: impl Into<BoxError>) -> Self {
        Self::Io { key: key.to_owned(), source: source.into() }
    }

    pub(crate) fn changed(key: &str) -> Self {
        Self::Changed { key: key.to_owned() }
    }

    pub(crate) fn not_found(key: &str) -> Self {
        Self::NotFound { key: key.to_owned() }
    }
}

/// Why an object was not written, or not certainly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Create-if-absent found an object at the key.
    #[error("create {key}: it exists already")]
    Exists {
        /// Key below the store root.
        key: String,
    },
    /// The key holds another object than the expected one, or none.
    #[error("write {key}: the object is not the one that was observed")]
    Changed {
        /// Key below the store root.
        key: String,
    },
    /// The store refused: certainly not applied.
    #[error("write {key}")]
    Refused {
        /// Key below the store root.
        key: String,
        /// What the store said.
        source: BoxError,
    },
    /// The answer was lost: the write may be applied. Read back before doing anything else.
    #[error("write {key}, outcome unknown")]
    Unknown {
        /// Key below the store root.
        key: String,
        /// The cause.
        source: BoxError,
    },
    /// The store refuses these credentials. Not applied.
    #[error("write {key}: access denied; check the credentials and their permissions")]
    Denied {
        /// Key below the store root.
        key: String,
        /// What the store said.
        source: BoxError,
    },
    /// The body failed, ended early or ran over: nothing was committed.
    #[error("read the bytes to write")]
    Body {
        /// The error that the body gave.
        source: BoxError,
    },
    /// More bytes than the store takes in one object, or in one request where one is needed.
    #[error("write {key}: {size_bytes} bytes are more than the limit of {bytes_max}")]
    TooLarge {
        /// Key below the store root.
        key: String,
        /// Size of the body, bytes.
        size_bytes: u64,
        /// The limit, bytes.
        bytes_max: u64,
    },
}

impl WriteError {
    /// What the caller does next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Exists { .. } | Self::Changed { .. } | Self::Unknown { .. } => {
                Disposition::Replan
            }
            Self::Refused { .. } | Self::Body { .. } => Disposition::Retry,
            Self::Denied { .. } | Self::TooLarge { .. } => Disposition::Halt,
        }
    }

    pub(crate) fn refused(key: &str, source: impl Into<BoxError>) -> Self {
        Self::Refused { key: key.to_owned(), source: source.into() }
    }

    pub(crate) fn unknown(key: &str, source: impl Into<BoxError>) -> Self {
        Self::Unknown { key: key.to_owned(), source: source.into() }
    }

    pub(crate) fn exists(key: &str) -> Self {
        Self::Exists { key: key.to_owned() }
    }

    pub(crate) fn changed(key: &str) -> Self {
        Self::Changed { key: key.to_owned() }
    }
}

/// A body that is not as long as announced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LengthError {
    #[error("the body ended after {found} of {expected} bytes")]
    Short { found: u64, expected: u64 },
    #[error("the body holds more than the announced {expected} bytes")]
    Long { expected: u64 },
}
