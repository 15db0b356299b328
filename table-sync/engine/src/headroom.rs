//! Headroom: how long the source will keep what a target lacks.

use table_sync_core::{Position, SourceView};

use crate::receipt::Pending;
use crate::transfer::Context;

/// When the source may begin to delete what a replica at `head` lacks: see
/// [`SourceLog::deadline_ms`](table_sync_core::SourceLog::deadline_ms).
///
/// `None` where nothing is published: whatever goes until then, a first publication begins with
/// what there is. Trouble of the source makes it unknown, and is left to whoever needs the source.
pub(crate) async fn deadline_ms(
    context: &Context,
    view: &SourceView,
    head: Option<Position>,
) -> Option<i64> {
    head?;
    let oldest = Pending::of(view, head)?.oldest?;
    let now_ms = context.options.clock.now_ms();
    match context.source.log.deadline_ms(view, oldest, now_ms).await {
        Ok(deadline_ms) => deadline_ms,
        Err(error) => {
            tracing::debug!(%error, "read how long the source keeps what is not published");
            None
        }
    }
}
