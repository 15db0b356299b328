//! Reads of the source's log: retried within the budget, and what their errors mean.

use table_sync_core::{BlockCode, Blocked, SourceError};

use crate::lane::Stop;
use crate::report::{Failure, FailureCode};
use crate::retry::Budget;
use crate::transfer::Context;

/// What a source error means for the targets that wait for it.
pub(crate) fn source_stop(context: &Context, error: SourceError) -> Stop {
    match error {
        SourceError::Blocked(blocked) => Stop::Blocked(blocked),
        SourceError::Hold { message } => Stop::Held(message),
        SourceError::Damaged { position, message, modified_ms } => {
            let age_ms = context.options.clock.now_ms().saturating_sub(modified_ms);
            if u128::from(age_ms.max(0).unsigned_abs()) < context.options.commit_settle.as_millis()
            {
                let error = SourceError::Damaged { position, message, modified_ms };
                return Stop::Failed(Failure::new(FailureCode::CommitUnsettled, &error));
            }
            let text = format!(
                "commit {position} does not parse ({message}) and has not changed for {} s; the \
                 versions before it are published",
                age_ms / 1000
            );
            Stop::Blocked(Blocked::at(BlockCode::CommitDamaged, position, text))
        }
        error @ (SourceError::Missing { .. } | SourceError::Changed { .. }) => {
            Stop::Failed(Failure::new(FailureCode::SourceChanged, &error))
        }
        error => Stop::Failed(Failure::new(FailureCode::SourceUnavailable, &error)),
    }
}

/// Retries a read of the source's log within the budget.
pub(crate) async fn retry_source<T, F>(
    context: &Context,
    attempt: impl Fn() -> F,
) -> Result<T, SourceError>
where
    F: Future<Output = Result<T, SourceError>>,
{
    let mut budget = Budget::new(context.options.retry_budget);
    loop {
        match attempt().await {
            Err(error @ SourceError::Io { .. }) => {
                tracing::debug!(%error, "source is read again");
                if !budget.wait().await {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}
