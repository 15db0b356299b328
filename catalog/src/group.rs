//! Consistency groups: tables that are read together, and the newest moment that all of them show
//! at a site. Pure functions of what was recorded.
//!
//! The tables of a group are published each on its own. What holds them together is a *snapshot*:
//! one version of each table, such that every commit of every table up to one moment, the cut, is
//! in it, and none after it. Readers name these versions.
//!
//! Moments are compared across tables. A commit's is by the clock of its source's store (or, with
//! in-commit timestamps, of its writer), and the time of a look is by the clock of the node that
//! looked: the cut is as exact as these clocks agree.
//!
//! # Invariants
//! - What is not known holds the cut back: a snapshot is whole, or there is none.
//! - A version that readers cannot open any more is in no snapshot.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use table_sync_core::Position;
use utoipa::ToSchema;

use crate::policy::words;
use crate::status::Condition;
use crate::{Millis, PositionSchema, Replica, Table, TableId, TableName, Version};

/// Stores cut the times of objects to seconds: a commit may be younger than it seems, by this much.
const STAMP_MS: Millis = 1_000;

/// A consistency group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its project.
    pub project: String,
    /// Its name; unique within the project.
    pub name: String,
    /// Its tables, by name.
    pub tables: Vec<Table>,
}

impl Group {
    /// Sites that publish any of its tables, by name.
    pub fn sites(&self) -> Vec<&str> {
        let replicas = self.tables.iter().flat_map(|table| &table.replicas);
        let mut sites: Vec<_> = replicas.map(|replica| replica.site.as_str()).collect();
        sites.sort_unstable();
        sites.dedup();
        sites
    }
}

words! {
    /// Why a table stands in the way of its group's snapshot at a site.
    Obstacle {
        /// It is not published at this site.
        NotAtSite => "not_at_site",
        /// Nothing of it is published yet.
        NotPublished => "not_published",
        /// It is not known up to when it is complete.
        NotKnown => "not_known",
        /// It is begun anew, and what readers are shown meanwhile is not kept in step.
        BegunAnew => "begun_anew",
        /// The source's history is not the one that was published.
        Rewound => "rewound",
        /// The site does not hold what was published there.
        Diverged => "diverged",
        /// All its versions that readers can open are newer than the group's oldest table.
        TooNew => "too_new",
    }
}

/// A table that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Waiting {
    /// Its name.
    pub table: TableName,
    /// Why.
    pub reason: Obstacle,
}

/// A table's version in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Member {
    /// The table's name.
    pub name: TableName,
    /// Its format.
    pub format: Option<String>,
    /// The version.
    #[schema(value_type = PositionSchema)]
    pub position: Position,
    /// When it was committed at the source.
    pub committed_ms: Millis,
    /// Where readers find it: a URL, or `STORE:path`.
    pub location: String,
}

/// What a group shows at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The cut; `None` = there is none.
    pub as_of_ms: Option<Millis>,
    /// One version of each table; empty without a cut.
    pub tables: Vec<Member>,
    /// Why there is none.
    pub waits_for: Vec<Waiting>,
}

impl Snapshot {
    /// There is none.
    pub(crate) fn waits(waits_for: Vec<Waiting>) -> Self {
        Self { as_of_ms: None, tables: Vec::new(), waits_for }
    }
}

/// Up to when a table is complete at a site: every commit up to then is published there.
///
/// Where nothing is pending, that is when the last look at its source began; where something is,
/// just before the oldest of it. A newer commit that only another site of the table has seen so far
/// was made after this site's head.
///
/// # Errors
/// Why that is not known.
pub fn complete_ms(table: &Table, site: &str) -> Result<Millis, Obstacle> {
    let replica = replica(table, site)?;
    let progress = &replica.progress;
    match progress.condition {
        Condition::Rewound => return Err(Obstacle::Rewound),
        Condition::Diverged => return Err(Obstacle::Diverged),
        _ if replica.serving.is_some() => return Err(Obstacle::BegunAnew),
        _ => {}
    }
    let head = progress.head.ok_or(Obstacle::NotPublished)?;
    let known = table.replicas.iter().flat_map(|one| [one.progress.source_head, one.progress.head]);
    let is_newest = known.flatten().all(|known| known <= head);
    let until = match (progress.pending_versions, progress.oldest_pending_ms) {
        (None, _) => None,
        (Some(0), _) if is_newest => progress.listed_ms.map(|listed| listed - STAMP_MS),
        (Some(0), _) | (_, None) => progress.head_committed_ms,
        (_, Some(oldest)) => Some(oldest - 1),
    };
    until.ok_or(Obstacle::NotKnown)
}

fn replica<'a>(table: &'a Table, site: &str) -> Result<&'a Replica, Obstacle> {
    table.replicas.iter().find(|replica| replica.site == site).ok_or(Obstacle::NotAtSite)
}

