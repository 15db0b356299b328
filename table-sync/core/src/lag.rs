//! Lag: how far a replica is behind its source, and the state that follows from it.

use crate::{BlockCode, Position};

/// What a table is doing at one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableState {
    /// Caught up, and the source was checked just now.
    Ok,
    /// Behind, and moving toward the source.
    CatchingUp,
    /// Nothing is published at this target yet.
    Unpublished,
    /// The reason is in the report.
    Blocked,
    /// The source's history changed.
    Rewound,
    /// The target does not hold what was published.
    Diverged,
    /// The last attempt failed; a retry may help.
    Failed,
    /// The source could not be checked.
    Unknown,
}

impl TableState {
    /// The state of a table that waits for a person for this reason.
    pub fn of_blocked(code: BlockCode) -> Self {
        match code {
            BlockCode::Rewound => Self::Rewound,
            BlockCode::Diverged => Self::Diverged,
            _ => Self::Blocked,
        }
    }

    /// The state as machines read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::CatchingUp => "catching_up",
            Self::Unpublished => "unpublished",
            Self::Blocked => "blocked",
            Self::Rewound => "rewound",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Lag of one target at the moment of an observation. Zero is a measurement, never a default:
/// where the source was not checked there is no `Lag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Commits not yet published.
    pub versions: u64,
    /// Age of the oldest unpublished commit, in milliseconds.
    pub ms: u64,
}

impl Lag {
    /// Lag of a target whose head is `published`, from the source's commits.
    ///
    /// - `commits`: `(position, committed at, ms since the epoch)`, ascending.
    /// - `now_ms`: the observer's clock, ms since the epoch. A commit from its future has age 0.
    pub fn of(commits: &[(Position, i64)], published: Option<Position>, now_ms: i64) -> Self {
        let mut pending = commits.iter().filter(|(at, _)| published.is_none_or(|head| *at > head));
        let oldest = pending.next();
        let versions = oldest.map_or(0, |_| 1 + pending.count() as u64);
        let ms = oldest.map_or(0, |(_, at)| now_ms.saturating_sub(*at).max(0).unsigned_abs());
        Self { versions, ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_age_of_the_oldest_unpublished_commit() {
        let commits = [(Position::Version(1), 1_000), (Position::Version(2), 5_000)];
        let lag = |head, now| Lag::of(&commits, head, now);
        assert_eq!(lag(None, 6_000), Lag { versions: 2, ms: 5_000 });
        assert_eq!(lag(Some(Position::Version(1)), 6_000), Lag { versions: 1, ms: 1_000 });
        assert_eq!(lag(Some(Position::Version(2)), 6_000), Lag { versions: 0, ms: 0 });
        assert_eq!(lag(Some(Position::Version(1)), 4_000), Lag { versions: 1, ms: 0 });
    }
}
