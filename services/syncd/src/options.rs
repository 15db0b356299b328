//! What a daemon works with.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::Catalog;
use table_sync_engine::{Clock, SystemClock};
use table_sync_store::Settings;
use tokio::sync::Notify;

use crate::Timetable;

/// See the module.
#[derive(Clone)]
pub struct Options {
    /// The catalog.
    pub catalog: Catalog,
    /// This node's name, for people.
    pub node: String,
    /// How long the node's heartbeat is good for. Another node takes over after that.
    pub lease: Duration,
    /// How requests to stores are made.
    pub settings: Settings,
    /// Folder of the files that the catalog's stores may name for a secret.
    pub secrets: Option<PathBuf>,
    /// Folders below which tables and sites of the local file system may lie.
    pub files: Vec<PathBuf>,
    /// Where our own objects are kept, instead of under `_driftless/` at each site.
    pub state: Option<String>,
    /// Tables that are worked on at once. Looking at a source is not work.
    pub passes: NonZeroUsize,
    /// Files in flight at once, over all tables.
    pub transfers: NonZeroUsize,
    /// Bytes a second that may be read from sources, by time of day.
    pub bandwidth: Timetable,
    /// The least wait between two looks at one source.
    pub poll_least: Duration,
    /// Looks a second at the sources in one bucket.
    pub looks_per_second: NonZeroU64,
    /// How long one operation is retried before it counts as failed.
    pub retry_budget: Duration,
    /// How long records of the audit are kept.
    pub audit_kept: Duration,
    /// How long a stop may take.
    pub drain: Duration,
    /// Told when something in the catalog was changed by this process.
    pub changed: Arc<Notify>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
}

impl Options {
    /// Usual values.
    pub fn new(catalog: Catalog, node: impl Into<String>) -> Self {
        let at_least = |count: usize| NonZeroUsize::MIN.saturating_add(count - 1);
        Self {
            catalog,
            node: node.into(),
            lease: Duration::from_secs(20),
            settings: Settings::default(),
            secrets: None,
            files: Vec::new(),
            state: None,
            passes: at_least(64),
            transfers: at_least(64),
            bandwidth: Timetable::default(),
            poll_least: Duration::from_secs(1),
            looks_per_second: NonZeroU64::MIN.saturating_add(499),
            retry_budget: Duration::from_secs(20),
            audit_kept: Duration::from_secs(400 * 24 * 60 * 60),
            drain: Duration::from_secs(10),
            changed: Arc::new(Notify::new()),
            clock: Arc::new(SystemClock),
        }
    }
}
