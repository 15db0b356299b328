//! Instants that left the active timeline, and those that were taken back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use table_sync_core::{BlockCode, Blocked, InstantTime, LogObject, Position, RelPath, SourceError};

use crate::cache::Archived;
use crate::error::DecodeError;
use crate::file_name::FileName;
use crate::instant::{Action, InstantName, Layout, State};
use crate::log::HudiLog;
use crate::metadata::{RestoreMetadata, RollbackMetadata};
use crate::state::decode_error;
use crate::timeline::{Instant, Timeline};
use crate::{archive, history};

/// How long a timeline of layout 1 has to stay the same before what it lacks is believed.
const ARCHIVE_SETTLES: Duration = Duration::from_secs(5);

/// Ids that completed rollbacks and restores of the active timeline took back.
pub(crate) async fn retracted(
    log: &HudiLog,
    timeline: &Timeline,
) -> Result<BTreeSet<InstantTime>, SourceError> {
    let mut all = BTreeSet::new();
    let undoes = |at: &&Instant| at.takes_back();
    for instant in timeline.instants().filter(|at| at.is_completed()).filter(undoes) {
        all.extend(taken_back(log, instant).await?.iter().copied());
    }
    Ok(all)
}

/// Commits that a timeline shows although what took them back is in it, and complete: of a listing
/// the first page is older than the last. Only names of layout 2 tell; a commit that was done again
/// under its id completed later.
pub(crate) async fn gone(
    log: &HudiLog,
    timeline: &Timeline,
) -> Result<BTreeSet<InstantTime>, SourceError> {
    let mut gone = BTreeSet::new();
    let undone = timeline.instants().filter(|at| at.is_completed() && at.takes_back());
    for undo in undone.filter(|at| at.name.completion.is_some()) {
        for id in taken_back(log, undo).await?.iter() {
            let commit = timeline.commit(*id).and_then(|commit| commit.name.completion);
            if commit.is_some_and(|completed| completed < undo.name.requested) {
                gone.insert(*id);
            }
        }
    }
    Ok(gone)
}

/// Writers of layout 1 delete instants before the archive that holds them is there: a replica that
/// is so far behind must not take such a moment for the truth.
async fn settled(log: &HudiLog, timeline: &Timeline) -> Result<(), SourceError> {
    let before = log.level(timeline.archive.as_str()).await?.objects;
    tokio::time::sleep(ARCHIVE_SETTLES).await;
    let after = log.level(timeline.archive.as_str()).await?.objects;
    let again = Timeline::load(log).await?;
    let same = again.is_some_and(|again| {
        again.objects().map(|(key, _)| key).eq(timeline.objects().map(|(key, _)| key))
    });
    if same && before == after {
        return Ok(());
    }
    Err(SourceError::Changed { path: timeline.archive.clone() })
}

/// Files that completed rollbacks and restores of the active timeline deleted.
pub(crate) async fn deleted(
    log: &HudiLog,
    timeline: &Timeline,
) -> Result<BTreeSet<RelPath>, SourceError> {
    let mut files = BTreeSet::new();
    let undoes = |at: &&Instant| at.takes_back();
    for instant in timeline.instants().filter(|at| at.is_completed()).filter(undoes) {
        let read = log.read_seen(&instant.key, &instant.object).await?;
        let key = instant.key.as_str();
        let undone = match instant.name.action {
            Action::Restore => {
                RestoreMetadata::decode(key, &read.bytes).map(|restore| restore.rollback)
            }
            _ => RollbackMetadata::decode(key, &read.bytes),
        };
        files.extend(undone.map_err(|error| decode_error(instant, &error))?.deleted);
    }
    Ok(files)
}

