//! What a metastore tells of a table: its newest state's schema, and the partitions that hold rows.
//!
//! The first look lists the whole table. Later ones take what was found from the look before, and
//! read only the commits that are new: a partition that one of them wrote to holds rows, and one of
//! which groups were replaced is listed again. Where a commit is gone, everything is.
//!
//! Source: Hudi `HiveSyncTool`, `TableSchemaResolver`, `HoodieCommitMetadata.SCHEMA_KEY`.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use table_sync_core::{InstantTime, Position, Role, SourceError};

use crate::instant::Action;
use crate::log::{HudiLog, META_FOLDER, Slices};
use crate::metadata::decode;
use crate::properties::TableType;
use crate::slices::{Groups, partition_of};
use crate::timeline::{Instant, Timeline, read_properties, supported};
use crate::{look, state};

/// Folders of one level that a look lists, to tell partitions before they are published. A table
/// with more folders above its partitions than that is told of late.
const FOLDERS_LISTED_MAX: usize = 10_000;

/// Of these, so many at once.
const FOLDERS_AT_ONCE: usize = 32;

/// Operations that write no rows of their own.
const SERVICES: [&str; 4] = ["COMPACT", "LOG_COMPACT", "CLUSTER", "INDEX"];

/// Property: whether rows have Hudi's own columns.
const META_FIELDS: &str = "hoodie.populate.meta.fields";

/// Property: the schema that the table was made with, as Avro's JSON.
const CREATE_SCHEMA: &str = "hoodie.table.create.schema";

/// The newest state of a table, as a metastore tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its newest commit.
    pub head: Position,
    /// Whether it is merge-on-read.
    pub merges: bool,
    /// The schema of its rows as Avro's JSON, without Hudi's own columns as a rule; `None` where
    /// no commit states one.
    pub schema: Option<String>,
    /// Whether rows have Hudi's own columns.
    pub meta_columns: bool,
    /// The columns by which it is partitioned, in the order of its folders.
    pub partition_fields: Vec<String>,
    /// Key generator: its type, else its class.
    pub key_generator: Option<String>,
    /// Whether partition folders are `column=value`.
    pub hive_style: bool,
    /// Folders of the partitions that hold rows, raw.
    pub partitions: BTreeSet<String>,
    /// Folders of partitions that hold no rows: a commit is on its way, or rows are gone and files
    /// are not. Which of the two cannot be told from a folder: its metadata stays in between.
    pub others: BTreeSet<String>,
    /// Commits of the active timeline.
    commits: BTreeSet<InstantTime>,
}

impl HudiLog {
    /// The newest state; `before` is what the look before found. `None` where nothing is
    /// published.
    ///
    /// # Errors
    /// As any look, and [`SourceError::Changed`] when files went away meanwhile.
    pub async fn published(
        &self,
        before: Option<&Published>,
    ) -> Result<Option<Published>, SourceError> {
        let Some(timeline) = look::look(self).await? else { return Ok(None) };
        let commits = timeline.commits();
        let Some(head) = commits.last().map(|commit| commit.position()) else { return Ok(None) };
        let known: BTreeSet<_> = commits.iter().map(|at| at.name.requested).collect();
        let partitions = match before.filter(|before| follows(before, &timeline, &known)) {
            Some(before) => later(self, &timeline, before, head).await?,
            None => all(self, &timeline, head).await?,
        };
        let schema = match before.filter(|before| before.head == head) {
            Some(before) => before.schema.clone(),
            None => schema(self, &timeline).await?,
        };
        let table = timeline.properties.table();
        let mut published = Published {
            head,
            merges: timeline.table_type == TableType::MergeOnRead,
            schema,
            meta_columns: timeline.properties.get(META_FIELDS) != Some("false"),
            partition_fields: table.partition_fields().into_iter().map(str::to_owned).collect(),
            key_generator: table.key_generator().map(str::to_owned),
            hive_style: table.is_hive_style(),
            partitions,
            others: BTreeSet::new(),
            commits: known,
        };
        // Last, so that whatever is published by now has its folder here.
        published.others = others(self, &published).await?;
        Ok(Some(published))
    }

    /// Whether the table is merge-on-read: one small read. `None` where there is none.
    ///
    /// # Errors
    /// As any look.
    pub async fn merges(&self) -> Result<Option<bool>, SourceError> {
        let Some((properties, _)) = read_properties(self).await? else { return Ok(None) };
        let (table_type, _) = supported(&properties)?;
        Ok(Some(table_type == TableType::MergeOnRead))
    }
}

