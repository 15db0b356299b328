//! Names of timeline files, in both layouts.
//!
//! A name is taken literally. Whatever else lies in a timeline folder (`hoodie.properties`, its
//! backup, `<name>.<uuid>` of an interrupted write, `.crc`, folders) is `None`, never an error.
//!
//! # Invariants
//! - `InstantName::parse(&name.to_string(), name.layout) == Some(name)`.
//! - An action without a known name is kept by its name: the caller decides what it may mean.
//!
//! Source: Hudi `InstantFileNameParserV1`, `InstantFileNameParserV2`, `InstantComparatorV2`,
//! `TimelineLayout`.

use std::fmt;

use table_sync_core::InstantTime;

/// How a timeline lays out its files: `hoodie.timeline.layout.version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// Directly in `.hoodie/`; completed instants have no completion time. Table versions to 7.
    V1,
    /// In a folder of its own; completed instants are `<requested>_<completion>.<action>`.
    V2,
}

/// How far an instant has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Planned.
    Requested,
    /// Running, or abandoned.
    Inflight,
    /// Done: what it wrote is part of the table.
    Completed,
}

/// What an instant does to its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Writes base files; also a completed compaction.
    Commit,
    /// Writes log files, or base files of new file groups; also a completed log compaction.
    DeltaCommit,
    /// Writes base files and hides file groups; also a completed clustering.
    ReplaceCommit,
    /// Pending rewrite of small files. Completes as [`Action::ReplaceCommit`].
    Clustering,
    /// Pending merge of logs into base files. Completes as [`Action::Commit`].
    Compaction,
    /// Pending merge of log blocks. Completes as [`Action::DeltaCommit`].
    LogCompaction,
    /// Deletes files that no retained instant needs.
    Clean,
    /// Undoes a failed or completed instant.
    Rollback,
    /// Undoes every instant after a savepoint.
    Restore,
    /// Keeps an instant's files from the cleaner. Has no requested state.
    Savepoint,
    /// Builds a partition of the metadata table.
    Indexing,
    /// Changes the schema; lies in `.hoodie/.schema/`.
    SchemaCommit,
    /// A name that this program does not know.
    Unknown(Box<str>),
}

impl Action {
    /// Takes an action's name: any word of letters, digits and underscores.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "commit" => Self::Commit,
            "deltacommit" => Self::DeltaCommit,
            "replacecommit" => Self::ReplaceCommit,
            "clustering" => Self::Clustering,
            "compaction" => Self::Compaction,
            "logcompaction" => Self::LogCompaction,
            "clean" => Self::Clean,
            "rollback" => Self::Rollback,
            "restore" => Self::Restore,
            "savepoint" => Self::Savepoint,
            "indexing" => Self::Indexing,
            "schemacommit" => Self::SchemaCommit,
            // Names of states: `<t>.requested` belongs to no action.
            REQUESTED | INFLIGHT | "crc" | "" => return None,
            other if other.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                Self::Unknown(other.into())
            }
            _ => return None,
        })
    }

    /// The name as timelines write it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Commit => "commit",
            Self::DeltaCommit => "deltacommit",
            Self::ReplaceCommit => "replacecommit",
            Self::Clustering => "clustering",
            Self::Compaction => "compaction",
            Self::LogCompaction => "logcompaction",
            Self::Clean => "clean",
            Self::Rollback => "rollback",
            Self::Restore => "restore",
            Self::Savepoint => "savepoint",
            Self::Indexing => "indexing",
            Self::SchemaCommit => "schemacommit",
            Self::Unknown(name) => name,
        }
    }

    /// The action under which it completes. Two files with one time and one comparable action
    /// are states of one instant.
    pub fn comparable(&self) -> Self {
        match self {
            Self::Compaction => Self::Commit,
            Self::LogCompaction => Self::DeltaCommit,
            Self::Clustering => Self::ReplaceCommit,
            other => other.clone(),
        }
    }

    /// Whether it writes or hides data files, so that a snapshot changes with it.
    pub fn writes_data(&self) -> bool {
        let comparable = self.comparable();
        matches!(comparable, Self::Commit | Self::DeltaCommit | Self::ReplaceCommit)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const REQUESTED: &str = "requested";
const INFLIGHT: &str = "inflight";

/// One file of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstantName {
    /// The instant's id.
    pub requested: InstantTime,
    /// When it completed; `None` for pending instants, in layout 1, and for legacy files that an
    /// upgrade left in layout 2 (there it is the object's last modification).
    pub completion: Option<InstantTime>,
    /// What it does.
    pub action: Action,
    /// How far it has come.
    pub state: State,
    /// The layout that the name belongs to.
    pub layout: Layout,
}

