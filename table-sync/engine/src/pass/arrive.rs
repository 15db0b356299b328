//! Arriving at a target: what it holds, whether it is ours, whether it is fit, what we remember.

use std::time::Duration;

use bytes::Bytes;
use table_sync_core::{
    BlockCode, Blocked, Hint, ObjectIdentity, Position, ReplicaError, ReplicaView,
};
use table_sync_store::{ProbeReport, ReadError, Store, Verdict, WriteError, probe};
use tokio::time::timeout;

use super::{Run, own};
use crate::Target;
use crate::descriptor::{self, Descriptor, DescriptorError, InStep, LAYOUT, Loaded, probe_key};
use crate::lane::{Stop, target_read_failure, target_write_failure};
use crate::options::object_key;
use crate::report::{Failure, FailureCode};
use crate::retry::Budget;
use crate::transfer::Context;
use crate::verify::{Level, verify};

/// An unfinished upload older than this belongs to no run that is alive.
const UPLOAD_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What is remembered about a target's replica.
pub(super) struct Arrival {
    descriptor: Option<Descriptor>,
    identity: Option<ObjectIdentity>,
}

impl Arrival {
    /// The head that was remembered.
    pub(super) fn head(&self) -> Option<Position> {
        self.descriptor.as_ref().and_then(|descriptor| descriptor.head)
    }

    /// As it was read.
    pub(super) fn of(loaded: Option<Loaded>) -> Self {
        let (descriptor, identity) =
            loaded.map(|loaded| (loaded.descriptor, loaded.identity)).unzip();
        Self { descriptor, identity }
    }

    pub(super) fn ours_from_start(&self) -> bool {
        self.descriptor.as_ref().is_some_and(|descriptor| descriptor.ours_from_start)
    }
}

/// Observes a target. Trouble is recorded in the run.
pub(super) async fn observe(context: &Context, run: &mut Run) {
    let first = !run.looked;
    if let Err(stop) = try_observe(context, run).await {
        run.stop(stop);
        return;
    }
    if first {
        run.report.start = run.view.head;
    }
    run.note_head();
}

async fn try_observe(context: &Context, run: &mut Run) -> Result<(), Stop> {
    if run.arrival.is_none() {
        let loaded = load(context, &run.target).await?;
        let found = loaded.as_ref().map(|loaded| &loaded.descriptor);
        let whose = found.map(|found| own::check(context, &run.target, found));
        run.arrival = Some(Arrival::of(loaded));
        whose.transpose()?;
    }
    let hint = own_hint(run).or_else(|| descriptor_of(run).and_then(Descriptor::hint));
    run.view = observe_log(context, &run.target, hint).await?;
    run.looked = true;
    run.view.retired_through = descriptor_of(run).and_then(Descriptor::retired);
    let unknown = run.arrival.as_ref().is_none_or(|arrival| arrival.descriptor.is_none());
    if unknown && run.view.head.is_some() {
        adopt(context, run).await?;
    }
    Ok(())
}

/// What this pass itself published, so that its last look lists what the next pass will list.
fn own_hint(run: &Run) -> Option<Hint> {
    let head = *run.report.published.last()?;
    let first = run.report.published.first().copied().filter(|_| run.report.start.is_none());
    let earliest_readable = run.report.earliest_readable.or(first)?;
    Some(Hint { head, earliest_readable })
}

/// Reads what is remembered, within the retry budget.
pub(super) async fn load(context: &Context, target: &Target) -> Result<Option<Loaded>, Stop> {
    let mut budget = Budget::new(context.options.retry_budget);
    loop {
        match descriptor::load(&target.state, &target.table).await {
            Ok(loaded) => return Ok(loaded),
            Err(error) => {
                let retry = matches!(
                    &error,
                    DescriptorError::Read { source, .. }
                        if !matches!(source, ReadError::Denied { .. })
                );
                if !retry || !budget.wait().await {
                    return Err(descriptor_stop(&error));
                }
            }
        }
    }
}