/// Whether all that the look before knew is still there, or archived.
fn follows(before: &Published, timeline: &Timeline, now: &BTreeSet<InstantTime>) -> bool {
    let kept =
        |id: &InstantTime| now.contains(id) || timeline.start.is_some_and(|start| *id < start);
    let restored = |commit: &Instant| {
        commit.name.action == Action::Restore && !before.commits.contains(&commit.name.requested)
    };
    before.commits.iter().all(kept) && !timeline.commits().into_iter().any(restored)
}

/// The partitions after commits that the look before did not know.
async fn later(
    log: &HudiLog,
    timeline: &Timeline,
    before: &Published,
    head: Position,
) -> Result<BTreeSet<String>, SourceError> {
    let mut partitions = before.partitions.clone();
    let mut replaced = BTreeSet::new();
    for instant in timeline.commits() {
        if before.commits.contains(&instant.name.requested) {
            continue;
        }
        let commit = state::commit(log, instant).await?;
        partitions.extend(commit.writes.iter().map(|write| write.partition.clone()));
        replaced.extend(commit.replaced.iter().map(|(partition, _)| partition.clone()));
    }
    if replaced.is_empty() {
        return Ok(partitions);
    }
    let committed = state::committed(log, timeline, head).await?;
    for partition in replaced {
        let mut groups = Groups::default();
        log.each(&partition, |path, object| groups.add(path, &object)).await?;
        let files = groups.into_files(&committed, Slices::Latest);
        // Folders of other partitions may lie below this one.
        let holds = files.iter().any(|file| {
            file.role != Role::PartitionMetadata && partition_of(&file.path) == partition
        });
        if !holds {
            partitions.remove(&partition);
        }
    }
    Ok(partitions)
}

/// The partitions that hold rows, by listing the table.
async fn all(
    log: &HudiLog,
    timeline: &Timeline,
    head: Position,
) -> Result<BTreeSet<String>, SourceError> {
    let mut partitions = BTreeSet::new();
    let mut files = state::files(log, timeline, head, Slices::Latest).await?.stream();
    while let Some(chunk) = files.try_next().await? {
        for file in chunk.iter().filter(|file| file.role != Role::PartitionMetadata) {
            let partition = partition_of(&file.path);
            if !partitions.contains(partition) {
                partitions.insert(partition.to_owned());
            }
        }
    }
    Ok(partitions)
}

/// Folders at the depth of partitions that hold no rows.
async fn others(log: &HudiLog, published: &Published) -> Result<BTreeSet<String>, SourceError> {
    if published.partition_fields.is_empty() {
        return Ok(BTreeSet::new());
    }
    // A date such as 2024/01/31 may be one field.
    let depth = published.partitions.first().map(|folder| folder.split('/').count());
    let mut level = vec![String::new()];
    for _ in 0..depth.unwrap_or(published.partition_fields.len()) {
        if level.len() > FOLDERS_LISTED_MAX {
            tracing::warn!(folders = level.len(), "partitions are told once they are published");
            return Ok(BTreeSet::new());
        }
        let looks: Vec<_> = level.iter().map(|folder| log.level(folder)).collect();
        let below = stream::iter(looks).buffered(FOLDERS_AT_ONCE);
        let below: Vec<_> = below.map_ok(|level| level.folders).try_collect().await?;
        level = below.into_iter().flatten().filter(|folder| folder != META_FOLDER).collect();
    }
    let others = level.into_iter().filter(|folder| !published.partitions.contains(folder));
    Ok(others.collect())
}

/// The schema that the newest write states. What a compaction or a clustering states is that of the
/// table when it began, which may be an older one.
async fn schema(log: &HudiLog, timeline: &Timeline) -> Result<Option<String>, SourceError> {
    let merges = timeline.table_type == TableType::MergeOnRead;
    let mut of_service = None;
    for instant in timeline.commits().into_iter().rev() {
        let read = log.read_seen(&instant.key, &instant.object).await?;
        let record: Extra = decode(instant.key.as_str(), "commit metadata", &read.bytes)
            .map_err(|error| state::decode_error(instant, &error))?;
        let stated = record.extra_metadata.and_then(|mut extra| extra.remove("schema")).flatten();
        // Writers of nothing state no schema, or that of nothing.
        let Some(schema) = stated.filter(|schema| schema.trim_start().starts_with('{')) else {
            continue;
        };
        let operation = record.operation_type.unwrap_or_default();
        let compaction = merges && instant.name.action == Action::Commit;
        if !compaction && !SERVICES.contains(&operation.as_str()) {
            return Ok(Some(schema));
        }
        of_service = of_service.or(Some(schema));
    }
    let created = timeline.properties.get(CREATE_SCHEMA).map(str::to_owned);
    Ok(of_service.or(created))
}

/// What a writer says beside the files.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Extra {
    extra_metadata: Option<BTreeMap<String, Option<String>>>,
    operation_type: Option<String>,
}
