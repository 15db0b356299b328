//! Retirement: removing files that no promised version needs.
//!
//! A version is promised as long as it was current at the target within the retention, on the
//! target's own clock. A file goes when a commit at or below the oldest promised version took it
//! out of the table, and neither that version nor any later one needs it. Where a log does not
//! tell when something became visible, moments are noted at which the replica was complete.
//!
//! # Invariants
//! - Only a replica that holds all that the source committed is cleaned, so that a file which a
//!   waiting commit adds again is not taken away under it.
//! - One owner deletes: each takes the next epoch by compare-and-set, or has one from a catalog,
//!   and stops when it finds a later one.
//! - What is no longer promised is remembered before the first file goes.
//! - A late delete is harmless: names are never reused for other bytes, and a file that comes
//!   back is copied again.

use std::time::Duration;

use futures::TryStreamExt as _;
use table_sync_core::{FileRef, Place, Position, Retire, SourceView};
use table_sync_store::WriteError;

use super::{Run, arrive, own, retry_source, source_stop};
use crate::descriptor::{Complete, Descriptor, descriptor_key};
use crate::lane::{Stop, target_read_failure, target_write_failure};
use crate::options::object_key;
use crate::report::{Failure, FailureCode};
use crate::transfer::Context;

/// Deletes between two looks at the epoch.
const LOOK_EVERY: u64 = 1_000;

/// Moments that are noted within one retention.
const NOTES: u64 = 8;

/// Removes what may go at one target. Positions are remembered as the source sees them: those of a
/// replica may be of its own clock.
pub(super) async fn retire(
    context: &Context,
    view: &SourceView,
    run: &mut Run,
    retention: Duration,
) -> Result<(), Stop> {
    let Some(head) = run.view.head else { return Ok(()) };
    let Some(known) = arrive::descriptor_of(run).cloned() else { return Ok(()) };
    let here = run.target.reader.observe(None).await;
    let here = here.map_err(|error| target_error(&error))?;
    let notes = notes(&here, &known, head, (context.options.clock.now_ms(), retention));
    let due = oldest(&here, &known, began_ms(context.options.clock.now_ms(), retention));
    if due.is_none() && !notes {
        // Nothing can have come of age, whatever the target's clock says to the second.
        return Ok(());
    }
    let mut owned = match &context.options.registration {
        Some(_) => own::marked(context, &run.target, known),
        None => Descriptor { epoch: known.epoch + 1, ..known },
    };
    arrive::save_exactly(context, run, &owned).await?;
    check_epoch(context, run, owned.epoch).await?;
    let now_ms = target_clock_ms(run).await?;
    let log = &context.source.log;
    let moved = retry_source(context, || log.moved_past(head)).await;
    if moved.map_err(|error| source_stop(context, error))? {
        return Ok(());
    }
    if notes {
        owned.complete.push(Complete { head, at_ms: now_ms });
    }
    let due = oldest(&here, &owned, began_ms(now_ms, retention));
    if let Some(retire) = due {
        owned.retiring = Some(view.same(retire.promised));
        arrive::save_exactly(context, run, &owned).await?;
        remove(context, run, &here, retire, owned.epoch).await?;
        owned.complete.retain(|noted| noted.at_ms >= retire.before_ms);
        owned.retired_through = owned.retiring.take();
        owned.earliest_readable = owned.earliest(run.view.earliest_readable);
    }
    if due.is_some() || notes {
        arrive::save(context, run, owned).await?;
        run.note_head();
    }
    Ok(())
}

/// When the retention began, ms since the epoch.
fn began_ms(now_ms: i64, retention: Duration) -> i64 {
    now_ms.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX))
}

fn forgets(here: &SourceView) -> bool {
    here.set.as_ref().is_some_and(|set| set.forgets)
}

