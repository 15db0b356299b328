//! One pass: observe, plan, carry out, until every target holds what the source held at the start.
//!
//! Targets that start together share every read of the source. One that falls behind, or is
//! behind from the start, goes on alone. Nothing here outlives the pass: a run right after a
//! crash observes again and finds the work that was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use table_sync_core::{
    BlockCode, Blocked, PlanInput, PlannedKind, Position, SourceError, SourceView, TableState,
    lint, plan,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::lane::{Lane, Stop};
use crate::rate::Rate;
use crate::receipt::committed_ms;
use crate::report::{Failure, FailureCode, PassReport, TargetReport};
use crate::transfer::Context;
use crate::{Event, Options, Progress, Receipt, Source, Target};

mod ancestry;
mod arrive;
mod attach;
mod execute;
mod key_lengths;
mod own;
mod remembered;
mod retire;
mod run;
mod source;
mod surveyed;
mod tailored;

use ancestry::Ancestors;
use execute::{Halt, Scheduled};
use run::Run;
pub(crate) use source::{retry_source, source_stop};
pub(crate) use surveyed::{Surveyed, survey_target};

/// Publications of one round. After each round both sides are observed again and derived objects
/// are attached, so that readers of a long catch-up get checkpoints on the way.
const ROUND_PUBLICATIONS: usize = 256;

/// Rounds without any progress before the pass gives up.
const IDLE_ROUNDS_MAX: usize = 16;

/// Brings every target as far as the source allows.
///
/// Never fails as a whole: each target's report says how far it came and why it stopped. The
/// targets' reports are in the order given.
///
/// Dropping the future stops the pass at once. Nothing half-visible is left: a publication that
/// was interrupted is finished by the next pass.
pub async fn pass(
    source: &Source,
    targets: &[Target],
    options: &Options,
    progress: Arc<dyn Progress>,
) -> PassReport {
    let context = Arc::new(Context {
        source: source.clone(),
        options: options.clone(),
        progress,
        rate: Arc::new(Rate::new(options.bandwidth_limit, options.transfer_gate.clone())),
    });
    let mut runs: Vec<Run> = targets.iter().enumerate().map(|(at, t)| Run::new(at, t)).collect();
    if let Some(report) = remembered::in_step(&context, &mut runs).await {
        return report;
    }
    let (slow, mut slower) = mpsc::unbounded_channel();
    let mut groups = FuturesUnordered::new();
    groups.push(group(Arc::clone(&context), runs, slow.clone()));
    let mut seen: Option<Arc<SourceView>> = None;
    let mut done: BTreeMap<usize, Run> = BTreeMap::new();
    while !groups.is_empty() || !slower.is_empty() {
        tokio::select! {
            Some(run) = slower.recv() => {
                groups.push(group(Arc::clone(&context), vec![run], slow.clone()));
            }
            Some(outcome) = groups.next() => {
                seen = further(seen, outcome.source);
                done.extend(outcome.done.into_iter().map(|run| (run.index, run)));
            }
        }
    }
    if seen.as_ref().and_then(|view| view.head()).is_none() {
        // No target came so far: what the source holds is worth telling all the same.
        seen = further(seen, source.log.observe(None).await.ok().map(Arc::new));
    }
    let seen = seen.as_deref();
    let source_head = seen.and_then(SourceView::head);
    let mut targets = Vec::with_capacity(done.len());
    for run in done.into_values() {
        let deadline_ms = run.deadline_ms(&context, seen).await;
        targets.push(TargetReport { deadline_ms, ..run.into_report(seen) });
    }
    PassReport {
        source: source.url.clone(),
        format: source.log.format(),
        source_head,
        source_head_ms: seen.and_then(|view| committed_ms(view, source_head?)),
        targets,
    }
}

/// The look that saw further; the later one of two that saw as far.
fn further(
    earlier: Option<Arc<SourceView>>,
    later: Option<Arc<SourceView>>,
) -> Option<Arc<SourceView>> {
    match (earlier, later) {
        (Some(earlier), Some(later)) if later.head() < earlier.head() => Some(earlier),
        (earlier, later) => later.or(earlier),
    }
}

struct GroupOutcome {
    /// The look at the source that saw furthest.
    source: Option<Arc<SourceView>>,
    done: Vec<Run>,
}

/// Takes runs that cannot keep up with their group: each goes on alone, at once.
type Slow = mpsc::UnboundedSender<Run>;

