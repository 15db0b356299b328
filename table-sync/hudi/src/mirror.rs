//! The metadata table, carried along in step with its table.
//!
//! It is a merge-on-read table of its own, at `.hoodie/metadata`. Readers whose properties name its
//! partition `files` list nothing: a file that it does not name yet is not read, and no error says
//! so. Carried are `files`, `column_stats` and `partition_stats`; the properties of the replica
//! name those of them that the source has, and no index.
//!
//! # Invariants
//! - Before a commit is visible, every instant of the metadata table that completed at the source
//!   up to the completion of that commit is there: files first, then instants in the order of
//!   their completion. One that belongs to a write which completes later waits for that write.
//! - Nothing later is there: it may hold the deletes of a cleaner that knew later commits, and so
//!   hide files of this one. What a cleaner deletes that finished before a commit, no state before
//!   that commit needs, since it planned with what had completed by then. So an instant may be
//!   there before the commit that brings it along.
//! - One exception needs a fence: statistics of a partition may become narrower with the commit
//!   itself. Its instant is written as requested first: readers do not count what belongs to a
//!   pending instant. Releases before 1.0 know no fence, and no such statistics.
//! - A replica that cannot be kept in step loses the property in the write before the commit that
//!   it would miss. It gets it back only by [`late`], with the whole state of the source's head.
//!
//! Files of an instant are those that its own statistics name; never a folder as it is.
//!
//! Source: Hudi `HoodieTableMetadataUtil.getValidInstantTimestamps`, `HoodieBackedTableMetadata`,
//! `HoodieBackedTableMetadataWriter`.

mod increment;
mod offer;
mod whole;

use std::collections::BTreeSet;

use table_sync_core::{
    Body, Expect, LogObject, Op, Position, Publication, RelPath, SourceError, Step,
};

use crate::instant::{Action, InstantName, State};
use crate::log::{HudiLog, META_FOLDER, MetadataTable, io_error};
use crate::properties::{Properties, key};
use crate::timeline::{Timeline, properties_key};
pub(crate) use offer::Offer;

/// The partition without which readers list storage.
const FILES: &str = "files";

/// The metadata table's own root.
fn root() -> String {
    format!("{META_FOLDER}/metadata")
}

/// Whether a key belongs to the metadata table.
pub(crate) fn is_inside(key: &RelPath) -> bool {
    key.as_str().strip_prefix(&root()).is_some_and(|rest| rest.starts_with('/'))
}

/// Why a state of the metadata table is not carried.
enum Trouble {
    /// The replica does without, and publishing goes on.
    Unfit(String),
    /// The source failed.
    Source(SourceError),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Io { .. } => Self::Source(error),
            other => Self::Unfit(other.to_string()),
        }
    }
}

/// Whether readers of a timeline's table use its metadata table.
pub(crate) fn is_used(timeline: &Timeline) -> bool {
    timeline.properties.table().metadata_partitions().contains(&FILES)
}

/// The value of a replica's property, where its readers are to go on using the metadata table.
///
/// A metadata table is upgraded with its table, and comes back as a whole then.
pub(crate) fn kept<'a>(log: &HudiLog, timeline: &Timeline, held: &'a Timeline) -> Option<&'a str> {
    let mirrors = log.options().metadata_table == MetadataTable::Mirror;
    let same = timeline.properties.table().version() == held.properties.table().version();
    let value = held.properties.get(key::METADATA_PARTITIONS);
    value.filter(|_| mirrors && same && is_used(held))
}

/// Whether a replica's readers list in another way than is wanted.
pub(crate) fn is_unsettled(log: &HudiLog, held: &Timeline) -> bool {
    is_used(held) != (log.options().metadata_table == MetadataTable::Mirror)
}

/// Lists what a replica holds of a metadata table: its timeline, or all of it where readers do not
/// use it.
pub(crate) async fn list_held(log: &HudiLog, held: &mut Timeline) -> Result<(), SourceError> {
    if log.options().metadata_table == MetadataTable::Mirror {
        let folder = root();
        let used = is_used(held);
        held.metadata =
            log.list(&if used { format!("{folder}/{META_FOLDER}") } else { folder }).await?;
    }
    Ok(())
}

/// Adds the metadata table to a first publication, where the source's newest state has one.
pub(crate) async fn first(
    log: &HudiLog,
    timeline: &Timeline,
    mut publication: Publication,
) -> Result<Publication, SourceError> {
    let whole = match whole(log, timeline, publication.position).await {
        Ok(Some(whole)) => whole,
        // Said when the publication is done: see `late`.
        Ok(None) | Err(Trouble::Unfit(_)) => return Ok(publication),
        Err(Trouble::Source(error)) => return Err(error),
    };
    let properties = properties_key()?;
    for step in publication.steps.iter_mut().filter(|step| step.key == properties) {
        let Body::Bytes(bytes) = &step.body else { continue };
        let parsed = Properties::parse(properties.as_str(), bytes);
        let parsed = parsed.map_err(|error| io_error(&properties, error))?;
        let set = [(key::METADATA_PARTITIONS, whole.partitions.as_str())];
        step.body = Body::Bytes(parsed.edit(&[], &set));
    }
    publication.staged.extend(whole.staged);
    Ok(publication)
}

