//! The demo's writer: keeps committing to a source table until told to stop.
//!
//! It knows what every commit does to the table's totals without reading them back, so its
//! report is a second opinion on what a reader of that version must see.

use std::collections::VecDeque;
use std::io::Write;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use deltalake::arrow::array::{Int64Array, RecordBatch, StringArray};
use deltalake::arrow::datatypes::{DataType, Field, Schema};
use deltalake::kernel::{DataType as ColumnType, PrimitiveType};
use deltalake::{DeltaTable, DeltaTableError, TableProperty};
use object_store::ObjectStore;
use serde::Serialize;
use url::Url;

use super::{DemoError, OPENING_CENTS, REGIONS, Totals, WEIGHTS, batch_totals, check, report};
use crate::error::RowsError;
use crate::table::OpenTable;

/// Commits between two checkpoints; deltalake writes them by this table property.
const CHECKPOINT_COMMITS: &str = "10";

/// Batches from which on the oldest are deleted, so that the table does not grow for ever.
const BATCHES_MAX: usize = 12;

/// Batches that a delete leaves.
const BATCHES_MIN: usize = 3;

/// Compaction joins files up to this size, bytes.
const COMPACT_BYTES: NonZeroU64 = NonZeroU64::MIN.saturating_add(64 * 1024 * 1024 - 1);

/// What to write and how often.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// Pause after each commit.
    pub interval: Duration,
    /// When to stop; the commit that runs then is finished first.
    pub duration: Duration,
    /// Chooses the order of operations; equal seeds commit equal rows.
    pub seed: u64,
    /// Accounts in a batch: a positive multiple of four.
    pub batch_rows: i64,
}

/// One commit, as reported.
#[derive(Debug, Serialize)]
struct Line {
    version: u64,
    operation: &'static str,
    #[serde(flatten)]
    totals: Totals,
}

/// Commits to the table at `url` until `options.duration` is over or `stop` completes.
///
/// Creates the table if nothing is there, else goes on where an earlier run stopped. Writes one
/// JSON line per commit to `out`, after the commit. Returns the number of commits.
///
/// # Errors
/// Any [`DemoError`].
pub async fn write(
    store: Arc<dyn ObjectStore>,
    url: Url,
    options: WriteOptions,
    stop: impl Future<Output = ()>,
    out: &mut (dyn Write + Send),
) -> Result<u64, DemoError> {
    if options.batch_rows <= 0 || options.batch_rows % 4 != 0 {
        return Err(DemoError::Setting {
            setting: format!("batch_rows {}", options.batch_rows),
            reason: "a positive multiple of 4 is needed",
        });
    }
    let (mut writer, created) = Writer::open(store, &url, options).await?;
    let mut commits = 0;
    if created {
        report(out, &writer.line("CREATE TABLE"))?;
        commits += 1;
    }
    let end = tokio::time::sleep(options.duration);
    tokio::pin!(stop, end);
    loop {
        let operation = writer.commit().await?;
        report(out, &writer.line(operation))?;
        commits += 1;
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = &mut end => break,
            () = tokio::time::sleep(options.interval) => {}
        }
    }
    Ok(commits)
}

/// A batch as the writer left it.
struct Batch {
    number: i64,
    rows: i64,
    /// Cents that each account of the gaining regions has more than at the start, and each
    /// account of the others less.
    moved_cents: i64,
}

impl Batch {
    fn totals(&self) -> Totals {
        let sum = (0..self.rows).map(|i| {
            let weight = account(self.number, self.rows, i) % WEIGHTS + 1;
            let moved = if gains(i) { self.moved_cents } else { -self.moved_cents };
            weight * (OPENING_CENTS + moved)
        });
        Totals { rows: self.rows, sum: sum.sum() }
    }

    /// The batch's rows as they are when its accounts are opened.
    fn opening(&self) -> Result<RecordBatch, DeltaTableError> {
        let whole = |name| Field::new(name, DataType::Int64, false);
        let schema = Schema::new(vec![
            whole("account"),
            whole("batch"),
            whole("batch_rows"),
            Field::new("region", DataType::Utf8, false),
            whole("balance_cents"),
        ]);
        let accounts = (0..self.rows).map(|i| account(self.number, self.rows, i));
        let same = |value: i64| Arc::new((0..self.rows).map(|_| value).collect::<Int64Array>());
        let regions = REGIONS.iter().copied().cycle();
        let regions = StringArray::from_iter_values((0..self.rows).zip(regions).map(|(_, r)| r));
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(accounts.collect::<Int64Array>()),
                same(self.number),
                same(self.rows),
                Arc::new(regions),
                same(OPENING_CENTS),
            ],
        );
        Ok(batch?)
    }
}

