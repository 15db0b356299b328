//! All SQL. One set of statements for SQLite and PostgreSQL; where they differ, a [`Dialect`] says
//! how.
//!
//! SQLite has one writing connection, whose transactions begin with the write lock, so that no
//! two of them wait for each other; readers see the last committed state meanwhile (WAL).

use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Any, AnyConnection, AnyPool, Executor as _, Row as _, Transaction};

use crate::{CatalogError, Millis, Result};

mod access;
mod alerts;
mod events;
mod groups;
mod inventory;
mod leases;
mod listings;
mod operations;
mod pins;
mod places;
mod progress;
mod rules;
mod tables;

pub use access::{NewToken, Remembered};
pub use alerts::{Alert, AlertState, Audience, Due, Standing, StandingsPage};
pub use events::{EventFilter, Page};
pub use inventory::NewProject;
pub use listings::Shown;
pub use operations::NewOperation;
pub use places::{Former, Held};
pub use progress::folded;
pub use tables::{NewTable, TableFilter};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The schema that this release knows: the number of its newest migration.
pub const SCHEMA: i64 = 3;

/// Readers of SQLite at once; connections to PostgreSQL.
const CONNECTIONS: u32 = 8;

/// How long one statement waits for another process's transaction.
const BUSY_TIMEOUT_MS: u32 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The database's clock, ms since the epoch: nodes of one catalog need not agree on theirs.
    fn now_ms(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS BIGINT)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// Ends a subquery whose rows another transaction must not take at the same time.
    fn skip_locked(self) -> &'static str {
        match self {
            // The write lock is held already.
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }
}

/// The catalog in its database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    read: AnyPool,
    write: AnyPool,
    dialect: Dialect,
}

impl Catalog {
    /// Opens the database and brings its schema up to this release's. A SQLite file that is not
    /// there is made.
    ///
    /// `url`: `sqlite:///path/to/file.db`, or `postgres://user:password@host/database`.
    ///
    /// # Errors
    /// [`CatalogError::Newer`] where a later release wrote it, and what the database says.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let catalog = match url.starts_with("sqlite:") {
            true => Self::sqlite(url).await?,
            false => {
                let pool = AnyPoolOptions::new()
                    .max_connections(CONNECTIONS)
                    .acquire_timeout(Duration::from_secs(10))
                    .connect(url)
                    .await?;
                Self { read: pool.clone(), write: pool, dialect: Dialect::Postgres }
            }
        };
        catalog.migrate().await?;
        Ok(catalog)
    }

    async fn sqlite(url: &str) -> Result<Self> {
        if let Some(folder) = url.strip_prefix("sqlite://").map(Path::new).and_then(Path::parent) {
            std::fs::create_dir_all(folder)
                .map_err(|source| CatalogError::Folder { path: folder.to_owned(), source })?;
        }
        let options: AnyConnectOptions = format!("{url}?mode=rwc").parse()?;
        let pool = |connections| {
            AnyPoolOptions::new().max_connections(connections).after_connect(|connection, _| {
                Box::pin(async move {
                    let pragmas = format!(
                        "PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}; PRAGMA journal_mode = WAL; \
                         PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; \
                         PRAGMA cache_size = -8000;"
                    );
                    connection.execute(sqlx::AssertSqlSafe(pragmas)).await?;
                    Ok(())
                })
            })
        };
        let write = pool(1).connect_with(options.clone()).await?;
        // Not before the schema is brought up: a connection that knows an earlier one takes rows to
        // have its columns.
        let read = pool(CONNECTIONS).connect_lazy_with(options);
        Ok(Self { read, write, dialect: Dialect::Sqlite })
    }

    async fn migrate(&self) -> Result<()> {
        match MIGRATIONS.run(&self.write).await {
            Ok(()) => Ok(()),
            Err(MigrateError::VersionMissing(found)) => {
                Err(CatalogError::Newer { found, known: SCHEMA })
            }
            Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                Err(error.into())
            }
            Err(other) => Err(CatalogError::Foreign(other.to_string())),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Copies an embedded catalog to a file that is not there yet: a back-up, while it is in use.
    ///
    /// # Errors
    /// A file that is there or cannot be made; a catalog in PostgreSQL, which has tools of its own.
    pub async fn back_up(&self, file: &Path) -> Result<()> {
        if self.dialect == Dialect::Postgres {
            let message = "back up a catalog in PostgreSQL with pg_dump".to_owned();
            return Err(CatalogError::Invalid(message));
        }
        if file.exists() {
            return Err(CatalogError::exists("file", file.display()));
        }
        let file = file.display().to_string();
        sqlx::query("VACUUM INTO $1").bind(file).execute(&self.read).await?;
        Ok(())
    }

    /// Begins a transaction that writes.
    async fn begin(&self) -> Result<Transaction<'static, Any>> {
        Ok(match self.dialect {
            Dialect::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await?,
            Dialect::Postgres => self.write.begin().await?,
        })
    }

    /// Ends the use of the database: what was committed is on disk.
    pub async fn close(&self) {
        self.write.close().await;
        self.read.close().await;
    }
}

/// The URL of a SQLite database in this file.
pub fn database_url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

/// The next number of a counter. Whoever takes one holds the counter until the transaction ends,
/// so that numbers become visible in order and without gaps.
async fn next(connection: &mut AnyConnection, counter: &str, count: i64) -> Result<i64> {
    let sql = "UPDATE counters SET value = value + $1 WHERE name = $2 RETURNING value";
    let row = sqlx::query(sql).bind(count).bind(counter).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>("value")? - count + 1)
}

/// Reads a column that holds JSON.
fn json<T: serde::de::DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| decode(column, error))
}

/// Reads a column that holds one of a few words.
fn word<T>(row: &AnyRow, column: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    let text: String = row.try_get(column)?;
    parse(&text).ok_or_else(|| decode(column, Unknown(text)))
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not known to this release")]
struct Unknown(String);

fn decode(column: &str, error: impl std::error::Error + Send + Sync + 'static) -> CatalogError {
    let (index, source) = (column.to_owned(), Box::new(error));
    CatalogError::Database(sqlx::Error::ColumnDecode { index, source })
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    // Maps of texts, and records of this crate: nothing that JSON does not take.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// `$first, $first+1, ...`
fn placeholders(first: usize, count: usize) -> String {
    let names: Vec<_> = (first..first + count).map(|at| format!("${at}")).collect();
    names.join(", ")
}

/// Turns a refusal by a constraint into the error that it stands for.
fn refused(error: sqlx::Error, unique: CatalogError, foreign: CatalogError) -> CatalogError {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => unique,
        sqlx::Error::Database(database) if database.is_foreign_key_violation() => foreign,
        _ => error.into(),
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The database's time. Only for what nodes must agree on.
async fn database_now(connection: &mut AnyConnection, dialect: Dialect) -> Result<Millis> {
    let sql = format!("SELECT {} AS now_ms", dialect.now_ms());
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await?;
    Ok(row.try_get("now_ms")?)
}
