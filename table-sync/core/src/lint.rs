//! The plan linter: refuses a plan that would break an invariant, whoever made it.

use crate::{Follows, Plan, PlannedKind, Position, ReplicaView, SourceView};

/// Why a plan must not be carried out. Each is a defect of the planner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LintError {
    /// Positions must ascend from the replica's head.
    #[error("plan publishes {position} at or below {below}")]
    NotAscending {
        /// The offending position.
        position: Position,
        /// What is already published before it.
        below: Position,
    },
    /// An append must follow what is published.
    #[error("plan appends {position} behind a gap")]
    Gap {
        /// The offending position.
        position: Position,
    },
    /// A jump needs a complete base at the source.
    #[error("plan jumps to {position}, where the source has no base")]
    NoBase {
        /// The offending position.
        position: Position,
    },
    /// An interrupted base must be finished, or overtaken, first.
    #[error("plan leaves the interrupted base {position} behind")]
    Unfinished {
        /// The interrupted base.
        position: Position,
    },
}

/// Checks a plan against what was observed.
///
/// # Errors
/// The first rule that the plan breaks.
pub fn lint(plan: &Plan, source: &SourceView, replica: &ReplicaView) -> Result<(), LintError> {
    // In a set a commit may complete late, below what is published: only the plan ascends.
    let in_set = source.set.is_some();
    let mut below = replica.head.filter(|_| !in_set);
    if let (Some(position), Some(first)) = (replica.unfinished, plan.publications.first())
        && (first.kind != PlannedKind::Jump || first.position < position)
    {
        return Err(LintError::Unfinished { position });
    }
    for planned in &plan.publications {
        let position = planned.position;
        if let Some(below) = below
            && position <= below
        {
            return Err(LintError::NotAscending { position, below });
        }
        match planned.kind {
            PlannedKind::Append => {
                let commit = source.commits.binary_search_by_key(&position, |c| c.position);
                let follows = commit.ok().and_then(|at| source.commits.get(at)).map(|c| c.follows);
                let expected = below.map_or(Follows::Origin, Follows::Position);
                if follows != Some(expected) && follows != Some(Follows::Independent) {
                    return Err(LintError::Gap { position });
                }
            }
            PlannedKind::Jump => {
                if !source.bases.iter().any(|base| base.position == position) {
                    return Err(LintError::NoBase { position });
                }
            }
        }
        below = Some(position);
    }
    Ok(())
}
