//! A whole state at once: the first publication, and the switch to another timeline folder.
//!
//! The first publication ends with `hoodie.properties`, without which there is no table. A replica
//! that holds a timeline already gets a second one beside it, under a name that was never used;
//! replacing the properties makes readers go there, and is the only visible write.
//!
//! # Invariants
//! - The history is there before the instants, and all instants before the properties.
//! - What an interrupted first publication left behind, and this one does not write, is gone
//!   before the properties are there.
//!
//! Source: Hudi `TimelinePathProviderV2`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use table_sync_core::{
    BlockCode, Blocked, Body, Description, Expect, FileStream, InstantTime, Kind, LogObject, Op,
    Position, Publication, RelPath, ReplicaView, SourceError, Step,
};

use crate::file_name::FileName;
use crate::instant::{Action, Layout};
use crate::log::{History, HudiLog, META_FOLDER, io_error};
use crate::properties::{Properties, TableType, key};
use crate::state;
use crate::timeline::{self, Timeline, properties_key};
use crate::{archived, guard, mirror, unpublish};

/// Folders below `.hoodie` that readers need beside the timeline.
const SIDE_FOLDERS: [&str; 3] = [".schema", ".index_defs", ".bucket_index"];

/// Newest commits that are read before a state is published as a whole.
const CHECKED_COMMITS: usize = 8;

/// Name of the history's own pointer to its newest manifest.
const HISTORY_VERSION: &str = "_version_";

/// Describes the publication of the newest state as a whole.
pub(crate) async fn describe(
    log: &HudiLog,
    timeline: &Timeline,
    position: Position,
) -> Result<Description, SourceError> {
    if !timeline.is_whole {
        // Everything of it is copied: nothing of it may be gone, and nothing missing.
        log.look_whole();
        return Err(SourceError::Changed { path: timeline.folder.clone() });
    }
    check_newest(log, timeline).await?;
    let files = state::files(log, timeline, position, log.options().slices).await?;
    let needs = move || -> FileStream { files.stream() };
    let mut staged = side_steps(log, i64::MIN).await?;
    let omitted =
        timeline.table_type == TableType::CopyOnWrite && log.options().history == History::Omit;
    if !omitted {
        staged.extend(history_steps(timeline));
    }
    let guarded = guard::applies(log, timeline);
    if guarded && let Some(message) = guard::first_waits(log, timeline, position).await? {
        return Err(SourceError::Hold { message });
    }
    let floor = guard::floor_at_head(timeline).filter(|_| guarded);
    staged.extend(instant_steps(timeline, floor));
    let properties = Step {
        key: properties_key()?,
        body: Body::Bytes(replica_properties(&timeline.properties, None, None)),
        op: Op::Create,
        reveals: Some(position),
    };
    let steps = vec![properties];
    let publication = Publication { staged, ..Publication::of(position, Kind::Jump, steps) };
    Ok(Description { publication, needs: Arc::new(needs), seen: None })
}

/// Reads the newest commits: one that is cut short, or names what it must not, is not carried along
/// by a state that does not ask for its content.
async fn check_newest(log: &HudiLog, timeline: &Timeline) -> Result<(), SourceError> {
    let commits = timeline.commits().into_iter().rev();
    for instant in commits.filter(|at| at.name.action.writes_data()).take(CHECKED_COMMITS) {
        state::commit(log, instant).await?;
    }
    Ok(())
}

fn copy(key: &RelPath, object: &LogObject, op: Op) -> Step {
    Step { key: key.clone(), body: Body::Copy(object.identity.clone()), op, reveals: None }
}

/// Schemas, index definitions and bucket layouts that changed at or after a time, ms since the
/// epoch.
pub(crate) async fn side_steps(log: &HudiLog, since_ms: i64) -> Result<Vec<Step>, SourceError> {
    let mut steps = Vec::new();
    let level = log.level(META_FOLDER).await?;
    let wanted = |folder: &&String| {
        folder.rsplit_once('/').is_some_and(|(_, name)| SIDE_FOLDERS.contains(&name))
    };
    for folder in level.folders.iter().filter(wanted) {
        for (key, object) in log.list(folder).await? {
            if !key.as_str().ends_with(".crc") && object.modified_ms >= since_ms {
                steps.push(copy(&key, &object, Op::CreateOrReplace));
            }
        }
    }
    Ok(steps)
}

