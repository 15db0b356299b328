//! Transfer: make one file present at every target that needs it, reading it once.
//!
//! A file counts as present when the target acknowledged all its bytes under a checksum that it
//! verified, or when it was there with the right size and a checksum that stands up to the
//! source's. Size alone counts only in a folder that was ours from the start: our writes are
//! atomic there.
//!
//! # Invariants
//! - A file of another table is created where it is absent, and never replaced: other bytes there
//!   stop the lane.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{BoxStream, FuturesUnordered, StreamExt as _};
use table_sync_core::{BoxError, FileRef, Place};
use table_sync_store::{
    Precondition, ReadError, Reading, StoreKind, Uploaded, WriteError, verify_crc32c,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::fanout::{self, FellBehind};
use crate::in_flight::InFlight;
use crate::lane::{Lane, Stop, final_stop, source_read_failure, target_write_failure};
use crate::options::object_key;
use crate::rate::{Rate, metered};
use crate::report::{Failure, FailureCode};
use crate::retry::Budget;
use crate::{Event, Mismatch, Options, Progress, Source};

mod presence;

use presence::{at_target, missing_part};

/// From this size on the target is asked before bytes are sent: a wasted request costs less than
/// a wasted body.
const ASK_FIRST_BYTES: u64 = 1 << 20;

/// How long to wait before a missing file is looked for again.
const NOT_FOUND_PAUSE: Duration = Duration::from_millis(200);

/// Everything that the tasks of a pass share.
pub(crate) struct Context {
    pub(crate) source: Source,
    pub(crate) options: Options,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) rate: Arc<Rate>,
}

/// Why the source cannot give a file. Troubles of a target stop that target's lane instead.
#[derive(Debug)]
pub(crate) enum SourceFault {
    /// The file is not there, or not the one that the log describes.
    NotWhole { message: String },
    /// The source failed for longer than the retry budget.
    Failed(Failure),
}

/// One lane's part in one copy.
struct Part {
    lane: Arc<Lane>,
    on: Precondition,
    /// In what the object that is there is certainly another.
    mismatch: Option<Mismatch>,
}

/// How one upload ended.
enum Attempt {
    Done,
    /// The lane must look again: the object exists, or the outcome is unknown.
    Again(Option<WriteError>),
    /// The lane was cut off from the common read.
    Behind,
    /// The body failed: nothing to blame the target for.
    SourceCut,
}

/// Makes `file` present at every active lane.
pub(crate) async fn ensure(
    context: &Context,
    in_flight: &InFlight,
    file: &FileRef,
    lanes: &[Arc<Lane>],
) -> Result<(), SourceFault> {
    let (_entered, waited) = in_flight.enter(&file.key()).await;
    // Files whose size the log does not state are small: deletion vectors.
    let large = waited || file.size_bytes.is_some_and(|bytes| bytes >= ASK_FIRST_BYTES);
    let shared = lanes.iter().filter(|lane| lane.is_active()).count() > 1;
    let look = async |lane: Arc<Lane>| {
        if !lane.is_active() {
            return None;
        }
        if !large && !lane.asks_first() {
            return Some(Part { lane, on: Precondition::Absent, mismatch: None });
        }
        let look = missing_part(context, file, Arc::clone(&lane), None);
        patiently(context, &lane, shared, look).await.flatten()
    };
    let parts: Vec<Part> = match lanes {
        [lane] => look(Arc::clone(lane)).await.into_iter().collect(),
        _ => join_all(lanes.iter().cloned().map(&look)).await.into_iter().flatten().collect(),
    };
    if parts.is_empty() {
        return Ok(());
    }
    let _permit = in_flight.permit().await;
    let _admission = match &context.options.transfer_gate {
        Some(gate) => Some(gate.admit(file.size_bytes).await),
        None => None,
    };
    let foreign = file.place != Place::Table;
    // A copy by the store replaces what is there, which is not for files of another table.
    let by_store = |part: &Part| part.lane.same_store && !foreign;
    // What is there already is held against the source's own checksum before it is replaced.
    let (unproven, parts): (Vec<_>, Vec<_>) = parts
        .into_iter()
        .partition(|part| !by_store(part) && matches!(part.on, Precondition::Match(_)));
    for part in unproven {
        let bring = alone(context, file, Arc::clone(&part.lane), None);
        patiently(context, &part.lane, shared, bring).await.transpose()?;
    }
    let (within, across): (Vec<_>, Vec<_>) = parts.into_iter().partition(by_store);
    for part in within {
        let bring = same_store(context, file, Arc::clone(&part.lane));
        patiently(context, &part.lane, shared, bring).await.transpose()?;
    }
    if across.is_empty() {
        return Ok(());
    }
    for (lane, error) in together(context, file, across).await? {
        let bring = alone(context, file, Arc::clone(&lane), error);
        patiently(context, &lane, shared, bring).await.transpose()?;
    }
    Ok(())
}

