//! What a source offers: its metadata table, and which commit brings each of its instants along.

use std::collections::BTreeSet;
use std::sync::Arc;

use table_sync_core::{InstantTime, Position, RelPath, SourceError};

use super::{FILES, Trouble, is_used, root};
use crate::instant::{Action, Layout};
use crate::log::{HudiLog, META_FOLDER, Readers};
use crate::metadata::{CommitMetadata, Written};
use crate::properties::TableType;
use crate::timeline::{Instant, Timeline};

/// Statistics of whole partitions; from table version 8 on.
const PARTITION_STATS: &str = "partition_stats";

/// Partitions that are carried: the rest are indexes, which grow with the rows.
const CARRIED: [&str; 3] = [FILES, "column_stats", PARTITION_STATS];

/// Names of expression indexes begin so, in later and in earlier releases. Queries that could use
/// one fail where its partition is not there.
///
/// Seen with Spark 3.5 and Hudi 1.0.2, 1.1.1.
const EXPRESSIONS: [&str; 2] = ["expr_index_", "func_index_"];

/// Whether a key of the metadata table lies in its timeline, or in a partition that may be carried.
pub(super) fn is_carried(key: &RelPath) -> bool {
    let rest = key.as_str().strip_prefix(&root()).and_then(|rest| rest.strip_prefix('/'));
    let folder = rest.and_then(|rest| rest.split_once('/')).map(|(folder, _)| folder);
    folder.is_some_and(|folder| folder == META_FOLDER || CARRIED.contains(&folder))
}

/// A look at the metadata table of a source, after that at its timeline.
#[derive(Debug)]
pub(crate) enum Offer {
    /// Its readers list storage.
    Nothing,
    /// A metadata table that is not carried, and why.
    Unfit(String),
    /// A metadata table.
    Table(Box<Table>),
}

/// The metadata table of a source.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) log: HudiLog,
    pub(super) timeline: Arc<Timeline>,
    /// Those that are carried.
    pub(super) partitions: BTreeSet<String>,
}

/// What the source offers, looked at once for each look at its timeline.
pub(super) async fn of<'a>(
    log: &HudiLog,
    timeline: &'a Timeline,
) -> Result<&'a Offer, SourceError> {
    let look = async || match look(log, timeline).await {
        Ok(offer) => Ok(offer),
        Err(Trouble::Unfit(reason)) => Ok(Offer::Unfit(reason)),
        Err(Trouble::Source(error)) => Err(error),
    };
    timeline.offer.get_or_try_init(look).await
}

async fn look(log: &HudiLog, timeline: &Timeline) -> Result<Offer, Trouble> {
    if !is_used(timeline) {
        return Ok(Offer::Nothing);
    }
    if let Some(reason) = refusal(log, timeline) {
        return Ok(Offer::Unfit(reason));
    }
    let own = log.below(&root())?;
    let Some(own_timeline) = Timeline::load(&own).await? else {
        return Ok(Offer::Unfit(format!("{} holds no table at the source", root())));
    };
    if own_timeline.layout != timeline.layout {
        let reason = "the metadata table and its table have timelines of different layouts";
        return Ok(Offer::Unfit(reason.to_owned()));
    }
    let partitions = partitions(timeline);
    Ok(Offer::Table(Box::new(Table { log: own, timeline: own_timeline, partitions })))
}

/// Why the metadata table of such a table is not carried.
fn refusal(log: &HudiLog, timeline: &Timeline) -> Option<String> {
    let table = timeline.properties.table();
    let names = table.metadata_partitions().into_iter();
    let mut names = names.chain(table.metadata_partitions_inflight());
    let expression = names.find(|name| EXPRESSIONS.iter().any(|index| name.starts_with(index)));
    if let Some(name) = expression {
        return Some(format!(
            "readers look for the expression index {name} wherever there is a metadata table, and \
             it is not copied"
        ));
    }
    if timeline.layout == Layout::V2 {
        return None;
    }
    if log.options().readers != Readers::Zero {
        return Some(
            "readers of Hudi 1.x take the times of a version 6 metadata table from the store, and \
             those of a copy mislead them; upgrade the table to version 8, or say --hudi-readers \
             0.x where none of 1.x reads"
                .to_owned(),
        );
    }
    let undone = |at: &&Instant| at.is_completed() && at.name.action == Action::Rollback;
    let undone = timeline.instants().find(undone);
    let merges = timeline.table_type == TableType::MergeOnRead;
    undone.filter(|_| merges).map(|at| {
        format!(
            "the rollback {} left logs that the metadata table of version 6 names, and that no \
             commit does",
            at.name.requested
        )
    })
}

/// Partitions that are carried of a table's metadata table.
fn partitions(timeline: &Timeline) -> BTreeSet<String> {
    let table = timeline.properties.table();
    let building = table.metadata_partitions_inflight();
    let mut names = table.metadata_partitions();
    names.retain(|name| CARRIED.contains(name) && !building.contains(name));
    // Without the fence of later releases they would be narrower than the rows that are visible.
    names.retain(|name| timeline.layout == Layout::V2 || *name != PARTITION_STATS);
    names.into_iter().map(str::to_owned).collect()
}

impl Table {
    /// The value of the property at a replica.
    pub(super) fn property(&self) -> String {
        self.partitions.iter().map(String::as_str).collect::<Vec<_>>().join(",")
    }

    /// What an instant wrote to the partitions that are carried.
    pub(super) fn writes<'a>(
        &'a self,
        commit: &'a CommitMetadata,
    ) -> impl Iterator<Item = &'a Written> {
        commit.writes.iter().filter(|write| self.partitions.contains(&write.partition))
    }

    /// Completed instants in the order of completion.
    pub(super) fn completed(&self) -> Vec<&Instant> {
        let instants = self.timeline.instants();
        let mut completed: Vec<_> = instants.filter(|at| at.is_completed()).collect();
        completed.sort_by_key(|at| at.position());
        completed
    }
}

/// The commit of the table that brings an instant of the metadata table along: the first that
/// completed no earlier, nor before the write that the instant belongs to. `None` where that is
/// still to come.
///
/// The metadata table's instant completes before the one of its table does.
pub(super) fn brought_by(timeline: &Timeline, instant: &Instant) -> Option<Position> {
    let id = instant.name.requested.without_suffix();
    let own = timeline.of(id).find(|at| at.name.action.writes_data());
    let own = match own {
        Some(write) if !write.is_completed() => return None,
        own => own.map(Instant::position),
    };
    let after = |at: &Position| completion(*at) >= completion(instant.position());
    let mut commits = timeline.commits().into_iter().map(Instant::position);
    commits.find(|at| after(at) && own.is_none_or(|own| *at >= own))
}

fn completion(at: Position) -> Option<InstantTime> {
    match at {
        Position::Instant { completed, .. } => Some(completed),
        _ => None,
    }
}
