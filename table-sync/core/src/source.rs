//! The source's side of the seam: what a format crate tells the engine about a table's log.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    Blocked, BoxError, Disposition, FileRef, InstantTime, ObjectIdentity, Planned, Position,
    Publication, RelPath, ReplicaView, SetDigest, Sha256Digest,
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
    /// No single commit: it is to be published as long as the replica does not hold it.
    Independent,
}

/// What a format knows about a view beside what everybody understands. Only the crate that made
/// it looks inside.
pub type Detail = Arc<dyn Any + Send + Sync>;

/// What a log whose commits form a set, not a sequence, knows about commits that it does not list
/// (any more).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitSet {
    /// Commits that left the log in the ordinary way: they count, but can no longer be published
    /// one by one.
    pub archived: BTreeSet<InstantTime>,
    /// Every id below this one is archived, as far as `archived` does not name it.
    pub archived_below: Option<InstantTime>,
    /// Commits that a later one took back (rollback, restore).
    pub retracted: BTreeSet<InstantTime>,
    /// How the log is laid out. A replica with another shape takes nothing but a base.
    pub shape: u32,
    /// A base can take the place of what a replica holds already, in one write.
    pub switchable: bool,
    /// Commits leave the log when later ones come: of what is older than all of it, nothing tells
    /// since when readers see it.
    pub forgets: bool,
    /// Why nothing can be published just now although nobody needs to act, where that is so.
    pub wait: Option<String>,
}

/// One commit that the source's log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitEntry {
    /// Its position.
    pub position: Position,
    /// What it builds on.
    pub follows: Follows,
    /// When the store created the object, or, at a replica, when it became visible there: ms since
    /// the epoch.
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
    /// `None` where each commit follows the one before it.
    pub set: Option<CommitSet>,
    /// For the format that made the view.
    pub detail: Option<Detail>,
}

impl SourceView {
    /// Puts a replica's head where this log sees it: names at a replica may not tell when their
    /// commits completed at the source.
    pub fn place(&self, replica: &mut ReplicaView) {
        let Some(holds) = &replica.holds else { return };
        let held = |at: &Position| at.requested().is_some_and(|id| holds.contains(&id));
        let newest = self.commits.iter().rev().map(|commit| commit.position).find(held);
        replica.head = newest.or(replica.head);
        replica.earliest_readable = replica.earliest_readable.map(|at| self.same(at));
    }

    /// The newest commit of this log that another one holds as well; in a sequence, the other's
    /// head.
    pub fn newest_of(&self, other: &Self) -> Option<Position> {
        if self.set.is_none() {
            return other.head();
        }
        let held: BTreeSet<_> =
            other.commits.iter().filter_map(|commit| commit.position.requested()).collect();
        let mut commits = self.commits.iter().rev().map(|commit| commit.position);
        let common = commits.find(|at| at.requested().is_some_and(|id| held.contains(&id)));
        common.or(other.head())
    }

    /// Where this log sees the commit that another one shows at `position`.
    pub fn same(&self, position: Position) -> Position {
        let Some(id) = position.requested() else { return position };
        let mut commits = self.commits.iter().map(|commit| commit.position);
        commits.find(|at| at.requested() == Some(id)).unwrap_or(position)
    }

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

/// What retirement may take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retire {
    /// Through which position it was done before.
    pub after: Option<Position>,
    /// The oldest position that was current within the retention.
    pub promised: Position,
    /// When the retention began, or an earlier time, on the store's clock: ms since the epoch.
    pub before_ms: i64,
    /// All that had been written by then was visible by then.
    pub complete: bool,
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

    /// Fits a described publication to one target: what the replica holds may ask for other keys,
    /// or for deletes. Called right before the publication is carried out.
    async fn tailor(
        &self,
        view: &SourceView,
        description: &Description,
        replica: &ReplicaView,
    ) -> Result<Publication, SourceError> {
        let _ = (view, replica);
        Ok(description.publication.clone())
    }

    /// How many publications may be carried out before the replica has to be looked at again;
    /// `None` = any number.
    fn round_max(&self, view: &SourceView) -> Option<usize> {
        let _ = view;
        None
    }

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

    /// What a later process needs to tell, by a few requests, whether the log is still as this look
    /// showed it. `None` where a look costs no more, or where something is pending that no commit
    /// will tell of.
    fn mark(&self, view: &SourceView) -> Option<String> {
        let _ = view;
        None
    }

    /// Whether the log is as it was when a mark was made. `false` only says that a look is needed.
    async fn stands(&self, mark: &str) -> Result<bool, SourceError> {
        let _ = mark;
        Ok(false)
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

    /// Objects that only positions below the promised one need: taken out of the table by commits
    /// above `after` and up to `promised`, and needed neither there nor by anything above it.
    ///
    /// A format that cannot tell retires nothing.
    async fn retirable(
        &self,
        view: &SourceView,
        retire: Retire,
    ) -> Result<FileStream, SourceError> {
        let _ = (view, retire);
        Ok(Box::pin(futures::stream::empty()))
    }

    /// When the source may begin to delete what a replica needs that lacks the commit at `oldest`
    /// and all above it: ms since the epoch, by the clock of its store. A moment that lies in the
    /// past says that it may be gone.
    ///
    /// - `now_ms`: the time of day, ms since the epoch.
    /// - `None` where that is not known, or where as things are nothing of it may go.
    ///
    /// Asked only where something is pending; what was read before is not read again.
    async fn deadline_ms(
        &self,
        view: &SourceView,
        oldest: Position,
        now_ms: i64,
    ) -> Result<Option<i64>, SourceError> {
        let _ = (view, oldest, now_ms);
        Ok(None)
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
    /// Publishing now would show some readers a state that never was; a later commit, or the end
    /// of one that is pending, makes it right.
    #[error("{message}")]
    Hold {
        /// What is waited for.
        message: String,
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
            Self::Hold { .. } => Disposition::Yield,
        }
    }
}