/// What a group learned about the source so far.
#[derive(Default)]
struct Learned {
    /// Positions that are not whole at the source.
    avoid: BTreeSet<Position>,
    /// Bases that do not read; their positions may still be reached commit by commit.
    no_bases: BTreeSet<Position>,
    /// The head that this pass works toward.
    goal: Option<Position>,
    ancestors: Ancestors,
}

async fn group(context: Arc<Context>, mut runs: Vec<Run>, slow: Slow) -> GroupOutcome {
    let mut learned = Learned::default();
    let mut source = None;
    let mut idle_rounds = 0;
    while runs.iter().any(|run| !run.finished) {
        let published_before: usize = runs.iter().map(|run| run.report.published.len()).sum();
        observe_targets(&context, &mut runs, &slow).await;
        let Some(mut view) = observe_source(&context, &mut runs).await else { break };
        view.bases.retain(|base| !learned.no_bases.contains(&base.position));
        // In a set a base is whole only as the newest state: there is no earlier goal to keep to.
        learned.goal = match view.set {
            None => learned.goal.or(view.head()),
            Some(_) => None,
        };
        let view = Arc::new(view);
        source = further(source, Some(Arc::clone(&view)));
        for run in runs.iter_mut().filter(|run| !run.finished) {
            run.source = Some(Arc::clone(&view));
        }
        plan_runs(&context, &view, &mut runs, &mut learned).await;
        let halt = round(&context, &view, &mut runs, &mut learned, &slow).await;
        if let Some(halt) = halt {
            settle_halt(&context, &view, &mut runs, &mut learned, halt).await;
        }
        let published: usize = runs.iter().map(|run| run.report.published.len()).sum();
        idle_rounds = if published > published_before { 0 } else { idle_rounds + 1 };
        if idle_rounds > IDLE_ROUNDS_MAX {
            let failure = Failure::new(FailureCode::SourceChanged, &KeepsChanging);
            for run in runs.iter_mut().filter(|run| !run.finished) {
                run.fail(failure.clone());
            }
        }
    }
    GroupOutcome { source, done: runs }
}

#[derive(Debug, thiserror::Error)]
#[error("the source changed each time it was looked at")]
struct KeepsChanging;

/// Looks at every target of a group. One that does not answer soon goes on alone: the others do
/// not wait for its retries.
async fn observe_targets(context: &Context, runs: &mut Vec<Run>, slow: &Slow) {
    let alone = runs.iter().filter(|run| !run.finished).count() == 1;
    let late = join_all(runs.iter_mut().map(|run| is_late(context, run, alone))).await;
    part(runs, &late, slow);
}

/// Looks at one target. Whether it did not answer in time.
async fn is_late(context: &Context, run: &mut Run, alone: bool) -> bool {
    if run.finished {
        return false;
    }
    let look = arrive::observe(context, run);
    if alone {
        look.await;
        return false;
    }
    timeout(context.options.fan_out_patience, look).await.is_err()
}

/// Hands the marked runs over to groups of their own.
fn part(runs: &mut Vec<Run>, marked: &[bool], slow: &Slow) {
    for (run, marked) in std::mem::take(runs).into_iter().zip(marked) {
        if !marked {
            runs.push(run);
        } else if let Err(unsent) = slow.send(run) {
            // The pass itself holds the other end; a run is never dropped without a report.
            runs.push(unsent.0);
        }
    }
}

/// Looks at the source from the lowest head of the group. `None` when that failed for all.
async fn observe_source(context: &Context, runs: &mut [Run]) -> Option<SourceView> {
    let active = || runs.iter().filter(|run| !run.finished);
    active().next()?;
    let fresh = active().any(|run| run.view.head.is_none());
    let after = if fresh { None } else { active().filter_map(|run| run.view.head).min() };
    let observed = retry_source(context, || context.source.log.observe(after)).await;
    match observed {
        Ok(view) => Some(view),
        Err(error) => {
            let stop = source_stop(context, error);
            for run in runs.iter_mut().filter(|run| !run.finished) {
                run.stop(stop.clone());
            }
            None
        }
    }
}

