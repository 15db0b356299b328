//! Snapshots of real replicas, as Hudi's timeline at the site tells them.
//!
//! A look costs a listing of the timeline, and for new commits a read of each; it is shared by all
//! that ask while it runs, and for `fresh` after it: see [`Replicas::new`].
//!
//! # Invariants
//! - A partition is listed for as long as its folder is there, whether a commit has filled it yet or
//!   emptied it since: publishing waits for a while where it makes a folder, and not where there
//!   was one. Only what a look found within `fresh` is older.
//! - A partition whose folder is gone can be fetched for `grace`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex as Plain, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use driftless_catalog::Table;
use driftless_wire::{Format, Opener, Published, TableLog, TableOptions};
use table_sync_core::BoxError;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::columns::columns;
use crate::face::unescape;
use crate::snapshot::{Column, Folder, LookError, Snapshot, Snapshots};

/// Replicas that are remembered. Of those that nobody asked for longest, a tenth is forgotten.
const REPLICAS_MAX: usize = 20_000;

/// Opens replicas: what a node knows of stores and their secrets.
#[async_trait]
pub trait Opens: Send + Sync {
    /// The log of a Hudi table at a place: a URL, or `STORE:path`.
    ///
    /// # Errors
    /// The place cannot be opened on this node.
    async fn open(&self, table: &Table, place: &str) -> Result<Arc<TableLog>, BoxError>;
}

#[async_trait]
impl Opens for Opener {
    async fn open(&self, _: &Table, place: &str) -> Result<Arc<TableLog>, BoxError> {
        let options = TableOptions { format: Some(Format::Hudi), ..TableOptions::default() };
        Ok(self.table(place, &[], &options)?.log)
    }
}

/// See the module.
pub struct Replicas {
    opens: Arc<dyn Opens>,
    fresh: Duration,
    grace: Duration,
    known: Plain<HashMap<String, Arc<Known>>>,
}

/// What is known of one place.
struct Known {
    used: Plain<Instant>,
    merges: Plain<Option<bool>>,
    look: Mutex<Option<Look>>,
}

/// The last look at a replica.
struct Look {
    log: Arc<TableLog>,
    published: Published,
    at: Instant,
    /// Partitions that left the list, and when.
    gone: BTreeMap<Vec<String>, (Folder, Instant)>,
    snapshot: Arc<Snapshot>,
}

impl Replicas {
    /// Opens nothing yet.
    ///
    /// - `fresh`: how long what was found is told again without a look. Publishing has to wait
    ///   longer than that after the first file of a new partition.
    /// - `grace`: how long a partition that is no longer listed can be fetched. Longer than a query
    ///   takes to be planned.
    pub fn new(opens: Arc<dyn Opens>, fresh: Duration, grace: Duration) -> Self {
        Self { opens, fresh, grace, known: Plain::default() }
    }

    fn known(&self, place: &str) -> Arc<Known> {
        let now = Instant::now();
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REPLICAS_MAX && !all.contains_key(place) {
            let mut used: Vec<_> = all.values().map(|known| known.used()).collect();
            used.sort_unstable();
            let keep = used.get(REPLICAS_MAX / 10).copied().unwrap_or(now);
            all.retain(|_, known| known.used() > keep);
        }
        let known = all.entry(place.to_owned()).or_insert_with(|| {
            let (used, merges, look) = (Plain::new(now), Plain::default(), Mutex::default());
            Arc::new(Known { used, merges, look })
        });
        *known.used.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Arc::clone(known)
    }

    async fn look(
        &self,
        table: &Table,
        place: &str,
        before: Option<&Look>,
    ) -> Result<Look, LookError> {
        let name = || table.name.to_string();
        let unread = |source| LookError::Unread { table: name(), source };
        let unfit = |what| LookError::Unfit { table: name(), what };
        let log = match before {
            Some(before) => Arc::clone(&before.log),
            None => self.opens.open(table, place).await.map_err(unread)?,
        };
        let at = Instant::now();
        let published = log.hudi.published(before.map(|before| &before.published)).await;
        let published = published.map_err(|error| unread(error.into()))?;
        let published = published.ok_or_else(|| unfit("nothing is published there".to_owned()))?;
        let mut snapshot = snapshot(&published).map_err(unfit)?;
        let mut gone = BTreeMap::new();
        if let Some(before) = before {
            gone.clone_from(&before.gone);
            for (values, folder) in &before.snapshot.partitions {
                gone.entry(values.clone()).or_insert_with(|| (folder.clone(), at));
            }
        }
        gone.retain(|values, (_, since)| {
            !snapshot.partitions.contains_key(values) && since.elapsed() < self.grace
        });
        let folders = gone.iter().map(|(values, (folder, _))| (values.clone(), folder.clone()));
        snapshot.gone = folders.collect();
        let snapshot = Arc::new(snapshot);
        Ok(Look { log, published, at, gone, snapshot })
    }
}

