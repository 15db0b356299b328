//! Version 6 copy-on-write: taking back what the source took back, in place.
//!
//! A timeline of layout 1 cannot be replaced in one write, but every step back is a state that
//! was: completed instants are deleted from the newest on, as a restore at the source does it.
//! Then the files go that they wrote, and what the source has now is published in order.
//!
//! Source: Hudi `BaseRestoreActionExecutor`, `CopyOnWriteRollbackActionExecutor`.

use std::collections::BTreeSet;

use table_sync_core::{
    BlockCode, Blocked, Body, InstantTime, Op, Position, Publication, RelPath, ReplicaView,
    SourceError, Step,
};

use crate::archived;
use crate::instant::{Layout, State};
use crate::log::HudiLog;
use crate::properties::TableType;
use crate::timeline::{Instant, Timeline};

/// Whether commits can be taken back in place.
pub(crate) fn applies(timeline: &Timeline) -> bool {
    timeline.layout == Layout::V1 && timeline.table_type == TableType::CopyOnWrite
}

/// Describes the way back, and forward again to the source's newest state.
pub(crate) async fn tailor(
    log: &HudiLog,
    timeline: &Timeline,
    mut publication: Publication,
    (replica, held): (&ReplicaView, &Timeline),
) -> Result<Publication, SourceError> {
    let position = publication.position;
    let taken_back = archived::retracted(log, timeline).await?;
    let gone = held.commits().into_iter().filter(|at| {
        let id = at.name.requested;
        taken_back.contains(&id) && timeline.commit(id).is_none()
    });
    let mut gone: Vec<&Instant> = gone.collect();
    if gone.is_empty() {
        let message = "a table of version 6 has no write that replaces what is published all at \
                       once; replicate it to a new location";
        return Err(Blocked::at(BlockCode::HistoryLost, position, message).into());
    }
    gone.sort_by_key(|at| std::cmp::Reverse(at.name.requested));
    if let Some(through) = replica.retired_through.and_then(Position::requested)
        && !all_whole(held, &gone, through)
    {
        let message = format!(
            "the source took commits back beyond {through}, and states before that are no longer \
             whole here since their files were retired; replicate the table to a new location"
        );
        return Err(Blocked::at(BlockCode::HistoryLost, position, message).into());
    }
    let ids: BTreeSet<InstantTime> = gone.iter().map(|at| at.name.requested).collect();
    let mut steps: Vec<Step> = gone.iter().map(|at| Step::delete(at.key.clone())).collect();
    steps.extend(plans(held, &ids).into_iter().map(Step::delete));
    steps.extend(archived::deleted(log, timeline).await?.into_iter().map(Step::delete));
    let missing =
        timeline.commits().into_iter().filter(|at| held.commit(at.name.requested).is_none());
    for instant in missing.filter(|at| held.start.is_none_or(|start| at.name.requested >= start)) {
        steps.push(Step {
            key: instant.key.clone(),
            body: Body::Copy(instant.object.identity.clone()),
            op: Op::Create,
            reveals: Some(instant.position()),
        });
    }
    publication.staged.clear();
    publication.steps = steps;
    Ok(publication)
}

/// Whether every state that is shown on the way back still has its files: the newest is gone with
/// the first step, and what the last step leads to is copied before.
fn all_whole(held: &Timeline, gone: &[&Instant], retired_through: InstantTime) -> bool {
    let first = held.commit(retired_through).map(Instant::position);
    let mut between = gone.iter().skip(1).map(|at| at.position());
    between.all(|at| first.is_some_and(|first| at >= first))
}

/// Pending states of instants that are taken back.
fn plans(held: &Timeline, ids: &BTreeSet<InstantTime>) -> Vec<RelPath> {
    let pending = held.objects().map(|(key, _)| key).filter(|key| {
        held.name_of(key)
            .is_some_and(|name| name.state != State::Completed && ids.contains(&name.requested))
    });
    pending.cloned().collect()
}
