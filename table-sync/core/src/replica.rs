//! The target's side of the seam: what a replica's log says about itself.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::{
    Blocked, BoxError, Detail, Disposition, InstantTime, LogObject, Position, RelPath, Sha256Digest,
};

/// What one look at a replica's log found. Observed, never remembered.
#[derive(Debug, Clone, Default)]
pub struct ReplicaView {
    /// The newest position that every reader opens; `None` while nothing is published.
    pub head: Option<Position>,
    /// Digest of the newest commit object.
    pub fingerprint: Option<Sha256Digest>,
    /// A base that some readers already open while its commit is missing: a publication that was
    /// interrupted and must be finished, or overtaken, before anything else.
    pub unfinished: Option<Position>,
    /// The lowest position that readers can open.
    pub earliest_readable: Option<Position>,
    /// Files that only positions below this one need were removed, as far as it is remembered.
    pub retired_through: Option<Position>,
    /// What [`ReplicaLog::pointer`] found; `None` until it was asked.
    pub pointer: Option<Pointer>,
    /// The objects of the log that were listed.
    pub objects: BTreeMap<RelPath, LogObject>,
    /// Listing started here; `None` = the whole log.
    pub listed_from: Option<Position>,
    /// The commits that readers count, where they form a set; `None` where `head` says it all.
    pub holds: Option<BTreeSet<InstantTime>>,
    /// Where a set begins, if below the oldest commit that the replica holds: readers take what
    /// is older for committed.
    pub floor: Option<InstantTime>,
    /// How a set's log is laid out: see [`crate::CommitSet::shape`].
    pub shape: u32,
    /// For the format that made the view.
    pub detail: Option<Detail>,
}

/// A log's own pointer to a base (`_last_checkpoint`), as it was read. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// The position of the base that it names.
    pub position: Position,
    /// Digest of its bytes.
    pub sha256: Sha256Digest,
}

/// A replica's log, read-only: the engine is the only writer.
#[async_trait]
pub trait ReplicaLog: Send + Sync {
    /// Looks at the log. `hint` is a head that was published here before: it saves listing what
    /// lies below, and is ignored when the log does not show it.
    async fn observe(&self, hint: Option<Hint>) -> Result<ReplicaView, ReplicaError>;

    /// What the log's own pointer to a base says, where the format has one and it parses. Asked
    /// only when objects are to be attached.
    async fn pointer(&self, view: &ReplicaView) -> Result<Option<Pointer>, ReplicaError> {
        let _ = view;
        Ok(None)
    }

    /// The table's own id at the replica's head, where the format has one.
    async fn table_id(&self, view: &ReplicaView) -> Result<Option<String>, ReplicaError>;

    /// As [`crate::SourceLog::mark`], of a replica that lacks nothing.
    fn mark(&self, view: &ReplicaView) -> Option<String> {
        let _ = view;
        None
    }

    /// As [`crate::SourceLog::stands`].
    async fn stands(&self, mark: &str) -> Result<bool, ReplicaError> {
        let _ = mark;
        Ok(false)
    }

    /// In which turn an object goes when the whole replica is deleted. A reader that is still there
    /// fails in the first turn, and is never shown an older state, or half of one.
    fn farewell(&self, key: &str) -> Farewell {
        let _ = key;
        Farewell::Data
    }
}

/// Turns of the objects of a replica that is deleted. Within one they go in the order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Farewell {
    /// Without it nobody opens the table, or only by way of what goes next.
    Entry,
    /// The rest of the log.
    Log,
    /// Everything else.
    Data,
}

impl Farewell {
    /// All turns, in order.
    pub const ALL: [Self; 3] = [Self::Entry, Self::Log, Self::Data];
}

/// What an earlier pass left under `_driftless/` to save a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    /// Head after that pass.
    pub head: Position,
    /// Lowest readable position after that pass.
    pub earliest_readable: Position,
}

/// Why a replica's log could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The log holds what no publication of ours leaves behind.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// The store failed.
    #[error("read {path} at the target")]
    Io {
        /// Key or folder below the table root.
        path: String,
        /// The store's error.
        source: BoxError,
    },
}

impl ReplicaError {
    /// What the caller does next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Blocked(_) => Disposition::Halt,
            Self::Io { .. } => Disposition::Retry,
        }
    }
}
