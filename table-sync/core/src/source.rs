//! The source's side of the seam: what a format crate tells the engine about a table's log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    Blocked, BoxError, Disposition, FileRef, ObjectIdentity, Planned, Position, Publication,
    RelPath, ReplicaView, SetDigest, Sha256Digest,
};

/// Files of a position, in chunks of bounded size. Order and repetition carry no meaning.
pub type FileStream = BoxStream<'static, Result<Vec<FileRef>, SourceError>>;

/// What a commit builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// Nothing: it is the first of its log.
    Origin,
    /// The commit at this position.
    Position(Position),
}

/// One commit that the source's log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitEntry {
    /// Its position.
    pub position: Position,
    /// What it builds on.
    pub follows: Follows,
    /// When the store created the object, ms since the epoch.
    pub committed_ms: i64,
}

/// One base: a state that readers open without the commits below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseEntry {
    /// The position that a jump to this base makes visible.
    pub position: Position,
}

/// One object of a log, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogObject {
    /// ETag, version and size.
    pub identity: ObjectIdentity,
    /// Last modification, ms since the epoch.
    pub modified_ms: i64,
}

/// What one look at the source's log found.
#[derive(Debug, Clone, Default)]
pub struct SourceView {
    /// Commits, ascending by position. Holes are visible as a `follows` that is not there.
    pub commits: Vec<CommitEntry>,
    /// Complete bases, ascending by position.
    pub bases: Vec<BaseEntry>,
    /// The objects of the log that were listed.
    pub objects: BTreeMap<RelPath, LogObject>,
    /// Listing started here; `None` = the whole log.
    pub listed_from: Option<Position>,
}

impl SourceView {
    /// The newest position that the source shows, by commit or by base.
    pub fn head(&self) -> Option<Position> {
        let commit = self.commits.last().map(|commit| commit.position);
        let base = self.bases.last().map(|base| base.position);
        commit.max(base)
    }
}

/// One publication, and how to stream what it needs.
#[derive(Clone)]
pub struct Description {
    /// The writes.
    pub publication: Publication,
    /// Streams the files that must be at the target first. May be called again.
    pub needs: Arc<dyn Fn() -> FileStream + Send + Sync>,
    /// The commit object as it was read, so that it can be looked at again before publishing.
    pub seen: Option<SeenCommit>,
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Description")
            .field("publication", &self.publication)
            .finish_non_exhaustive()
    }
}

/// A commit object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenCommit {
    /// Its position.
    pub position: Position,
    /// Digest of its bytes.
    pub sha256: Sha256Digest,
    /// Its identity at the source.
    pub identity: ObjectIdentity,
}

/// Objects that came after their commit, ready to be attached at a target.
#[derive(Debug, Default)]
pub struct Late {
    /// Publications of kind `Attach`, in order.
    pub publications: Vec<Publication>,
    /// What was held back, and why. For people.
    pub warnings: Vec<String>,
}

/// A table's log at the source, read-only. Implementations describe; they never write.
#[async_trait]
pub trait SourceLog: Send + Sync {
    /// The format's name as reports show it: `delta`, `hudi`.
    fn format(&self) -> &'static str;

    /// Looks at the log. With `after`, positions well below it may be left out.
    async fn observe(&self, after: Option<Position>) -> Result<SourceView, SourceError>;

    /// Reads one planned position and describes its publication. Each object is read once.
    async fn describe(
        &self,
        view: &SourceView,
        planned: &Planned,
    ) -> Result<Description, SourceError>;

    /// Objects derived from positions up to `through` that the source has and the replica lacks,
    /// each read and checked against the state it claims to hold.
    async fn late(
        &self,
        view: &SourceView,
        replica: &ReplicaView,
        through: Position,
    ) -> Result<Late, SourceError>;

    /// Reads a commit object's digest and identity; `None` where the source has none (any more).
    async fn commit(&self, position: Position) -> Result<Option<SeenCommit>, SourceError>;

    /// Whether a commit after `head` may have appeared: one cheap request, for polling between
    /// looks. Answers `true` where the format cannot tell.
    async fn moved_past(&self, head: Position) -> Result<bool, SourceError> {
        let _ = head;
        Ok(true)
    }

    /// Whether the commit object is still the one that was read.
    async fn unchanged(&self, seen: &SeenCommit) -> Result<bool, SourceError>;

    /// The table's own id at a position, where the format has one.
    async fn table_id(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<Option<String>, SourceError>;

    /// Whether the file is still part of the newest snapshot, given that `since` needed it.
    async fn live_at_head(
        &self,
        view: &SourceView,
        file: &FileRef,
        since: Position,
    ) -> Result<bool, SourceError>;

    /// The files that are live at a position, without change data.
    async fn live_files(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<FileStream, SourceError>;

    /// Files that only positions below `promised` need: taken out of the table by commits above
    /// `after` and up to `promised`, and needed neither by `promised` nor by anything above it.
    ///
    /// A format that cannot tell retires nothing.
    async fn retirable(
        &self,
        view: &SourceView,
        after: Option<Position>,
        promised: Position,
    ) -> Result<FileStream, SourceError> {
        let _ = (view, after, promised);
        Ok(Box::pin(futures::stream::empty()))
    }

    /// Digest of the live file set at a position, deletion vectors included.
    async fn live_digest(
        &self,
        view: &SourceView,
        position: Position,
    ) -> Result<SetDigest, SourceError>;
}

/// Why a log could not be read or described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A person must decide.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// An object that the log names, or a part of the log itself, is not there.
    #[error("{path} is missing at the source")]
    Missing {
        /// Key below the table root.
        path: RelPath,
    },
    /// An object changed while it was read.
    #[error("{path} changed at the source while it was read")]
    Changed {
        /// Key below the table root.
        path: RelPath,
    },
    /// A commit does not parse: cut short, or still being written.
    #[error("commit {position} does not parse: {message}")]
    Damaged {
        /// The commit.
        position: Position,
        /// Where and why.
        message: String,
        /// Last modification of the object, ms since the epoch.
        modified_ms: i64,
    },
    /// The store failed.
    #[error("read {path} at the source")]
    Io {
        /// Key or folder below the table root.
        path: String,
        /// The store's error.
        source: BoxError,
    },
}

impl SourceError {
    /// What the caller does next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Blocked(_) => Disposition::Halt,
            Self::Missing { .. } | Self::Changed { .. } => Disposition::Replan,
            Self::Damaged { .. } | Self::Io { .. } => Disposition::Retry,
        }
    }
}
