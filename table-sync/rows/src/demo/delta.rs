//! The demo's accounts in a Delta table, written by deltalake.

use std::num::NonZeroU64;
use std::sync::Arc;

use deltalake::datafusion::catalog::TableProvider;
use deltalake::kernel::{DataType as ColumnType, PrimitiveType};
use deltalake::{DeltaTable, DeltaTableError, TableProperty};
use object_store::ObjectStore;
use table_sync_core::Position;
use url::Url;

use super::DemoError;
use super::write::{Batch, Names};
use crate::error::{BoxError, RowsError};
use crate::table::OpenTable;

/// Commits between two checkpoints; deltalake writes them by this table property.
const CHECKPOINT_COMMITS: &str = "10";

/// Compaction joins files up to this size, bytes.
const COMPACT_BYTES: NonZeroU64 = NonZeroU64::MIN.saturating_add(64 * 1024 * 1024 - 1);

/// As Delta's log calls them.
pub(super) const NAMES: Names =
    Names { append: "WRITE", transfer: "UPDATE", delete: "DELETE", compact: "OPTIMIZE" };

/// The newest version and its rows.
pub(super) async fn newest(
    store: Arc<dyn ObjectStore>,
    url: &Url,
) -> Result<(Option<Position>, Option<Arc<dyn TableProvider>>), RowsError> {
    let snapshot = OpenTable::new(store, url)?.snapshot(None).await?;
    let provider = snapshot.provider().await?;
    Ok((Some(Position::Version(snapshot.version())), Some(provider)))
}

/// The table as its only writer.
pub(super) struct Accounts {
    table: DeltaTable,
}

impl Accounts {
    /// Opens the table, or creates it; the version that it has by being created, if it was.
    pub(super) async fn open(
        store: Arc<dyn ObjectStore>,
        url: &Url,
        exists: bool,
    ) -> Result<(Self, Option<Position>), DemoError> {
        let place = OpenTable::new(store, url)?;
        let commit = |error: DeltaTableError| DemoError::Commit(error.into());
        if !exists {
            create(&place).await.map_err(commit)?;
        }
        let mut table = place.table();
        table.load().await.map_err(commit)?;
        let accounts = Self { table };
        let version = accounts.version();
        Ok((accounts, (!exists).then_some(version)))
    }

    pub(super) async fn append(&mut self, batch: &Batch) -> Result<Position, BoxError> {
        self.table = self.table.clone().write([batch.record_batch()?]).await?;
        Ok(self.version())
    }

    pub(super) async fn transfer(
        &mut self,
        batch: &Batch,
        cents: i64,
    ) -> Result<Position, BoxError> {
        let moved = format!(
            "CASE WHEN region IN ('north', 'south') THEN balance_cents + {cents} \
             ELSE balance_cents - {cents} END"
        );
        let update =
            self.table.clone().update().with_predicate(format!("batch = {}", batch.number));
        (self.table, _) = update.with_update("balance_cents", moved).await?;
        Ok(self.version())
    }

    pub(super) async fn delete(&mut self, batch: &Batch) -> Result<Position, BoxError> {
        let delete =
            self.table.clone().delete().with_predicate(format!("batch = {}", batch.number));
        (self.table, _) = delete.await?;
        Ok(self.version())
    }

    /// None if there is nothing to compact: deltalake commits nothing then.
    pub(super) async fn compact(&mut self) -> Result<Option<Position>, BoxError> {
        let before = self.table.version();
        let optimize = self.table.clone().optimize().with_target_size(COMPACT_BYTES);
        (self.table, _) = optimize.await?;
        Ok((self.table.version() != before).then(|| self.version()))
    }

    fn version(&self) -> Position {
        Position::Version(self.table.version().unwrap_or(0))
    }
}

async fn create(place: &OpenTable) -> Result<DeltaTable, DeltaTableError> {
    let whole = ColumnType::Primitive(PrimitiveType::Long);
    let mut create = place.table().create().with_table_name("accounts");
    for (name, data_type) in [
        ("account", whole.clone()),
        ("batch", whole.clone()),
        ("batch_rows", whole.clone()),
        ("region", ColumnType::Primitive(PrimitiveType::String)),
        ("balance_cents", whole),
    ] {
        create = create.with_column(name, data_type, false, None);
    }
    let interval = Some(CHECKPOINT_COMMITS);
    create
        .with_partition_columns(["region"])
        .with_configuration_property(TableProperty::CheckpointInterval, interval)
        .await
}
