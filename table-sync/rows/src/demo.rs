//! The demo's table: one that a torn read would show, written and read while it is replicated.
//!
//! The table `accounts` has columns `account`, `batch`, `batch_rows`, `region` (the partition)
//! and `balance_cents`. Accounts come and go in batches of `batch_rows`, a quarter in each of
//! four regions; money moves between the regions of a batch, so every commit touches several
//! files.
//!
//! # Invariant of every committed version
//! - A batch is there with all its accounts, each once, or not at all.
//! - A batch's balances add up to [`OPENING_CENTS`] for each account.
//! - The batches are consecutive: new ones follow the newest, the oldest goes first.
//!
//! Half a commit breaks it. A file too few loses accounts; a file too many (both sides of a
//! compaction, or of a rewrite) doubles them; one side of a transfer changes a batch's sum; a
//! commit that was skipped leaves a gap. What it cannot see, an older version that is whole, is
//! seen by comparing [`Totals`] of a version at the source and at the replica.

mod delta;
mod hudi;
mod read;
mod write;

use std::io::{self, Write};
use std::path;
use std::sync::Arc;

use deltalake::arrow::array::{Array as _, AsArray as _, RecordBatch};
use deltalake::arrow::datatypes::Int64Type;
use deltalake::datafusion::catalog::TableProvider;
use deltalake::datafusion::error::DataFusionError;
use object_store::ObjectStore;
use serde::Serialize;
use table_sync_core::Position;
use url::Url;

pub use read::{ReadOptions, read};
pub use write::{WriteOptions, write};

use crate::error::{BoxError, RowsError};
use crate::hudi::Place;
use crate::store::printable;
use crate::table::session;

/// Balance of every account when it is opened, cents.
pub const OPENING_CENTS: i64 = 100_000;

/// Partition values. Transfers take from the last two and give to the first two.
const REGIONS: [&str; 4] = ["north", "south", "east", "west"];

/// Accounts weigh `account % WEIGHTS + 1` in the checksum, so that every move changes it.
const WEIGHTS: i64 = 997;

/// Totals of each batch, and whether its rows agree on how many they are.
const BATCH_TOTALS: &str = "
    SELECT batch,
           count(*) AS row_count,
           count(DISTINCT account) AS account_count,
           min(batch_rows) AS batch_rows_min,
           max(batch_rows) AS batch_rows_max,
           sum(balance_cents) AS cents,
           sum(CASE WHEN region IN ('north', 'south') THEN balance_cents ELSE 0 END)
               AS gaining_cents,
           sum(balance_cents * (account % 997 + 1)) AS checksum
    FROM accounts GROUP BY batch ORDER BY batch";

/// What one version of the table adds up to; equal at the source and at a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Number of accounts.
    pub rows: i64,
    /// Sum of balance times weight over all accounts; nearly every commit changes it.
    pub sum: i64,
}

/// One batch, as a query sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BatchTotals {
    batch: i64,
    rows: i64,
    accounts: i64,
    batch_rows_min: i64,
    batch_rows_max: i64,
    cents: i64,
    gaining_cents: i64,
    checksum: i64,
}

