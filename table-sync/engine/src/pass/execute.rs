//! Carrying out a schedule: files of several positions at once, publishing strictly in order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt as _, join_all, ready};
use futures::stream::{self, FuturesUnordered, StreamExt as _, TryStreamExt as _};
use table_sync_core::{
    Description, Disposition, FileRef, Planned, PlannedKind, Position, RelPath, Role, SeenCommit,
    SourceError, SourceView,
};
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::key_lengths::KeyLengths;
use super::tailored::{publish_at, write_ahead};
use super::{retry_source, source_stop};
use crate::in_flight::InFlight;
use crate::lane::{Lane, Stop};
use crate::receipt::committed_ms;
use crate::transfer::{self, Context, SourceFault};
use crate::{Event, Receipt};

/// One position of the merged schedule, and the targets that take it.
pub(super) struct Scheduled {
    pub(super) planned: Planned,
    /// Index of the run, and its lane.
    pub(super) lanes: Vec<(usize, Arc<Lane>)>,
}

/// Why the schedule ended early, for a reason that lies at the source.
pub(super) enum Halt {
    /// Observe both sides again.
    Replan,
    /// A file that the position needs is gone, or is not the one that the log describes.
    NotWhole { position: Position, file: FileRef, message: String },
    /// The base does not read.
    BaseUnusable { position: Position },
    /// Nothing at or above the position can be published now.
    Stop(Stop),
}

#[derive(Default)]
pub(super) struct Outcome {
    /// By index of the run, in order.
    pub(super) published: BTreeMap<usize, Vec<Receipt>>,
    pub(super) warnings: Vec<String>,
    pub(super) halt: Option<Halt>,
}

/// A position whose files are at every lane that is still active.
struct Ready {
    planned: Planned,
    lanes: Vec<(usize, Arc<Lane>)>,
    description: Arc<Description>,
    warnings: Vec<String>,
    lengths: KeyLengths,
    /// What it needs beside the log, and its bytes as far as the log states them.
    files: u64,
    bytes: u64,
    partitions: Vec<RelPath>,
}

type Published = Arc<Mutex<BTreeMap<usize, Vec<Receipt>>>>;

/// Takes the index of a run whose lane fell behind, and what was published there.
pub(super) type Left = mpsc::UnboundedSender<(usize, Vec<Receipt>)>;

/// Carries out a schedule. Positions are published at each target in the order of the schedule.
/// A lane that falls behind leaves at once, by way of `left`.
pub(super) async fn execute(
    context: &Arc<Context>,
    view: &Arc<SourceView>,
    schedule: Vec<Scheduled>,
    seen: HashMap<Position, SeenCommit>,
    left: Left,
) -> Outcome {
    let published: Published = Arc::default();
    let mut publishers = BTreeMap::new();
    let mut senders = BTreeMap::new();
    for (index, lane) in schedule.iter().flat_map(|scheduled| &scheduled.lanes) {
        senders.entry(*index).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(context.options.window.get());
            let (context, lane, left) = (Arc::clone(context), Arc::clone(lane), left.clone());
            let (index, published) = (*index, Arc::clone(&published));
            let view = Arc::clone(view);
            let task = async move {
                publisher(&context, &view, (index, &lane), receiver, &published).await;
                if matches!(lane.stopped(), Some(Stop::Behind)) {
                    let mut published = published.lock().unwrap_or_else(|lock| lock.into_inner());
                    // The round that executes this holds the other end.
                    let _ = left.send((index, published.remove(&index).unwrap_or_default()));
                }
            };
            publishers.insert(index, AbortOnDropHandle::new(tokio::spawn(task)));
            sender
        });
    }
    let mut outcome = feed(context, view, schedule, seen, &senders).await;
    // No more positions: the publishers finish what they were given.
    drop(left);
    drop(senders);
    for ended in join_all(publishers.into_values()).await {
        // Nobody aborts a publisher whose round goes on, and a panic is not for us to hide.
        let _ = ended.map_err(unless_panic);
    }
    let published = std::mem::take(&mut *published.lock().unwrap_or_else(|lock| lock.into_inner()));
    outcome.published = published;
    outcome
}

async fn feed(
    context: &Arc<Context>,
    view: &SourceView,
    schedule: Vec<Scheduled>,
    mut seen: HashMap<Position, SeenCommit>,
    senders: &BTreeMap<usize, mpsc::Sender<Arc<Ready>>>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let window = context.options.window.get();
    let in_flight = Arc::new(InFlight::new(&context.options));
    let mut ready = stream::iter(schedule)
        .map(|scheduled| prepare(context, view, &in_flight, scheduled).boxed())
        .buffered(window)
        .boxed();
    let mut previous: Option<SeenCommit> = None;
    while let Some(prepared) = ready.next().await {
        let ready = match prepared {
            Ok(ready) => ready,
            Err(halt) => {
                outcome.halt = Some(halt);
                return outcome;
            }
        };
        outcome.warnings.extend(ready.warnings.iter().cloned());
        if ready.planned.kind == PlannedKind::Append {
            let before = previous.take().or_else(|| predecessor(view, &ready, &mut seen));
            if let Some(halt) = still_same(context, before).await {
                outcome.halt = Some(halt);
                return outcome;
            }
        }
        previous.clone_from(&ready.description.seen);
        hand_over(context, Arc::new(ready), senders).await;
    }
    outcome
}