/// Adds to the publication of a commit what the metadata table gains with it; where that cannot be
/// done, readers are taken off the metadata table first.
pub(crate) async fn extend(
    log: &HudiLog,
    timeline: &Timeline,
    mut publication: Publication,
    held: &Timeline,
) -> Result<Publication, SourceError> {
    if !is_used(held) {
        return Ok(publication);
    }
    if log.options().metadata_table == MetadataTable::Drop {
        return leave(publication, held);
    }
    match increment(log, timeline, held, publication.position).await {
        Ok(increment) => {
            publication.ahead.extend(increment.ahead);
            publication.staged.extend(increment.staged);
            publication.steps.splice(0..0, increment.steps);
            Ok(publication)
        }
        Err(Trouble::Source(error)) => Err(error),
        Err(Trouble::Unfit(reason)) => {
            let position = publication.position;
            tracing::warn!(%position, reason, "metadata table is dropped at the replica");
            leave(publication, held)
        }
    }
}

async fn increment(
    log: &HudiLog,
    timeline: &Timeline,
    held: &Timeline,
    position: Position,
) -> Result<increment::Increment, Trouble> {
    match offer::of(log, timeline).await? {
        Offer::Table(table) => increment::of(table, timeline, held, position).await,
        Offer::Nothing => Err(Trouble::Unfit("the source has no metadata table".to_owned())),
        Offer::Unfit(reason) => Err(Trouble::Unfit(reason.clone())),
    }
}

async fn whole(
    log: &HudiLog,
    timeline: &Timeline,
    position: Position,
) -> Result<Option<whole::Whole>, Trouble> {
    if log.options().metadata_table == MetadataTable::Drop {
        return Ok(None);
    }
    match offer::of(log, timeline).await? {
        Offer::Table(table) => whole::of(table, timeline, position).await.map(Some),
        Offer::Nothing => Ok(None),
        Offer::Unfit(reason) => Err(Trouble::Unfit(reason.clone())),
    }
}

/// Takes readers off the metadata table before anything else becomes visible.
pub(crate) fn leave(
    mut publication: Publication,
    held: &Timeline,
) -> Result<Publication, SourceError> {
    if is_used(held) {
        let remove = [key::METADATA_PARTITIONS, key::METADATA_PARTITIONS_INFLIGHT];
        let body = Body::Bytes(held.properties.edit(&remove, &[]));
        let expect = Expect::Identity(held.properties_read.object.identity.clone());
        let op = Op::Replace { expect };
        let step = Step { key: properties_key()?, body, op, reveals: None };
        publication.steps.insert(0, step);
    }
    Ok(publication)
}

/// A replica at the source's head whose readers list storage gets the metadata table back.
///
/// Answers what is to be staged, and the value of the property.
pub(crate) async fn late(
    log: &HudiLog,
    timeline: &Timeline,
    held: &Timeline,
    warnings: &mut Vec<String>,
) -> Result<Option<(Vec<Step>, String)>, SourceError> {
    let head = timeline.commits().last().map(|head| head.position());
    let Some(head) = head.filter(|_| !is_used(held)) else { return Ok(None) };
    match whole(log, timeline, head).await {
        Ok(None) => Ok(None),
        Ok(Some(whole)) => {
            let mut staged = whole.staged;
            staged.extend(left(held, &staged, &whole.at_source));
            Ok(Some((staged, whole.partitions)))
        }
        Err(Trouble::Source(error)) => Err(error),
        Err(Trouble::Unfit(reason)) => {
            warnings.push(format!(
                "readers of the replica list storage, its metadata table is dropped: {reason}"
            ));
            Ok(None)
        }
    }
}

/// What an earlier metadata table left, and nobody writes again: the source no longer has it, or
/// it is of a pending instant, which never comes here.
fn left(held: &Timeline, staged: &[Step], at_source: &BTreeSet<RelPath>) -> Vec<Step> {
    let written: BTreeSet<&RelPath> = staged.iter().map(|step| &step.key).collect();
    let left = held.metadata.keys().filter(|key| offer::is_carried(key) && !written.contains(key));
    let left = left.filter(|key| !at_source.contains(*key) || is_foreign(held, key));
    left.cloned().map(Step::delete).collect()
}

/// Whether a key of a replica's metadata table is that of a pending instant, other than the plan of
/// a compaction: a copy that another tool made holds such.
fn is_foreign(held: &Timeline, key: &RelPath) -> bool {
    let own = format!("{}/{META_FOLDER}/", root());
    let name = key.as_str().starts_with(&own).then(|| key.file_name());
    let name = name.and_then(|name| InstantName::parse(name, held.layout));
    name.is_some_and(|name| name.state != State::Completed && name.action != Action::Compaction)
}

/// A key of the metadata table, below the table's root.
fn placed(key: &RelPath) -> Result<RelPath, SourceError> {
    RelPath::parse(&format!("{}/{key}", root())).map_err(|error| io_error(key, error))
}

/// A step of the metadata table, as one of its table.
fn placed_step(mut step: Step) -> Result<Step, SourceError> {
    step.key = placed(&step.key)?;
    Ok(step)
}

/// A copy of one object of the metadata table.
fn copy(key: &RelPath, object: &LogObject, op: Op) -> Result<Step, SourceError> {
    let body = Body::Copy(object.identity.clone());
    Ok(Step { key: placed(key)?, body, op, reveals: None })
}
