//! One look at a table's timeline: its properties, its active instants, its history's files.
//!
//! # Invariants
//! - A table that this program does not understand wholly is refused here, before anything of it
//!   is described.
//! - `start` is where readers let the active timeline begin: they take every file of an older
//!   instant for committed.
//!
//! Source: Hudi `BaseHoodieTimeline.findFirstNonSavepointCommit`, `HoodieTableConfig`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use table_sync_core::{BlockCode, Blocked, InstantTime, LogObject, Position, RelPath, SourceError};
use tokio::sync::OnceCell;

use crate::instant::{Action, InstantName, Layout, State, furthest};
use crate::log::{HudiLog, META_FOLDER, ObjectRead, io_error};
use crate::mirror::Offer;
use crate::poll::Seen;
use crate::properties::{self, Checksum, Properties, TableType};

/// Folder of a timeline of layout 2 where properties name no other.
pub(crate) const LAYOUT_2_FOLDER: &str = "timeline";

/// Table versions that are replicated.
const VERSIONS: [u32; 3] = [6, 8, 9];

/// An instant of the active timeline, in its furthest state.
#[derive(Debug, Clone)]
pub(crate) struct Instant {
    pub(crate) name: InstantName,
    pub(crate) key: RelPath,
    pub(crate) object: LogObject,
}

impl Instant {
    pub(crate) fn is_completed(&self) -> bool {
        self.name.state == State::Completed
    }

    /// Where it stands in the order of completion.
    pub(crate) fn position(&self) -> Position {
        let by_clock = || InstantTime::of_ms(self.object.modified_ms);
        let completed = self.name.completion.unwrap_or_else(by_clock);
        Position::Instant { completed, requested: self.name.requested }
    }

    /// Whether it is a state of the table that is published by itself: it changes what a snapshot
    /// holds, or takes commits back.
    pub(crate) fn is_commit(&self) -> bool {
        let counts = self.name.action.writes_data() || self.name.action == Action::Restore;
        self.is_completed() && counts
    }
}

/// A timeline as it was listed.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    pub(crate) properties: Properties,
    pub(crate) properties_read: ObjectRead,
    pub(crate) table_type: TableType,
    pub(crate) layout: Layout,
    /// Folder of the active timeline.
    pub(crate) folder: RelPath,
    /// Folder of archived instants.
    pub(crate) archive: RelPath,
    /// By id, then by action.
    pub(crate) instants: Vec<Instant>,
    /// Indices of the commits in `instants`, in the order of completion.
    completions: Vec<usize>,
    /// Objects of the timeline's folder, its history included (layout 2).
    pub(crate) objects: BTreeMap<RelPath, LogObject>,
    /// The first write that no savepoint keeps: where readers let the timeline begin.
    pub(crate) start: Option<InstantTime>,
    /// Replace commits that hide files which are still at a replica; `None` where nobody looked.
    pub(crate) hiding: Option<BTreeSet<InstantTime>>,
    /// What a replica holds of a metadata table, where that is asked for.
    pub(crate) metadata: BTreeMap<RelPath, LogObject>,
    /// The metadata table that a source has, once it was looked at.
    pub(crate) offer: Arc<OnceCell<Offer>>,
}

/// Key of the table's properties.
pub(crate) fn properties_key() -> Result<RelPath, SourceError> {
    meta_key(properties::FILE_NAME)
}

/// Key of an object below the metadata folder.
pub(crate) fn meta_key(name: &str) -> Result<RelPath, SourceError> {
    RelPath::parse(&format!("{META_FOLDER}/{name}")).map_err(|error| io_error(META_FOLDER, error))
}

impl Timeline {
    /// Looks at a table. `None` where there is none.
    pub(crate) async fn load(log: &HudiLog) -> Result<Option<Self>, SourceError> {
        let Some((properties, read)) = read_properties(log).await? else { return Ok(None) };
        let table = properties.table();
        let (table_type, layout) = supported(&properties)?;
        let folder = |found: Result<RelPath, _>| found.map_err(|error| bad_folder(&error));
        let folder_key = folder(table.timeline_folder(layout))?;
        let archive = folder(table.archive_folder(layout))?;
        let objects = match layout {
            // Beside the timeline lie the metadata table, markers and locks.
            Layout::V1 => level_1(log, folder_key.as_str()).await?,
            Layout::V2 => log.list(folder_key.as_str()).await?,
        };
        let instants = instants(&objects, &folder_key, layout)?;
        let start = start(&instants);
        let completions = completions(&instants);
        let timeline = Self {
            properties_read: read,
            table_type,
            layout,
            folder: folder_key,
            archive,
            instants,
            completions,
            objects,
            start,
            properties,
            hiding: None,
            metadata: BTreeMap::new(),
            offer: Arc::default(),
        };
        let commits = timeline.commits();
        let keys = commits.iter().map(|at| (at.name.requested, at.key.clone()));
        log.cache(|cache| {
            cache.put_keys(keys);
            cache.put_seen(Seen::of(&timeline));
        });
        Ok(Some(timeline))
    }