/// Looks at a replica without remembering or adopting anything. Also what is remembered.
pub(super) async fn look(
    context: &Context,
    target: &Target,
) -> Result<(ReplicaView, Option<Descriptor>), Stop> {
    let known = load(context, target).await?.map(|loaded| loaded.descriptor);
    let hint = known.as_ref().and_then(Descriptor::hint);
    Ok((observe_log(context, target, hint).await?, known))
}

async fn observe_log(
    context: &Context,
    target: &Target,
    hint: Option<Hint>,
) -> Result<ReplicaView, Stop> {
    let mut budget = Budget::new(context.options.retry_budget);
    loop {
        match target.log.observe(hint).await {
            Ok(view) => return Ok(view),
            Err(ReplicaError::Blocked(blocked)) => return Err(Stop::Blocked(blocked)),
            Err(error) => {
                if !budget.wait().await {
                    let failure = Failure::new(FailureCode::TargetUnavailable, &error);
                    return Err(Stop::Failed(failure));
                }
            }
        }
    }
}

fn descriptor_stop(error: &DescriptorError) -> Stop {
    match error {
        DescriptorError::Read { source, .. } => Stop::Failed(target_read_failure(source)),
        DescriptorError::Newer { .. } | DescriptorError::Damaged { .. } => {
            Stop::Blocked(Blocked::table(BlockCode::ForeignReplica, error.to_string()))
        }
    }
}

/// The target holds a table that we know nothing of. Taken over only when asked to, and only
/// when every byte of it is the source's.
async fn adopt(context: &Context, run: &mut Run) -> Result<(), Stop> {
    let url = &run.target.url;
    let head = run.view.head;
    if !context.options.adopt {
        let message = format!(
            "{url} already holds a table that Driftless did not write; compare it with `driftless \
             verify --level bytes` and take it over with `driftless sync --adopt`, or choose \
             another target"
        );
        return Err(Stop::Blocked(Blocked {
            code: BlockCode::ForeignReplica,
            message,
            position: head,
        }));
    }
    let report = verify(&context.source, &run.target, Level::Bytes, None, &*context.progress).await;
    let report = report.map_err(Stop::Failed)?;
    if let Some(difference) = report.differences.first() {
        return Err(Stop::Blocked(Blocked {
            code: BlockCode::Diverged,
            message: format!(
                "{url} cannot be adopted: it differs from the source in {} places, first {}: {}",
                report.difference_count, difference.key, difference.message
            ),
            position: head,
        }));
    }
    let descriptor = fresh_descriptor(context, &run.target, false);
    save(context, run, descriptor).await
}

fn fresh_descriptor(context: &Context, target: &Target, ours_from_start: bool) -> Descriptor {
    let descriptor = Descriptor {
        layout: LAYOUT,
        source: context.source.url.clone(),
        format: context.source.log.format().to_owned(),
        head: None,
        head_sha256: None,
        earliest_readable: None,
        ours_from_start,
        store_fit: false,
        settled: None,
        retired_through: None,
        retiring: None,
        complete: Vec::new(),
        in_step: None,
        epoch: 0,
        table: None,
        project: None,
        site: None,
        incarnation: None,
    };
    own::marked(context, target, descriptor)
}

/// Makes sure, before anything is written into the table, that the store is fit and that the
/// replica is marked as ours.
pub(super) async fn before_first_write(context: &Context, run: &mut Run) -> Result<(), Stop> {
    let known = run.arrival.as_ref().and_then(|arrival| arrival.descriptor.clone());
    if known.as_ref().is_some_and(|descriptor| descriptor.store_fit) {
        own::take(context, run).await?;
        sweep(context, run).await;
        return Ok(());
    }
    check_fitness(context, &run.target).await?;
    let mut descriptor = match known {
        Some(descriptor) => own::marked(context, &run.target, descriptor),
        None => {
            let empty = is_empty(context, &run.target).await?;
            fresh_descriptor(context, &run.target, empty)
        }
    };
    descriptor.store_fit = true;
    save(context, run, descriptor).await
}

