//! What the metadata table gains with one commit.

use std::collections::BTreeSet;

use table_sync_core::{Body, InstantTime, LogObject, Op, Position, RelPath, SourceError, Step};

use super::offer::{Table, brought_by};
use super::{Trouble, copy, is_foreign, placed, placed_step};
use crate::append::plans;
use crate::instant::{Action, Layout, State};
use crate::metadata::Written;
use crate::properties::key;
use crate::state;
use crate::timeline::{Instant, Timeline, name_in};

/// Ids that begin so are of instants that build a partition.
const BUILDS: &str = "00000000000000";

/// Writes that are added to the publication of a commit.
#[derive(Default)]
pub(super) struct Increment {
    /// Plans of compactions, before their files.
    pub(super) ahead: Vec<Step>,
    /// Files.
    pub(super) staged: Vec<Step>,
    /// The fence, then instants.
    pub(super) steps: Vec<Step>,
}

/// What the commit at `position` brings along to a replica.
pub(super) async fn of(
    table: &Table,
    timeline: &Timeline,
    held: &Timeline,
    position: Position,
) -> Result<Increment, Trouble> {
    check_in_step(table, held)?;
    let commit = position.requested().and_then(|id| timeline.commit(id));
    let commit = commit.filter(|at| at.name.action.writes_data());
    let commit = commit.ok_or_else(|| {
        Trouble::Unfit(format!("{position} takes commits back, also in the metadata table"))
    })?;
    let mut increment = Increment::default();
    let mut brings_own = false;
    for instant in wanted(table, timeline, held, position)? {
        brings_own |= instant.name.requested == commit.name.requested;
        add(table, timeline, instant, &mut increment).await?;
    }
    let held_own = || holds_id(table, held, commit.name.requested);
    if !brings_own && !held_own() {
        let id = commit.name.requested;
        return Err(Trouble::Unfit(format!("the metadata table has no instant for {id}")));
    }
    if timeline.layout == Layout::V2 {
        increment.steps.insert(0, fence(timeline, commit)?);
    }
    Ok(increment)
}

/// Whether the replica's metadata table is an earlier state of the source's.
fn check_in_step(table: &Table, held: &Timeline) -> Result<(), Trouble> {
    let unfit = |reason: String| Err(Trouble::Unfit(reason));
    let named: BTreeSet<_> = held.properties.table().metadata_partitions().into_iter().collect();
    if !table.partitions.iter().map(String::as_str).eq(named.iter().copied()) {
        let value = held.properties.get(key::METADATA_PARTITIONS).unwrap_or_default();
        let own = table.property();
        return unfit(format!("the metadata table's partitions changed from {value} to {own}"));
    }
    let start = table.timeline.start;
    for key in held.metadata.keys() {
        if is_foreign(held, key) {
            return unfit(format!("{key} was written by another tool"));
        }
        let Some(id) = completed_id(table, key)? else { continue };
        let active = start.is_none_or(|start| id >= start);
        if active && !is_at_source(table, key)? {
            return unfit(format!("{key} is gone at the source, and was not archived"));
        }
    }
    let first = table.timeline.commits().into_iter().min_by_key(|at| at.name.requested);
    let Some(first) = first else {
        return unfit("the metadata table has no completed instant".to_owned());
    };
    if !held.metadata.contains_key(&placed(&first.key)?) {
        let reason = "the source archived instants of the metadata table that are not here";
        return unfit(reason.to_owned());
    }
    Ok(())
}

/// The id of a completed instant of the metadata table, where a key is that of one.
fn completed_id(table: &Table, key: &RelPath) -> Result<Option<InstantTime>, SourceError> {
    let name = name_in(&placed(&table.timeline.folder)?, key, table.timeline.layout);
    let name = name.filter(|name| name.state == State::Completed);
    Ok(name.map(|name| name.requested))
}