impl Known {
    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn merges(&self) -> Option<bool> {
        *self.merges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_merges(&self, merges: bool) {
        *self.merges.lock().unwrap_or_else(PoisonError::into_inner) = Some(merges);
    }
}

#[async_trait]
impl Snapshots for Replicas {
    async fn snapshot(&self, table: &Table, place: &str) -> Result<Arc<Snapshot>, LookError> {
        let known = self.known(place);
        let mut look = known.look.lock().await;
        if let Some(look) = look.as_ref().filter(|look| look.at.elapsed() < self.fresh) {
            return Ok(Arc::clone(&look.snapshot));
        }
        let newer = self.look(table, place, look.as_ref()).await?;
        known.set_merges(newer.snapshot.merges);
        let snapshot = Arc::clone(&newer.snapshot);
        *look = Some(newer);
        Ok(snapshot)
    }

    async fn merges(&self, table: &Table, place: &str) -> Result<bool, LookError> {
        let known = self.known(place);
        if let Some(merges) = known.merges() {
            return Ok(merges);
        }
        let unread = |source| LookError::Unread { table: table.name.to_string(), source };
        let log = self.opens.open(table, place).await.map_err(unread)?;
        let found = log.hudi.merges().await.map_err(|error| unread(error.into()))?;
        let merges = found.ok_or_else(|| unread("there is no Hudi table".into()))?;
        known.set_merges(merges);
        Ok(merges)
    }
}

/// What a replica holds, in the words of a metastore.
fn snapshot(published: &Published) -> Result<Snapshot, String> {
    let schema = published.schema.as_deref();
    let schema = schema.ok_or_else(|| "none of its commits states a schema".to_owned())?;
    let mut columns = columns(schema, published.meta_columns)?;
    let mut partition_columns = Vec::new();
    for name in &published.partition_fields {
        let at = columns.iter().position(|column| column.name == *name);
        let own = at.map(|at| columns.remove(at));
        partition_columns.push(partition_column(name, own, published));
    }
    let mut partitions = BTreeMap::new();
    for folder in &published.partitions {
        let values = values(folder, published).ok_or_else(|| {
            format!("its partition {folder} does not say the values of its columns")
        })?;
        partitions.insert(values, folder.clone());
    }
    // Those without rows are listed too: they are harmless, and one that is missing when a commit
    // fills it is not.
    for folder in &published.others {
        if let Some(values) = values(folder, published) {
            partitions.entry(values).or_insert_with(|| folder.clone());
        }
    }
    if partition_columns.is_empty() {
        partitions.clear();
    }
    Ok(Snapshot {
        position: published.head,
        merges: published.merges,
        columns,
        partition_columns,
        partitions,
        gone: BTreeMap::new(),
    })
}

/// A column by which a table is partitioned. What its generator makes of a value is a text where it
/// is not the value itself.
fn partition_column(name: &str, own: Option<Column>, published: &Published) -> Column {
    let generator = published.key_generator.as_deref().unwrap_or_default().to_uppercase();
    let rewrites = generator.contains("TIMESTAMP") || generator.contains("CUSTOM");
    let simple = |column: &Column| {
        let hive = column.hive.as_str();
        matches!(hive, "string" | "int" | "bigint" | "boolean" | "date")
    };
    match own.filter(|column| !rewrites && simple(column)) {
        Some(column) => column,
        None => Column {
            name: name.to_owned(),
            hive: "string".to_owned(),
            spark: serde_json::json!("string"),
            nullable: true,
        },
    }
}

/// The values that a partition's folder says; `None` where it says others than there are columns.
fn values(folder: &str, published: &Published) -> Option<Vec<String>> {
    let fields = &published.partition_fields;
    let decode = |text: &str| match published.encoded {
        true => unescape(text),
        false => text.to_owned(),
    };
    let value = |field: &String, text: &str| {
        let own = text.split_once('=').filter(|(name, _)| published.hive_style && name == field);
        decode(own.map_or(text, |(_, value)| value))
    };
    let segments: Vec<_> = folder.split('/').collect();
    match fields.as_slice() {
        [] => Some(Vec::new()),
        _ if fields.len() == segments.len() => {
            Some(fields.iter().zip(segments).map(|(field, text)| value(field, text)).collect())
        }
        // A date such as 2024/01/31 is one value.
        [field] => Some(vec![value(field, folder)]),
        _ => None,
    }
}