/// Aborts what killed runs left unfinished in the replica's folder: it has one owner, so that an
/// old upload there is ours. Takes no longer than others would wait for this target; a later pass
/// goes on.
async fn sweep(context: &Context, run: &Run) {
    // Once a pass.
    if !run.report.published.is_empty() {
        return;
    }
    let target = &run.target;
    let sweeping = target.store.sweep_uploads(&target.table, UPLOAD_AGE_MAX);
    if let Ok(aborted @ 1..) = timeout(context.options.fan_out_patience, sweeping).await {
        tracing::info!(target_url = target.url, aborted, "unfinished uploads removed");
    }
}

/// Whether nothing at all lies in the table's folder yet.
async fn is_empty(context: &Context, target: &Target) -> Result<bool, Stop> {
    let prefix = object_key(&target.table, "");
    let mut budget = Budget::new(context.options.retry_budget);
    loop {
        let mut empty = true;
        let listed = target.store.list(&prefix, None, |_| {
            empty = false;
            std::ops::ControlFlow::Break(())
        });
        match listed.await {
            Ok(()) => return Ok(empty),
            Err(error) => {
                if !budget.wait().await {
                    return Err(Stop::Failed(target_read_failure(&error)));
                }
            }
        }
    }
}

/// Probes the store unless an earlier conclusive answer is remembered beside its tables.
async fn check_fitness(context: &Context, target: &Target) -> Result<(), Stop> {
    match remembered_verdict(&target.state).await {
        Some(Verdict::Fit) => return Ok(()),
        Some(Verdict::Unfit { reason }) => return Err(unfit(target, &reason)),
        Some(Verdict::Inconclusive { .. }) | None => {}
    }
    let scratch = format!("_driftless/probe/{}", uuid::Uuid::new_v4());
    let report = probe(&target.store, &scratch).await;
    let report = report
        .map_err(|error| Stop::Failed(Failure::new(FailureCode::TargetUnavailable, &error)))?;
    match &report.verdict {
        Verdict::Inconclusive { reason } => {
            let error = Inconclusive { reason: reason.clone() };
            Err(Stop::Failed(Failure::new(FailureCode::TargetUnavailable, &error)))
        }
        verdict => {
            remember_probe(context, &target.state, &report).await?;
            match verdict {
                Verdict::Unfit { reason } => Err(unfit(target, reason)),
                _ => Ok(()),
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("probing the target gave no conclusive answer: {reason}")]
struct Inconclusive {
    reason: String,
}

async fn remembered_verdict(state: &Store) -> Option<Verdict> {
    let limit = table_sync_core::limits::SMALL_OBJECT_BYTES_MAX;
    let (bytes, _) = state.get(probe_key(), limit).await.ok()??;
    let report: ProbeReport = serde_json::from_slice(&bytes).ok()?;
    Some(report.verdict)
}

/// Keeps a conclusive probe result beside the tables.
async fn remember_probe(
    context: &Context,
    state: &Store,
    report: &ProbeReport,
) -> Result<(), Stop> {
    let body = Bytes::from(serde_json::to_vec_pretty(report).unwrap_or_default());
    let mut budget = Budget::new(context.options.retry_budget);
    loop {
        match state.create(probe_key(), body.clone()).await {
            // Somebody else probed at the same time: one answer is as good as the other.
            Ok(_) | Err(WriteError::Exists { .. }) => return Ok(()),
            Err(error) => {
                let retry = !matches!(error, WriteError::Denied { .. });
                if !retry || !budget.wait().await {
                    return Err(state_stop(state, &error));
                }
            }
        }
    }
}

fn unfit(target: &Target, reason: &str) -> Stop {
    let message = format!(
        "{} cannot be a target: {reason}; `driftless probe` shows what the store does",
        target.store.url()
    );
    Stop::Blocked(Blocked::table(BlockCode::UnfitTarget, message))
}

/// What is remembered of a run's target.
pub(super) fn descriptor_of(run: &Run) -> Option<&Descriptor> {
    run.arrival.as_ref().and_then(|arrival| arrival.descriptor.as_ref())
}

/// Remembers the head, if it moved, what was settled, and that both sides are in step.
pub(super) async fn remember(
    context: &Context,
    run: &mut Run,
    settled: Option<String>,
    in_step: Option<InStep>,
) -> Result<(), Stop> {
    let known = run.arrival.as_ref().and_then(|arrival| arrival.descriptor.clone());
    let Some(known) = known else { return Ok(()) };
    let mut wanted = known.clone();
    wanted.head = run.view.head;
    wanted.head_sha256 = run.view.fingerprint.map(|sha256| sha256.to_string());
    wanted.settled = settled.or(wanted.settled);
    wanted.earliest_readable = known.earliest(run.view.earliest_readable);
    // Marks of equal logs may differ. One that still stands is not worth a write.
    let useless = known.in_step.is_none() || run.has_moved;
    if wanted != known || (useless && in_step.is_some()) {
        wanted.in_step = in_step;
    }
    if wanted == known || wanted.head.is_none() {
        return Ok(());
    }
    let wanted = own::marked(context, &run.target, wanted);
    save(context, run, wanted).await
}

/// Writes what is to be remembered over what was read.
pub(super) async fn save(
    context: &Context,
    run: &mut Run,
    mut wanted: Descriptor,
) -> Result<(), Stop> {
    let state = &run.target.state;
    let table = &run.target.table;
    let mut expect = run.arrival.as_ref().and_then(|arrival| arrival.identity.clone());
    let mut budget = Budget::new(context.options.retry_budget);
    loop {
        match descriptor::save(state, table, &wanted, expect.as_ref()).await {
            Ok(Some(identity)) => {
                run.arrival = Some(Arrival { descriptor: Some(wanted), identity: Some(identity) });
                return Ok(());
            }
            // Either another process wrote it first, and what it says is as true as what we
            // would say, but for whose the replica is; or our own write was applied and its reply
            // lost.
            Ok(None) => {
                let loaded = load(context, &run.target).await?;
                let (found, identity) =
                    loaded.map(|loaded| (loaded.descriptor, loaded.identity)).unzip();
                let descriptor = found.clone().or(Some(wanted.clone()));
                run.arrival = Some(Arrival { descriptor, identity: identity.clone() });
                let Some(found) = found else { return Ok(()) };
                own::check(context, &run.target, &found)?;
                let marked = own::marked(context, &run.target, found.clone());
                if marked == found {
                    return Ok(());
                }
                if !budget.wait().await {
                    return Err(contended(&run.target));
                }
                (wanted, expect) = (marked, identity);
            }
            Err(error @ WriteError::Denied { .. }) => return Err(state_stop(state, &error)),
            Err(error) => {
                if !budget.wait().await {
                    return Err(state_stop(state, &error));
                }
            }
        }
    }
}

/// As [`save`], and stops where another process wrote something else first.
pub(super) async fn save_exactly(
    context: &Context,
    run: &mut Run,
    wanted: &Descriptor,
) -> Result<(), Stop> {
    save(context, run, wanted.clone()).await?;
    if descriptor_of(run) == Some(wanted) {
        return Ok(());
    }
    Err(contended(&run.target))
}

fn contended(target: &Target) -> Stop {
    let error = Contended { key: descriptor::descriptor_key(&target.table) };
    Stop::Failed(Failure::new(FailureCode::Contended, &error))
}

#[derive(Debug, thiserror::Error)]
#[error("{key} was changed at the target by somebody else")]
struct Contended {
    key: String,
}

fn state_stop(state: &Store, error: &WriteError) -> Stop {
    match error {
        WriteError::Denied { .. } => {
            let error = NoState { url: state.url().to_owned() };
            Stop::Failed(Failure::new(FailureCode::Denied, &error))
        }
        error => Stop::Failed(target_write_failure(error)),
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "write below {url}/_driftless/ was denied; allow it, or name another place with --state URL"
)]
struct NoState {
    url: String,
}
