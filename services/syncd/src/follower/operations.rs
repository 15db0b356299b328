//! Operations that a follower carries out: a sync that is waited for, a replica begun anew.

use std::collections::BTreeSet;

use driftless_catalog::transition::OperationState;
use driftless_catalog::{CatalogError, Operation, OperationKind};
use tokio::time::Instant;

use super::{Loop, Place};

/// Queries that run at a place which readers are no longer shown may go on for this long.
const OLD_PLACE_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// An operation that is carried out.
pub(super) struct Asked {
    operation: Operation,
    pub(super) at: Instant,
    /// Sites at which no pass has ended that began later.
    pub(super) waits: BTreeSet<usize>,
}

impl Loop<'_> {
    /// Takes over the operations that this loop carries out.
    pub(super) async fn take_operations(&mut self) -> Result<(), CatalogError> {
        let catalog = self.follower.shared.options.catalog.clone();
        let now_ms = self.follower.shared.options.clock.now_ms();
        for operation in catalog.open_operations(Some(&self.follower.id)).await? {
            let known = self.operations.iter().any(|asked| asked.operation.id == operation.id);
            if known || !matches!(operation.kind, OperationKind::Sync | OperationKind::Resync) {
                continue;
            }
            let running = OperationState::Running;
            if !catalog.advance(&operation.id, running, (None, None), now_ms).await? {
                continue;
            }
            let moved = operation.progress.get("moved").is_some();
            if operation.kind == OperationKind::Resync && !moved {
                // The table's row changes, and this loop begins anew with it.
                self.begin_anew(&operation).await?;
            } else {
                let (at, waits) = (Instant::now(), (0..self.places.len()).collect());
                self.operations.push(Asked { operation, at, waits });
            }
        }
        Ok(())
    }

    /// Gives replicas new places, where they are begun anew. Readers are shown the old ones until
    /// the new ones are whole.
    async fn begin_anew(&mut self, operation: &Operation) -> Result<(), CatalogError> {
        let catalog = self.follower.shared.options.catalog.clone();
        let now_ms = self.follower.shared.options.clock.now_ms();
        let site = operation.request.get("site").and_then(|site| site.as_str());
        let mut moved = Vec::new();
        for place in &self.places {
            let owner = &place.owner;
            if site.is_some_and(|site| site != owner.site) {
                continue;
            }
            let from = (owner.incarnation, Some(OLD_PLACE_KEPT_MS));
            catalog.new_incarnation(&self.table.name, &owner.site, from, now_ms).await?;
            moved.push(&owner.site);
        }
        let progress = serde_json::json!({ "moved": moved });
        let running = OperationState::Running;
        catalog.advance(&operation.id, running, (Some(&progress), None), now_ms).await?;
        Ok(())
    }

    /// Ends the operations that no site is waited for.
    pub(super) async fn end_operations(&mut self) {
        let (ended, open) = std::mem::take(&mut self.operations)
            .into_iter()
            .partition(|asked| asked.waits.is_empty());
        self.operations = open;
        let ended: Vec<Asked> = ended;
        if ended.is_empty() {
            return;
        }
        let troubled = self.places.iter().find(|place| place.progress.reason.is_some());
        let error = troubled.map(|place| {
            let reason = place.progress.reason.as_deref().unwrap_or_default();
            format!("at {}: {reason}", place.owner.site)
        });
        let state = match error {
            Some(_) => OperationState::Failed,
            None => OperationState::Succeeded,
        };
        let head = |place: &Place| (place.owner.site.clone(), place.progress.head);
        let heads: std::collections::BTreeMap<_, _> = self.places.iter().map(head).collect();
        let progress = serde_json::json!({ "heads": heads });
        let shared = &self.follower.shared;
        let now_ms = shared.options.clock.now_ms();
        for Asked { operation, .. } in ended {
            let how = (Some(&progress), error.as_deref());
            if let Err(error) =
                shared.options.catalog.advance(&operation.id, state, how, now_ms).await
            {
                tracing::warn!(operation = operation.id, %error, "end an operation");
            }
        }
    }
}