/// Files of the history, then its manifests, then the pointer to the newest.
pub(crate) fn history_steps(timeline: &Timeline) -> Vec<Step> {
    let rank = |key: &RelPath| match key.file_name() {
        HISTORY_VERSION => 2,
        name if name.starts_with("manifest_") => 1,
        _ => 0,
    };
    let ours = |key: &RelPath| !key.as_str().ends_with(".crc");
    let mut files: Vec<_> = timeline.history().filter(|(key, _)| ours(key)).collect();
    files.sort_by_key(|(key, _)| rank(key));
    files.into_iter().map(|(key, object)| copy(key, object, Op::CreateOrReplace)).collect()
}

/// Completed instants in the order of their completion, from `floor` on, and with a floor the
/// plans of pending compactions: logs on those are read only where the plan is.
pub(crate) fn instant_steps(timeline: &Timeline, floor: Option<InstantTime>) -> Vec<Step> {
    let above = timeline.instants();
    let above = above.filter(|at| floor.is_none_or(|floor| at.name.requested >= floor));
    let mut plans = above.clone().filter(|at| !at.is_completed()).collect::<Vec<_>>();
    plans.retain(|at| timeline.layout == Layout::V1 && at.name.action == Action::Compaction);
    let plans = plans.into_iter().filter_map(|at| timeline.plan_of(at.name.requested));
    let plans: Vec<_> = plans.map(|(key, object)| copy(key, object, Op::CreateOrReplace)).collect();
    // A timeline starts at its first write that no savepoint bears. Where that was left below the
    // floor, a savepoint would leave no start, and files of older commits would be rows no more.
    let has_start = floor.is_none() || timeline::start(above.clone()).is_some();
    let completed = above.filter(|instant| instant.is_completed());
    let completed = completed.filter(|at| has_start || at.name.action != Action::Savepoint);
    let mut completed: Vec<_> = completed.collect();
    completed.sort_by_key(|instant| instant.position());
    let steps = completed.into_iter();
    let steps = steps.map(|at| copy(&at.key, &at.object, Op::CreateOrReplace));
    plans.into_iter().chain(steps).collect()
}

/// The properties as a replica has them: its own timeline folder, and the partitions of the
/// metadata table that its readers may use.
pub(crate) fn replica_properties(
    source: &Properties,
    timeline_path: Option<&str>,
    metadata_partitions: Option<&str>,
) -> Bytes {
    let remove = [key::METADATA_PARTITIONS, key::METADATA_PARTITIONS_INFLIGHT];
    let set =
        [(key::TIMELINE_PATH, timeline_path), (key::METADATA_PARTITIONS, metadata_partitions)];
    let set: Vec<_> = set.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    source.edit(&remove, &set)
}

/// Fits a publication to what a replica holds.
pub(crate) async fn tailor(
    log: &HudiLog,
    timeline: &Timeline,
    description: &Description,
    replica: &ReplicaView,
) -> Result<Publication, SourceError> {
    let publication = description.publication.clone();
    let held = replica.detail.as_ref().and_then(|detail| detail.downcast_ref::<Timeline>());
    if let Some((held, id)) = held.zip(publication.position.requested()) {
        held.announce(id);
    }
    match (publication.kind, held) {
        (Kind::Jump, None) => {
            let publication = mirror::first(log, timeline, publication).await?;
            after_sweep(publication, description, replica).await
        }
        (Kind::Jump, Some(held)) if unpublish::applies(timeline) => mirror::leave(
            unpublish::tailor(log, timeline, publication, (replica, held)).await?,
            held,
        ),
        (Kind::Jump, Some(held)) => switch(log, timeline, publication, held).await,
        (_, Some(held)) if guard::applies(log, timeline) => {
            mirror::leave(guard::tailor(log, timeline, publication, held).await?, held)
        }
        (_, Some(held)) => {
            let publication = mirror::extend(log, timeline, publication, held).await?;
            moved(publication, &timeline.folder, &held.folder)
        }
        (_, None) => Ok(publication),
    }
}

/// What an interrupted first publication left, and this one does not write, goes first: objects of
/// the timeline, and data files, which would be rows where the timeline starts after their instant.
async fn after_sweep(
    mut publication: Publication,
    description: &Description,
    replica: &ReplicaView,
) -> Result<Publication, SourceError> {
    let mut left: BTreeSet<_> = replica.objects.keys().filter(|key| is_swept(key)).collect();
    for step in publication.writes() {
        left.remove(&step.key);
    }
    if left.iter().any(|key| !is_timeline(key)) {
        let mut needs = (description.needs)();
        while let Some(chunk) = needs.try_next().await? {
            for file in chunk {
                left.remove(&file.path);
            }
        }
    }
    let deletes = left.into_iter().cloned().map(Step::delete);
    // Deletes are staged as well: there is no table yet, and no key of theirs is written.
    publication.staged.extend(deletes);
    Ok(publication)
}

