//! One look at a table's timeline: its properties, its active instants, its history's files.
//!
//! # Invariants
//! - A table that this program does not understand wholly is refused here, before anything of it
//!   is described.
//! - `start` is where readers let the active timeline begin: they take every file of an older
//!   instant for committed.
//!
//! Source: Hudi `BaseHoodieTimeline.findFirstNonSavepointCommit`, `HoodieTableConfig`.

mod stretch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use table_sync_core::{BlockCode, Blocked, InstantTime, LogObject, Position, RelPath, SourceError};
use tokio::sync::OnceCell;

use crate::instant::{Action, InstantName, Layout, State};
use crate::log::{HudiLog, META_FOLDER, ObjectRead, io_error};
use crate::look;
use crate::mirror::Offer;
use crate::poll;
use crate::properties::{self, Checksum, Properties, TableType};
pub(crate) use stretch::{Instant, Stretch, name_in};

/// Folder of a timeline of layout 2 where properties name no other.
pub(crate) const LAYOUT_2_FOLDER: &str = "timeline";

/// Table versions that are replicated.
const VERSIONS: [u32; 3] = [6, 8, 9];

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
    /// What the next look need not list: instants before `unsettled_from`.
    settled: Arc<Stretch>,
    /// The rest, the history's files included (layout 2).
    pub(crate) recent: Arc<Stretch>,
    /// Where the next look may begin; `None` where it has to list everything.
    pub(crate) unsettled_from: Option<InstantTime>,
    /// Everything was listed for it.
    pub(crate) is_whole: bool,
    /// Indices of the commits among all instants, in the order of completion.
    completions: Vec<usize>,
    /// The first write that no savepoint keeps: where readers let the timeline begin.
    pub(crate) start: Option<InstantTime>,
    /// Replace commits that hide files which are still at a replica; `None` where nobody looked.
    pub(crate) hiding: Option<BTreeSet<InstantTime>>,
    /// What a replica holds of a metadata table, where that is asked for.
    pub(crate) metadata: BTreeMap<RelPath, LogObject>,
    /// The metadata table that a source has, once it was looked at.
    pub(crate) offer: Arc<OnceCell<Offer>>,
    /// Of a replica: commits that are about to be published, since it was listed whole.
    announced: Arc<Mutex<BTreeSet<InstantTime>>>,
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
    /// Looks at a table, and lists everything. `None` where there is none.
    pub(crate) async fn load(log: &HudiLog) -> Result<Option<Arc<Self>>, SourceError> {
        look::whole(log).await
    }

    /// Lists everything. `None` where there is no table.
    pub(crate) async fn list(log: &HudiLog) -> Result<Option<Self>, SourceError> {
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
        let recent = Stretch::of(objects, &folder_key, layout)?;
        let mut timeline = Self {
            properties_read: read,
            table_type,
            layout,
            folder: folder_key,
            archive,
            settled: Arc::default(),
            recent: Arc::new(recent),
            unsettled_from: None,
            is_whole: true,
            completions: Vec::new(),
            start: None,
            properties,
            hiding: None,
            metadata: BTreeMap::new(),
            offer: Arc::default(),
            announced: Arc::default(),
        };
        timeline.arrange();
        Ok(Some(timeline))
    }

    /// Takes everything before an id for settled, so that the next look may begin there.
    pub(crate) fn settle(&mut self, before: InstantTime) {
        // The history has to be among what that look lists.
        let history = self.archive.as_str().strip_prefix(self.folder.as_str());
        let history = history.and_then(|rest| rest.strip_prefix('/'));
        if history.is_none_or(|name| *name < *before.to_string()) {
            return;
        }
        let recent = Arc::make_mut(&mut self.recent);
        if let Some(settled) = recent.split_before(before, &self.folder) {
            self.settled = Arc::new(settled);
            self.unsettled_from = Some(before);
        }
    }

    /// The timeline as a later look shows it, which listed only what is not settled.
    pub(crate) fn followed_by(&self, recent: Stretch) -> Self {
        let mut timeline = Self {
            recent: Arc::new(recent),
            is_whole: false,
            offer: Arc::default(),
            ..self.clone()
        };
        timeline.arrange();
        timeline
    }

    /// Notes that a commit is about to be published at the replica of which this is a view.
    pub(crate) fn announce(&self, requested: InstantTime) {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).insert(requested);
    }

    /// Whether a further look brings all that was published at this replica, if `head` is the
    /// newest of that: a commit that completed late may have any id.
    pub(crate) fn expects(&self, head: InstantTime) -> bool {
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let at_end = announced.first().is_none_or(|first| Some(*first) >= self.unsettled_from);
        at_end && (announced.contains(&head) || self.commit(head).is_some())
    }

    fn arrange(&mut self) {
        self.start = start(self.instants());
        self.completions = completions(self.instants());
    }

    /// Leaves out instants.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Instant) -> bool) {
        self.settled = Arc::new(self.settled.retain(&mut keep));
        self.recent = Arc::new(self.recent.retain(&mut keep));
        self.arrange();
    }

    /// Instants, by id, then by action.
    pub(crate) fn instants(&self) -> impl DoubleEndedIterator<Item = &Instant> + Clone {
        self.settled.instants.iter().chain(&self.recent.instants)
    }

    /// Objects of the timeline's folder, its history included (layout 2).
    pub(crate) fn objects(&self) -> impl Iterator<Item = (&RelPath, &LogObject)> {
        self.settled.objects.iter().chain(&self.recent.objects)
    }

    /// Objects from a key on.
    pub(crate) fn objects_from(
        &self,
        key: &RelPath,
    ) -> impl Iterator<Item = (&RelPath, &LogObject)> {
        let settled = self.settled.objects.range(key.clone()..);
        settled.chain(self.recent.objects.range(key.clone()..))
    }

    /// An object of the timeline's folder.
    pub(crate) fn object(&self, key: &RelPath) -> Option<(&RelPath, &LogObject)> {
        let recent = self.recent.objects.get_key_value(key);
        recent.or_else(|| self.settled.objects.get_key_value(key))
    }

    /// The name of an instant, where a key is that of one of this timeline.
    pub(crate) fn name_of(&self, key: &RelPath) -> Option<InstantName> {
        name_in(&self.folder, key, self.layout)
    }

    fn instant(&self, index: usize) -> Option<&Instant> {
        match index.checked_sub(self.settled.instants.len()) {
            None => self.settled.instants.get(index),
            Some(index) => self.recent.instants.get(index),
        }
    }

    /// The objects by which a later look tells that there is something to do: those of a timeline
    /// that may still change, and the properties.
    pub(crate) fn telling(&self) -> BTreeMap<RelPath, LogObject> {
        let from = match self.layout {
            Layout::V1 => None,
            Layout::V2 => RelPath::parse(&format!("{}/{}", self.folder, poll::from(self))).ok(),
        };
        let owned = |(key, object): (&RelPath, &LogObject)| (key.clone(), object.clone());
        match from {
            None => self.objects().map(owned).collect(),
            Some(from) => self.objects_from(&from).map(owned).collect(),
        }
    }

    /// Completed instants that are states of the table, in the order of completion.
    pub(crate) fn commits(&self) -> Vec<&Instant> {
        let commits = self.completions.iter();
        commits.filter_map(|index| self.instant(*index)).collect()
    }

    /// The completed commit with this id.
    pub(crate) fn commit(&self, requested: InstantTime) -> Option<&Instant> {
        let mut of_id = self.of(requested);
        of_id.find(|instant| instant.is_commit())
    }

    /// What the timeline says of an id.
    pub(crate) fn of(&self, requested: InstantTime) -> impl Iterator<Item = &Instant> {
        let settled = self.unsettled_from.is_some_and(|from| requested < from);
        let instants = if settled { &self.settled.instants } else { &self.recent.instants };
        let from = instants.partition_point(|at| at.name.requested < requested);
        let rest = instants.get(from..).unwrap_or_default();
        rest.iter().take_while(move |at| at.name.requested == requested)
    }

    /// The plan of a compaction, pending or not.
    pub(crate) fn plan_of(&self, requested: InstantTime) -> Option<(&RelPath, &LogObject)> {
        let action = Action::Compaction;
        let (completion, state, layout) = (None, State::Requested, self.layout);
        let name = InstantName { requested, completion, action, state, layout };
        let key = RelPath::parse(&format!("{}/{name}", self.folder)).ok()?;
        self.object(&key)
    }

    /// The object that an instant was requested with.
    pub(crate) fn requested(&self, instant: &Instant) -> Option<(&RelPath, &LogObject)> {
        let InstantName { requested, layout, .. } = instant.name;
        let before = match instant.name.action {
            Action::Commit => Some(Action::Compaction),
            Action::DeltaCommit => Some(Action::LogCompaction),
            Action::ReplaceCommit => Some(Action::Clustering),
            _ => None,
        };
        let actions = [Some(instant.name.action.clone()), before].into_iter().flatten();
        let names = actions.map(|action| {
            let (completion, state) = (None, State::Requested);
            InstantName { requested, completion, action, state, layout }
        });
        let keys = names.filter_map(|name| RelPath::parse(&format!("{}/{name}", self.folder)).ok());
        keys.into_iter().find_map(|key| self.object(&key))
    }

    /// Whether plans of compactions are there, pending or not.
    pub(crate) fn has_plans(&self) -> bool {
        let has_plans = self.settled.has_plans() || self.recent.has_plans();
        self.table_type == TableType::MergeOnRead && has_plans
    }

    /// Since when readers of this timeline may see a commit, by its store's clock, ms since the
    /// epoch: a timeline that was written as a whole is visible since its properties are there.
    pub(crate) fn visible_ms(&self, commit: &Instant) -> i64 {
        commit.object.modified_ms.max(self.properties_read.object.modified_ms)
    }

    /// Ids of completed writes up to a position.
    pub(crate) fn completed(&self, until: Position) -> BTreeSet<InstantTime> {
        let writes = self.instants().filter(|at| at.is_commit());
        let writes = writes.filter(|at| at.position() <= until);
        writes.map(|at| at.name.requested).collect()
    }

    /// When the oldest object of the active timeline was written, ms since the epoch: what is
    /// older was written by instants that are archived.
    pub(crate) fn oldest_ms(&self) -> i64 {
        let instants = self.objects().filter(|(key, _)| self.name_of(key).is_some());
        instants.map(|(_, object)| object.modified_ms).min().unwrap_or(i64::MIN)
    }

    /// The earliest write that is not done yet.
    pub(crate) fn earliest_pending(&self) -> Option<InstantTime> {
        let mut pending = self.instants();
        let pending = pending.find(|at| !at.is_completed() && at.name.action.writes_data());
        pending.map(|at| at.name.requested)
    }

    /// Objects of the history folder (layout 2), by key.
    pub(crate) fn history(&self) -> impl Iterator<Item = (&RelPath, &LogObject)> {
        let folder = format!("{}/", self.archive);
        let below = self.objects_from(&self.archive);
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

fn completions<'a>(instants: impl Iterator<Item = &'a Instant>) -> Vec<usize> {
    let commits = instants.enumerate().filter(|(_, at)| at.is_commit());
    let mut commits: Vec<_> = commits.map(|(index, at)| (at.position(), index)).collect();
    // Mostly in order already, which a stable sort makes use of.
    commits.sort();
    commits.into_iter().map(|(_, index)| index).collect()
}

/// The id at which readers let a timeline start: of its first completed write that no savepoint
/// bears.
pub(crate) fn start<'a>(
    instants: impl Iterator<Item = &'a Instant> + Clone,
) -> Option<InstantTime> {
    let savepoints = instants.clone().filter(|at| at.name.action == Action::Savepoint);
    let saved: BTreeSet<_> = savepoints.map(|at| at.name.requested).collect();
    let writes = instants.filter(|at| at.is_completed() && at.name.action.writes_data());
    let mut ids = writes.map(|at| at.name.requested);
    ids.find(|id| !saved.contains(id))
}