impl InstantName {
    /// Parses a file name (no folder) of a timeline.
    pub fn parse(file_name: &str, layout: Layout) -> Option<Self> {
        let mut parts = file_name.split('.');
        let (times, first, second) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        let (action, state) = match (first, second) {
            (INFLIGHT, None) => (Action::Commit, State::Inflight),
            (name, None) => (Action::parse(name)?, State::Completed),
            (name, Some(REQUESTED)) => (Action::parse(name)?, State::Requested),
            // A commit in flight has no action in its name.
            ("commit", Some(INFLIGHT)) => return None,
            (name, Some(INFLIGHT)) => (Action::parse(name)?, State::Inflight),
            (_, Some(_)) => return None,
        };
        let (requested, completion) = match times.split_once('_') {
            None => (InstantTime::parse(times)?, None),
            Some((requested, completion)) => {
                if state != State::Completed || layout == Layout::V1 {
                    return None;
                }
                (InstantTime::parse(requested)?, Some(InstantTime::parse(completion)?))
            }
        };
        Some(Self { requested, completion, action, state, layout })
    }

    /// Whether a release before 1.0 completed it and an upgrade left it as it was: its metadata
    /// is JSON, its completion time is the object's last modification.
    pub fn is_legacy(&self) -> bool {
        let untimed = self.state == State::Completed && self.completion.is_none();
        untimed && self.layout == Layout::V2
    }

    /// What two states of one instant have in common.
    pub fn key(&self) -> (InstantTime, Action) {
        (self.requested, self.action.comparable())
    }
}

impl fmt::Display for InstantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.requested)?;
        if let Some(completion) = self.completion {
            write!(f, "_{completion}")?;
        }
        match (self.state, &self.action) {
            (State::Completed, action) => write!(f, ".{action}"),
            (State::Requested, action) => write!(f, ".{action}.{REQUESTED}"),
            (State::Inflight, Action::Commit) => write!(f, ".{INFLIGHT}"),
            (State::Inflight, action) => write!(f, ".{action}.{INFLIGHT}"),
        }
    }
}

/// Keeps the furthest state of each instant: a plan that was left beside its completed file says
/// nothing more. Ascending by time.
///
/// Source: Hudi `TimelineLayout.filterHoodieInstants`.
pub fn furthest<T>(mut found: Vec<T>, name: impl Fn(&T) -> &InstantName) -> Vec<T> {
    // Within one instant the furthest first; of two that are as far, the lesser name.
    found.sort_by(|a, b| {
        let (a, b) = (name(a), name(b));
        let rank = |name: &InstantName| (name.state, name.completion);
        a.requested
            .cmp(&b.requested)
            .then_with(|| a.action.comparable().cmp(&b.action.comparable()))
            .then_with(|| rank(b).cmp(&rank(a)))
            .then_with(|| a.cmp(b))
    });
    found.dedup_by(|next, kept| name(next).key() == name(kept).key());
    found
}

/// Parses arbitrary bytes as a name of either layout: for fuzzing.
pub fn parse_bytes(bytes: &[u8]) -> Option<InstantName> {
    let text = std::str::from_utf8(bytes).ok()?;
    InstantName::parse(text, Layout::V2).or_else(|| InstantName::parse(text, Layout::V1))
}

#[cfg(test)]
#[path = "instant_tests.rs"]
mod tests;
