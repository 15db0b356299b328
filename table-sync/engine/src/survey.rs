//! Surveys: what a pass would do, and how far each target is behind. Nothing is written.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use table_sync_core::{Blocked, FileRef, Lag, Plan, Position, SourceError, SourceView, TableState};

use crate::lane::{Stop, target_read_failure};
use crate::pass::{Surveyed, retry_source, source_stop, survey_target};
use crate::rate::Rate;
use crate::report::{Failure, FailureCode};
use crate::transfer::Context;
use crate::{Options, Progress, Source, Target, headroom};

/// Requests in flight while files are looked for.
const LOOK_AHEAD: usize = 32;

/// What a pass would do at one target.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// The target's URL.
    pub target: String,
    /// Publications in order, and the refusal that ends them, where there is one.
    pub plan: Plan,
    /// The newest position at the source.
    pub source_head: Option<Position>,
    /// Files to copy. A file that several versions add is counted once for each.
    pub copy_files: u64,
    /// Their bytes, as far as the log states them.
    pub copy_bytes: u64,
    /// Files to copy whose size the log does not state: deletion vectors.
    pub unsized_files: u64,
    /// Files that are there already.
    pub present_files: u64,
    /// Objects of the log to write.
    pub log_objects: u64,
    /// Why the target could not be surveyed, where it could not.
    pub failure: Option<Failure>,
}

/// How far one target is behind.
#[derive(Debug, Clone)]
pub struct TargetStatus {
    /// The target's URL.
    pub target: String,
    /// The newest position at the source.
    pub source_head: Option<Position>,
    /// The replica's head.
    pub head: Option<Position>,
    /// The lowest position that readers can open.
    pub earliest_readable: Option<Position>,
    /// Lag; `None` where it is not known.
    pub lag: Option<Lag>,
    /// Bytes of the files that unpublished commits add; `None` where it is not known.
    pub lag_bytes: Option<u64>,
    /// When the source may begin to delete what is not published, ms since the epoch; `None` where
    /// that is not known, or nothing of it may go as things are.
    pub deadline_ms: Option<i64>,
    /// State.
    pub state: TableState,
    /// Why the table waits for a person, where it does.
    pub blocked: Option<Blocked>,
    /// Why it is not known, where it is not.
    pub failure: Option<Failure>,
}

/// Estimates a pass for each target.
pub async fn estimate(
    source: &Source,
    targets: &[Target],
    options: &Options,
    progress: Arc<dyn Progress>,
) -> Vec<Estimate> {
    let context = context(source, options, progress);
    let mut estimates = Vec::with_capacity(targets.len());
    for target in targets {
        let mut estimate = Estimate {
            target: target.url.clone(),
            plan: Plan::default(),
            source_head: None,
            copy_files: 0,
            copy_bytes: 0,
            unsized_files: 0,
            present_files: 0,
            log_objects: 0,
            failure: None,
        };
        match survey_target(&context, target).await {
            Ok(surveyed) => fill(&context, target, surveyed, &mut estimate).await,
            Err(Stop::Failed(failure)) => estimate.failure = Some(failure),
            Err(Stop::Blocked(blocked)) => estimate.plan.refusal = Some(blocked),
            Err(Stop::Behind | Stop::Held(_)) => {}
        }
        estimates.push(estimate);
    }
    estimates
}

fn context(source: &Source, options: &Options, progress: Arc<dyn Progress>) -> Context {
    Context {
        source: source.clone(),
        options: options.clone(),
        progress,
        rate: Arc::new(Rate::new(None, None)),
    }
}

async fn fill(context: &Context, target: &Target, surveyed: Surveyed, estimate: &mut Estimate) {
    let Surveyed { view, replica, plan, .. } = surveyed;
    estimate.source_head = view.head();
    estimate.plan = plan;
    let fresh = replica.objects.is_empty();
    for at in 0..estimate.plan.publications.len() {
        let Some(planned) = estimate.plan.publications.get(at).copied() else { break };
        let log = &context.source.log;
        let described = retry_source(context, || log.describe(&view, &planned)).await;
        let counted = match described {
            Ok(description) => {
                estimate.log_objects += description.publication.writes().count() as u64;
                count_needs(context, target, fresh, (description.needs)(), estimate).await
            }
            Err(error) => Err(source_stop(context, error)),
        };
        match counted {
            Ok(()) => {}
            Err(Stop::Blocked(blocked)) => {
                estimate.plan.publications.truncate(at);
                estimate.plan.refusal = Some(blocked);
                return;
            }
            Err(Stop::Failed(failure)) => {
                estimate.plan.publications.truncate(at);
                estimate.failure = Some(failure);
                return;
            }
            Err(Stop::Behind | Stop::Held(_)) => return,
        }
    }
}