    /// Leaves out instants.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Instant) -> bool) {
        self.instants.retain(keep);
        self.start = start(&self.instants);
        self.completions = completions(&self.instants);
    }

    /// Completed instants that are states of the table, in the order of completion.
    pub(crate) fn commits(&self) -> Vec<&Instant> {
        let commits = self.completions.iter();
        commits.filter_map(|index| self.instants.get(*index)).collect()
    }

    /// The completed commit with this id.
    pub(crate) fn commit(&self, requested: InstantTime) -> Option<&Instant> {
        let mut of_id = self.of(requested);
        of_id.find(|instant| instant.is_commit())
    }

    /// What the timeline says of an id.
    pub(crate) fn of(&self, requested: InstantTime) -> impl Iterator<Item = &Instant> {
        let from = self.instants.partition_point(|at| at.name.requested < requested);
        let rest = self.instants.get(from..).unwrap_or_default();
        rest.iter().take_while(move |at| at.name.requested == requested)
    }

    /// The plan of a compaction, pending or not.
    pub(crate) fn plan_of(&self, requested: InstantTime) -> Option<(&RelPath, &LogObject)> {
        let action = Action::Compaction;
        let (completion, state, layout) = (None, State::Requested, self.layout);
        let name = InstantName { requested, completion, action, state, layout };
        let key = RelPath::parse(&format!("{}/{name}", self.folder)).ok()?;
        self.objects.get_key_value(&key)
    }

    /// Whether plans of compactions are there, pending or not.
    pub(crate) fn has_plans(&self) -> bool {
        let plan = |key: &RelPath| {
            let name = InstantName::parse(key.file_name(), self.layout);
            name.is_some_and(|name| name.action == Action::Compaction)
        };
        self.table_type == TableType::MergeOnRead && self.objects.keys().any(plan)
    }

    /// Since when readers of this timeline may see a commit, by its store's clock, ms since the
    /// epoch: a timeline that was written as a whole is visible since its properties are there.
    pub(crate) fn visible_ms(&self, commit: &Instant) -> i64 {
        commit.object.modified_ms.max(self.properties_read.object.modified_ms)
    }

    /// Ids of completed writes up to a position.
    pub(crate) fn completed(&self, until: Position) -> BTreeSet<InstantTime> {
        let writes = self.instants.iter().filter(|at| at.is_commit());
        let writes = writes.filter(|at| at.position() <= until);
        writes.map(|at| at.name.requested).collect()
    }

    /// When the oldest object of the active timeline was written, ms since the epoch: what is
    /// older was written by instants that are archived.
    pub(crate) fn oldest_ms(&self) -> i64 {
        let instants = self
            .objects
            .iter()
            .filter(|(key, _)| InstantName::parse(key.file_name(), self.layout).is_some());
        instants.map(|(_, object)| object.modified_ms).min().unwrap_or(i64::MIN)
    }

    /// The earliest write that is not done yet.
    pub(crate) fn earliest_pending(&self) -> Option<InstantTime> {
        let mut pending = self.instants.iter();
        let pending = pending.find(|at| !at.is_completed() && at.name.action.writes_data());
        pending.map(|at| at.name.requested)
    }

    /// Objects of the history folder (layout 2), by key.
    pub(crate) fn history(&self) -> impl Iterator<Item = (&RelPath, &LogObject)> {
        let folder = format!("{}/", self.archive);
        let below = self.objects.range(self.archive.clone()..);
        // Names that continue the folder's own sort before what it holds.
        let below = below.skip_while({
            let folder = folder.clone();
            move |(key, _)| key.as_str() < folder.as_str()
        });
        let layout = self.layout;
        let below = below.take_while(move |(key, _)| key.as_str().starts_with(&folder));
        let depth = self.archive.as_str().matches('/').count() + 1;
        below.filter(move |(key, _)| {
            layout == Layout::V2 && key.as_str().matches('/').count() == depth
        })
    }
}

/// Objects of a timeline of layout 1.
///
/// An upgrade writes every instant to the folder of layout 2, deletes the old ones, and changes the
/// properties last: until then neither timeline is whole.
async fn level_1(log: &HudiLog, folder: &str) -> Result<BTreeMap<RelPath, LogObject>, SourceError> {
    let level = log.level(folder).await?;
    let next = format!("{META_FOLDER}/{LAYOUT_2_FOLDER}");
    if level.folders.contains(&next) && !log.list(&next).await?.is_empty() {
        let message = format!("the table is being upgraded: {next} is there, the properties wait");
        return Err(SourceError::Hold { message });
    }
    Ok(level.objects)
}

