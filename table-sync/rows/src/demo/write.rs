//! The demo's writer: keeps committing to a source table until told to stop.
//!
//! It knows what every commit does to the table's totals without reading them back, so its
//! report is a second opinion on what a reader of that version must see.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use deltalake::arrow::array::{Int64Array, RecordBatch, StringArray};
use deltalake::arrow::datatypes::{DataType, Field, Schema};
use serde::Serialize;
use table_sync_core::Position;

use super::{DemoError, DemoTable, OPENING_CENTS, REGIONS, Totals, WEIGHTS, check, report};
use super::{delta, hudi};
use crate::error::{BoxError, RowsError};

/// Batches from which on the oldest are deleted, so that the table does not grow for ever.
const BATCHES_MAX: usize = 12;

/// Batches that a delete leaves.
const BATCHES_MIN: usize = 3;

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
    version: Position,
    operation: &'static str,
    #[serde(flatten)]
    totals: Totals,
}

/// Commits to `table` until `options.duration` is over or `stop` completes.
///
/// Creates the table if nothing is there, else goes on where an earlier run stopped. Writes one
/// JSON line per commit to `out`, after the commit. Returns the number of commits.
///
/// # Errors
/// Any [`DemoError`].
pub async fn write(
    table: &DemoTable,
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
    let (mut writer, created) = Writer::open(table, options).await?;
    let mut commits = 0;
    if let Some(version) = created {
        report(out, &writer.line(version, "CREATE TABLE"))?;
        commits += 1;
    }
    let end = tokio::time::sleep(options.duration);
    tokio::pin!(stop, end);
    loop {
        let (version, operation) = writer.commit().await?;
        report(out, &writer.line(version, operation))?;
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
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub(super) number: i64,
    rows: i64,
    /// Cents that each account of the gaining regions has more than at the start, and each
    /// account of the others less.
    moved_cents: i64,
}

impl Batch {
    fn totals(&self) -> Totals {
        let sum = (0..self.rows).map(|i| {
            let weight = account(self.number, self.rows, i) % WEIGHTS + 1;
            weight * self.balance_cents(i)
        });
        Totals { rows: self.rows, sum: sum.sum() }
    }

    fn balance_cents(&self, i: i64) -> i64 {
        OPENING_CENTS + if gains(i) { self.moved_cents } else { -self.moved_cents }
    }

    /// The batch's rows.
    ///
    /// # Errors
    /// None for a schema that fits its columns, as this one does.
    pub(super) fn record_batch(&self) -> Result<RecordBatch, BoxError> {
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
        let balances = (0..self.rows).map(|i| self.balance_cents(i));
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(accounts.collect::<Int64Array>()),
                same(self.number),
                same(self.rows),
                Arc::new(regions),
                Arc::new(balances.collect::<Int64Array>()),
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

/// Writes the accounts of one format; every method makes one commit and returns its version.
enum Accounts {
    Delta(Box<delta::Accounts>),
    Hudi(Box<hudi::Accounts>),
}

impl Accounts {
    async fn append(&mut self, batch: &Batch) -> Result<Position, BoxError> {
        match self {
            Self::Delta(accounts) => accounts.append(batch).await,
            Self::Hudi(accounts) => accounts.append(batch).await,
        }
    }

    /// `batch` is as it will be after `cents` have moved.
    async fn transfer(&mut self, batch: &Batch, cents: i64) -> Result<Position, BoxError> {
        match self {
            Self::Delta(accounts) => accounts.transfer(batch, cents).await,
            Self::Hudi(accounts) => accounts.transfer(batch).await,
        }
    }

    async fn delete(&mut self, batch: &Batch) -> Result<Position, BoxError> {
        match self {
            Self::Delta(accounts) => accounts.delete(batch).await,
            Self::Hudi(accounts) => accounts.delete(batch).await,
        }
    }

    /// None, and no commit, if there is nothing to compact.
    async fn compact(&mut self) -> Result<Option<Position>, BoxError> {
        match self {
            Self::Delta(accounts) => accounts.compact().await,
            Self::Hudi(accounts) => accounts.compact().await,
        }
    }

    /// What a commit of each kind is called in the format's own log.
    fn names(&self) -> Names {
        match self {
            Self::Delta(_) => delta::NAMES,
            Self::Hudi(_) => hudi::NAMES,
        }
    }
}

/// Names of a format's operations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) append: &'static str,
    pub(super) transfer: &'static str,
    pub(super) delete: &'static str,
    pub(super) compact: &'static str,
}

struct Writer {
    accounts: Accounts,
    /// Live batches, ascending and consecutive.
    batches: VecDeque<Batch>,
    /// Number of the next batch.
    next: i64,
    batch_rows: i64,
    random: fastrand::Rng,
}

impl Writer {
    /// Opens or creates the table; the version that it has by being created, if it was.
    async fn open(
        table: &DemoTable,
        options: WriteOptions,
    ) -> Result<(Self, Option<Position>), DemoError> {
        let (batches, exists) = match table.newest().await {
            Ok((_, totals)) => {
                check(&totals).map_err(|reason| DemoError::Foreign { reason })?;
                let left = totals.iter().map(|batch| Batch {
                    number: batch.batch,
                    rows: batch.rows,
                    moved_cents: batch.gaining_cents / (batch.rows / 2) - OPENING_CENTS,
                });
                (left.collect(), true)
            }
            Err(RowsError::NotATable { .. }) => (VecDeque::new(), false),
            Err(error) => return Err(error.into()),
        };
        let (accounts, created) = match table {
            DemoTable::Delta { store, url } => {
                let (accounts, version) = delta::Accounts::open(store.clone(), url, exists).await?;
                (Accounts::Delta(Box::new(accounts)), version)
            }
            DemoTable::Hudi(place) => {
                (Accounts::Hudi(Box::new(hudi::Accounts::open(place, exists).await?)), None)
            }
        };
        let next = batches.back().map_or(0, |batch: &Batch| batch.number + 1);
        let random = fastrand::Rng::with_seed(options.seed);
        Ok((Self { accounts, batches, next, batch_rows: options.batch_rows, random }, created))
    }

    fn line(&self, version: Position, operation: &'static str) -> Line {
        let mut totals = Totals::default();
        for batch in self.batches.iter().map(Batch::totals) {
            totals.rows += batch.rows;
            totals.sum += batch.sum;
        }
        Line { version, operation, totals }
    }

    /// Makes one commit and returns its version and the name of its operation.
    async fn commit(&mut self) -> Result<(Position, &'static str), DemoError> {
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

    async fn append(&mut self) -> Result<(Position, &'static str), BoxError> {
        let batch = Batch { number: self.next, rows: self.batch_rows, moved_cents: 0 };
        let version = self.accounts.append(&batch).await?;
        self.next += 1;
        self.batches.push_back(batch);
        Ok((version, self.accounts.names().append))
    }

    /// Moves the same amount from each account of two regions to each account of the others.
    async fn transfer(&mut self) -> Result<(Position, &'static str), BoxError> {
        let cents = self.random.i64(1..1_000);
        let chosen = self.random.usize(0..self.batches.len().max(1));
        let Some(batch) = self.batches.get_mut(chosen) else { return self.append().await };
        let moved = Batch { moved_cents: batch.moved_cents + cents, ..*batch };
        let version = self.accounts.transfer(&moved, cents).await?;
        *batch = moved;
        Ok((version, self.accounts.names().transfer))
    }

    async fn delete_oldest(&mut self) -> Result<(Position, &'static str), BoxError> {
        let Some(oldest) = self.batches.front() else { return self.append().await };
        let version = self.accounts.delete(oldest).await?;
        self.batches.pop_front();
        Ok((version, self.accounts.names().delete))
    }

    /// Compacts, or appends if there is nothing to compact.
    async fn compact(&mut self) -> Result<(Position, &'static str), BoxError> {
        match self.accounts.compact().await? {
            Some(version) => Ok((version, self.accounts.names().compact)),
            None => self.append().await,
        }
    }
}
