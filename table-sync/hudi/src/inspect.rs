//! Inspection: what a table is, whether it can be replicated, and who can read the copy.

use futures::TryStreamExt as _;
use serde::Serialize;
use table_sync_core::{BlockCode, Blocked, Position, Role, SourceError, SourceLog as _};

use crate::instant::{Layout, State};
use crate::log::{HudiLog, MetadataTable, Slices};
use crate::properties::{Properties, TableType};
use crate::state;
use crate::timeline::{Timeline, read_properties, supported};

/// What a look at a whole table found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The newest completed write.
    pub head: Option<Position>,
    /// Name of the table.
    pub name: Option<String>,
    /// Table version.
    pub table_version: Option<u32>,
    /// `COPY_ON_WRITE` or `MERGE_ON_READ`.
    pub table_type: Option<&'static str>,
    /// Layout of the timeline.
    pub timeline_layout: Option<u32>,
    /// Completed instants of the active timeline.
    pub completed_instants: u64,
    /// Instants that are not done: id and action.
    pub pending: Vec<String>,
    /// Partitions of the metadata table.
    pub metadata_partitions: Vec<String>,
    /// Columns that make the record key.
    pub record_key: Vec<String>,
    /// Columns by which the table is partitioned.
    pub partition_columns: Vec<String>,
    /// Key generator: its type, else its class.
    pub key_generator: Option<String>,
    /// How records of one key merge: mode, else payload class.
    pub merge: Option<String>,
    /// Columns that order records of one key.
    pub ordering: Vec<String>,
    /// Base files that readers of the newest state open.
    pub files: u64,
    /// Logs that readers of the newest state merge.
    pub logs: u64,
    /// Size of both in bytes.
    pub bytes: u64,
    /// Oldest release of Hudi whose readers open a copy.
    pub reader_min: Option<&'static str>,
    /// Why the table cannot be replicated, where it cannot.
    pub refusal: Option<Refused>,
    /// Who may fail to read a copy, and what else to know.
    pub warnings: Vec<String>,
}

/// Why a table cannot be replicated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Refused {
    /// Stable code.
    pub code: BlockCode,
    /// For people.
    pub message: String,
}

impl From<Blocked> for Refused {
    fn from(blocked: Blocked) -> Self {
        Self { code: blocked.code, message: blocked.message }
    }
}

impl HudiLog {
    /// Inspects the table.
    ///
    /// # Errors
    /// [`SourceError`] when the store fails; what is wrong with the table is part of the answer.
    pub async fn inspect(&self) -> Result<Inspection, SourceError> {
        let mut found = Inspection::default();
        match self.fill(&mut found).await {
            Err(SourceError::Blocked(blocked)) => found.refusal = Some(blocked.into()),
            Err(error @ SourceError::Damaged { .. }) => {
                let blocked = Blocked::table(BlockCode::CommitDamaged, error.to_string());
                found.refusal = Some(blocked.into());
            }
            other => other?,
        }
        Ok(found)
    }

    async fn fill(&self, found: &mut Inspection) -> Result<(), SourceError> {
        let Some((properties, _)) = read_properties(self).await? else {
            let message = "there is no .hoodie/hoodie.properties here; check the location";
            return Err(Blocked::table(BlockCode::NotATable, message).into());
        };
        note_properties(found, &properties);
        supported(&properties)?;
        let Some(timeline) = Timeline::load(self).await? else { return Ok(()) };
        note_timeline(found, &timeline, self.options().metadata_table);
        // What stands against replication shows here as it would in a pass.
        self.observe(None).await?;
        let Some(head) = found.head else { return Ok(()) };
        let mut files = state::files(self, &timeline, head, Slices::Latest).await?.stream();
        while let Some(chunk) = files.try_next().await? {
            for file in chunk {
                match file.role {
                    Role::Data => found.files += 1,
                    Role::Log => found.logs += 1,
                    _ => continue,
                }
                found.bytes += file.size_bytes.unwrap_or(0);
            }
        }
        Ok(())
    }
}

fn note_properties(found: &mut Inspection, properties: &Properties) {
    let table = properties.table();
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    found.name = table.name().map(str::to_owned);
    found.table_version = table.version();
    found.table_type = table.table_type().map(|kind| match kind {
        TableType::CopyOnWrite => "COPY_ON_WRITE",
        TableType::MergeOnRead => "MERGE_ON_READ",
    });
    found.timeline_layout = table.layout().map(|layout| match layout {
        Layout::V1 => 1,
        Layout::V2 => 2,
    });
    found.metadata_partitions = owned(table.metadata_partitions());
    found.record_key = owned(table.record_key_fields());
    found.partition_columns = owned(table.partition_fields());
    found.key_generator = table.key_generator().map(str::to_owned);
    found.merge = table.merge_mode().or_else(|| table.payload_class()).map(str::to_owned);
    found.ordering = owned(table.ordering_fields());
    found.reader_min = match table.version() {
        Some(6) => Some("0.14"),
        Some(8) => Some("1.0"),
        Some(9) => Some("1.1"),
        _ => None,
    };
    if table.drops_partition_columns() {
        found.warnings.push(
            "data files leave out the partition columns: Spark takes them from the path, other \
             readers may show nulls or refuse the table"
                .to_owned(),
        );
    }
    if table.keeps_changes() {
        found.warnings.push(
            "the table keeps a change feed: a copy has it from its first publication on".to_owned(),
        );
    }
}

fn note_timeline(found: &mut Inspection, timeline: &Timeline, metadata_table: MetadataTable) {
    found.head = timeline.commits().last().map(|head| head.position());
    let completed = timeline.instants().filter(|instant| instant.is_completed());
    found.completed_instants = completed.count() as u64;
    let pending = timeline.instants().filter(|at| at.name.state != State::Completed);
    found.pending = pending.map(|at| format!("{} {}", at.name.requested, at.name.action)).collect();
    let merges = timeline.table_type == TableType::MergeOnRead;
    if merges {
        found.warnings.push(
            "stock Trino shows a merge-on-read table without its logs (read-optimized), Spark with \
             them"
                .to_owned(),
        );
    }
    if merges && timeline.layout == Layout::V1 {
        found.warnings.push(
            "readers of Hudi 1.x take the times of version 6 instants from the store: a copy keeps \
             the shortest timeline that is right for them; incremental queries do not work on it"
                .to_owned(),
        );
    }
    if timeline.history().next().is_some() {
        found.warnings.push(
            "stock Trino up to 476 fails where it consults the history of this table, at the \
             source as well"
                .to_owned(),
        );
    }
    if !found.metadata_partitions.is_empty() {
        found.warnings.push(
            match metadata_table {
                MetadataTable::Drop => {
                    "a copy has no metadata table: its readers list storage, and indexes of it \
                     are not used"
                }
                MetadataTable::Mirror => {
                    "a copy has files and statistics of the metadata table, and none of its indexes"
                }
            }
            .to_owned(),
        );
    }
}
