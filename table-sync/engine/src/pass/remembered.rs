//! A table in step, told from what an earlier process left: a few requests to each side, no look.
//!
//! # Invariants
//! - It is said only where every target was left in step with the same head, and both logs are as
//!   they were then, as far as their marks tell: see [`SourceLog::mark`].
//! - What marks do not cover is looked at by one pass of [`WHOLE_ONE_OF`], chosen by table and
//!   minute, so that any schedule comes by.
//!
//! [`SourceLog::mark`]: table_sync_core::SourceLog::mark

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures::future::join_all;
use table_sync_core::{SourceView, TableState};

use super::arrive::Arrival;
use super::{PassReport, Run, arrive, own};
use crate::Event;
use crate::descriptor::{self, InStep};
use crate::receipt::{Pending, committed_ms};
use crate::transfer::Context;

/// One of so many passes looks at everything.
const WHOLE_ONE_OF: u64 = 16;

const MINUTE_MS: i64 = 60_000;

/// The report of a pass over targets that are all in step. `None` = look.
pub(super) async fn in_step(context: &Context, runs: &mut [Run]) -> Option<PassReport> {
    let options = &context.options;
    if !options.believe || options.retire.is_some() || is_whole(context) {
        return None;
    }
    let found = join_all(runs.iter_mut().map(|run| stands(context, run))).await;
    let found: Vec<InStep> = found.into_iter().collect::<Option<_>>()?;
    let heads = runs.iter().map(|run| arrive::descriptor_of(run)?.head);
    let heads: Vec<_> = heads.collect::<Option<_>>()?;
    let (head, in_step) = (*heads.first()?, found.first()?);
    if heads.iter().any(|other| *other != head) {
        return None;
    }
    for run in runs.iter_mut() {
        let known = arrive::descriptor_of(run)?;
        let (epoch, earliest) = (known.epoch, known.earliest(known.earliest_readable));
        let report = &mut run.report;
        (report.epoch, report.earliest_readable) = (Some(epoch), earliest);
        (report.start, report.head) = (Some(head), Some(head));
        report.state = TableState::Ok;
        report.head_committed_ms = in_step.committed_ms;
        report.pending = Some(Pending { versions: 0, oldest: None, oldest_ms: None });
        context.progress.event(Event::Planned { target: &run.target.url, positions: 0 });
    }
    Some(PassReport {
        source: context.source.url.clone(),
        format: context.source.log.format(),
        source_head: Some(head),
        source_head_ms: in_step.committed_ms,
        targets: runs.iter().map(|run| run.report.clone()).collect(),
    })
}

/// Whether this is the turn of a pass that looks at everything.
fn is_whole(context: &Context) -> bool {
    let mut hasher = DefaultHasher::new();
    context.source.url.hash(&mut hasher);
    context.options.clock.now_ms().div_euclid(MINUTE_MS).hash(&mut hasher);
    hasher.finish().is_multiple_of(WHOLE_ONE_OF)
}

/// What is remembered of a target, where all of it is as it was. Trouble is left to the pass.
async fn stands(context: &Context, run: &mut Run) -> Option<InStep> {
    let target = &run.target;
    let loaded = descriptor::load(&target.state, &target.table).await.ok()?;
    let known = loaded.as_ref().map(|loaded| &loaded.descriptor);
    if known.is_some_and(|known| own::check(context, target, known).is_err()) {
        return None;
    }
    let ours = known.filter(|known| known.source == context.source.url);
    let in_step = ours.and_then(|known| known.in_step.clone());
    run.arrival = Some(Arrival::of(loaded));
    let in_step = in_step?;
    let (source, replica) = futures::join!(
        context.source.log.stands(&in_step.source),
        target.log.stands(&in_step.replica),
    );
    let (source, replica) = (source.ok()?, replica.ok()?);
    run.has_moved = !source || !replica;
    (source && replica).then_some(in_step)
}

/// What a later process needs to know that a run left its target in step. `None` where it did not,
/// or where a look costs no more.
pub(super) fn of(context: &Context, view: &SourceView, run: &Run) -> Option<InStep> {
    let head = run.view.head.filter(|head| Some(*head) == view.head())?;
    if run.plan.refusal.is_some() {
        return None;
    }
    Some(InStep {
        source: context.source.log.mark(view)?,
        replica: run.target.log.mark(&run.view)?,
        committed_ms: committed_ms(view, head),
    })
}