/// The newest moment up to which all tables are complete at a site.
///
/// # Errors
/// The tables that stand in the way; none where the group has no table.
pub fn cut(group: &Group, site: &str) -> Result<Millis, Vec<Waiting>> {
    let mut cut: Option<Millis> = None;
    let mut waits_for = Vec::new();
    for table in &group.tables {
        match complete_ms(table, site) {
            Ok(until) => cut = Some(cut.map_or(until, |cut| cut.min(until))),
            Err(reason) => waits_for.push(Waiting { table: table.name.clone(), reason }),
        }
    }
    cut.filter(|_| waits_for.is_empty()).ok_or(waits_for)
}

/// Tables whose head is newer than a cut, or whose head's time is not known: which of their
/// versions is meant is in their receipts.
pub(crate) fn past<'a>(group: &'a Group, site: &str, cut: Millis) -> Vec<&'a str> {
    let is_past = |table: &&Table| {
        let head_ms = replica(table, site).ok().and_then(|one| one.progress.head_committed_ms);
        head_ms.is_none_or(|head_ms| head_ms > cut)
    };
    group.tables.iter().filter(is_past).map(|table| table.id.as_str()).collect()
}

/// The snapshot at a cut. `receipts`: of the tables of [`past`], the newest version that was
/// committed up to the cut, or at a time that is not known.
pub(crate) fn snapshot(
    group: &Group,
    site: &str,
    cut: Millis,
    receipts: &HashMap<TableId, Version>,
) -> Snapshot {
    let mut tables = Vec::with_capacity(group.tables.len());
    let mut waits_for = Vec::new();
    for table in &group.tables {
        match member(table, site, cut, receipts.get(&table.id)) {
            Ok(member) => tables.push(member),
            Err(reason) => waits_for.push(Waiting { table: table.name.clone(), reason }),
        }
    }
    match waits_for.is_empty() {
        true => Snapshot { as_of_ms: Some(cut), tables, waits_for },
        false => Snapshot::waits(waits_for),
    }
}

