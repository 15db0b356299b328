//! Does hudi-core read every file that a snapshot needs?
//!
//! A reader that lists files takes what it finds: where a file is missing it shows the slice
//! before it, or nothing, without an error. The commits of the active timeline name their
//! files, so the newest of each file group must be in the slice that is read. One that is there
//! and is not read is the reader's fault: hudi-core leaves out log files on top of a pending
//! compaction of version 6.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use hudi_core::file_group::file_slice::FileSlice;
use hudi_core::table::Table;
use hudi_core::timeline::instant::Instant;
use serde::Deserialize;

use super::timeline::Listing;
use crate::error::RowsError;

/// Holds the schema by column ids, once a table's columns were renamed or retyped in place:
/// hudi-core goes by names, and gives nulls for a column that was renamed.
///
/// Source: `SerDeHelper.LATEST_SCHEMA`.
const SCHEMA_ON_READ_KEY: &str = "latest_schema";

/// Commits that are read at once.
const CONCURRENCY: usize = 8;

/// The part of a commit's metadata that names files.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Commit {
    #[serde(default)]
    partition_to_write_stats: Option<BTreeMap<String, Vec<WriteStat>>>,
    #[serde(default)]
    partition_to_replace_file_ids: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    extra_metadata: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WriteStat {
    file_id: Option<String>,
    path: Option<String>,
}

/// What the commits say of one file group.
#[derive(Default)]
struct Group {
    /// Newest base file: its instant and path.
    base: Option<(String, String)>,
    /// Log files: what decides their slice, and their path.
    logs: Vec<(String, String)>,
    replaced: bool,
}

type Groups = BTreeMap<(String, String), Group>;

/// Checks that `slices` hold the newest files that the commits of `table` name.
///
/// # Errors
/// [`RowsError::Missing`] with a file that is not there; [`RowsError::Unsupported`] with one
/// that is.
pub(super) async fn check(
    table: &Table,
    listing: &Listing,
    slices: &[FileSlice],
    url: &str,
) -> Result<(), RowsError> {
    let groups = groups(table, listing, url).await?;
    let slices: BTreeMap<_, _> = slices
        .iter()
        .map(|slice| ((slice.partition_path.as_str(), slice.file_id()), slice))
        .collect();
    for ((partition, id), group) in groups.iter().filter(|(_, group)| !group.replaced) {
        let slice = slices.get(&(partition.as_str(), id.as_str())).copied();
        if let Some(path) = missing(group, slice) {
            return Err(match listing.has_file(path).await? {
                true => RowsError::Unsupported { feature: format!("{path} in its slice") },
                false => RowsError::Missing { path: path.to_owned() },
            });
        }
    }
    Ok(())
}

/// A file of `group` that belongs to the slice which is read and is not in it.
fn missing<'a>(group: &'a Group, slice: Option<&FileSlice>) -> Option<&'a str> {
    let start = slice.map(FileSlice::creation_instant_time);
    if let Some((instant, path)) = &group.base {
        let base = slice.and_then(|slice| slice.base_file.as_ref());
        if base.is_none_or(|base| base.commit_timestamp < *instant) {
            return Some(path);
        }
    }
    let lost = group.logs.iter().find(|(key, path)| {
        let name = file_name(path);
        let older = start.is_some_and(|start| key.as_str() < start);
        !older && !slice.is_some_and(|it| it.log_files.iter().any(|log| log.file_name() == name))
    });
    lost.map(|(_, path)| path.as_str())
}

async fn groups(table: &Table, listing: &Listing, url: &str) -> Result<Groups, RowsError> {
    let timeline = &table.timeline;
    let commits = timeline.completed_commits.iter().filter(|commit| !listing.is_empty(commit));
    let read = |commit: &Instant| {
        let commit = commit.clone();
        async move {
            let json = timeline.get_instant_metadata_in_json(&commit).await;
            let json = json.map_err(|error| RowsError::from_hudi(url, error))?;
            let parsed = serde_json::from_str::<Commit>(&json).map_err(|source| {
                RowsError::Log { url: url.to_owned(), source: Box::new(source) }
            })?;
            Ok::<_, RowsError>((commit, parsed))
        }
    };
    // Collected first: a stream that borrows from its iterator is not `Send`.
    let reads: Vec<_> = commits.map(read).collect();
    let mut commits = futures::stream::iter(reads).buffered(CONCURRENCY);
    let mut groups = Groups::new();
    while let Some((instant, commit)) = commits.try_next().await? {
        let extra = commit.extra_metadata.as_ref();
        let schema = extra.and_then(|extra| extra.get(SCHEMA_ON_READ_KEY)?.as_deref());
        if schema.is_some_and(|schema| !schema.is_empty()) {
            return Err(RowsError::Unsupported { feature: "schema on read".to_owned() });
        }
        add(&mut groups, &instant, commit, listing.is_named());
    }
    Ok(groups)
}

fn add(groups: &mut Groups, instant: &Instant, commit: Commit, named: bool) {
    let written = commit.partition_to_write_stats.unwrap_or_default();
    for (partition, stats) in written {
        for stat in stats {
            let (Some(id), Some(path)) = (stat.file_id, stat.path) else { continue };
            let group = groups.entry((partition.clone(), id)).or_default();
            let name = file_name(&path);
            if !name.starts_with('.') {
                group.base = Some((instant.timestamp.clone(), path));
            } else if !name.ends_with(".cdc") {
                let completed = || instant.completion_timestamp.clone();
                let key = if named { completed() } else { log_base_instant(name) };
                group.logs.push((key.unwrap_or_else(|| instant.timestamp.clone()), path));
            }
        }
    }
    let replaced = commit.partition_to_replace_file_ids.unwrap_or_default();
    for (partition, ids) in replaced {
        for id in ids {
            groups.entry((partition.clone(), id)).or_default().replaced = true;
        }
    }
}

/// The instant in a log file's name, `.<file id>_<instant>.log.<version>_<write token>`.
fn log_base_instant(name: &str) -> Option<String> {
    let (before, _) = name.split_once(".log.")?;
    before.rsplit_once('_').map(|(_, instant)| instant.to_owned())
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