/// Ids that one rollback or restore took back.
pub(crate) async fn taken_back(
    log: &HudiLog,
    instant: &Instant,
) -> Result<Arc<[InstantTime]>, SourceError> {
    let (key, identity) = (&instant.key, &instant.object.identity);
    if let Some(known) = log.cache(|cache| cache.retracted(key, identity)) {
        return Ok(known);
    }
    let read = log.read_seen(key, &instant.object).await?;
    let ids = match instant.name.action {
        Action::Restore => RestoreMetadata::decode(key.as_str(), &read.bytes)
            .map(|restore| restore.rollback.rolled_back),
        _ => RollbackMetadata::decode(key.as_str(), &read.bytes).map(|undone| undone.rolled_back),
    };
    let ids: Arc<[InstantTime]> = ids.map_err(|error| decode_error(instant, &error))?.into();
    log.cache(|cache| cache.put_retracted(key, identity, &ids));
    Ok(ids)
}

/// Ids of archived commits: those that a replica may lack although nothing else tells. `None`
/// where the archive need not be read.
///
/// `after`: the newest commit of the replica. An archive of layout 1 is read only where the
/// timeline starts behind it, since its files grow and are read whole.
pub(crate) async fn commits(
    log: &HudiLog,
    timeline: &Timeline,
    after: Position,
) -> Result<Option<BTreeSet<InstantTime>>, SourceError> {
    let mut ids = BTreeSet::new();
    let passed = timeline.start.is_some_and(|start| after.requested().is_none_or(|at| at < start));
    if timeline.layout == Layout::V1 && !passed {
        return Ok(None);
    }
    for file in files(log, timeline).await? {
        ids.extend(file.iter().filter(|at| at.is_commit).map(|at| at.requested));
    }
    if timeline.layout == Layout::V1 {
        settled(log, timeline).await?;
    }
    Ok(Some(ids))
}

/// Most bytes of archived metadata that one switch writes anew.
const CARRIED_BYTES_MAX: u64 = 1 << 30;

/// Commits of the history from an id on, as the objects that they were: name and content.
///
/// Source: Hudi `MetadataConversionUtils.createLSMTimelineInstant`: a row holds the whole object.
pub(crate) async fn objects_since(
    log: &HudiLog,
    timeline: &Timeline,
    oldest: InstantTime,
) -> Result<Vec<(InstantName, Bytes)>, SourceError> {
    let named = manifest(log, timeline).await?;
    let mut found = BTreeMap::new();
    let mut bytes = 0u64;
    for (key, object) in timeline.history().filter(|(key, _)| named.contains(key.file_name())) {
        let ids = file(log, key, object).await?;
        let wanted = ids.iter().filter(|at| at.is_commit && at.requested >= oldest);
        let wanted: BTreeSet<_> = wanted.map(|at| at.requested).collect();
        if wanted.is_empty() {
            continue;
        }
        let read = log.read_seen(key, object).await?;
        let files = history::files_of(key.as_str(), &read.bytes, &wanted);
        for file in files.map_err(|error| damaged(&error))? {
            let history::Archived { requested, completion, action } = file.archived;
            bytes += file.metadata.len() as u64;
            let (state, layout) = (State::Completed, Layout::V2);
            let action = action.comparable();
            let name = InstantName { requested, completion, action, state, layout };
            found.insert(name, file.metadata);
        }
        if bytes > CARRIED_BYTES_MAX {
            let message = format!(
                "the source archived more than {CARRIED_BYTES_MAX} bytes of commits since {oldest}, \
                 where the replica begins; replicate the table to a new location"
            );
            return Err(Blocked::table(BlockCode::LimitExceeded, message).into());
        }
    }
    Ok(found.into_iter().collect())
}

