//! Chores: what a node does beside following tables.

use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::transition::OperationState;
use driftless_catalog::{CatalogError, OperationKind};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::shared::Shared;

/// How often old records are removed.
const EXPIRE_EVERY: Duration = Duration::from_secs(10 * 60);

/// Events are kept this long.
const EVENTS_KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// Receipts of each replica that are kept.
const RECEIPTS_KEPT: i64 = 10_000;

/// The running chores.
pub(crate) struct Chores(AbortHandle);

impl Chores {
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        let task = tokio::spawn(async move {
            let mut ticks = interval(EXPIRE_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Err(error) = expire(&shared).await {
                    tracing::warn!(%error, "remove old records");
                }
            }
        });
        Self(task.abort_handle())
    }

    pub(crate) fn stop(&mut self) {
        self.0.abort();
    }
}

async fn expire(shared: &Shared) -> Result<(), CatalogError> {
    let now_ms = shared.options.clock.now_ms();
    shared.options.catalog.expire_events(now_ms - EVENTS_KEPT_MS).await?;
    shared.options.catalog.expire_versions(RECEIPTS_KEPT).await?;
    Ok(())
}

/// Forgets a table that nobody follows any more.
pub(crate) async fn forget(shared: &Shared, table: &str) -> Result<(), CatalogError> {
    let catalog = &shared.options.catalog;
    let now_ms = shared.options.clock.now_ms();
    let open = catalog.open_operations(Some(table)).await?;
    let operation = open.into_iter().find(|one| one.kind == OperationKind::Unregister);
    let grace_ms = operation.as_ref().and_then(|one| one.request.get("delete_after_ms")?.as_i64());
    let name = catalog.table_by_id(table).await?.name;
    catalog.forget(&name, grace_ms, now_ms).await?;
    if let Some(operation) = operation {
        for state in [OperationState::Running, OperationState::Succeeded] {
            catalog.advance(&operation.id, state, (None, None), now_ms).await?;
        }
    }
    Ok(())
}
