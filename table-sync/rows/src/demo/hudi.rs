//! The demo's accounts in a Hudi merge-on-read table, written by hudi-core.

use std::sync::Arc;

use deltalake::datafusion::catalog::TableProvider;
use deltalake::datafusion::datasource::MemTable;
use futures::TryStreamExt as _;
use hudi_core::config::table::TableTypeValue;
use hudi_core::table::Table;
use table_sync_core::Position;

use super::DemoError;
use super::write::{Batch, Names};
use crate::error::{BoxError, RowsError};
use crate::hudi::{Place, Snapshot, open};
use crate::store::printable;

/// As Hudi's timeline calls them.
pub(super) const NAMES: Names =
    Names { append: "BULK_INSERT", transfer: "UPSERT", delete: "DELETE", compact: "COMPACT" };

/// The newest version and its rows; neither if nothing was committed.
pub(super) async fn newest(
    place: &Place,
) -> Result<(Option<Position>, Option<Arc<dyn TableProvider>>), RowsError> {
    let snapshot = Snapshot::open(place, None).await?;
    let batches: Vec<_> = snapshot.rows().await?.try_collect().await?;
    let Some(first) = batches.first() else { return Ok((snapshot.position, None)) };
    let rows = MemTable::try_new(first.schema(), vec![batches.clone()]);
    let rows = rows.map_err(|error| RowsError::from_rows(&printable(&place.url), error))?;
    Ok((snapshot.position, Some(Arc::new(rows))))
}

/// The table as its only writer.
pub(super) struct Accounts {
    table: Table,
}

impl Accounts {
    /// Opens the table, or creates it; creating it makes no commit.
    pub(super) async fn open(place: &Place, exists: bool) -> Result<Self, DemoError> {
        if exists {
            return Ok(Self { table: open(place).await? });
        }
        let mut create = Table::create(place.url.as_str())
            .with_table_name("accounts")
            .with_table_type(TableTypeValue::MergeOnRead)
            .with_record_key_fields(["account"])
            .with_partition_fields(["region"])
            // hudi-core opens a metadata table without the store's options.
            .with_metadata_table_enabled(place.url.scheme() == "file")
            .with_option("hoodie.table.timeline.timezone", "UTC");
        for (name, value) in place.storage_options() {
            create = create.with_storage_option(name, value);
        }
        let table = create.create().await.map_err(|error| DemoError::Commit(error.into()))?;
        Ok(Self { table })
    }

    pub(super) async fn append(&mut self, batch: &Batch) -> Result<Position, BoxError> {
        let written = self.table.append([batch.record_batch()?]).await?;
        position(written.completion_time, written.requested_time)
    }

    pub(super) async fn transfer(&mut self, batch: &Batch) -> Result<Position, BoxError> {
        let written = self.table.upsert([batch.record_batch()?]).await?;
        position(written.completion_time, written.requested_time)
    }

    pub(super) async fn delete(&mut self, batch: &Batch) -> Result<Position, BoxError> {
        let written = self.table.delete(&format!("batch = {}", batch.number)).await?;
        position(written.completion_time, written.requested_time)
    }

    /// None if no file group has log files.
    pub(super) async fn compact(&mut self) -> Result<Option<Position>, BoxError> {
        let compacted = self.table.compact().await?;
        if compacted.requested_time.is_none() {
            return Ok(None);
        }
        position(compacted.completion_time, compacted.requested_time).map(Some)
    }
}

/// The position of a commit that was made.
fn position(completed: Option<String>, requested: Option<String>) -> Result<Position, BoxError> {
    let text = format!("{}_{}", completed.unwrap_or_default(), requested.unwrap_or_default());
    Position::parse(&text)
        .ok_or_else(|| format!("commit to the table: hudi-core made no commit ({text})").into())
}