/// Number of the `i`-th account of a batch.
fn account(batch: i64, batch_rows: i64, i: i64) -> i64 {
    batch * batch_rows + i
}

/// Whether the `i`-th account of a batch is in one of the first two regions.
fn gains(i: i64) -> bool {
    i % 4 < 2
}

struct Writer {
    table: DeltaTable,
    /// Live batches, ascending and consecutive.
    batches: VecDeque<Batch>,
    /// Number of the next batch.
    next: i64,
    batch_rows: i64,
    random: fastrand::Rng,
}

impl Writer {
    /// Opens or creates the table; says whether it created it.
    async fn open(
        store: Arc<dyn ObjectStore>,
        url: &Url,
        options: WriteOptions,
    ) -> Result<(Self, bool), DemoError> {
        let place = OpenTable::new(store, url)?;
        let (batches, created) = match place.snapshot(None).await {
            Ok(snapshot) => {
                let totals = batch_totals(&snapshot).await?;
                check(&totals).map_err(|reason| DemoError::Foreign { reason })?;
                let left = totals.iter().map(|batch| Batch {
                    number: batch.batch,
                    rows: batch.rows,
                    moved_cents: batch.gaining_cents / (batch.rows / 2) - OPENING_CENTS,
                });
                (left.collect(), false)
            }
            Err(RowsError::NotATable { .. }) => {
                create(&place).await.map_err(DemoError::Commit)?;
                (VecDeque::new(), true)
            }
            Err(error) => return Err(error.into()),
        };
        let next = batches.back().map_or(0, |batch: &Batch| batch.number + 1);
        let mut table = place.table();
        table.load().await.map_err(DemoError::Commit)?;
        let random = fastrand::Rng::with_seed(options.seed);
        Ok((Self { table, batches, next, batch_rows: options.batch_rows, random }, created))
    }

    fn line(&self, operation: &'static str) -> Line {
        let mut totals = Totals::default();
        for batch in self.batches.iter().map(Batch::totals) {
            totals.rows += batch.rows;
            totals.sum += batch.sum;
        }
        Line { version: self.table.version().unwrap_or(0), operation, totals }
    }

    /// Makes one commit and returns the name of its operation.
    async fn commit(&mut self) -> Result<&'static str, DemoError> {
        let operation = match (self.batches.len(), self.random.u8(0..100)) {
            (..BATCHES_MIN, _) => self.append().await,
            (BATCHES_MAX.., _) => self.delete_oldest().await,
            (_, ..40) => self.append().await,
            (_, ..75) => self.transfer().await,
            (_, ..85) => self.delete_oldest().await,
            _ => self.compact().await,
        };
        operation.map_err(DemoError::Commit)
    }

    async fn append(&mut self) -> Result<&'static str, DeltaTableError> {
        let batch = Batch { number: self.next, rows: self.batch_rows, moved_cents: 0 };
        let write = self.table.clone().write([batch.opening()?]);
        self.table = write.await?;
        self.next += 1;
        self.batches.push_back(batch);
        Ok("WRITE")
    }

    /// Moves the same amount from each account of two regions to each account of the others.
    async fn transfer(&mut self) -> Result<&'static str, DeltaTableError> {
        let cents = self.random.i64(1..1_000);
        let chosen = self.random.usize(0..self.batches.len().max(1));
        let Some(batch) = self.batches.get_mut(chosen) else { return self.append().await };
        let moved = format!(
            "CASE WHEN region IN ('north', 'south') THEN balance_cents + {cents} \
             ELSE balance_cents - {cents} END"
        );
        let update =
            self.table.clone().update().with_predicate(format!("batch = {}", batch.number));
        (self.table, _) = update.with_update("balance_cents", moved).await?;
        batch.moved_cents += cents;
        Ok("UPDATE")
    }

    async fn delete_oldest(&mut self) -> Result<&'static str, DeltaTableError> {
        let Some(oldest) = self.batches.front() else { return self.append().await };
        let delete =
            self.table.clone().delete().with_predicate(format!("batch = {}", oldest.number));
        (self.table, _) = delete.await?;
        self.batches.pop_front();
        Ok("DELETE")
    }

    /// Compacts, or appends if there is nothing to compact (deltalake commits nothing then).
    async fn compact(&mut self) -> Result<&'static str, DeltaTableError> {
        let before = self.table.version();
        let optimize = self.table.clone().optimize().with_target_size(COMPACT_BYTES);
        (self.table, _) = optimize.await?;
        if self.table.version() == before {
            return self.append().await;
        }
        Ok("OPTIMIZE")
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