async fn plan_runs(context: &Context, view: &SourceView, runs: &mut [Run], learned: &mut Learned) {
    for run in runs.iter_mut().filter(|run| !run.finished) {
        run.place(view);
        if let Err(stop) = learned.ancestors.check(context, view, run).await {
            run.stop(stop);
            continue;
        }
        let until = match (context.options.until, learned.goal) {
            (Some(until), Some(goal)) => Some(until.min(goal)),
            (until, goal) => until.or(goal),
        };
        let input = PlanInput {
            source: view,
            replica: &run.view,
            start: context.options.start,
            until,
            avoid: &learned.avoid,
        };
        run.plan = plan(&input);
        if let Err(error) = lint(&run.plan, view, &run.view) {
            run.fail(Failure::new(FailureCode::Internal, &error));
            continue;
        }
        let target = &run.target.url;
        let positions = run.plan.publications.len();
        context.progress.event(Event::Planned { target, positions });
    }
}

/// Gets a run ready for its writes, or ends it where there are none.
async fn prepare(context: &Context, view: &SourceView, run: &mut Run) {
    if run.finished {
        return;
    }
    if run.plan.publications.is_empty() {
        complete(context, view, run).await;
    } else if let Err(stop) = arrive::before_first_write(context, run).await {
        run.stop(stop);
    }
}

/// Carries out one round of the plans. Runs without work are completed and finished.
async fn round(
    context: &Arc<Context>,
    view: &Arc<SourceView>,
    runs: &mut Vec<Run>,
    learned: &mut Learned,
    slow: &Slow,
) -> Option<Halt> {
    join_all(runs.iter_mut().map(|run| prepare(context, view, run))).await;
    let lanes: Vec<Option<(usize, Arc<Lane>)>> =
        runs.iter().map(|run| Some((run.index, lane_of(context, run)?))).collect();
    let round_max = context.source.log.round_max(view);
    let schedule = merge(runs, &lanes, round_max.unwrap_or(ROUND_PUBLICATIONS));
    if schedule.is_empty() {
        return None;
    }
    let (left, mut leaving) = mpsc::unbounded_channel();
    let seen = learned.ancestors.seen();
    let executing = execute::execute(context, view, schedule, seen, left);
    let parting = async {
        while let Some((index, published)) = leaving.recv().await {
            let leaves: Vec<bool> = runs.iter().map(|run| run.index == index).collect();
            let run = runs.iter_mut().find(|run| run.index == index);
            let lane = lanes.iter().flatten().find(|(at, _)| *at == index);
            if let (Some(run), Some((_, lane))) = (run, lane) {
                account(run, lane, &published);
            }
            part(runs, &leaves, slow);
        }
    };
    let (outcome, ()) = futures::join!(executing, parting);
    for run in runs.iter_mut() {
        let lane = lanes.iter().flatten().find(|(index, _)| *index == run.index);
        let Some((_, lane)) = lane else { continue };
        let published = outcome.published.get(&run.index).map_or(&[][..], Vec::as_slice);
        account(run, lane, published);
        for warning in &outcome.warnings {
            run.warn(context, warning.clone());
        }
        if let Some(stop) = lane.stopped() {
            end(context, view, run, stop.clone()).await;
        }
    }
    outcome.halt
}

/// Adds what was done at a lane to its run's report.
fn account(run: &mut Run, lane: &Lane, published: &[Receipt]) {
    let (files, bytes, skipped) = crate::transfer::counts(lane);
    run.report.copied_files += files;
    run.report.copied_bytes += bytes;
    run.report.skipped_files += skipped;
    note_published(run, published);
}

fn lane_of(context: &Context, run: &Run) -> Option<Arc<Lane>> {
    if run.finished {
        return None;
    }
    let ours = run.arrival.as_ref().is_some_and(|arrival| arrival.ours_from_start());
    let (target, windows) = (run.target.clone(), Arc::clone(&run.windows));
    let lane = Lane::new(&context.source, target, run.view.clone(), ours, windows);
    Some(Arc::new(lane))
}

/// Merges the targets' plans into one schedule, ascending by position, so that a file which
/// several targets need is read once.
fn merge(runs: &[Run], lanes: &[Option<(usize, Arc<Lane>)>], round_max: usize) -> Vec<Scheduled> {
    let mut merged: BTreeMap<(Position, u8), Scheduled> = BTreeMap::new();
    for (run, lane) in runs.iter().zip(lanes) {
        let Some((_, lane)) = lane else { continue };
        for planned in run.plan.publications.iter().take(round_max) {
            let rank = u8::from(planned.kind == PlannedKind::Append);
            let entry = merged.entry((planned.position, rank));
            let entry = entry.or_insert_with(|| Scheduled { planned: *planned, lanes: Vec::new() });
            entry.lanes.push((run.index, Arc::clone(lane)));
        }
    }
    merged.into_values().collect()
}

