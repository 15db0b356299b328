//! Snapshots of real replicas, as the log at the site tells them.
//!
//! A look at a Hudi table costs a listing of the timeline, and for new commits a read of each; it is shared by all
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
use driftless_wire::{Published, TableLog};
use table_sync_core::BoxError;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::columns::columns;
use crate::partitioning::{partition_column, values};
use crate::snapshot::{Folder, LookError, Snapshot, Snapshots};

/// Replicas that are remembered. Of those that nobody asked for longest, a tenth is forgotten.
const REPLICAS_MAX: usize = 20_000;

/// Opens replicas: what a node knows of stores and their secrets.
#[async_trait]
pub trait Opens: Send + Sync {
    /// The log of a table at a place: a URL, or `STORE:path`.
    ///
    /// # Errors
    /// The place cannot be opened on this node.
    async fn open(&self, table: &Table, place: &str) -> Result<Arc<TableLog>, BoxError>;
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
    /// The columns that were asked for last: of one version they stay what they are.
    schema: Plain<Option<(u64, Arc<str>)>>,
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
            let (merges, schema) = (Plain::default(), Plain::default());
            Arc::new(Known { used: Plain::new(now), merges, schema, look: Mutex::default() })
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

    fn schema(&self, version: u64) -> Option<Arc<str>> {
        let schema = self.schema.lock().unwrap_or_else(PoisonError::into_inner);
        schema.as_ref().filter(|(of, _)| *of == version).map(|(_, schema)| Arc::clone(schema))
    }

    fn set_schema(&self, version: u64, schema: &Arc<str>) {
        let mut last = self.schema.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((version, Arc::clone(schema)));
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

    async fn schema(
        &self,
        table: &Table,
        place: &str,
        version: u64,
    ) -> Result<Option<Arc<str>>, LookError> {
        let known = self.known(place);
        if let Some(schema) = known.schema(version) {
            return Ok(Some(schema));
        }
        let unread = |source| LookError::Unread { table: table.name.to_string(), source };
        let log = self.opens.open(table, place).await.map_err(unread)?;
        let found = log.delta.schema(version).await.map_err(|error| unread(error.into()))?;
        let found = found.map(Arc::<str>::from);
        if let Some(schema) = &found {
            known.set_schema(version, schema);
        }
        Ok(found)
    }
}

/// What a replica holds, in the words of a metastore.
fn snapshot(published: &Published) -> Result<Snapshot, String> {
    let Published { partition_fields: fields, hive_style, .. } = published;
    let schema = published.schema.as_deref();
    let schema = schema.ok_or_else(|| "none of its commits states a schema".to_owned())?;
    let mut columns = columns(schema, published.meta_columns)?;
    let mut partitions = BTreeMap::new();
    for folder in &published.partitions {
        let values = values(folder, fields, *hive_style).ok_or_else(|| {
            format!("its partition {folder} does not say the values of its columns")
        })?;
        partitions.insert(values, folder.clone());
    }
    // Those without rows are listed too: they are harmless, and one that is missing when a commit
    // fills it is not.
    for folder in &published.others {
        if let Some(values) = values(folder, fields, *hive_style) {
            partitions.entry(values).or_insert_with(|| folder.clone());
        }
    }
    if fields.is_empty() {
        partitions.clear();
    }
    let mut partition_columns = Vec::with_capacity(fields.len());
    for (at, name) in fields.iter().enumerate() {
        let own = columns.iter().position(|column| column.name == *name);
        let own = own.map(|own| columns.remove(own));
        let values = partitions.keys().filter_map(|values| values.get(at));
        let generator = published.key_generator.as_deref();
        partition_columns.push(partition_column(name, own, generator, values));
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
