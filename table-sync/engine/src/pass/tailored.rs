//! Publications as one target takes them: what its replica holds may ask for other keys.

use std::sync::Arc;

use table_sync_core::{Description, Publication, SourceError, SourceView};

use super::source_stop;
use crate::lane::{Lane, Stop};
use crate::publish;
use crate::retry::Budget;
use crate::transfer::Context;

/// Fits one publication to a target and carries it out.
pub(super) async fn publish_at(
    context: &Context,
    view: &SourceView,
    lane: &Lane,
    description: &Description,
) -> Result<(), Stop> {
    let publication = tailor(context, view, lane, description).await?;
    publish::carry_out(context, &lane.target, &publication, &lane.windows).await
}

/// Writes what readers must find before the first file of the position.
pub(super) async fn write_ahead(
    context: &Context,
    view: &SourceView,
    description: &Description,
    lanes: &[(usize, Arc<Lane>)],
) {
    if description.publication.ahead.is_empty() {
        return;
    }
    for (_, lane) in lanes {
        if !lane.is_active() {
            continue;
        }
        let done = match tailor(context, view, lane, description).await {
            Ok(publication) => publish::carry_out_ahead(context, &lane.target, &publication).await,
            Err(stop) => Err(stop),
        };
        if let Err(stop) = done {
            lane.halt(stop);
        }
    }
}

async fn tailor(
    context: &Context,
    view: &SourceView,
    lane: &Lane,
    description: &Description,
) -> Result<Publication, Stop> {
    let mut budget = Budget::new(context.options.retry_budget);
    loop {
        match context.source.log.tailor(view, description, &lane.replica).await {
            Ok(publication) => return Ok(publication),
            Err(error @ SourceError::Io { .. }) if budget.wait().await => {
                tracing::debug!(%error, "source is read again");
            }
            Err(error) => return Err(source_stop(context, error)),
        }
    }
}