/// Objects of a timeline's folder, whichever layout it has.
fn is_timeline(key: &RelPath) -> bool {
    let rest = key.as_str().strip_prefix(META_FOLDER).and_then(|rest| rest.strip_prefix('/'));
    rest.is_some_and(|rest| !rest.contains('/') || rest.starts_with("timeline/"))
}

/// What an interrupted first publication wrote. Everything else at the location is not ours.
fn is_swept(key: &RelPath) -> bool {
    let meta = key.as_str().strip_prefix(META_FOLDER).is_some_and(|rest| rest.starts_with('/'));
    is_timeline(key)
        || mirror::is_inside(key)
        || (!meta && !matches!(FileName::parse(key.file_name()), FileName::Other(_)))
}

/// Writes the publication's timeline beside the one that the replica holds.
///
/// The new timeline begins where the old one does, with what the source archived since taken from
/// its history. Were it to begin later, files would turn into rows again that a replace commit
/// hides, and those of commits that were never published, or taken back.
async fn switch(
    log: &HudiLog,
    timeline: &Timeline,
    mut publication: Publication,
    held: &Timeline,
) -> Result<Publication, SourceError> {
    if timeline.layout != Layout::V2 {
        let message = "a timeline of layout 1 cannot be replaced in one write; replicate the table \
                       to a new location";
        return Err(Blocked::at(BlockCode::HistoryLost, publication.position, message).into());
    }
    if let (Some(oldest), Some(start)) = (held.start, timeline.start)
        && held.layout == Layout::V2
        && oldest < start
    {
        for (name, bytes) in archived::objects_since(log, timeline, oldest).await? {
            if timeline.commit(name.requested).is_some() {
                continue;
            }
            let key = RelPath::parse(&format!("{}/{name}", timeline.folder));
            let key = key.map_err(|error| io_error(&timeline.folder, error))?;
            let body = Body::Bytes(bytes);
            publication.staged.push(Step { key, body, op: Op::CreateOrReplace, reveals: None });
        }
    }
    let name = folder_name(&publication);
    let folder = format!("{META_FOLDER}/{name}");
    let folder = RelPath::parse(&folder).map_err(|error| io_error(META_FOLDER, error))?;
    let properties = properties_key()?;
    let mut moved = moved(publication, &timeline.folder, &folder)?;
    for step in moved.steps.iter_mut().filter(|step| step.key == properties) {
        let Body::Bytes(bytes) = &step.body else { continue };
        let parsed = Properties::parse(properties.as_str(), bytes);
        let parsed = parsed.map_err(|error| io_error(&properties, error))?;
        step.body = Body::Bytes(parsed.edit(&[], &[(key::TIMELINE_PATH, &name)]));
        let expect = Expect::Identity(held.properties_read.object.identity.clone());
        step.op = Op::Replace { expect };
    }
    Ok(moved)
}

/// A folder name for one publication: equal for equal instants, never used for others.
fn folder_name(publication: &Publication) -> String {
    let mut hasher = Sha256::new();
    for step in publication.writes() {
        let identity = match &step.body {
            Body::Copy(identity) | Body::CopyOf(_, identity) => format!("{identity:?}"),
            _ => String::new(),
        };
        hasher.update(format!("{}\0{identity}\n", step.key));
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("timeline_{}_{short}", publication.position)
}

/// The publication with the source's timeline folder replaced by the replica's.
fn moved(
    mut publication: Publication,
    from: &RelPath,
    to: &RelPath,
) -> Result<Publication, SourceError> {
    if from == to {
        return Ok(publication);
    }
    let prefix = format!("{from}/");
    for step in publication.writes_mut() {
        let Some(rest) = step.key.as_str().strip_prefix(&prefix) else { continue };
        let key = RelPath::parse(&format!("{to}/{rest}")).map_err(|error| io_error(to, error))?;
        if let Body::Copy(identity) = &step.body {
            step.body = Body::CopyOf(step.key.clone(), identity.clone());
        }
        step.key = key;
    }
    Ok(publication)
}