/// The commit that was read before the first append of the schedule.
fn predecessor(
    view: &SourceView,
    ready: &Ready,
    seen: &mut HashMap<Position, SeenCommit>,
) -> Option<SeenCommit> {
    let at = view.commits.partition_point(|commit| commit.position < ready.planned.position);
    let before = view.commits.get(at.checked_sub(1)?)?;
    seen.remove(&before.position)
}

/// After N+1 was read, N must still be what it was: else they may not be of one history.
async fn still_same(context: &Context, before: Option<SeenCommit>) -> Option<Halt> {
    let before = before?;
    let log = &context.source.log;
    match retry_source(context, || log.unchanged(&before)).await {
        Ok(true) => None,
        Ok(false) => Some(Halt::Replan),
        Err(error) => Some(Halt::Stop(source_stop(context, error))),
    }
}

/// Gives a position to the publishers. A lane whose queue stays full while others wait goes on
/// alone.
async fn hand_over(
    context: &Context,
    ready: Arc<Ready>,
    senders: &BTreeMap<usize, mpsc::Sender<Arc<Ready>>>,
) {
    let active: Vec<_> = ready.lanes.iter().filter(|(_, lane)| lane.is_active()).collect();
    let alone = active.len() == 1;
    for (index, lane) in active {
        let Some(sender) = senders.get(index) else { continue };
        let sending = sender.send(Arc::clone(&ready));
        if alone {
            // The publisher is gone only when its lane stopped.
            let _ = sending.await;
        } else if timeout(context.options.fan_out_patience, sending).await.is_err() {
            lane.halt(Stop::Behind);
        }
    }
}

/// Reads one position and brings its files to every active lane.
async fn prepare(
    context: &Arc<Context>,
    view: &SourceView,
    in_flight: &Arc<InFlight>,
    scheduled: Scheduled,
) -> Result<Ready, Halt> {
    let Scheduled { planned, lanes } = scheduled;
    let log = &context.source.log;
    let described = retry_source(context, || log.describe(view, &planned)).await;
    let description = described.map_err(|error| describe_halt(context, planned, error))?;
    write_ahead(context, view, &description, &lanes).await;
    let lengths = KeyLengths::of(&description, planned.kind, lanes.clone()).await;
    let taking = lengths.taking();
    let copying = copy_files(context, in_flight, planned, &description, &lengths);
    let (copied, ()) = futures::join!(copying, count(context, &description, &taking));
    let Copied { files, bytes, partitions, warnings } = copied?;
    let description = Arc::new(description);
    Ok(Ready { planned, lanes, description, warnings, lengths, files, bytes, partitions })
}

/// Tells how much a position needs, while it is copied. An error shows in the copying.
async fn count(context: &Context, description: &Description, lanes: &[Arc<Lane>]) {
    if !context.progress.wants_totals() {
        return;
    }
    let mut needs = (description.needs)();
    while let Ok(Some(chunk)) = needs.try_next().await {
        let files = chunk.len() as u64;
        let bytes = chunk.iter().filter_map(|file| file.size_bytes).sum();
        for lane in lanes.iter().filter(|lane| lane.is_active()) {
            let target = &lane.target.url;
            context.progress.event(Event::Needed { target, files, bytes });
        }
    }
}

/// What was brought to the lanes of one position.
#[derive(Default)]
struct Copied {
    files: u64,
    /// As far as the log states them.
    bytes: u64,
    /// The files that make its partitions, where commits wait for these.
    partitions: Vec<RelPath>,
    warnings: Vec<String>,
}

/// Brings the files of one position to the lanes that take them.
async fn copy_files(
    context: &Arc<Context>,
    in_flight: &Arc<InFlight>,
    planned: Planned,
    description: &Description,
    lengths: &KeyLengths,
) -> Result<Copied, Halt> {
    let mut copied = Copied::default();
    let (mut needs, mut ended) = ((description.needs)(), false);
    let mut waiting = VecDeque::new();
    let mut copying = FuturesUnordered::new();
    loop {
        while copying.len() < context.options.transfers.get() {
            let Some((file, taking)) = waiting.pop_front() else { break };
            copying.push(transfer_file(context, in_flight, planned.position, file, taking));
        }
        let room = !ended && waiting.is_empty();
        let chunk = tokio::select! {
            biased;
            Some(done) = copying.next() => {
                copied.warnings.extend(done?);
                continue;
            }
            chunk = needs.try_next(), if room => chunk,
            else => return Ok(copied),
        };
        let chunk = chunk.map_err(|error| describe_halt(context, planned, error))?;
        let Some(chunk) = chunk else {
            ended = true;
            continue;
        };
        lengths.look_at(&chunk);
        copied.files += chunk.len() as u64;
        copied.bytes += chunk.iter().filter_map(|file| file.size_bytes).sum::<u64>();
        if context.options.partition_lead.is_some() {
            let makes = |file: &&FileRef| file.role == Role::PartitionMetadata;
            copied.partitions.extend(chunk.iter().filter(makes).map(|file| file.path.clone()));
        }
        let taking = lengths.taking();
        waiting.extend(chunk.into_iter().map(|file| (file, Arc::clone(&taking))));
    }
}

