//! Attaching what came late: checkpoints, checksums, hints.

use super::{Run, retry_source, source_stop};
use crate::lane::Stop;
use crate::publish;
use crate::transfer::Context;
use table_sync_core::{SourceError, SourceView};

/// Attaches the derived objects that the source has and the replica lacks.
pub(super) async fn late(context: &Context, view: &SourceView, run: &mut Run) -> Result<(), Stop> {
    let Some(head) = run.view.head else { return Ok(()) };
    let log = &context.source.log;
    let replica = &run.view;
    let found = retry_source(context, async || log.late(view, replica, head).await).await;
    let found = match found {
        Ok(found) => found,
        // Derived objects are conveniences: one that vanished or changed while it was looked at
        // is found again, or not missed, by the next pass.
        Err(SourceError::Missing { .. } | SourceError::Changed { .. }) => return Ok(()),
        Err(error) => return Err(source_stop(context, error)),
    };
    for warning in found.warnings {
        run.warn(context, warning);
    }
    for publication in &found.publications {
        match publish::carry_out(context, &run.target, publication).await {
            Ok(()) => {}
            Err(Stop::Failed(failure)) if failure.code.is_source_change() => {
                // What follows may build on this one: a hint on its checkpoint.
                run.warn(context, format!("not attached in this pass: {failure}"));
                return Ok(());
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(())
}
