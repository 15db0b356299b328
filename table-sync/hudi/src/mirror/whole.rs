//! The metadata table as of the newest commit, as a whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use table_sync_core::{Body, FileRef, InstantTime, LogObject, Op, Position, RelPath, Step};

use super::offer::{Table, brought_by};
use super::{Trouble, copy, placed, placed_step};
use crate::file_name::FileName;
use crate::instant::{Action, Layout};
use crate::jump::{history_steps, instant_steps};
use crate::log::Slices;
use crate::slices::{Committed, Groups, partition_of};
use crate::state;
use crate::timeline::{Instant, Timeline, properties_key};

/// A state of the metadata table.
pub(super) struct Whole {
    /// Writes, in any order: no reader follows them before the property says so.
    pub(super) staged: Vec<Step>,
    /// The value of the property.
    pub(super) partitions: String,
    /// What the source holds of the partitions that are carried, and of the timeline.
    pub(super) at_source: BTreeSet<RelPath>,
}

/// The state at the newest commit.
pub(super) async fn of(
    table: &Table,
    timeline: &Timeline,
    position: Position,
) -> Result<Whole, Trouble> {
    let until = until(table, timeline, position)?;
    if let Some(clean) = cleaned(&table.timeline, position) {
        return Err(later_clean(clean));
    }
    let committed = until.commits().last().map(|newest| newest.position());
    let newest = committed
        .ok_or_else(|| Trouble::Unfit("the metadata table has no completed instant".to_owned()))?;
    let committed = state::committed(&table.log, &until, newest).await?;
    let listed = list(table).await?;
    // A cleaner that began before the listing ended says so in the timeline.
    let again = Timeline::load(&table.log).await?;
    if let Some(clean) = again.as_ref().and_then(|again| cleaned(again, position)) {
        return Err(later_clean(clean));
    }
    let mut groups = Groups::default();
    for (path, object) in &listed {
        groups.add(path.clone(), object);
    }
    let files = groups.into_files(&committed, Slices::Latest);
    check_present(table, &until, &committed, (&files, &listed)).await?;
    let mut staged = Vec::new();
    for file in files {
        if let Some(object) = listed.get(&file.path) {
            staged.push(copy(&file.path, object, Op::CreateOrReplace)?);
        }
    }
    for step in history_steps(&until).into_iter().chain(instant_steps(&until, None)) {
        staged.push(placed_step(step)?);
    }
    let body = Body::Bytes(table.timeline.properties.bytes().clone());
    let key = placed(&properties_key()?)?;
    staged.push(Step { key, body, op: Op::CreateOrReplace, reveals: None });
    let at_source = table.timeline.objects().map(|(key, _)| key).chain(listed.keys()).map(placed);
    let at_source = at_source.collect::<Result<_, _>>()?;
    Ok(Whole { staged, partitions: table.property(), at_source })
}

/// Whether every file is there that the instants of a timeline wrote to the newest slices: a
/// listing does not tell what is missing.
async fn check_present(
    table: &Table,
    until: &Timeline,
    committed: &Committed,
    (files, listed): (&[FileRef], &BTreeMap<RelPath, LogObject>),
) -> Result<(), Trouble> {
    let mut bases: HashMap<(&str, String), InstantTime> = HashMap::new();
    for file in files {
        if let FileName::Base { file_id, instant, .. } = FileName::parse(file.path.file_name()) {
            bases.insert((partition_of(&file.path), file_id.into()), instant);
        }
    }
    for instant in until.commits() {
        let commit = state::commit(&table.log, instant).await?;
        for write in table.writes(&commit).filter(|write| !listed.contains_key(&write.path)) {
            let name = FileName::parse(write.path.file_name());
            let Some((file_id, mut at)) = name.file_id().zip(name.instant()) else { continue };
            if name.is_log() && until.layout == Layout::V2 {
                at = committed.completions.get(&at).copied().unwrap_or(at);
            }
            let base = bases.get(&(partition_of(&write.path), file_id.to_owned()));
            if base.is_none_or(|base| at >= *base) {
                let path = &write.path;
                let reason = format!("{path} of the metadata table is gone at the source");
                return Err(Trouble::Unfit(reason));
            }
        }
    }
    Ok(())
}

/// The timeline without what no commit up to the newest brings along.
fn until(table: &Table, timeline: &Timeline, position: Position) -> Result<Timeline, Trouble> {
    let mut until = Timeline::clone(&table.timeline);
    until.retain(|instant| {
        !instant.is_completed() || brought_by(timeline, instant).is_some_and(|at| at <= position)
    });
    let commit = position.requested().and_then(|id| timeline.commit(id));
    let commit = commit.filter(|at| at.name.action.writes_data());
    if commit.is_none_or(|at| until.commit(at.name.requested).is_none()) {
        let reason = format!("the metadata table has no instant for {position}");
        return Err(Trouble::Unfit(reason));
    }
    match behind(&until, timeline, position) {
        Some(id) => Err(Trouble::Unfit(format!("the metadata table has no instant for {id}"))),
        None => Ok(until),
    }
}

/// A write that the metadata table lacks although it is younger: its readers miss it at the source
/// as well.
fn behind(own: &Timeline, timeline: &Timeline, position: Position) -> Option<InstantTime> {
    let begun = own.commits().first().map(|at| at.position());
    let writes = timeline.commits().into_iter().filter(|at| at.name.action.writes_data());
    let mut since = writes.filter(|at| at.position() <= position && Some(at.position()) > begun);
    let missing = since.find(|at| {
        let id = at.name.requested;
        own.start.is_none_or(|start| id >= start) && own.commit(id).is_none()
    });
    missing.map(|at| at.name.requested)
}

/// A clean that was planned with more than the state at a position holds: it may delete what that
/// state needs.
fn cleaned(own: &Timeline, position: Position) -> Option<&Instant> {
    let Position::Instant { completed, requested } = position else { return None };
    let newest = match own.layout {
        // Named after the instant that was the newest when it was planned.
        Layout::V1 => requested,
        Layout::V2 => completed,
    };
    let mut cleans = own.instants().filter(|at| at.name.action == Action::Clean);
    cleans.find(|at| at.name.requested.without_suffix() > newest)
}

fn later_clean(clean: &Instant) -> Trouble {
    let id = clean.name.requested;
    Trouble::Unfit(format!("the metadata table is being cleaned ({id}); its next commit brings it"))
}

/// The files of the partitions that are carried.
async fn list(table: &Table) -> Result<BTreeMap<RelPath, LogObject>, Trouble> {
    let mut listed = BTreeMap::new();
    for partition in &table.partitions {
        listed.append(&mut table.log.list(partition).await?);
    }
    Ok(listed)
}