/// Why the demo's reader or writer ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The table cannot be opened, read or written.
    #[error("use the demo table")]
    Table(#[from] RowsError),
    /// deltalake or hudi-core refused a commit.
    #[error("commit to the demo table, which nothing else may write")]
    Commit(#[source] BoxError),
    /// The table is not one that this writer made, or something else wrote to it.
    #[error("continue the demo table, whose rows are not as the writer left them: {reason}")]
    Foreign {
        /// What is wrong with the rows.
        reason: String,
    },
    /// A setting that makes no sense.
    #[error("use {setting}: {reason}")]
    Setting {
        /// The setting's name and value.
        setting: String,
        /// What is allowed.
        reason: &'static str,
    },
    /// Nobody reads the report lines any more.
    #[error("write a report line")]
    Report(#[from] io::Error),
}

/// The URL of a table that is named by a URL or by a path.
///
/// # Errors
/// [`DemoError::Setting`] if it is neither.
pub fn table_url(table: &str) -> Result<Url, DemoError> {
    let parsed = if table.contains("://") {
        Url::parse(table).ok()
    } else {
        path::absolute(table).ok().and_then(|path| Url::from_directory_path(path).ok())
    };
    parsed.ok_or_else(|| DemoError::Setting {
        setting: format!("table {table}"),
        reason: "a path or a URL is needed",
    })
}

/// Where the demo's table lies, and in which format. No `Debug`: options hold secrets.
#[derive(Clone)]
pub enum DemoTable {
    /// A Delta table.
    Delta {
        /// Rooted where [`crate::open_store`] roots it.
        store: Arc<dyn ObjectStore>,
        /// The table's root.
        url: Url,
    },
    /// A Hudi table.
    Hudi(Place),
}

impl DemoTable {
    /// The newest version and its batches; no version if a table is there without commits.
    async fn newest(&self) -> Result<(Option<Position>, Vec<BatchTotals>), RowsError> {
        let (version, provider) = match self {
            Self::Delta { store, url } => delta::newest(store.clone(), url).await?,
            Self::Hudi(place) => hudi::newest(place).await?,
        };
        Ok((version, batch_totals(provider, &self.printable()).await?))
    }

    fn printable(&self) -> String {
        match self {
            Self::Delta { url, .. } => printable(url),
            Self::Hudi(place) => printable(&place.url),
        }
    }
}

/// Batches of a version, ascending; none of a version without columns.
async fn batch_totals(
    provider: Option<Arc<dyn TableProvider>>,
    url: &str,
) -> Result<Vec<BatchTotals>, RowsError> {
    let Some(provider) = provider else { return Ok(Vec::new()) };
    let query = async {
        let session = session();
        session.register_table("accounts", provider)?;
        session.sql(BATCH_TOTALS).await?.collect().await
    };
    let batches = query.await.map_err(|error| RowsError::from_rows(url, error))?;
    let mut totals = Vec::new();
    for batch in &batches {
        let rows = decode(batch).ok_or_else(|| {
            let reason = "the table is not the demo's: other columns or nulls";
            RowsError::from_rows(url, DataFusionError::Execution(reason.to_owned()))
        })?;
        totals.extend(rows);
    }
    Ok(totals)
}

/// The answer to [`BATCH_TOTALS`]; `None` if it is not eight columns of whole numbers.
fn decode(batch: &RecordBatch) -> Option<Vec<BatchTotals>> {
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| column.as_primitive_opt::<Int64Type>().filter(|c| c.nulls().is_none()))
        .collect::<Option<_>>()?;
    let [batches, rows, accounts, min, max, cents, gaining, checksum] = columns.as_slice() else {
        return None;
    };
    let row = |i| BatchTotals {
        batch: batches.value(i),
        rows: rows.value(i),
        accounts: accounts.value(i),
        batch_rows_min: min.value(i),
        batch_rows_max: max.value(i),
        cents: cents.value(i),
        gaining_cents: gaining.value(i),
        checksum: checksum.value(i),
    };
    Some((0..batch.num_rows()).map(row).collect())
}

/// Checks the invariant; says what breaks it.
fn check(batches: &[BatchTotals]) -> Result<Totals, String> {
    let mut totals = Totals::default();
    for batch in batches {
        let BatchTotals { batch: number, rows, accounts, .. } = batch;
        if batch.batch_rows_min != batch.batch_rows_max {
            return Err(format!("rows of batch {number} disagree on how many they are"));
        }
        if (*rows, *accounts) != (batch.batch_rows_min, batch.batch_rows_min) {
            return Err(format!(
                "batch {number} has {rows} rows of {accounts} accounts, not {} of each",
                batch.batch_rows_min
            ));
        }
        let cents = rows * OPENING_CENTS;
        if batch.cents != cents {
            return Err(format!("batch {number} holds {} cents, not {cents}", batch.cents));
        }
        totals.rows += rows;
        totals.sum = totals.sum.wrapping_add(batch.checksum);
    }
    let gap = batches.windows(2).find_map(|pair| match pair {
        [a, b] if b.batch != a.batch + 1 => Some((a.batch, b.batch)),
        _ => None,
    });
    match gap {
        Some((a, b)) => Err(format!("batch {a} is followed by batch {b}")),
        None => Ok(totals),
    }
}

/// Writes one report line, at once.
fn report(out: &mut (dyn Write + Send), line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()
}

#[cfg(test)]
mod tests;
