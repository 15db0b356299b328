//! The next commit: its files, then its object of the timeline.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream;
use table_sync_core::{
    Body, Description, FileRef, FileStream, InstantTime, Kind, LogObject, Op, Place, Position,
    Publication, RelPath, Role, SeenCommit, SourceError, Step,
};

use crate::file_name::{FileName, PARTITION_METADATA};
use crate::instant::{Action, Layout};
use crate::jump::side_steps;
use crate::log::{HudiLog, io_error};
use crate::metadata::CommitMetadata;
use crate::slices::partition_of;
use crate::state;
use crate::timeline::{Instant, Timeline};

/// How far two objects of one store may be apart in age although the other was written first.
const CLOCK_MS: i64 = 60_000;

/// Describes the publication of one completed instant.
pub(crate) async fn describe(
    log: &HudiLog,
    timeline: &Timeline,
    position: Position,
) -> Result<Description, SourceError> {
    let instant = position.requested().and_then(|requested| timeline.commit(requested));
    let instant = instant.ok_or_else(|| gone(log, timeline))?;
    let read = log.read_seen(&instant.key, &instant.object).await?;
    let commit = if instant.name.action == Action::Restore {
        Arc::new(CommitMetadata::default())
    } else {
        state::decode(log, instant, &read.bytes)?
    };
    let seen = SeenCommit { position, sha256: read.sha256, identity: read.object.identity.clone() };
    let step = Step {
        key: instant.key.clone(),
        body: Body::Bytes(read.bytes),
        op: Op::Create,
        reveals: Some(position),
    };
    let since_ms = before(timeline, position).saturating_sub(CLOCK_MS);
    let staged = side_steps(log, since_ms).await?;
    let ahead = plans(timeline, instant, &commit);
    let publication =
        Publication { ahead, staged, ..Publication::of(position, Kind::Append, vec![step]) };
    let log = log.clone();
    let needs = Arc::new(move || needs(log.clone(), Arc::clone(&commit)));
    Ok(Description { publication, needs, seen: Some(seen) })
}

/// Plans of compactions that must be there before the files are.
///
/// The base file of a compaction forms a slice as soon as it is there, and logs of later commits
/// join it: only the plan tells readers to merge it with the slice before. In layout 1 logs that
/// were written after the plan are named after it, and readers up to 0.15 need it as well.
///
/// Source: Hudi `HoodieFileGroup.addBaseFile`, `BaseHoodieTableFileIndex.getActiveTimeline`.
pub(crate) fn plans(timeline: &Timeline, instant: &Instant, commit: &CommitMetadata) -> Vec<Step> {
    let mut planned = BTreeSet::from([instant.name.requested]);
    if timeline.layout == Layout::V1 {
        let names = commit.writes.iter().map(|write| FileName::parse(write.path.file_name()));
        let bases = names.filter(FileName::is_log).filter_map(|name| name.instant());
        let later = |base: &InstantTime| {
            timeline.commit(*base).is_none_or(|at| at.position() > instant.position())
        };
        planned.extend(bases.filter(later));
    }
    let found = planned.into_iter().filter_map(|id| timeline.plan_of(id));
    let step = |(key, object): (&RelPath, &LogObject)| {
        let body = Body::Copy(object.identity.clone());
        Step { key: key.clone(), body, op: Op::Create, reveals: None }
    };
    found.map(step).collect()
}

/// When the commit before a position was written, ms since the epoch.
fn before(timeline: &Timeline, position: Position) -> i64 {
    let commits = timeline.commits();
    let at = commits.partition_point(|commit| commit.position() < position);
    let earlier = at.checked_sub(1).and_then(|at| commits.get(at));
    earlier.map_or(i64::MIN, |commit| commit.object.modified_ms)
}

/// The instant went away between two looks: both sides are looked at again.
fn gone(log: &HudiLog, timeline: &Timeline) -> SourceError {
    log.look_whole();
    SourceError::Missing { path: timeline.folder.clone() }
}

/// What the commit wrote, then the metadata of its partitions.
fn needs(log: HudiLog, commit: Arc<CommitMetadata>) -> FileStream {
    let files = written(&commit);
    let partitions = async move {
        let mut files = Vec::new();
        for partition in partitions(&commit) {
            files.extend(partition_metadata(&log, &partition).await?);
        }
        Ok(files)
    };
    let chunks = state::stream(files);
    Box::pin(futures::StreamExt::chain(chunks, stream::once(partitions)))
}

fn written(commit: &CommitMetadata) -> Vec<FileRef> {
    let files = commit.writes.iter().map(|write| {
        let role = match FileName::parse(write.path.file_name()) {
            _ if write.cdc => Role::ChangeData,
            FileName::Log { .. } => Role::Log,
            _ => Role::Data,
        };
        let size_bytes = write.size_bytes;
        FileRef { place: Place::Table, path: write.path.clone(), size_bytes, role }
    });
    files.collect()
}

fn partitions(commit: &CommitMetadata) -> BTreeSet<String> {
    commit.writes.iter().map(|write| partition_of(&write.path).to_owned()).collect()
}

/// The object that makes a folder a partition: text, or a base file (`.parquet`, `.orc`).
async fn partition_metadata(
    log: &HudiLog,
    partition: &str,
) -> Result<Option<FileRef>, SourceError> {
    let folder = if partition.is_empty() { String::new() } else { format!("{partition}/") };
    for extension in ["", ".parquet", ".orc"] {
        let path = format!("{folder}{PARTITION_METADATA}{extension}");
        let path = RelPath::parse(&path).map_err(|error| io_error(PARTITION_METADATA, error))?;
        if let Some(object) = log.head(&path).await? {
            let size_bytes = Some(object.identity.size_bytes);
            let role = Role::PartitionMetadata;
            return Ok(Some(FileRef { place: Place::Table, path, size_bytes, role }));
        }
    }
    Ok(None)
}
