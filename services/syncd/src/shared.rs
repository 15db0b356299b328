//! What the followers of one node share: the catalog, budgets, stores.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use driftless_catalog::status::Condition;
use driftless_catalog::{CatalogError, Priority, Table};
use table_sync_core::TableState;
use table_sync_engine::{Admission, TargetReport, TransferGate};
use tokio::time::Instant;

use crate::counters::Counters;
use crate::fair::Flow;
use crate::gate::Gate;
use crate::recorder::Recorder;
use crate::throttle::Throttle;
use crate::{Options, Stores};

/// Projects' shares are read again after this long.
const SHARES_FRESH: Duration = Duration::from_secs(30);

/// Cost of a file whose size the log does not state.
const SMALL_FILE_BYTES: u64 = 64 << 10;

/// Each file costs at least this much: a request is not free.
const FILE_BYTES_MIN: u64 = 64 << 10;

/// See the module.
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// This start of this node.
    pub(crate) node: String,
    /// When it began.
    pub(crate) began: Instant,
    pub(crate) recorder: Recorder,
    pub(crate) stores: Stores,
    pub(crate) counters: Arc<Counters>,
    /// Tables that are worked on.
    pub(crate) passes: Gate,
    /// Files in flight.
    transfers: Gate,
    bandwidth: Arc<Throttle>,
    /// Looks, by the URL of the source's store.
    looks: Mutex<HashMap<String, Arc<Throttle>>>,
    shares: Mutex<(Option<Instant>, HashMap<String, u32>)>,
}

impl Shared {
    pub(crate) fn new(options: Options, node: String, recorder: Recorder) -> Self {
        Self {
            stores: Stores::new(&options),
            passes: Gate::new(options.passes.get()),
            transfers: Gate::new(options.transfers.get()),
            bandwidth: Arc::new(Throttle::new()),
            counters: Arc::default(),
            looks: Mutex::default(),
            shares: Mutex::default(),
            node,
            began: Instant::now(),
            recorder,
            options,
        }
    }

    /// Waits until one more look at a store's tables is within its budget.
    pub(crate) async fn look_turn(&self, store_url: &str) {
        self.counters.looked();
        let throttle = {
            let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
            match looks.get(store_url) {
                Some(throttle) => Arc::clone(throttle),
                None => {
                    let throttle = Arc::new(Throttle::new());
                    looks.insert(store_url.to_owned(), Arc::clone(&throttle));
                    throttle
                }
            }
        };
        throttle.take(1, Some(self.options.looks_per_second)).await;
    }

    /// Reads the projects' shares, now and then.
    pub(crate) async fn refresh_shares(&self) -> Result<(), CatalogError> {
        let fresh = |read: &Option<Instant>| read.is_some_and(|read| read.elapsed() < SHARES_FRESH);
        if fresh(&self.shares().0) {
            return Ok(());
        }
        let projects = self.options.catalog.projects().await?;
        let shares = projects.into_iter().map(|project| (project.name, project.share)).collect();
        *self.shares() = (Some(Instant::now()), shares);
        Ok(())
    }

    fn shares(&self) -> std::sync::MutexGuard<'_, (Option<Instant>, HashMap<String, u32>)> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A table's place in the fair order.
    pub(crate) fn flow(&self, table: &Table) -> Flow {
        let project = table.name.project();
        Flow {
            project: project.to_owned(),
            project_weight: self.shares().1.get(project).copied().unwrap_or(1),
            table: table.id.clone(),
            table_weight: tier_weight(table.policy.priority).saturating_mul(table.policy.share),
        }
    }

    /// Counts what a pass did at one site, and was `before` it.
    pub(crate) fn count(&self, table: &Table, target: &TargetReport, before: Condition) {
        self.counters.passed(target.failure.is_some() || target.blocked.is_some());
        if target.state == TableState::Diverged && before != Condition::Diverged {
            self.counters.diverged();
        }
        let most_ms = i64::try_from(table.policy.lag_target_seconds() * 1_000).unwrap_or(i64::MAX);
        for receipt in &target.receipts {
            let Some(committed_ms) = receipt.committed_ms else { continue };
            let latency_ms = receipt.published_ms - committed_ms;
            self.counters.published(latency_ms, latency_ms <= most_ms);
        }
    }

    /// The gate that a table's files go through.
    pub(crate) fn transfer_gate(self: &Arc<Self>, flow: Flow) -> Arc<dyn TransferGate> {
        Arc::new(TableGate { shared: Arc::clone(self), flow })
    }
}

/// Tiers share with weights, so that the lowest goes on, slowly, while the highest has much to do.
fn tier_weight(priority: Priority) -> u32 {
    match priority {
        Priority::Critical => 64,
        Priority::Standard => 8,
        Priority::Bulk => 1,
    }
}

struct TableGate {
    shared: Arc<Shared>,
    flow: Flow,
}

#[async_trait]
impl TransferGate for TableGate {
    async fn admit(&self, bytes: Option<u64>) -> Admission {
        let cost = bytes.unwrap_or(SMALL_FILE_BYTES).max(FILE_BYTES_MIN) >> 10;
        Box::new(self.shared.transfers.enter(&self.flow, cost).await)
    }

    async fn take(&self, bytes: usize) {
        let now_ms = self.shared.options.clock.now_ms();
        let rate = self.shared.options.bandwidth.at(now_ms);
        self.shared.bandwidth.take(bytes as u64, rate).await;
    }
}
