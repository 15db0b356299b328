//! A look at both sides of one target, for surveys that write nothing.

use std::collections::BTreeSet;

use table_sync_core::{Plan, PlanInput, Position, ReplicaView, SourceView, plan};

use super::ancestry::Ancestors;
use super::{Run, arrive, retry_source, source_stop};
use crate::Target;
use crate::lane::Stop;
use crate::transfer::Context;

/// Both sides of one target as they are now, and the plan between them.
pub(crate) struct Surveyed {
    pub(crate) view: SourceView,
    pub(crate) replica: ReplicaView,
    /// The lowest position that is whole.
    pub(crate) earliest_readable: Option<Position>,
    pub(crate) plan: Plan,
}

/// Looks at both sides and plans, without writing anything.
pub(crate) async fn survey_target(context: &Context, target: &Target) -> Result<Surveyed, Stop> {
    let (replica, known) = arrive::look(context, target).await?;
    let log = &context.source.log;
    let view = retry_source(context, || log.observe(replica.head)).await;
    let view = view.map_err(|error| source_stop(context, error))?;
    let mut run = Run::new(0, target);
    run.view = replica;
    view.place(&mut run.view);
    let log = run.view.earliest_readable;
    let earliest_readable = known.map_or(log, |known| known.earliest(log));
    Ancestors::default().check(context, &view, &run).await?;
    let input = PlanInput {
        source: &view,
        replica: &run.view,
        start: context.options.start,
        until: context.options.until,
        avoid: &BTreeSet::new(),
    };
    let plan = plan(&input);
    Ok(Surveyed { view, replica: run.view, earliest_readable, plan })
}
