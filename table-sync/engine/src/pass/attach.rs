//! Attaching what came late: checkpoints, checksums, hints.

use sha2::{Digest as _, Sha256};
use table_sync_core::{LogObject, RelPath, Sha256Digest, SourceError, SourceView};

use super::{Run, arrive, own, retry_source, source_stop};
use crate::lane::Stop;
use crate::publish;
use crate::report::{Failure, FailureCode};
use crate::transfer::Context;

/// Attaches the derived objects that the source has and the replica lacks.
///
/// Returns the digest of both listings if nothing is left to attach, so that a later pass
/// which lists the same need not look again.
pub(super) async fn late(
    context: &Context,
    view: &SourceView,
    run: &mut Run,
) -> Result<Option<String>, Stop> {
    let Some(head) = run.view.head else { return Ok(None) };
    let now = settled_digest(view, run);
    let known = arrive::descriptor_of(run).and_then(|known| known.settled.as_ref());
    if known == Some(&now) {
        return Ok(Some(now));
    }
    let pointer = run.target.log.pointer(&run.view).await;
    run.view.pointer = pointer
        .map_err(|error| Stop::Failed(Failure::new(FailureCode::TargetUnavailable, &error)))?;
    let (log, replica) = (&context.source.log, &run.view);
    let found = retry_source(context, || log.late(view, replica, head)).await;
    let found = match found {
        Ok(found) => found,
        // Derived objects are conveniences: one that vanished or changed while it was looked at
        // is found again, or not missed, by the next pass.
        Err(SourceError::Missing { .. } | SourceError::Changed { .. }) => return Ok(None),
        Err(error) => return Err(source_stop(context, error)),
    };
    for warning in found.warnings {
        run.warn(context, warning);
    }
    if !found.publications.is_empty() {
        own::take(context, run).await?;
    }
    for publication in &found.publications {
        match publish::carry_out(context, &run.target, publication, &run.windows).await {
            Ok(()) => {}
            Err(Stop::Failed(failure)) if failure.code.is_source_change() => {
                // What follows may build on this one: a hint on its checkpoint.
                run.warn(context, format!("not attached in this pass: {failure}"));
                return Ok(None);
            }
            Err(stop) => return Err(stop),
        }
    }
    if found.publications.is_empty() {
        return Ok(Some(now));
    }
    arrive::observe(context, run).await;
    run.place(view);
    Ok((!run.finished).then(|| settled_digest(view, run)))
}

/// Digest of what both listings show: keys, identities and where they start.
fn settled_digest(view: &SourceView, run: &Run) -> String {
    let mut hasher = Sha256::new();
    let mut add = |objects: &mut dyn Iterator<Item = (&RelPath, &LogObject)>| {
        for (key, object) in objects {
            let identity = &object.identity;
            let tag = identity.e_tag.as_deref().unwrap_or_default();
            hasher.update(format!("{key}\0{tag}\0{}\n", identity.size_bytes));
        }
        hasher.update(b"\0");
    };
    add(&mut view.objects.iter());
    add(&mut run.view.objects.iter());
    let from = (view.listed_from, run.view.listed_from);
    hasher.update(format!("{from:?}"));
    Sha256Digest(hasher.finalize().into()).to_string()
}
