//! Exit codes and errors of a command: the contract with scripts.

use table_sync_core::BlockCode;
use table_sync_engine::{Failure, PassReport};

/// How a run ended. Ordered by what wins when several targets or tables end differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Everything that was asked for.
    Done,
    /// A retry may help.
    Failed,
    /// A person must decide; the reason is named.
    Blocked,
    /// The target holds something else than the source.
    Differs,
    /// The arguments or the configuration make no sense. Never mixed with the others.
    Usage,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

impl Exit {
    /// The code as the calling process sees it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Blocked => 3,
            Self::Differs => 4,
            Self::Interrupted => 130,
        }
    }

    /// The worse of two.
    #[must_use]
    pub(crate) fn worst(self, other: Self) -> Self {
        self.max(other)
    }

    /// What one target's report amounts to: the single rule from reports to exit codes.
    pub(crate) fn of_target(blocked: Option<BlockCode>, failed: bool) -> Self {
        match (blocked, failed) {
            (Some(BlockCode::Diverged), _) => Self::Differs,
            (Some(_), _) => Self::Blocked,
            (None, true) => Self::Failed,
            (None, false) => Self::Done,
        }
    }

    /// The worst of a pass's targets.
    pub(crate) fn of_pass(report: &PassReport) -> Self {
        let of = |target: &table_sync_engine::TargetReport| {
            let blocked = target.blocked.as_ref().map(|blocked| blocked.code);
            Self::of_target(blocked, target.failure.is_some())
        };
        report.targets.iter().map(of).fold(Self::Done, Self::worst)
    }
}

/// Why a whole command could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandError {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// Stable code for machines.
    pub(crate) code: String,
    /// What failed. No credentials.
    pub(crate) message: String,
    /// The way out.
    pub(crate) hint: String,
}

impl CommandError {
    /// Arguments that make no sense.
    pub(crate) fn arguments(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "arguments", message, hint)
    }

    /// A configuration that cannot be used.
    pub(crate) fn configuration(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "configuration", message, hint)
    }

    /// A reason that a person must look at.
    pub(crate) fn blocked(code: BlockCode, message: impl Into<String>) -> Self {
        let hint = "the message says what to do; a retry alone does not help";
        Self::new(Exit::of_target(Some(code), false), code.as_str(), message, hint)
    }

    /// Something that may work later.
    pub(crate) fn failed(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, message, hint)
    }

    fn new(exit: Exit, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), message: message.into(), hint: hint.into() }
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::failed(failure.code.as_str(), failure.message, failure.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_has_one_code() {
        assert_eq!(Exit::of_target(None, false).code(), 0);
        assert_eq!(Exit::of_target(None, true).code(), 1);
        for code in BlockCode::ALL.iter().copied() {
            let expect = if code == BlockCode::Diverged { 4 } else { 3 };
            assert_eq!(Exit::of_target(Some(code), false).code(), expect, "{code}");
            assert_eq!(Exit::of_target(Some(code), true).code(), expect, "{code} and failed");
            assert_eq!(CommandError::blocked(code, "m").exit.code(), expect, "{code}");
        }
        assert_eq!(CommandError::arguments("m", "h").exit.code(), 2);
        assert_eq!(CommandError::configuration("m", "h").exit.code(), 2);
        assert_eq!(CommandError::failed("c", "m", "h").exit.code(), 1);
        assert_eq!(Exit::Interrupted.code(), 130);
    }

    #[test]
    fn the_worst_wins() {
        let by_rank = [Exit::Done, Exit::Failed, Exit::Blocked, Exit::Differs];
        for (low, left) in by_rank.into_iter().enumerate() {
            for (high, right) in by_rank.into_iter().enumerate() {
                let expect = if low > high { left } else { right };
                assert_eq!(left.worst(right), expect);
            }
        }
    }
}