/// One file on a task of its own, which begins at once, so that all cores take part. A lost change
/// data file is a warning: every snapshot is whole without it.
fn transfer_file(
    context: &Arc<Context>,
    in_flight: &Arc<InFlight>,
    position: Position,
    file: FileRef,
    lanes: Arc<[Arc<Lane>]>,
) -> BoxFuture<'static, Result<Option<String>, Halt>> {
    if lanes.iter().all(|lane| !lane.is_active()) {
        return ready(Ok(None)).boxed();
    }
    let task = {
        let (context, in_flight) = (Arc::clone(context), Arc::clone(in_flight));
        let file = file.clone();
        async move { transfer::ensure(&context, &in_flight, &file, &lanes).await }
    };
    let task = AbortOnDropHandle::new(tokio::spawn(task));
    async move {
        match task.await {
            Ok(Ok(())) => Ok(None),
            Ok(Err(SourceFault::NotWhole { message })) if file.role == Role::ChangeData => {
                Ok(Some(format!("change data feed is broken at version {position}: {message}")))
            }
            Ok(Err(SourceFault::NotWhole { message })) => {
                Err(Halt::NotWhole { position, file, message })
            }
            Ok(Err(SourceFault::Failed(failure))) => Err(Halt::Stop(Stop::Failed(failure))),
            Err(error) => {
                let error = unless_panic(error);
                let failure = crate::report::Failure::new(crate::FailureCode::Internal, &error);
                Err(Halt::Stop(Stop::Failed(failure)))
            }
        }
    }
    .boxed()
}

/// Why a task did not end by itself; a panic goes on here as if there were no task.
fn unless_panic(error: JoinError) -> JoinError {
    match error.try_into_panic() {
        Ok(cause) => resume_unwind(cause),
        Err(error) => error,
    }
}

fn describe_halt(context: &Context, planned: Planned, error: SourceError) -> Halt {
    match (error.disposition(), planned.kind) {
        // A base that is incomplete, does not read, or is being replaced: another one may do.
        (Disposition::Replan, PlannedKind::Jump) => {
            Halt::BaseUnusable { position: planned.position }
        }
        (Disposition::Replan, _) => Halt::Replan,
        _ => Halt::Stop(source_stop(context, error)),
    }
}

/// Publishes at one target, in order, until the queue ends or the lane stops.
async fn publisher(
    context: &Context,
    view: &SourceView,
    (index, lane): (usize, &Lane),
    mut queue: mpsc::Receiver<Arc<Ready>>,
    published: &Published,
) {
    loop {
        let ready = tokio::select! {
            biased;
            () = lane.halted() => return,
            ready = queue.recv() => ready,
        };
        let Some(ready) = ready else { return };
        if let Some(blocked) = ready.lengths.refusal(index) {
            lane.halt(Stop::Blocked(blocked.clone()));
            return;
        }
        let target = &lane.target;
        if let Some(until) = listed(context, lane, &ready.partitions) {
            tokio::select! {
                () = lane.halted() => return,
                () = sleep_until(until) => {}
            }
        }
        if let Err(stop) = publish_at(context, view, lane, &ready.description).await {
            lane.halt(stop);
            return;
        }
        let receipt = receipt(context, view, &ready);
        let Receipt { position, kind, .. } = receipt;
        tracing::info!(target_url = %target.url, %position, ?kind, "publish done");
        published
            .lock()
            .unwrap_or_else(|lock| lock.into_inner())
            .entry(index)
            .or_default()
            .push(receipt.clone());
        context.progress.event(Event::Published {
            target: &target.url,
            position,
            kind,
            receipt: &receipt,
            format: context.source.log.format(),
        });
    }
}

/// From when on the partitions that a position needs are listed by whoever reads there.
fn listed(context: &Context, lane: &Lane, partitions: &[RelPath]) -> Option<Instant> {
    let lead = context.options.partition_lead?;
    // Nobody reads a replica that was never published.
    lane.replica.head?;
    let brought = partitions.iter().map(|file| lane.brought(file).unwrap_or(lead.since));
    Some(brought.max()? + lead.time)
}

/// What is known of a position that became visible just now.
fn receipt(context: &Context, view: &SourceView, ready: &Ready) -> Receipt {
    let Planned { position, kind } = ready.planned;
    Receipt {
        position,
        kind,
        committed_ms: committed_ms(view, position),
        published_ms: context.options.clock.now_ms(),
        files: ready.files,
        bytes: ready.bytes,
        commit_sha256: ready.description.seen.as_ref().map(|seen| seen.sha256),
    }
}
