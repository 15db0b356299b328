//! Retirement: what may go at a replica, since only states older than the retention need it.
//!
//! Only commits count that are *aged*: visible at the replica since before the retention began.
//! Whatever completes later, every state that is still promised holds all of them.
//!
//! # Invariants
//! - A superseding base is aged. Readers take the newest base of a group by id, so an older one is
//!   in no promised state, however late commits with older ids complete.
//! - What goes belongs to an aged commit, or to one older than the timeline. A file of any other
//!   instant may be staged for a commit that is on its way. The one exception is a file group
//!   that an aged replace commit hides: it stays hidden, whatever is added to it.
//! - A log of layout 2 goes when its commit completed before the id of the newest aged base: a
//!   write that a compaction overtook completes later, and its log is merged with the new base. A
//!   log of layout 1 is named after its base, and goes with that.
//! - A plan of a compaction at the replica asks for nothing more: readers merge the slice that it
//!   opens with the one before, and the newest aged base and all since are those.
//! - What a savepoint at the replica names stays: time travel to it works.
//! - Nothing is taken from a folder that holds a table of its own.
//! - A restore at the source may ask for older files again: they are looked for before the state
//!   is switched, and copied again.
//!
//! Source: Hudi `CleanPlanner`, `HoodieFileGroup`, `AbstractTableFileSystemView`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::stream;
use table_sync_core::{
    FileRef, FileStream, InstantTime, LogObject, Place, Position, RelPath, Retire, Role,
    SourceError,
};

use crate::file_name::{self, Kind};
use crate::instant::{Action, InstantName, Layout};
use crate::log::{HudiLog, META_FOLDER};
use crate::metadata::SavepointMetadata;
use crate::properties::TableType;
use crate::slices::partition_of;
use crate::timeline::{Instant, LAYOUT_2_FOLDER, Timeline};
use crate::{archived, state};

/// Streams what may go at a replica, timelines that were left first: whoever still reads one of
/// them fails rather than miss files.
pub(crate) async fn retirable(
    log: &HudiLog,
    timeline: &Timeline,
    retire: Retire,
) -> Result<FileStream, SourceError> {
    let aged = Aged::of(timeline, retire);
    let unseen = unseen(timeline, retire);
    let mut rules = Rules::new(log, timeline, aged).await?;
    let commits = timeline.commits().into_iter();
    let fresh = commits.filter(|at| rules.aged.commits.contains(&at.name.requested));
    let fresh =
        fresh.filter(|at| unseen.as_ref().is_none_or(|ids| ids.contains(&at.name.requested)));
    let mut partitions = BTreeSet::new();
    for instant in fresh.filter(|at| at.name.action.writes_data()) {
        let replaces = instant.name.action == Action::ReplaceCommit;
        if unseen.is_none() && !replaces {
            continue;
        }
        let commit = state::commit(log, instant).await?;
        partitions.extend(commit.writes.iter().map(|write| partition_of(&write.path).to_owned()));
        for (partition, file_id) in commit.replaced.iter().cloned() {
            partitions.insert(partition.clone());
            rules.replaced.entry(partition).or_default().insert(file_id);
        }
    }
    let walk = match unseen {
        None => Walk::Table,
        Some(_) => Walk::Partitions(partitions.into_iter().collect::<Vec<_>>().into_iter()),
    };
    let left = left_timelines(log, timeline, retire.before_ms).await?;
    let (log, rules) = (log.clone(), Arc::new(rules));
    let chunks = stream::try_unfold(walk, move |walk| {
        let (log, rules) = (log.clone(), Arc::clone(&rules));
        async move { next(&log, &rules, walk).await }
    });
    Ok(Box::pin(futures::StreamExt::chain(state::stream(left), chunks)))
}