/// Logs that archived commits of layout 1 name: their file groups may not be compacted yet.
pub(crate) async fn logs(
    log: &HudiLog,
    timeline: &Timeline,
) -> Result<BTreeSet<RelPath>, SourceError> {
    let mut logs = BTreeSet::new();
    for (key, object) in log.level(timeline.archive.as_str()).await?.objects {
        if archive::file_number(key.file_name()).is_none() {
            continue;
        }
        let ids = file(log, &key, &object).await?;
        let wanted = ids.iter().filter(|at| at.is_commit).map(|at| at.requested).collect();
        let read = log.read_seen(&key, &object).await?;
        let commits = archive::commits_of(key.as_str(), &read.bytes, &wanted);
        for (_, commit) in commits.map_err(|error| damaged(&error))? {
            let paths = commit.writes.into_iter().map(|write| write.path);
            logs.extend(paths.filter(|path| FileName::parse(path.file_name()).is_log()));
        }
    }
    Ok(logs)
}

/// When archived writes completed.
pub(crate) async fn completions(
    log: &HudiLog,
    timeline: &Timeline,
) -> Result<HashMap<InstantTime, InstantTime>, SourceError> {
    let mut completions = HashMap::new();
    for file in files(log, timeline).await? {
        completions.extend(file.iter().filter_map(|at| Some((at.requested, at.completion?))));
    }
    Ok(completions)
}

/// What each file of the history or archive holds.
async fn files(log: &HudiLog, timeline: &Timeline) -> Result<Vec<Arc<[Archived]>>, SourceError> {
    let mut all = Vec::new();
    match timeline.layout {
        Layout::V1 => {
            for (key, object) in log.level(timeline.archive.as_str()).await?.objects {
                if archive::file_number(key.file_name()).is_some() {
                    all.push(file(log, &key, &object).await?);
                }
            }
        }
        Layout::V2 => {
            let named = manifest(log, timeline).await?;
            let files = timeline.history().filter(|(key, _)| named.contains(key.file_name()));
            for (key, object) in files {
                all.push(file(log, key, object).await?);
            }
        }
    }
    Ok(all)
}

/// Names that the newest manifest lists.
async fn manifest(
    log: &HudiLog,
    timeline: &Timeline,
) -> Result<Arc<BTreeSet<String>>, SourceError> {
    let numbered = timeline.history().filter_map(|(key, object)| {
        Some((history::manifest_number(key.file_name())?, key, object))
    });
    let Some((_, key, object)) = numbered.max_by_key(|(number, _, _)| *number) else {
        return Ok(Arc::default());
    };
    if let Some(known) = log.cache(|cache| cache.manifest(key, &object.identity)) {
        return Ok(known);
    }
    let read = log.read_seen(key, object).await?;
    let files = history::parse_manifest(key.as_str(), &read.bytes);
    let files = files.map_err(|error| damaged(&error))?;
    let names = files.into_iter().map(|file| file.name.to_string());
    let names: Arc<BTreeSet<String>> = Arc::new(names.collect());
    log.cache(|cache| cache.put_manifest(key, &object.identity, &names));
    Ok(names)
}

async fn file(
    log: &HudiLog,
    key: &RelPath,
    object: &LogObject,
) -> Result<Arc<[Archived]>, SourceError> {
    if let Some(known) = log.cache(|cache| cache.archived(key, &object.identity)) {
        return Ok(known);
    }
    let read = log.read_seen(key, object).await?;
    let mut found = Vec::new();
    let mut take = |at: history::Archived| {
        let is_commit = at.action.writes_data() || at.action == Action::Restore;
        found.push(Archived { requested: at.requested, completion: at.completion, is_commit });
    };
    let decoded = if key.as_str().ends_with(".parquet") {
        history::for_each(key.as_str(), &read.bytes, &mut take)
    } else {
        let archive = archive::parse(key.as_str(), &read.bytes);
        archive.map(|archive| archive.instants.into_iter().for_each(take))
    };
    decoded.map_err(|error| damaged(&error))?;
    let found: Arc<[Archived]> = found.into();
    log.cache(|cache| cache.put_archived(key, &object.identity, &found));
    Ok(found)
}

fn damaged(error: &DecodeError) -> SourceError {
    Blocked::table(BlockCode::SourceDamaged, error.to_string()).into()
}
