//! Reading a Delta table: which versions there are, and what rows a version has.
//!
//! Everything goes through deltalake's kernel and datafusion; nothing here knows how a log
//! looks. The file list and the rows are streams, so memory does not grow with the table.

use std::sync::Arc;

use deltalake::datafusion::catalog::TableProvider;
use deltalake::datafusion::execution::SendableRecordBatchStream;
use deltalake::datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::kernel::Snapshot;
use deltalake::kernel::transaction::PROTOCOL;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::{DeltaTable, DeltaTableError};
use futures::TryStreamExt as _;
use object_store::ObjectStore;
use object_store::path::Path;
use serde::Serialize;
use url::Url;

use crate::error::RowsError;
use crate::hash::RowHash;
use crate::store::printable;

/// Rows that the scan hands on at once; with the row groups it decodes, what bounds memory.
const BATCH_ROWS: usize = 4096;

/// Where a table's log lies, relative to the table.
const LOG_FOLDER: &str = "_delta_log";

/// What the judge saw in one version of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowSummary {
    /// The version that was read.
    pub version: u64,
    /// Number of rows.
    pub count: u64,
    /// [`RowHash`] of all rows, 32 hex digits.
    pub hash: String,
    /// The table's schema at that version as the log has it, JSON.
    pub schema: String,
}

/// Reads every row of the table at `url`, of `version` or the newest.
///
/// `store` is rooted where [`crate::open_store`] roots it: at the bucket, not at the table.
///
/// # Errors
/// Any [`RowsError`]; `Unsupported` says nothing about the table's rows.
pub async fn read(
    store: Arc<dyn ObjectStore>,
    url: Url,
    version: Option<u64>,
) -> Result<RowSummary, RowsError> {
    let snapshot = OpenTable::new(store, &url)?.snapshot(version).await?;
    let mut rows = snapshot.rows().await?;
    let (mut count, mut hash) = (0, RowHash::default());
    let failed = |error| RowsError::from_rows(&snapshot.url, error);
    while let Some(batch) = rows.try_next().await.map_err(failed)? {
        hash.add(&batch).map_err(RowsError::from_type)?;
        count += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
    }
    Ok(RowSummary {
        version: snapshot.version(),
        count,
        hash: hash.to_string(),
        schema: snapshot.schema()?,
    })
}

/// The newest version that a reader of the table at `url` opens.
///
/// # Errors
/// [`RowsError::NotATable`] if nothing is published there; else as [`read`].
pub async fn newest_version(store: Arc<dyn ObjectStore>, url: Url) -> Result<u64, RowsError> {
    Ok(OpenTable::new(store, &url)?.snapshot(None).await?.version())
}

/// The versions whose commit file is at `url`, ascending. Not all of them need be readable.
///
/// # Errors
/// [`RowsError::Store`] if the listing fails.
pub async fn commit_versions(store: Arc<dyn ObjectStore>, url: Url) -> Result<Vec<u64>, RowsError> {
    let table = OpenTable::new(store, &url)?;
    let folder = Path::from("_delta_log");
    let list = table.log_store.object_store(None);
    let objects: Vec<_> = list
        .list(Some(&folder))
        .try_collect()
        .await
        .map_err(|source| RowsError::Store { url: table.url.clone(), source: Box::new(source) })?;
    let mut versions: Vec<u64> = objects
        .iter()
        .filter(|object| object.location.parts().count() == 2)
        .filter_map(|object| object.location.filename()?.strip_suffix(".json"))
        .filter(|digits| digits.len() == 20)
        .filter_map(|digits| digits.parse().ok())
        .collect();
    versions.sort_unstable();
    Ok(versions)
}

/// A table's place: no part of its log has been read.
pub(crate) struct OpenTable {
    log_store: LogStoreRef,
    url: String,
}

impl OpenTable {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, url: &Url) -> Result<Self, RowsError> {
        let printed = printable(url);
        let config = StorageConfig::default();
        let log_store = config
            .decorate_store(store.clone(), url)
            .map(|in_table| default_logstore(Arc::new(in_table), store, url, &config))
            .map_err(|error| RowsError::from_log(&printed, error))?;
        Ok(Self { log_store, url: printed })
    }

    /// The place as deltalake's table, not loaded; only the demo's writer needs one.
    pub(crate) fn table(&self) -> DeltaTable {
        DeltaTable::new(self.log_store.clone())
    }

    pub(crate) async fn snapshot(&self, version: Option<u64>) -> Result<OpenSnapshot, RowsError> {
        let failed = |error| RowsError::from_log(&self.url, error);
        let snapshot = match Snapshot::try_new(self.log_store.as_ref(), version).await {
            Ok(snapshot) => snapshot,
            // The kernel has several errors for "nothing is there", depending on the store.
            Err(_) if self.log_is_empty().await => {
                return Err(RowsError::NotATable { url: self.url.clone() });
            }
            Err(error) => return Err(failed(error)),
        };
        PROTOCOL
            .can_read_from_protocol(snapshot.protocol())
            .map_err(|error| failed(DeltaTableError::Transaction { source: error }))?;
        Ok(OpenSnapshot {
            snapshot: Arc::new(snapshot),
            log_store: self.log_store.clone(),
            url: self.url.clone(),
        })
    }

    /// Whether the store answers that the table's log folder holds nothing.
    async fn log_is_empty(&self) -> bool {
        let store = self.log_store.object_store(None);
        matches!(store.list(Some(&Path::from(LOG_FOLDER))).try_next().await, Ok(None))
    }
}

/// One version of a table whose log is replayed, and none of whose rows are read.
pub(crate) struct OpenSnapshot {
    snapshot: Arc<Snapshot>,
    log_store: LogStoreRef,
    pub(crate) url: String,
}

impl OpenSnapshot {
    pub(crate) fn version(&self) -> u64 {
        self.snapshot.version()
    }

    fn schema(&self) -> Result<String, RowsError> {
        serde_json::to_string(&self.snapshot.schema())
            .map_err(|source| RowsError::Log { url: self.url.clone(), source: Box::new(source) })
    }

    /// The snapshot as a table for queries.
    pub(crate) async fn provider(&self) -> Result<Arc<dyn TableProvider>, RowsError> {
        DeltaTable::new(self.log_store.clone())
            .table_provider()
            .with_snapshot(self.snapshot.clone())
            .await
            .map_err(|error| RowsError::from_rows(&self.url, error))
    }

    async fn rows(&self) -> Result<SendableRecordBatchStream, RowsError> {
        let provider = self.provider().await?;
        let query = async { session().read_table(provider)?.execute_stream().await };
        query.await.map_err(|error| RowsError::from_rows(&self.url, error))
    }
}

/// A fresh session: nothing is cached from one read to the next.
pub(crate) fn session() -> SessionContext {
    let mut config = SessionConfig::new().with_batch_size(BATCH_ROWS);
    // Spark's INT96 timestamps reach years that nanoseconds, the default here, do not.
    config.options_mut().execution.parquet.coerce_int96 = Some("us".to_owned());
    SessionContext::new_with_config(config)
}
