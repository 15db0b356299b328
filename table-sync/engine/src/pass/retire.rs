//! Retirement: removing files that no promised version needs.
//!
//! A version is promised as long as it was current at the target within the retention, on the
//! target's own clock. A file goes when a commit at or below the oldest promised version took it
//! out of the table, and neither that version nor any later one needs it.
//!
//! # Invariants
//! - Only a replica that holds all that the source committed is cleaned, so that a file which a
//!   waiting commit adds again is not taken away under it.
//! - One owner deletes: each takes the next epoch by compare-and-set, and stops when it finds a
//!   later one.
//! - A late delete is harmless: names are never reused for other bytes, and a file that comes
//!   back is copied again.

use std::time::Duration;

use futures::TryStreamExt as _;
use table_sync_core::{FileRef, Place, Position, SourceView};
use table_sync_store::WriteError;

use super::{Run, arrive, retry_source, source_stop};
use crate::descriptor::{Descriptor, descriptor_key};
use crate::lane::{Stop, target_read_failure, target_write_failure};
use crate::options::object_key;
use crate::report::{Failure, FailureCode};
use crate::transfer::Context;

/// Deletes between two looks at the epoch.
const LOOK_EVERY: u64 = 1_000;

/// Removes what may go at one target.
pub(super) async fn retire(
    context: &Context,
    run: &mut Run,
    retention: Duration,
) -> Result<(), Stop> {
    let Some(head) = run.view.head else { return Ok(()) };
    let Some(known) = arrive::descriptor_of(run).cloned() else { return Ok(()) };
    let here = run.target.reader.observe(None).await;
    let here = here.map_err(|error| target_error(&error))?;
    if promised(&here, context.options.clock.now_ms(), retention) <= known.retired_through {
        // Nothing can have come of age, whatever the target's clock says to the second.
        return Ok(());
    }
    let mut owned = known;
    owned.epoch += 1;
    arrive::save(context, run, owned.clone()).await?;
    check_epoch(context, run, owned.epoch).await?;
    let now_ms = target_clock_ms(run).await?;
    let Some(oldest) = promised(&here, now_ms, retention) else { return Ok(()) };
    let log = &context.source.log;
    let moved = retry_source(context, async || log.moved_past(head).await).await;
    if moved.map_err(|error| source_stop(context, error))? {
        return Ok(());
    }
    remove(context, run, &here, (owned.retired_through, oldest), owned.epoch).await?;
    let done = Descriptor { retired_through: Some(oldest), ..owned };
    let done = Descriptor { earliest_readable: done.earliest(run.view.earliest_readable), ..done };
    arrive::save(context, run, done).await?;
    run.note_head();
    Ok(())
}

/// The oldest version that was current within the retention: the newest one that was published
/// before it began.
fn promised(here: &SourceView, now_ms: i64, retention: Duration) -> Option<Position> {
    let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let began_ms = now_ms.saturating_sub(retention_ms);
    let old = here.commits.iter().rev().find(|commit| commit.committed_ms <= began_ms);
    old.map(|commit| commit.position)
}

async fn remove(
    context: &Context,
    run: &mut Run,
    here: &SourceView,
    (after, oldest): (Option<Position>, Position),
    epoch: u64,
) -> Result<(), Stop> {
    let files = run.target.reader.retirable(here, after, oldest).await;
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
    let found = loaded.map_or(0, |loaded| loaded.descriptor.epoch);
    if found == epoch {
        return Ok(());
    }
    let error = Fenced { ours: epoch, found };
    Err(Stop::Failed(Failure::new(FailureCode::Contended, &error)))
}

#[derive(Debug, thiserror::Error)]
#[error("clean-up epoch {ours} was superseded by {found}")]
struct Fenced {
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