async fn count_needs(
    context: &Context,
    target: &Target,
    fresh: bool,
    needs: table_sync_core::FileStream,
    estimate: &mut Estimate,
) -> Result<(), Stop> {
    let mut needs = needs.map_err(|error| source_stop(context, error));
    if fresh && target.roots.is_empty() {
        // Nothing is there: no file needs to be looked for, and a chunk is counted as it comes.
        while let Some(chunk) = needs.try_next().await? {
            for file in &chunk {
                count(estimate, Found::Copy(file.size_bytes));
            }
        }
        return Ok(());
    }
    let looked = needs
        .map_ok(|chunk| stream::iter(chunk.into_iter().map(Ok)))
        .try_flatten()
        .map(|file| async move { look(target, file?).await })
        .buffer_unordered(LOOK_AHEAD);
    looked
        .try_for_each(|found| {
            count(estimate, found);
            futures::future::ready(Ok(()))
        })
        .await
}

fn count(estimate: &mut Estimate, found: Found) {
    match found {
        Found::Present => estimate.present_files += 1,
        Found::Copy(bytes) => {
            estimate.copy_files += 1;
            estimate.copy_bytes += bytes.unwrap_or(0);
            estimate.unsized_files += u64::from(bytes.is_none());
        }
    }
}

enum Found {
    Present,
    /// With its size, where the log states one. The source is not asked for the others: a table
    /// can have a deletion vector for every file.
    Copy(Option<u64>),
}

async fn look(target: &Target, file: FileRef) -> Result<Found, Stop> {
    let object = target.object(&file);
    let opened = |error| Stop::Failed(Failure::new(FailureCode::Internal, &error));
    let (store, key) = object.map_err(opened)?;
    let there = store.head(&key).await;
    let there = there.map_err(|error| Stop::Failed(target_read_failure(&error)))?;
    let size = there.map(|facts| facts.identity.size_bytes);
    if size.is_some() && (file.size_bytes.is_none() || size == file.size_bytes) {
        return Ok(Found::Present);
    }
    Ok(Found::Copy(file.size_bytes))
}

/// Tells how far each target is behind.
pub async fn status(
    source: &Source,
    targets: &[Target],
    options: &Options,
    progress: Arc<dyn Progress>,
) -> Vec<TargetStatus> {
    let context = context(source, options, progress);
    let mut statuses = Vec::with_capacity(targets.len());
    for target in targets {
        let mut status = TargetStatus {
            target: target.url.clone(),
            source_head: None,
            head: None,
            earliest_readable: None,
            lag: None,
            lag_bytes: None,
            deadline_ms: None,
            state: TableState::Unknown,
            blocked: None,
            failure: None,
        };
        match survey_target(&context, target).await {
            Ok(surveyed) => fill_status(&context, &surveyed, &mut status).await,
            Err(Stop::Failed(failure)) => status.failure = Some(failure),
            Err(Stop::Blocked(blocked)) => set_blocked(&mut status, blocked),
            Err(Stop::Behind | Stop::Held(_)) => {}
        }
        statuses.push(status);
    }
    statuses
}

fn set_blocked(status: &mut TargetStatus, blocked: Blocked) {
    status.state = TableState::of_blocked(blocked.code);
    status.blocked = Some(blocked);
}

async fn fill_status(context: &Context, surveyed: &Surveyed, status: &mut TargetStatus) {
    let Surveyed { view, replica, earliest_readable, plan } = surveyed;
    status.source_head = view.head();
    status.head = replica.head;
    status.earliest_readable = *earliest_readable;
    let commits: Vec<_> =
        view.commits.iter().map(|commit| (commit.position, commit.committed_ms)).collect();
    let now_ms = context.options.clock.now_ms();
    status.lag = Some(Lag::of(&commits, replica.head, now_ms));
    status.state = match (replica.head, view.head()) {
        (None, _) => TableState::Unpublished,
        (head, source) if head < source => TableState::CatchingUp,
        _ => TableState::Ok,
    };
    status.deadline_ms = headroom::deadline_ms(context, view, replica.head).await;
    match pending_bytes(context, view, plan).await {
        Ok(bytes) => status.lag_bytes = Some(bytes),
        Err(SourceError::Blocked(blocked)) => set_blocked(status, blocked),
        Err(error) => match source_stop(context, error) {
            Stop::Blocked(blocked) => set_blocked(status, blocked),
            Stop::Failed(failure) => status.failure = Some(failure),
            Stop::Behind | Stop::Held(_) => {}
        },
    }
    if let Some(refusal) = &plan.refusal {
        set_blocked(status, refusal.clone());
    }
}

/// Bytes of the files that the planned positions need, as far as the log states them.
async fn pending_bytes(
    context: &Context,
    view: &SourceView,
    plan: &Plan,
) -> Result<u64, SourceError> {
    let log = &context.source.log;
    let mut total = 0u64;
    for planned in &plan.publications {
        let described = retry_source(context, || log.describe(view, planned)).await?;
        let mut needs = (described.needs)();
        while let Some(chunk) = needs.try_next().await? {
            total += chunk.iter().filter_map(|file| file.size_bytes).sum::<u64>();
        }
    }
    Ok(total)
}
