//! What a pass did, per target.

use std::fmt;

use table_sync_core::{Blocked, Position, TableState, with_causes};

use crate::{Pending, Receipt, WindowReport};

/// One pass over one table.
#[derive(Debug, Clone)]
pub struct PassReport {
    /// The source's URL.
    pub source: String,
    /// The table format.
    pub format: &'static str,
    /// The newest position seen at the source; `None` when it could not be observed.
    pub source_head: Option<Position>,
    /// When that was committed, on the source's clock: ms since the epoch. `None` where the source
    /// shows a base but no commit.
    pub source_head_ms: Option<i64>,
    /// One for each target, in the order given.
    pub targets: Vec<TargetReport>,
}

/// What one pass did at one target.
#[derive(Debug, Clone)]
pub struct TargetReport {
    /// The target's URL.
    pub target: String,
    /// The replica's head before the pass.
    pub start: Option<Position>,
    /// The replica's head after the pass.
    pub head: Option<Position>,
    /// The lowest position that readers can open.
    pub earliest_readable: Option<Position>,
    /// Positions that this pass made visible, in order.
    pub published: Vec<Position>,
    /// Those of them that were reached by a jump from an older head: a gap in time travel.
    pub jumped: Vec<Position>,
    /// One for each of `published`, in order.
    pub receipts: Vec<Receipt>,
    /// When the head after the pass was committed, on the source's clock: ms since the epoch.
    /// `None` where the source was not observed or does not list it.
    pub head_committed_ms: Option<i64>,
    /// What the source holds above that head; `None` where it is not known.
    pub pending: Option<Pending>,
    /// When the source may begin to delete what is pending, ms since the epoch; `None` where that
    /// is not known, or nothing of it may go as things are.
    pub deadline_ms: Option<i64>,
    /// The epoch of the owner that the replica's descriptor names; `None` where there is no
    /// descriptor, or it was not read.
    pub epoch: Option<u64>,
    /// Files copied.
    pub copied_files: u64,
    /// Bytes copied.
    pub copied_bytes: u64,
    /// Files that were there already, verified.
    pub skipped_files: u64,
    /// Files removed because no promised version needs them.
    pub retired_files: u64,
    /// What the table is doing here now.
    pub state: TableState,
    /// Why it waits for a person, where it does.
    pub blocked: Option<Blocked>,
    /// Why the pass failed, where a retry may help.
    pub failure: Option<Failure>,
    /// What a person may want to know.
    pub warnings: Vec<String>,
    /// Times during which some readers saw a mixture of two states.
    pub windows: Vec<WindowReport>,
}

impl TargetReport {
    pub(crate) fn new(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            start: None,
            head: None,
            earliest_readable: None,
            published: Vec::new(),
            jumped: Vec::new(),
            receipts: Vec::new(),
            head_committed_ms: None,
            pending: None,
            deadline_ms: None,
            epoch: None,
            copied_files: 0,
            copied_bytes: 0,
            skipped_files: 0,
            retired_files: 0,
            state: TableState::Unknown,
            blocked: None,
            failure: None,
            warnings: Vec::new(),
            windows: Vec::new(),
        }
    }
}

/// Why something failed that may succeed later.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Stable code for machines.
    pub code: FailureCode,
    /// What failed, with its causes. No credentials.
    pub message: String,
    /// The way out.
    pub hint: &'static str,
}

/// Stable codes of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureCode {
    /// The source could not be read.
    SourceUnavailable,
    /// The target could not be read or written.
    TargetUnavailable,
    /// The store refused the credentials, or they lack a permission.
    Denied,
    /// The newest commit is still being written.
    CommitUnsettled,
    /// Somebody else changed what we were about to change.
    Contended,
    /// The source changed while it was read.
    SourceChanged,
    /// Another owner with a later epoch works on this replica.
    Fenced,
    /// A defect of this program.
    Internal,
}

impl FailureCode {
    /// The code as machines read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceUnavailable => "source_unavailable",
            Self::TargetUnavailable => "target_unavailable",
            Self::Denied => "denied",
            Self::CommitUnsettled => "commit_unsettled",
            Self::Contended => "contended",
            Self::SourceChanged => "source_changed",
            Self::Fenced => "fenced",
            Self::Internal => "internal",
        }
    }

    /// Whether another look at both sides may settle it.
    pub(crate) fn is_source_change(self) -> bool {
        matches!(self, Self::SourceChanged | Self::Contended)
    }

    fn hint(self) -> &'static str {
        match self {
            Self::SourceUnavailable => "check that the source store is reachable, then run again",
            Self::TargetUnavailable => "check that the target store is reachable, then run again",
            Self::Denied => "check the credentials and what they may read and write",
            Self::CommitUnsettled => "run again once the writer has finished",
            Self::Contended => "another process works on this replica; run again",
            Self::SourceChanged => "run again; the source is observed anew",
            Self::Fenced => "another owner with a later epoch works on this replica",
            Self::Internal => "please report this with the log at --log-level debug",
        }
    }
}

impl Failure {
    pub(crate) fn new(code: FailureCode, error: &dyn std::error::Error) -> Self {
        Self { code, message: with_causes(error), hint: code.hint() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