/// Whether files of the groups that a replace commit hides are still at the replica.
///
/// `log`: the replica's own; `held`: its timeline.
pub(crate) async fn hides(
    log: &HudiLog,
    held: &Timeline,
    replacing: InstantTime,
) -> Result<bool, SourceError> {
    let Some(instant) = held.commit(replacing) else { return Ok(false) };
    let commit = state::commit(log, instant).await?;
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (partition, file_id) in &commit.replaced {
        groups.entry(partition).or_default().insert(file_id);
    }
    for (partition, file_ids) in groups {
        let listed = partition_files(log, partition).await?;
        let mut groups = listed.keys().filter_map(|key| file_name::glance(key.file_name()));
        if groups.any(|(file_id, _, _)| file_ids.contains(file_id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Commits that every promised state has in common.
#[derive(Debug, Default)]
struct Aged {
    /// Those of the active timeline.
    commits: BTreeSet<InstantTime>,
    /// What is older than the timeline is committed.
    start: Option<InstantTime>,
    /// And was visible before the retention began, if it was written up to then.
    older_ms: i64,
}

impl Aged {
    fn of(timeline: &Timeline, retire: Retire) -> Self {
        let commits = timeline.commits().into_iter();
        let old = commits.filter(|at| timeline.visible_ms(at) <= retire.before_ms);
        let commits: BTreeSet<_> = old.map(|at| at.name.requested).collect();
        let older_ms = match (forgets(timeline), retire.complete) {
            (true, false) => i64::MIN,
            (true, true) => retire.before_ms,
            // It begins where the replica did.
            (false, _) if commits.is_empty() => i64::MIN,
            (false, _) => i64::MAX,
        };
        Self { older_ms, start: timeline.start, commits }
    }

    fn is_before_start(&self, instant: InstantTime) -> bool {
        self.start.is_some_and(|start| instant < start)
    }

    /// Whether a base may supersede others.
    fn is_aged(&self, base: &Listed) -> bool {
        let before_start = self.is_before_start(base.instant) && base.modified_ms <= self.older_ms;
        self.commits.contains(&base.instant) || before_start
    }

    /// Whether its files may go, if nothing needs them.
    fn is_settled(&self, instant: InstantTime) -> bool {
        self.commits.contains(&instant) || self.is_before_start(instant)
    }
}

/// Whether the guard takes instants out of a replica's timeline: those of replicas that some
/// releases read.
pub(crate) fn forgets(timeline: &Timeline) -> bool {
    timeline.layout == Layout::V1 && timeline.table_type == TableType::MergeOnRead
}

/// Commits that the last retirement may not have known; `None` where that cannot be told, and the
/// whole table is to be listed.
fn unseen(timeline: &Timeline, retire: Retire) -> Option<BTreeSet<InstantTime>> {
    let last = timeline.commit(retire.after?.requested()?)?;
    // Whatever the timeline was before its properties were written, it may have been another.
    let switched = timeline.properties_read.object.modified_ms >= last.object.modified_ms;
    if switched || forgets(timeline) {
        return None;
    }
    let known = |at: &&Instant| {
        at.position() <= last.position() && timeline.visible_ms(at) <= timeline.visible_ms(last)
    };
    let unseen = timeline.commits().into_iter().filter(|at| !known(at));
    Some(unseen.map(|at| at.name.requested).collect())
}

/// What decides whether a listed file may go.
struct Rules {
    layout: Layout,
    aged: Aged,
    /// When commits completed, layout 2.
    completions: HashMap<InstantTime, InstantTime>,
    /// File groups that aged replace commits hide: file ids by partition.
    replaced: HashMap<String, HashSet<String>>,
    /// Files that savepoints name.
    saved: HashSet<RelPath>,
    /// Instants that an aged restore took back.
    taken_back: BTreeSet<InstantTime>,
}

impl Rules {
    async fn new(log: &HudiLog, timeline: &Timeline, aged: Aged) -> Result<Self, SourceError> {
        let mut rules = Self {
            layout: timeline.layout,
            aged,
            completions: HashMap::new(),
            replaced: HashMap::new(),
            saved: HashSet::new(),
            taken_back: BTreeSet::new(),
        };
        if timeline.layout == Layout::V2 && timeline.table_type == TableType::MergeOnRead {
            rules.completions = archived::completions(log, timeline).await?;
            for at in timeline.commits() {
                if let Position::Instant { completed, requested } = at.position() {
                    rules.completions.insert(requested, completed);
                }
            }
        }
        for instant in timeline.instants() {
            match (&instant.name.action, instant.is_completed()) {
                (Action::Savepoint, true) => rules.keep_saved(log, instant).await?,
                (Action::Restore, true) if rules.aged.commits.contains(&instant.name.requested) => {
                    let ids = archived::taken_back(log, instant).await?;
                    let gone = ids.iter().filter(|id| timeline.commit(**id).is_none());
                    rules.taken_back.extend(gone);
                }
                _ => {}
            }
        }
        Ok(rules)
    }

    async fn keep_saved(&mut self, log: &HudiLog, instant: &Instant) -> Result<(), SourceError> {
        let read = log.read_seen(&instant.key, &instant.object).await?;
        let saved = SavepointMetadata::decode(instant.key.as_str(), &read.bytes);
        self.saved.extend(saved.map_err(|error| state::decode_error(instant, &error))?.files);
        Ok(())
    }

    /// What may go of one file group.
    fn of_group(&self, partition: &str, file_id: &str, files: Vec<Listed>, out: &mut Vec<FileRef>) {
        let hidden = self.replaced.get(partition);
        let replaced = hidden.is_some_and(|groups| groups.contains(file_id));
        let bases = files.iter().filter(|file| file.kind == Kind::Base);
        let newest = bases.filter(|base| self.aged.is_aged(base)).map(|base| base.instant).max();
        let goes = |file: &Listed| {
            let superseded = newest.is_some_and(|newest| self.is_superseded(file, newest));
            let unneeded = replaced || superseded || self.taken_back.contains(&file.instant);
            unneeded && !self.saved.contains(&file.path)
        };
        out.extend(files.into_iter().filter(goes).map(Listed::into_file));
    }

    /// Whether no state needs it in which `newest` is a base of the group.
    fn is_superseded(&self, file: &Listed, newest: InstantTime) -> bool {
        if file.kind == Kind::Log && self.layout == Layout::V2 {
            let completion = self.completions.get(&file.instant);
            let before = completion.is_some_and(|completion| *completion < newest);
            return before && self.aged.is_settled(file.instant);
        }
        let named_after_base = file.kind == Kind::Log;
        file.instant < newest && (named_after_base || self.aged.is_settled(file.instant))
    }
}

/// One data file.
struct Listed {
    instant: InstantTime,
    kind: Kind,
    path: RelPath,
    modified_ms: i64,
}

impl Listed {
    fn into_file(self) -> FileRef {
        let role = match self.kind {
            Kind::Base => Role::Data,
            Kind::Log => Role::Log,
            Kind::ChangeFeed => Role::ChangeData,
        };
        FileRef { place: Place::Table, path: self.path, size_bytes: None, role }
    }
}

/// What is to be listed still: a folder at a time is held.
enum Walk {
    Table,
    Folders(std::vec::IntoIter<String>),
    Partitions(std::vec::IntoIter<String>),
}

async fn next(
    log: &HudiLog,
    rules: &Rules,
    walk: Walk,
) -> Result<Option<(Vec<FileRef>, Walk)>, SourceError> {
    let (objects, walk) = match walk {
        Walk::Table => {
            let top = log.level("").await?;
            let folders: Vec<_> =
                top.folders.into_iter().filter(|folder| folder != META_FOLDER).collect();
            (top.objects, Walk::Folders(folders.into_iter()))
        }
        Walk::Folders(mut folders) => {
            let Some(folder) = folders.next() else { return Ok(None) };
            (without_tables(log.list(&folder).await?), Walk::Folders(folders))
        }
        Walk::Partitions(mut partitions) => {
            let Some(partition) = partitions.next() else { return Ok(None) };
            (partition_files(log, &partition).await?, Walk::Partitions(partitions))
        }
    };
    let mut groups: BTreeMap<(String, String), Vec<Listed>> = BTreeMap::new();
    for (path, LogObject { modified_ms, .. }) in objects {
        let Some((file_id, instant, kind)) = file_name::glance(path.file_name()) else { continue };
        let group = (partition_of(&path).to_owned(), file_id.to_owned());
        groups.entry(group).or_default().push(Listed { instant, kind, path, modified_ms });
    }
    let mut files = Vec::new();
    for ((partition, file_id), listed) in groups {
        rules.of_group(&partition, &file_id, listed, &mut files);
    }
    Ok(Some((files, walk)))
}

/// The objects of one partition; none where its name leads out of the table's data.
async fn partition_files(
    log: &HudiLog,
    partition: &str,
) -> Result<BTreeMap<RelPath, LogObject>, SourceError> {
    let own = match RelPath::parse(partition) {
        Ok(path) => path.as_str().split('/').next() != Some(META_FOLDER),
        Err(_) => partition.is_empty(),
    };
    if !own {
        return Ok(BTreeMap::new());
    }
    Ok(log.level(partition).await?.objects)
}

/// Leaves out everything below a folder that holds a table.
fn without_tables(mut objects: BTreeMap<RelPath, LogObject>) -> BTreeMap<RelPath, LogObject> {
    let marker = format!("/{META_FOLDER}/");
    let roots = objects.keys().filter_map(|key| key.as_str().split_once(marker.as_str()));
    let roots: BTreeSet<String> = roots.map(|(root, _)| format!("{root}/")).collect();
    objects.retain(|key, _| !roots.iter().any(|root| key.as_str().starts_with(root.as_str())));
    objects
}

/// Objects of timelines that a switch left behind: the properties name another folder since before
/// the retention began, and they are older than that themselves.
///
/// A folder that was staged after the current one may be about to take its place: its name says a
/// later position.
async fn left_timelines(
    log: &HudiLog,
    timeline: &Timeline,
    before_ms: i64,
) -> Result<Vec<FileRef>, SourceError> {
    let current = Generation::of(timeline.folder.file_name());
    let old = |object: &LogObject| object.modified_ms <= before_ms;
    let Some(current @ Generation::Switched(_)) = current else { return Ok(Vec::new()) };
    if !old(&timeline.properties_read.object) {
        return Ok(Vec::new());
    }
    let meta = log.level(META_FOLDER).await?;
    let mut left: Vec<RelPath> = Vec::new();
    // Before an upgrade the timeline was not in a folder of its own.
    let instants = meta.objects.into_iter().filter(|(key, object)| {
        old(object) && InstantName::parse(key.file_name(), Layout::V1).is_some()
    });
    left.extend(instants.map(|(key, _)| key));
    for folder in meta.folders {
        let name = folder.rsplit_once('/').map_or(folder.as_str(), |(_, name)| name);
        if Generation::of(name).is_some_and(|generation| generation < current) {
            let objects = log.list(&folder).await?.into_iter();
            left.extend(objects.filter(|(_, object)| old(object)).map(|(key, _)| key));
        }
    }
    let file = |path| FileRef { place: Place::Table, path, size_bytes: None, role: Role::Data };
    Ok(left.into_iter().map(file).collect())
}

/// Timeline folders of a replica, in the order in which they came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Generation {
    /// That of the first publication.
    First,
    /// Staged for a switch that made this position visible.
    Switched(Position),
}

impl Generation {
    /// Takes a folder's name; `None` where it is no timeline's, or is the source's own choice.
    fn of(name: &str) -> Option<Self> {
        if name == LAYOUT_2_FOLDER {
            return Some(Self::First);
        }
        let (position, _) = name.strip_prefix("timeline_")?.rsplit_once('_')?;
        let position = Position::parse(position)?;
        position.requested().map(|_| Self::Switched(position))
    }
}