fn is_at_source(table: &Table, key: &RelPath) -> Result<bool, SourceError> {
    let own = placed(&table.timeline.folder)?;
    let rest = key.as_str().strip_prefix(own.as_str()).unwrap_or_default();
    let folder = table.timeline.folder.as_str();
    let key = RelPath::parse(&format!("{folder}{rest}"));
    Ok(key.is_ok_and(|key| table.timeline.object(&key).is_some()))
}

fn holds_id(table: &Table, held: &Timeline, id: InstantTime) -> bool {
    let mut keys = held.metadata.keys();
    keys.any(|key| matches!(completed_id(table, key), Ok(Some(found)) if found == id))
}

/// Instants that come with a commit, and those of commits that are published already, as far as
/// the replica lacks them; in the order of completion.
fn wanted<'a>(
    table: &'a Table,
    timeline: &Timeline,
    held: &Timeline,
    position: Position,
) -> Result<Vec<&'a Instant>, SourceError> {
    let mut wanted = Vec::new();
    for instant in table.completed() {
        let Some(with) = brought_by(timeline, instant) else { continue };
        let published = || with.requested().is_some_and(|id| held.commit(id).is_some());
        if with != position && !published() {
            continue;
        }
        if !held.metadata.contains_key(&placed(&instant.key)?) {
            wanted.push(instant);
        }
    }
    Ok(wanted)
}

/// Adds one instant: its plan, its files, itself.
async fn add(
    table: &Table,
    timeline: &Timeline,
    instant: &Instant,
    increment: &mut Increment,
) -> Result<(), Trouble> {
    let id = instant.name.requested;
    if instant.name.action == Action::Restore {
        return Err(Trouble::Unfit(format!("the metadata table was restored by {id}")));
    }
    if !instant.name.action.writes_data() {
        increment.steps.push(copy(&instant.key, &instant.object, Op::Create)?);
        return Ok(());
    }
    let read = table.log.read_seen(&instant.key, &instant.object).await?;
    let commit = state::decode(&table.log, instant, &read.bytes)?;
    if builds(timeline, id) && table.writes(&commit).next().is_some() {
        return Err(Trouble::Unfit(format!("{id} builds a partition of the metadata table anew")));
    }
    for plan in plans(&table.timeline, instant, &commit) {
        increment.ahead.push(placed_step(plan)?);
    }
    for write in table.writes(&commit) {
        let object = present(table, write).await?;
        increment.staged.push(copy(&write.path, &object, Op::CreateOrReplace)?);
    }
    let (key, body) = (placed(&instant.key)?, Body::Bytes(read.bytes));
    increment.steps.push(Step { key, body, op: Op::Create, reveals: None });
    Ok(())
}

/// Whether an instant builds a partition rather than following a write.
fn builds(timeline: &Timeline, id: InstantTime) -> bool {
    let indexing = timeline.of(id).any(|at| at.name.action == Action::Indexing);
    indexing || id.to_string().starts_with(BUILDS)
}

/// The object of a file, as its instant describes it.
async fn present(table: &Table, write: &Written) -> Result<LogObject, Trouble> {
    let path = &write.path;
    let object = table.log.head(path).await?;
    let object = object.ok_or_else(|| {
        Trouble::Unfit(format!("{path} of the metadata table is gone at the source"))
    })?;
    let found = object.identity.size_bytes;
    match write.size_bytes {
        Some(stated) if stated != found => {
            let reason = format!("{path} of the metadata table has {found} bytes, not {stated}");
            Err(Trouble::Unfit(reason))
        }
        _ => Ok(object),
    }
}

/// The commit as requested: until it completes, readers count nothing that belongs to it.
fn fence(timeline: &Timeline, commit: &Instant) -> Result<Step, Trouble> {
    let (key, object) = timeline.requested(commit).ok_or_else(|| {
        let id = commit.name.requested;
        Trouble::Unfit(format!("the source's timeline no longer tells that {id} was requested"))
    })?;
    let body = Body::Copy(object.identity.clone());
    Ok(Step { key: key.clone(), body, op: Op::CreateOrReplace, reveals: None })
}