fn note_published(run: &mut Run, published: &[Receipt]) {
    for receipt in published {
        let fresh = run.report.start.is_none() && run.report.published.is_empty();
        if receipt.kind == PlannedKind::Jump && !fresh {
            run.report.jumped.push(receipt.position);
        }
        run.report.published.push(receipt.position);
        run.report.head = Some(receipt.position);
        run.report.receipts.push(receipt.clone());
    }
}

/// Nothing is left to publish: attach what came late, remember the head, and say how it ended.
async fn complete(context: &Context, view: &SourceView, run: &mut Run) {
    run.note_head();
    if let Err(stop) = finish(context, view, run).await {
        run.stop(stop);
        return;
    }
    match run.plan.refusal.take() {
        Some(refusal) => run.block(refusal),
        None => {
            run.report.state = match (run.view.head, view.head()) {
                (None, _) => TableState::Unpublished,
                (Some(head), Some(source)) if head < source => TableState::CatchingUp,
                _ => TableState::Ok,
            };
            if let Some(wait) = view.set.as_ref().and_then(|set| set.wait.clone()) {
                run.warn(context, wait);
            }
            run.finished = true;
        }
    }
}

async fn finish(context: &Context, view: &SourceView, run: &mut Run) -> Result<(), Stop> {
    let settled = attach::late(context, view, run).await?;
    let in_step = settled.as_ref().and_then(|_| remembered::of(context, view, run));
    arrive::remember(context, run, settled, in_step).await?;
    match context.options.retire {
        Some(retention) if run.plan.refusal.is_none() => {
            retire::retire(context, view, run, retention).await
        }
        _ => Ok(()),
    }
}

/// The schedule stopped at a position for a reason that lies at the source.
async fn settle_halt(
    context: &Context,
    view: &SourceView,
    runs: &mut [Run],
    learned: &mut Learned,
    halt: Halt,
) {
    let stop = match halt {
        // Both sides are observed again; the next round plans with what it finds.
        Halt::Replan => return,
        Halt::NotWhole { position, file, message } => {
            let live = context.source.log.live_at_head(view, &file, position).await;
            match live {
                Ok(false) | Err(SourceError::Missing { .. }) => {
                    learned.avoid.insert(position);
                    // A later base may be needed that was not there when the pass began.
                    learned.goal = None;
                    return;
                }
                Ok(true) => Stop::Blocked(Blocked::at(
                    BlockCode::SourceDamaged,
                    position,
                    format!(
                        "{message}, and the newest version still needs it: the source table \
                         itself is damaged; restore the file or repair the table at the source"
                    ),
                )),
                Err(error) => source_stop(context, error),
            }
        }
        // In a set the same position may be whole the next time it is looked at.
        Halt::BaseUnusable { .. } if view.set.is_some() => return,
        Halt::BaseUnusable { position } => {
            learned.no_bases.insert(position);
            learned.goal = None;
            return;
        }
        Halt::Stop(stop) => stop,
    };
    for run in runs.iter_mut().filter(|run| !run.finished) {
        // Only what lies at or above the position is affected; a run that needs nothing of it
        // is completed in the next round.
        let blocked_here = !run.plan.publications.is_empty();
        if blocked_here {
            finish_before_stop(context, view, run).await;
            end(context, view, run, stop.clone()).await;
        }
    }
}

/// Ends a run. While one waits for the source, what an earlier pass left undone is not left so.
async fn end(context: &Context, view: &SourceView, run: &mut Run, stop: Stop) {
    let waits = matches!(stop, Stop::Held(_)) && !run.finished;
    let undone = if waits { attach::late(context, view, run).await.err() } else { None };
    run.stop(undone.unwrap_or(stop));
}

/// What was published before the stop is real: observe it once more and remember it.
async fn finish_before_stop(context: &Context, view: &SourceView, run: &mut Run) {
    arrive::observe(context, run).await;
    if run.finished {
        return;
    }
    run.place(view);
    // The stop is what gets reported; a hint that could not be written only costs a listing.
    let _ = arrive::remember(context, run, None, None).await;
}
