//! Presence: whether a target holds a file already.
//!
//! # Invariants
//! - What is of another table is compared and never replaced: other bytes there stop the lane.

use std::sync::Arc;

use crc_fast::{CrcAlgorithm, Digest};
use futures::TryStreamExt as _;
use table_sync_core::{BlockCode, Blocked, BoxError, FileRef, Place};
use table_sync_store::{Facts, Precondition, ReadError, Reading, Store};

use super::{Context, Part, SourceFault, open};
use crate::lane::{Lane, Stop, target_read_failure};
use crate::rate::metered;
use crate::report::{Failure, FailureCode};
use crate::retry::Budget;
use crate::{Event, Mismatch};

/// Looks for the file at a target. `None` when it is there, or when the lane stopped.
pub(super) async fn missing_part(
    context: &Context,
    file: &FileRef,
    lane: Arc<Lane>,
    source_crc32c: Option<u32>,
) -> Option<Part> {
    let (store, key) = at_target(&lane, file)?;
    let mut budget = Budget::new(context.options.retry_budget);
    let facts = loop {
        match store.head(&key).await {
            Ok(facts) => break facts,
            Err(error @ ReadError::Denied { .. }) => {
                lane.halt(Stop::Failed(target_read_failure(&error)));
                return None;
            }
            Err(error) => {
                if !budget.wait().await {
                    lane.halt(Stop::Failed(target_read_failure(&error)));
                    return None;
                }
            }
        }
    };
    match facts {
        None => {
            lane.set_asks_first(false);
            Some(Part { lane, on: Precondition::Absent, mismatch: None })
        }
        Some(facts) if is_present(&facts, file, source_crc32c, &lane) => {
            lane.skipped();
            lane.set_asks_first(true);
            let target = &lane.target.url;
            let bytes = facts.identity.size_bytes;
            context.progress.event(Event::FileDone { target, bytes, skipped: true });
            None
        }
        Some(facts) => {
            let mismatch = mismatch(&facts, file, source_crc32c);
            Some(Part { lane, on: Precondition::Match(facts.identity), mismatch })
        }
    }
}

/// In what an object is certainly not the file. What is only unproven is none.
fn mismatch(facts: &Facts, file: &FileRef, source_crc32c: Option<u32>) -> Option<Mismatch> {
    if file.size_bytes.is_some_and(|bytes| bytes != facts.identity.size_bytes) {
        return Some(Mismatch::Size);
    }
    let differs = facts.crc32c.zip(source_crc32c).is_some_and(|(target, source)| target != source);
    differs.then_some(Mismatch::Checksum)
}

/// Whether what the target holds is the file: see the module's contract.
fn is_present(facts: &Facts, file: &FileRef, source_crc32c: Option<u32>, lane: &Lane) -> bool {
    let size_known = file.size_bytes.is_some_and(|bytes| bytes == facts.identity.size_bytes);
    let ours = lane.ours_from_start && file.place == Place::Table;
    let size_open = file.size_bytes.is_none() && ours;
    if !size_known && !size_open {
        return false;
    }
    match (facts.crc32c, source_crc32c) {
        (Some(target), Some(source)) => target == source,
        // A store's own checksum says that these are the bytes it was sent; who sent them is
        // known only where every object is ours.
        _ => ours,
    }
}

/// Where a target keeps a file. `None` stops the lane.
pub(super) fn at_target<'a>(lane: &'a Lane, file: &FileRef) -> Option<(&'a Store, String)> {
    let object = lane.target.object(file);
    let failed = |error| lane.halt(Stop::Failed(Failure::new(FailureCode::Internal, &error)));
    object.map_err(failed).ok()
}

/// Settles what to do about a file of another table that is at the target, unproven: equal bytes
/// count as present, other bytes stop the lane. The table that owns the key may be replicated
/// there too, so nothing is replaced.
pub(super) async fn settle(
    context: &Context,
    file: &FileRef,
    lane: &Lane,
) -> Result<(), SourceFault> {
    let Some((store, key)) = at_target(lane, file) else { return Ok(()) };
    let mut budget = Budget::new(context.options.retry_budget);
    loop {
        match compare(context, file, store, &key).await {
            Ok(Some(bytes)) => {
                lane.skipped();
                let target = &lane.target.url;
                context.progress.event(Event::FileDone { target, bytes, skipped: true });
                return Ok(());
            }
            Ok(None) => {
                lane.halt(Stop::Blocked(other_bytes(context, file)));
                return Ok(());
            }
            Err(Unread::Source(fault)) => {
                let again =
                    matches!(&fault, SourceFault::Failed(f) if f.code != FailureCode::Denied);
                if !again || !budget.wait().await {
                    return Err(fault);
                }
            }
            Err(Unread::Target(failure)) => {
                if failure.code == FailureCode::Denied || !budget.wait().await {
                    lane.halt(Stop::Failed(failure));
                    return Ok(());
                }
            }
        }
    }
}

fn other_bytes(context: &Context, file: &FileRef) -> Blocked {
    let message = format!(
        "the target holds other bytes than the source at {}, which belongs to another table and is \
         not overwritten; find out who wrote it, and bring that table's replica into step first",
        context.source.name_of(file)
    );
    Blocked::table(BlockCode::Diverged, message)
}

/// A side that could not be read.
enum Unread {
    Source(SourceFault),
    Target(Failure),
}

/// The file's size when both sides hold the same bytes, `None` when they do not.
async fn compare(
    context: &Context,
    file: &FileRef,
    store: &Store,
    key: &str,
) -> Result<Option<u64>, Unread> {
    let target = |error: ReadError| Unread::Target(target_read_failure(&error));
    let here = store.read(key, None, None).await.map_err(target)?;
    let bytes = here.object_bytes;
    let there = open(context, file).await.map_err(Unread::Source)?;
    if there.object_bytes != bytes {
        return Ok(None);
    }
    let here = crc32c(here, |reading| reading.body.map_err(BoxError::from)).await;
    let here = here
        .map_err(|error| Unread::Target(Failure::new(FailureCode::TargetUnavailable, &*error)))?;
    let there = crc32c(there, |reading| metered(&context.rate, &context.progress, reading.body));
    let there = there.await.map_err(|error| {
        let failure = Failure::new(FailureCode::SourceUnavailable, &*error);
        Unread::Source(SourceFault::Failed(failure))
    })?;
    Ok((here == there).then_some(bytes))
}

/// Checksum of an object: the one that its store publishes, else that of its body.
async fn crc32c<B>(reading: Reading, body: impl FnOnce(Reading) -> B) -> Result<u32, BoxError>
where
    B: futures::Stream<Item = Result<bytes::Bytes, BoxError>> + Unpin,
{
    if let Some(known) = reading.crc32c {
        return Ok(known);
    }
    let mut body = body(reading);
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    while let Some(chunk) = body.try_next().await? {
        digest.update(&chunk);
    }
    Ok(u32::try_from(digest.finalize()).unwrap_or_default())
}