/// Work for one lane while others wait for the same file: it gets a bounded time, and then goes
/// on alone, where its retries hold up nobody.
async fn patiently<T>(
    context: &Context,
    lane: &Lane,
    shared: bool,
    work: impl Future<Output = T>,
) -> Option<T> {
    if !shared {
        return Some(work.await);
    }
    let done = timeout(context.options.fan_out_patience, work).await.ok();
    if done.is_none() {
        lane.halt(Stop::Behind);
    }
    done
}

/// Lets the store copy by itself: no byte passes through here.
async fn same_store(context: &Context, file: &FileRef, lane: Arc<Lane>) -> Result<(), SourceFault> {
    let from = object_key(&context.source.table, file.path.as_str());
    let to = object_key(&lane.target.table, file.path.as_str());
    let mut budget = Budget::new(context.options.retry_budget);
    loop {
        let facts = match context.source.store.head(&from).await {
            Ok(Some(facts)) => facts,
            Ok(None) => return Err(missing(context, file)),
            Err(error) => {
                if !budget.wait().await {
                    return Err(SourceFault::Failed(source_read_failure(&error)));
                }
                continue;
            }
        };
        let size_bytes = facts.identity.size_bytes;
        check_size(context, file, size_bytes)?;
        let exact = FileRef { size_bytes: Some(size_bytes), ..file.clone() };
        let part = missing_part(context, &exact, Arc::clone(&lane), facts.crc32c).await;
        let Some(part) = part else { return Ok(()) };
        tell_mismatch(context, &part);
        let (store, source) = (&lane.target.store, &context.source.store);
        if store.kind() == StoreKind::File {
            // This machine moves the bytes, unlike with a server.
            context.rate.take(usize::try_from(size_bytes).unwrap_or(usize::MAX)).await;
        }
        match store.copy_from(source, &from, &to, &facts.identity, size_bytes).await {
            Ok(copy) if copy.identity.size_bytes == size_bytes => {
                lane.copied(file, size_bytes);
                let target = &lane.target.url;
                let bytes = size_bytes;
                context.progress.event(Event::FileDone { target, bytes, skipped: false });
                return Ok(());
            }
            Ok(_) => {}
            Err(error) => {
                if !budget.wait().await {
                    lane.halt(Stop::Failed(target_write_failure(&error)));
                    return Ok(());
                }
            }
        }
    }
}

/// Copies once to all parts with one read. Returns the lanes that must look again.
async fn together(
    context: &Context,
    file: &FileRef,
    parts: Vec<Part>,
) -> Result<Vec<(Arc<Lane>, Option<WriteError>)>, SourceFault> {
    let mut budget = Budget::new(context.options.retry_budget);
    let reading = loop {
        match open(context, file).await {
            Ok(reading) => break reading,
            Err(SourceFault::Failed(failure)) if failure.code != FailureCode::Denied => {
                if !budget.wait().await {
                    return Err(SourceFault::Failed(failure));
                }
            }
            Err(fault) => return Err(fault),
        }
    };
    let lanes: Vec<_> = parts.iter().map(|part| Arc::clone(&part.lane)).collect();
    let attempts = send(context, file, reading, parts).await;
    let mut again = Vec::new();
    let least = lanes.iter().map(|lane| lane.held()).min().unwrap_or_default();
    for (lane, attempt) in lanes.into_iter().zip(attempts) {
        // Equally fast targets keep each other waiting in turn, a slow one only the others. Slow
        // is what takes more than twice as long as the quickest.
        let held = lane.held().saturating_sub(least);
        if held > context.options.fan_out_patience && held > lane.quickest() {
            lane.halt(Stop::Behind);
            continue;
        }
        match attempt {
            Attempt::Done => {}
            Attempt::Behind => lane.halt(Stop::Behind),
            Attempt::Again(error) => again.push((lane, error)),
            Attempt::SourceCut => again.push((lane, None)),
        }
    }
    Ok(again)
}