/// Whether to note that the replica is complete, since its log will not tell.
fn notes(
    here: &SourceView,
    known: &Descriptor,
    head: Position,
    (now_ms, retention): (i64, Duration),
) -> bool {
    let last = known.complete.last();
    let spaced_ms = i64::try_from(retention.as_millis() / u128::from(NOTES)).unwrap_or(i64::MAX);
    let new =
        last.is_none_or(|last| last.head != head && now_ms.saturating_sub(last.at_ms) >= spaced_ms);
    forgets(here) && new
}

/// The oldest version that was current within the retention, unless retirement went that far
/// before: the newest one that was published before it began.
fn oldest(here: &SourceView, known: &Descriptor, before_ms: i64) -> Option<Retire> {
    let done = known.retired_through;
    if forgets(here) {
        let noted = known.complete.iter().rev().find(|noted| noted.at_ms <= before_ms)?;
        let (after, promised, before_ms) = (done, noted.head, noted.at_ms);
        let retire = Retire { after, promised, before_ms, complete: true };
        return Some(retire).filter(|_| Some(promised) > done);
    }
    let after = done.map(|at| here.same(at));
    let old = here.commits.iter().rev().find(|commit| commit.committed_ms <= before_ms);
    let promised = old?.position;
    let retire = Retire { after, promised, before_ms, complete: false };
    Some(retire).filter(|_| Some(promised) > after)
}

async fn remove(
    context: &Context,
    run: &mut Run,
    here: &SourceView,
    retire: Retire,
    epoch: u64,
) -> Result<(), Stop> {
    let files = run.target.reader.retirable(here, retire).await;
    let mut files = files.map_err(|error| target_error(&error))?;
    let mut looked = 0;
    while let Some(chunk) = files.try_next().await.map_err(|error| target_error(&error))? {
        for file in chunk {
            if looked % LOOK_EVERY == 0 {
                check_epoch(context, run, epoch).await?;
            }
            looked += 1;
            run.report.retired_files += u64::from(remove_file(run, &file).await?);
        }
    }
    Ok(())
}

/// Removes one file; `false` when it was gone already, or is another table's to remove.
async fn remove_file(run: &Run, file: &FileRef) -> Result<bool, Stop> {
    if file.place != Place::Table {
        return Ok(false);
    }
    let store = &run.target.store;
    let key = object_key(&run.target.table, file.path.as_str());
    let facts = store.head(&key).await;
    let Some(facts) = facts.map_err(|error| Stop::Failed(target_read_failure(&error)))? else {
        return Ok(false);
    };
    match store.delete(&key, Some(&facts.identity)).await {
        Ok(()) => Ok(true),
        // Somebody copied it again just now: it is needed.
        Err(WriteError::Changed { .. }) => Ok(false),
        Err(error) => Err(Stop::Failed(target_write_failure(&error))),
    }
}

/// Stops when another owner took over.
async fn check_epoch(context: &Context, run: &Run, epoch: u64) -> Result<(), Stop> {
    let loaded = arrive::load(context, &run.target).await?;
    if let Some(loaded) = &loaded {
        own::check(context, &run.target, &loaded.descriptor)?;
    }
    let found = loaded.map_or(0, |loaded| loaded.descriptor.epoch);
    if found == epoch {
        return Ok(());
    }
    let error = Superseded { ours: epoch, found };
    Err(Stop::Failed(Failure::new(FailureCode::Contended, &error)))
}

#[derive(Debug, thiserror::Error)]
#[error("clean-up epoch {ours} was superseded by {found}")]
struct Superseded {
    ours: u64,
    found: u64,
}

/// The target's clock: when it took the descriptor that was just written.
async fn target_clock_ms(run: &Run) -> Result<i64, Stop> {
    let facts = run.target.state.head(&descriptor_key(&run.target.table)).await;
    let facts = facts.map_err(|error| Stop::Failed(target_read_failure(&error)))?;
    Ok(facts.map_or(i64::MIN, |facts| facts.modified_ms))
}

fn target_error(error: &table_sync_core::SourceError) -> Stop {
    Stop::Failed(Failure::new(FailureCode::TargetUnavailable, error))
}
