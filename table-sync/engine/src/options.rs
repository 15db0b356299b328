//! What a pass works on, and how hard it may try.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use table_sync_core::{FileRef, Place, Position, ReplicaLog, SourceLog, Start};
use table_sync_store::Store;
use tokio::time::Instant;

use crate::{Clock, Registration, SystemClock, TransferGate};

/// The table at the source.
#[derive(Clone)]
pub struct Source {
    /// Its log.
    pub log: Arc<dyn SourceLog>,
    /// The store that holds it.
    pub store: Store,
    /// The table's path below the store root.
    pub table: String,
    /// Alias roots, by the index of [`Place::Alias`].
    pub roots: Vec<Root>,
    /// For reports: no credentials.
    pub url: String,
}

/// The table at one target.
#[derive(Clone)]
pub struct Target {
    /// The replica's log, as the only writer sees it.
    pub log: Arc<dyn ReplicaLog>,
    /// The replica's log, as any reader sees it: for verification.
    pub reader: Arc<dyn SourceLog>,
    /// The store that holds the replica.
    pub store: Store,
    /// The store whose `_driftless/` holds what we remember; usually the same.
    pub state: Store,
    /// The table's path below the store root.
    pub table: String,
    /// Alias roots, by the index of [`Place::Alias`]; the same number as at the source.
    pub roots: Vec<Root>,
    /// For reports: no credentials.
    pub url: String,
}

/// A declared folder beside the table's own root, as one side holds it: files of another table,
/// which are read at the source and created at the target, but never replaced or removed there.
#[derive(Clone)]
pub struct Root {
    /// The store that holds it.
    pub store: Store,
    /// Its path below the store root.
    pub folder: String,
}

/// How a pass is carried out.
#[derive(Clone)]
pub struct Options {
    /// Where a new replica starts.
    pub start: Start,
    /// Nothing above this position is published.
    pub until: Option<Position>,
    /// Files in flight at once, for the targets that keep pace with each other.
    pub transfers: NonZeroUsize,
    /// Bytes a second read from the source; `None` = no limit.
    pub bandwidth_limit: Option<NonZeroU64>,
    /// How long one operation is retried before it counts as failed.
    pub retry_budget: Duration,
    /// How long a commit may stay unreadable before a person is called.
    pub commit_settle: Duration,
    /// Positions whose files are copied at once; publishing stays in order.
    pub window: NonZeroUsize,
    /// How far, in bytes, one target may trail the common read of a file.
    pub fan_out_bytes: usize,
    /// How long the common read waits for a target that trails that far.
    pub fan_out_patience: Duration,
    /// Believe an earlier process that a replica is in step, as long as both logs are as it left
    /// them; one pass of sixteen looks at everything all the same. For passes by a schedule:
    /// whoever goes on in one process asks [`SourceLog::moved_past`] instead.
    pub believe: bool,
    /// Take over a replica that another tool wrote, once it was verified.
    pub adopt: bool,
    /// Remove files that no version needs which was current within this time, on the target's
    /// clock; `None` = never delete anything.
    pub retire: Option<Duration>,
    /// How long a partition that a commit brings is at a target before the commit is published:
    /// engines that list partitions first, and look at the table then, would miss its rows.
    /// `None` = no time at all.
    pub partition_lead: Option<PartitionLead>,
    /// In whose name the pass works; `None` = nobody's but the person who started it.
    pub registration: Option<Registration>,
    /// Asked before each file is copied, and for its bytes, beside the limits above.
    pub transfer_gate: Option<Arc<dyn TransferGate>>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
}

/// See [`Options::partition_lead`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLead {
    /// How long.
    pub time: Duration,
    /// Since when passes of this process bring partitions: one that is found at a target may be
    /// as new as that.
    pub since: Instant,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            start: Start::Latest,
            until: None,
            transfers: NonZeroUsize::MIN.saturating_add(15),
            bandwidth_limit: None,
            retry_budget: Duration::from_secs(60),
            commit_settle: Duration::from_secs(60),
            window: NonZeroUsize::MIN.saturating_add(7),
            fan_out_bytes: 8 << 20,
            fan_out_patience: Duration::from_secs(2),
            believe: false,
            adopt: false,
            retire: None,
            partition_lead: None,
            registration: None,
            transfer_gate: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A file lies below a root that was not opened.
#[derive(Debug, thiserror::Error)]
#[error("open the alias root of {path}: {declared} are open")]
pub(crate) struct NotOpened {
    path: String,
    declared: usize,
}

impl Source {
    /// The store that holds a file here, and its key.
    pub(crate) fn object(&self, file: &FileRef) -> Result<(&Store, String), NotOpened> {
        object(&self.store, &self.table, &self.roots, file)
    }

    /// A file as messages name it: its path below the table root, or the whole URL when it is of
    /// another table.
    pub fn name_of(&self, file: &FileRef) -> String {
        match (file.place, self.object(file)) {
            (Place::Alias(_), Ok((store, key))) => object_key(store.url(), &key),
            _ => file.path.to_string(),
        }
    }
}

impl Target {
    /// The store that holds a file here, and its key.
    pub(crate) fn object(&self, file: &FileRef) -> Result<(&Store, String), NotOpened> {
        object(&self.store, &self.table, &self.roots, file)
    }
}

fn object<'a>(
    store: &'a Store,
    table: &str,
    roots: &'a [Root],
    file: &FileRef,
) -> Result<(&'a Store, String), NotOpened> {
    let key = file.path.as_str();
    let Place::Alias(index) = file.place else { return Ok((store, object_key(table, key))) };
    let root = roots
        .get(usize::from(index))
        .ok_or_else(|| NotOpened { path: file.path.to_string(), declared: roots.len() })?;
    Ok((&root.store, object_key(&root.folder, key)))
}

/// Key of a table's object below the store root.
pub(crate) fn object_key(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}/{key}") }
}