fn member(
    table: &Table,
    site: &str,
    cut: Millis,
    receipt: Option<&Version>,
) -> Result<Member, Obstacle> {
    let served = replica(table, site)?.served();
    let head = served.head.zip(served.head_committed_ms).filter(|(_, at)| *at <= cut);
    let (position, committed_ms) = match (head, receipt) {
        (Some(head), _) => head,
        (None, Some(receipt)) => {
            (receipt.position, receipt.committed_ms.ok_or(Obstacle::NotKnown)?)
        }
        (None, None) => return Err(Obstacle::TooNew),
    };
    if served.earliest_readable.is_some_and(|earliest| position < earliest) {
        return Err(Obstacle::TooNew);
    }
    let (name, format) = (table.name.clone(), table.format.clone());
    Ok(Member { name, format, position, committed_ms, location: served.location })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::transition::Desired;
    use crate::{Policy, Progress};

    /// Seconds after an hour that tests begin with.
    fn at(second: i64) -> Millis {
        3_600_000 + second * 1_000
    }

    fn version(at: u64) -> Option<Position> {
        Some(Position::Version(at))
    }

    /// In step at version 7, committed in second 10 and looked at in second 60.
    fn in_step() -> Progress {
        Progress {
            condition: Condition::Well,
            source_head: version(7),
            listed_ms: Some(at(60)),
            head: version(7),
            head_committed_ms: Some(at(10)),
            pending_versions: Some(0),
            ..Progress::default()
        }
    }

    /// Behind since a second.
    fn behind(second: i64) -> Progress {
        Progress {
            source_head: version(9),
            pending_versions: Some(2),
            oldest_pending_ms: Some(at(second)),
            ..in_step()
        }
    }

    fn table(name: &str, progress: &[(&str, Progress)]) -> Table {
        let replica = |(site, progress): &(&str, Progress)| Replica {
            site: (*site).to_owned(),
            location: format!("vast:{site}/{name}"),
            incarnation: 1,
            progress: progress.clone(),
            serving: None,
            revision: 1,
        };
        Table {
            id: name.to_owned(),
            name: TableName::parse(&format!("lake.sales.{name}")).unwrap(),
            source: format!("gs://lake/{name}"),
            format: Some("delta".to_owned()),
            policy: Policy::default(),
            desired: Desired::Active,
            rule: None,
            lease_node: None,
            owned: true,
            epoch: 1,
            revision: 1,
            created_ms: 0,
            replicas: progress.iter().map(replica).collect(),
        }
    }

    #[track_caller]
    fn check(east: Progress, west: Option<Progress>, expect: Result<Millis, Obstacle>) {
        let west = west.map(|west| ("west", west));
        let sites: Vec<_> = [("east", east)].into_iter().chain(west).collect();
        assert_eq!(complete_ms(&table("orders", &sites), "east"), expect);
    }

    #[test]
    fn a_table_is_complete_up_to_its_last_look_or_its_oldest_pending_commit() {
        check(in_step(), None, Ok(at(59)));
        check(behind(30), None, Ok(at(30) - 1));
        // Its last look was before another site's.
        let newer = Progress { head: version(8), source_head: version(8), ..in_step() };
        check(in_step(), Some(newer), Ok(at(10)));
        // Told as published, before the pass has ended.
        let told = Progress { head: version(8), ..in_step() };
        check(in_step(), Some(told.clone()), Ok(at(10)));
        check(told, Some(in_step()), Ok(at(59)));
        // How old the pending commits are is not known.
        let pending = Progress { oldest_pending_ms: None, ..behind(30) };
        check(pending, None, Ok(at(10)));
    }

    #[test]
    fn what_is_not_known_is_no_moment() {
        let new = Progress::default();
        check(new.clone(), Some(in_step()), Err(Obstacle::NotPublished));
        let rebuilt = Progress { head: version(7), ..new };
        check(rebuilt, None, Err(Obstacle::NotKnown));
        let never_looked = Progress { listed_ms: None, ..in_step() };
        check(never_looked, None, Err(Obstacle::NotKnown));
        for (condition, obstacle) in
            [(Condition::Rewound, Obstacle::Rewound), (Condition::Diverged, Obstacle::Diverged)]
        {
            check(Progress { condition, ..in_step() }, None, Err(obstacle));
        }
        assert_eq!(complete_ms(&table("orders", &[]), "east"), Err(Obstacle::NotAtSite));
        let mut moved = table("orders", &[("east", in_step())]);
        moved.replicas[0].serving = Some(moved.replicas[0].served());
        assert_eq!(complete_ms(&moved, "east"), Err(Obstacle::BegunAnew));
    }

    fn group(tables: &[(&str, Progress)]) -> Group {
        let table =
            |(name, progress): &(&str, Progress)| table(name, &[("east", progress.clone())]);
        let tables = tables.iter().map(table).collect();
        Group { project: "lake".to_owned(), name: "close".to_owned(), tables }
    }

    fn receipt(at: u64, committed_ms: Option<Millis>) -> Version {
        Version {
            position: Position::Version(at),
            kind: "append".to_owned(),
            committed_ms,
            published_ms: 0,
            files: 1,
            bytes: 1,
            commit_sha256: None,
            chain_sha256: None,
            live_digest: None,
            ordinal: 1,
        }
    }

    #[track_caller]
    fn shown(group: &Group, cut: Millis, receipts: &[(&str, Version)]) -> Vec<(String, String)> {
        let receipts: HashMap<_, _> =
            receipts.iter().map(|(id, version)| ((*id).to_owned(), version.clone())).collect();
        let snapshot = snapshot(group, "east", cut, &receipts);
        let is_whole = snapshot.as_of_ms.is_some();
        assert_eq!(snapshot.as_of_ms, is_whole.then_some(cut));
        assert_eq!(is_whole, snapshot.waits_for.is_empty());
        assert!(is_whole || snapshot.tables.is_empty());
        let members = snapshot.tables.iter();
        let members = members.map(|one| (one.name.table().to_owned(), one.position.to_string()));
        let waits = snapshot.waits_for.iter();
        let waits = waits.map(|one| (one.table.table().to_owned(), one.reason.to_string()));
        members.chain(waits).collect()
    }

    #[test]
    fn the_least_complete_table_is_the_cut() {
        let close = group(&[("items", in_step()), ("orders", behind(30))]);
        assert_eq!(cut(&close, "east"), Ok(at(30) - 1));
        let close = group(&[("items", Progress::default()), ("orders", in_step())]);
        let waits_for = cut(&close, "east").unwrap_err();
        assert_eq!(waits_for.len(), 1);
        assert_eq!(waits_for[0].reason, Obstacle::NotPublished);
        assert_eq!(cut(&close, "west").unwrap_err().len(), 2);
        assert_eq!(cut(&group(&[]), "east"), Err(Vec::new()));
    }

    #[test]
    fn members_show_what_they_were_at_the_cut() {
        // The items moved on in second 40; the orders wait since second 30.
        let items = Progress { head_committed_ms: Some(at(40)), ..in_step() };
        let close = group(&[("items", items.clone()), ("orders", behind(30))]);
        let moment = cut(&close, "east").unwrap();
        assert_eq!(past(&close, "east", moment), ["items"]);
        let pair = |name: &str, what: &str| (name.to_owned(), what.to_owned());
        let earlier = ("items", receipt(6, Some(at(29))));
        let both = [pair("items", "6"), pair("orders", "7")];
        assert_eq!(shown(&close, moment, std::slice::from_ref(&earlier)), both);
        // It began after the cut, or its receipts are gone.
        assert_eq!(shown(&close, moment, &[]), [pair("items", "too_new")]);
        let unknown = ("items", receipt(6, None));
        assert_eq!(shown(&close, moment, &[unknown]), [pair("items", "not_known")]);
        // Readers cannot open it any more.
        let retired = Progress { earliest_readable: version(7), ..items };
        let close = group(&[("items", retired), ("orders", behind(30))]);
        assert_eq!(shown(&close, moment, &[earlier]), [pair("items", "too_new")]);
    }
}