/// Brings the file to one lane by looking and copying until it is there.
async fn alone(
    context: &Context,
    file: &FileRef,
    lane: Arc<Lane>,
    error: Option<WriteError>,
) -> Result<(), SourceFault> {
    let mut budget = Budget::new(context.options.retry_budget);
    // An object that exists is looked at right away; trouble waits for its turn.
    let mut last = error;
    let mut wait = !matches!(last, None | Some(WriteError::Exists { .. }));
    loop {
        if let Some(stop) = last.as_ref().and_then(|error| final_stop(error, None)) {
            lane.halt(stop);
            return Ok(());
        }
        if wait && !budget.wait().await {
            let failure = last.as_ref().map_or_else(
                || {
                    Failure::new(
                        FailureCode::SourceUnavailable,
                        &fanout::SourceCut(file.path.to_string()),
                    )
                },
                target_write_failure,
            );
            lane.halt(Stop::Failed(failure));
            return Ok(());
        }
        wait = true;
        let reading = open(context, file).await;
        let reading = match reading {
            Ok(reading) => reading,
            Err(SourceFault::Failed(failure)) if failure.code != FailureCode::Denied => {
                if !budget.wait().await {
                    return Err(SourceFault::Failed(failure));
                }
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let exact = FileRef { size_bytes: Some(reading.object_bytes), ..file.clone() };
        let part = missing_part(context, &exact, Arc::clone(&lane), reading.crc32c).await;
        let Some(part) = part else { return Ok(()) };
        tell_mismatch(context, &part);
        if let Precondition::Match(_) = part.on {
            if file.place != Place::Table {
                return presence::settle(context, &exact, &lane).await;
            }
            warn_bad_object(context, file, &lane);
        }
        let attempt = send(context, &exact, reading, vec![part]).await.pop();
        match attempt {
            None | Some(Attempt::Done) => return Ok(()),
            Some(Attempt::Again(error)) => last = error,
            Some(Attempt::Behind | Attempt::SourceCut) => last = None,
        }
    }
}

fn tell_mismatch(context: &Context, part: &Part) {
    if let Some(what) = part.mismatch {
        let target = &part.lane.target.url;
        context.progress.event(Event::Mismatch { target, what });
    }
}

fn warn_bad_object(context: &Context, file: &FileRef, lane: &Lane) {
    let message = format!(
        "{} was at the target with an unproven size or checksum and is copied again",
        file.path
    );
    context.progress.event(Event::Warning { url: &lane.target.url, message: &message });
}

/// Opens the file at the source and holds it against what the log says.
async fn open(context: &Context, file: &FileRef) -> Result<Reading, SourceFault> {
    let source = &context.source;
    let object = source.object(file);
    let opened = |error| SourceFault::Failed(Failure::new(FailureCode::Internal, &error));
    let (store, key) = object.map_err(opened)?;
    let mut confirmed = false;
    loop {
        match store.read(&key, None, None).await {
            Ok(reading) => {
                check_size(context, file, reading.object_bytes)?;
                return Ok(reading);
            }
            // Declaring a file lost costs the version: a cache in between gets a second chance.
            Err(ReadError::NotFound { .. }) if !confirmed => {
                confirmed = true;
                tokio::time::sleep(NOT_FOUND_PAUSE).await;
            }
            Err(ReadError::NotFound { .. }) => return Err(missing(context, file)),
            Err(error) => return Err(SourceFault::Failed(source_read_failure(&error))),
        }
    }
}

fn missing(context: &Context, file: &FileRef) -> SourceFault {
    let name = context.source.name_of(file);
    let message = format!("{} file {name} is missing at the source", file.role);
    SourceFault::NotWhole { message }
}

fn check_size(context: &Context, file: &FileRef, found: u64) -> Result<(), SourceFault> {
    match file.size_bytes {
        Some(bytes) if bytes != found => {
            let name = context.source.name_of(file);
            let message = format!(
                "{} file {name} holds {found} bytes at the source, but the log says {bytes}",
                file.role
            );
            Err(SourceFault::NotWhole { message })
        }
        _ => Ok(()),
    }
}

/// Sends one opened body to all parts; attempts come back in the order of the parts.
async fn send(
    context: &Context,
    file: &FileRef,
    reading: Reading,
    parts: Vec<Part>,
) -> Vec<Attempt> {
    let Reading { object_bytes, crc32c, body, .. } = reading;
    let body = metered(&context.rate, &context.progress, body);
    match <[Part; 1]>::try_from(parts) {
        Ok([part]) => vec![put(context, file, part, object_bytes, crc32c, body).await],
        Err(parts) => {
            let options = &context.options;
            let (trail, patience) = (options.fan_out_bytes, options.fan_out_patience);
            let (drive, bodies) = fanout::split(body, parts.len(), trail, patience);
            let lanes: Vec<_> = parts.iter().map(|part| Arc::clone(&part.lane)).collect();
            let puts = parts.into_iter().zip(bodies).enumerate().map(async |(at, (part, body))| {
                (at, put(context, file, part, object_bytes, crc32c, body).await)
            });
            let ((), attempts) = futures::join!(drive, gather(&lanes, puts, patience));
            attempts
        }
    }
}

/// Waits for all uploads of one body; once one is done, no longer than `patience` for the others.
async fn gather(
    lanes: &[Arc<Lane>],
    puts: impl Iterator<Item = impl Future<Output = (usize, Attempt)>>,
    patience: Duration,
) -> Vec<Attempt> {
    let start = Instant::now();
    let mut pending: FuturesUnordered<_> = puts.collect();
    let mut attempts: Vec<Attempt> = lanes.iter().map(|_| Attempt::Behind).collect();
    let mut first: Option<Instant> = None;
    loop {
        let next = match first {
            None => pending.next().await,
            Some(at) => timeout_at(at + patience, pending.next()).await.ok().flatten(),
        };
        let Some((at, attempt)) = next else { return attempts };
        let done = matches!(attempt, Attempt::Done);
        if let (Some(lane), Some(first), true) = (lanes.get(at), first, done) {
            lane.held_others(first.elapsed());
        }
        if done && first.is_none() {
            first = Some(Instant::now());
            lanes.iter().for_each(|lane| lane.quickest_took(start.elapsed()));
        }
        if let Some(slot) = attempts.get_mut(at) {
            *slot = attempt;
        }
    }
}

async fn put(
    context: &Context,
    file: &FileRef,
    part: Part,
    bytes: u64,
    source_crc32c: Option<u32>,
    body: BoxStream<'static, Result<Bytes, BoxError>>,
) -> Attempt {
    let lane = part.lane;
    // A lane that stopped has told why; the lane that looks again finds that.
    let Some((store, key)) = at_target(&lane, file) else { return Attempt::Again(None) };
    let checked = expecting(body, source_crc32c);
    match store.upload(&key, bytes, checked, part.on).await {
        Ok(Uploaded { size_bytes, .. }) => {
            lane.copied(file, size_bytes);
            let target = &lane.target.url;
            context.progress.event(Event::FileDone { target, bytes: size_bytes, skipped: false });
            Attempt::Done
        }
        Err(WriteError::Body { source }) if source.is::<FellBehind>() => Attempt::Behind,
        Err(WriteError::Body { .. }) => Attempt::SourceCut,
        Err(error) => {
            if matches!(error, WriteError::Exists { .. }) {
                lane.set_asks_first(true);
            }
            Attempt::Again(Some(error))
        }
    }
}

/// The body, failing at its end when its checksum is not the one that the source publishes: the
/// upload is then cut before the target can commit it.
fn expecting(
    body: BoxStream<'static, Result<Bytes, BoxError>>,
    source_crc32c: Option<u32>,
) -> BoxStream<'static, Result<Bytes, BoxError>> {
    match source_crc32c {
        None => body,
        Some(expected) => verify_crc32c(body, expected),
    }
}

/// Counts of a lane, for its report.
pub(crate) fn counts(lane: &Lane) -> (u64, u64, u64) {
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    (load(&lane.copied_files), load(&lane.copied_bytes), load(&lane.skipped_files))
}