/// Reads the newest whole properties: while a writer replaces them, only the backup is there.
pub(crate) async fn read_properties(
    log: &HudiLog,
) -> Result<Option<(Properties, ObjectRead)>, SourceError> {
    let backup = format!("{}.backup", properties::FILE_NAME);
    let mut damage = None;
    for name in [properties::FILE_NAME, backup.as_str(), properties::FILE_NAME] {
        let key = meta_key(name)?;
        let Some(read) = log.read(&key, None).await? else { continue };
        match Properties::parse(key.as_str(), &read.bytes) {
            Ok(properties) if properties.checksum() != Checksum::Invalid => {
                return Ok(Some((properties, read)));
            }
            Ok(_) => {
                damage = Some(format!("the checksum of {key} is not that of the table's name"));
            }
            Err(error) => damage = Some(error.to_string()),
        }
    }
    match damage {
        None => Ok(None),
        Some(message) => Err(Blocked::table(BlockCode::SourceDamaged, message).into()),
    }
}

/// Whether this program understands the table wholly.
pub(crate) fn supported(properties: &Properties) -> Result<(TableType, Layout), SourceError> {
    let table = properties.table();
    let stated = properties.get(properties::key::VERSION).unwrap_or("none");
    let version = table.version().filter(|version| VERSIONS.contains(version));
    let version = version.ok_or_else(|| {
        let message = format!(
            "the table has version {stated}; versions 6 (Hudi 0.14, 0.15), 8 (1.0) and 9 (1.1, 1.2) \
             are replicated; upgrade the table at the source, or upgrade this program"
        );
        Blocked::table(BlockCode::UnsupportedVersion, message)
    })?;
    if table.bootstrap_base_path().is_some() {
        let message = "the table is a bootstrap table: its rows lie in files of another table that \
                       only absolute paths name; rewrite it as a table of its own (a full record \
                       bootstrap, or an insert overwrite) before replication";
        return Err(Blocked::table(BlockCode::UnsupportedReaderFeature, message).into());
    }
    let table_type = table.table_type().ok_or_else(|| {
        let stated = properties.get(properties::key::TYPE).unwrap_or_default();
        let message = format!("the table has the type {stated:?}, which is unknown");
        Blocked::table(BlockCode::UnsupportedVersion, message)
    })?;
    let layout = table.layout().filter(|layout| (*layout == Layout::V2) == (version >= 8));
    let layout = layout.ok_or_else(|| {
        let stated = properties.get(properties::key::LAYOUT_VERSION).unwrap_or("none");
        let message = format!("table version {version} with timeline layout {stated} is unknown");
        Blocked::table(BlockCode::UnsupportedVersion, message)
    })?;
    Ok((table_type, layout))
}

fn bad_folder(error: &table_sync_core::PathError) -> SourceError {
    let message = format!("hoodie.properties names a timeline folder outside the table: {error}");
    Blocked::table(BlockCode::ForeignPath, message).into()
}

fn instants(
    objects: &BTreeMap<RelPath, LogObject>,
    folder: &RelPath,
    layout: Layout,
) -> Result<Vec<Instant>, SourceError> {
    let prefix = format!("{folder}/");
    let mut found = Vec::new();
    for (key, object) in objects {
        let name = key.as_str().strip_prefix(&prefix).filter(|name| !name.contains('/'));
        let Some(name) = name.and_then(|name| InstantName::parse(name, layout)) else { continue };
        if let Action::Unknown(action) = &name.action {
            let message = format!(
                "the timeline holds {key}, whose action {action} is unknown; upgrade this program"
            );
            return Err(Blocked::table(BlockCode::UnsupportedReaderFeature, message).into());
        }
        found.push((name, key, object));
    }
    let instants = furthest(found, |(name, _, _)| name).into_iter();
    let instants = instants.map(|(name, key, object)| Instant {
        name,
        key: key.clone(),
        object: object.clone(),
    });
    Ok(instants.collect())
}

fn completions(instants: &[Instant]) -> Vec<usize> {
    let commits = instants.iter().enumerate().filter(|(_, at)| at.is_commit());
    let mut commits: Vec<_> = commits.map(|(index, at)| (at.position(), index)).collect();
    commits.sort_unstable();
    commits.into_iter().map(|(_, index)| index).collect()
}

fn start(instants: &[Instant]) -> Option<InstantTime> {
    let savepoints = instants.iter().filter(|at| at.name.action == Action::Savepoint);
    let saved: BTreeSet<_> = savepoints.map(|at| at.name.requested).collect();
    let writes = instants.iter().filter(|at| at.is_completed() && at.name.action.writes_data());
    let mut ids = writes.map(|at| at.name.requested);
    ids.find(|id| !saved.contains(id))
}
