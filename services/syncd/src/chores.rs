//! Chores: what a node does beside following tables: looking for new ones, and forgetting old
//! records. Each is done by one node at a time, whichever comes first.

use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::transition::OperationState;
use driftless_catalog::{
    CatalogError, Found, FoundState, FoundTable, NewTable, OperationKind, Policy, Rule, TableName,
};
use table_sync_core::with_causes;
use table_sync_engine::erase;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::shared::Shared;

/// How often old records are removed.
const EXPIRE_EVERY: Duration = Duration::from_secs(10 * 60);

/// How often it is looked whether a discovery rule is due.
const RULES_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked whether former replicas may be deleted.
const ERASE_EVERY: Duration = Duration::from_secs(30);

/// Events are kept this long.
const EVENTS_KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// Records of the audit that are removed at once, so that no change waits for long.
const AUDIT_BATCH: u64 = 1_000;

/// How often that is done in one turn.
const AUDIT_BATCHES_MAX: usize = 100;

/// Receipts of each replica that are kept.
const RECEIPTS_KEPT: i64 = 10_000;

/// The running chores.
pub(crate) struct Chores(AbortHandle);

impl Chores {
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        let every = |time| {
            let mut ticks = interval(time);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let task = tokio::spawn(async move {
            let (mut expiry, mut rules) = (every(EXPIRE_EVERY), every(RULES_EVERY));
            let mut erasing = every(ERASE_EVERY);
            loop {
                let done = tokio::select! {
                    _ = expiry.tick() => expire(&shared).await,
                    _ = rules.tick() => discover(&shared).await,
                    _ = erasing.tick() => erase_former(&shared).await,
                };
                if let Err(error) = done {
                    tracing::warn!(error = with_causes(&error), "a chore failed");
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
    expire_audit(shared, now_ms).await
}

async fn expire_audit(shared: &Shared, now_ms: i64) -> Result<(), CatalogError> {
    let kept_ms = i64::try_from(shared.options.audit_kept.as_millis()).unwrap_or(i64::MAX);
    let before_ms = now_ms.saturating_sub(kept_ms);
    for _ in 0..AUDIT_BATCHES_MAX {
        if shared.options.catalog.expire_audit(before_ms, AUDIT_BATCH).await? < AUDIT_BATCH {
            break;
        }
    }
    Ok(())
}

/// Deletes the replicas that nobody is to read any more.
async fn erase_former(shared: &Shared) -> Result<(), CatalogError> {
    let catalog = &shared.options.catalog;
    let now_ms = shared.options.clock.now_ms();
    for (location, site, table) in catalog.due_locations(now_ms).await? {
        // A replica is opened as a table of its own: nothing is asked of its source any more.
        let (places, policy) = (std::slice::from_ref(&location), Policy::default());
        let opened = match shared.stores.table(&location, places, &policy).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(location, error = error.message(), "open a former replica");
                continue;
            }
        };
        for target in &opened.targets {
            match erase(target, &table).await {
                Ok(objects) => {
                    tracing::info!(location, site, table, objects, "a former replica was deleted");
                    catalog.location_deleted(&location).await?;
                }
                Err(failure) => {
                    tracing::warn!(location, error = failure.message, "delete a former replica");
                }
            }
        }
    }
    Ok(())
}

/// Carries out the discovery rules that are due.
async fn discover(shared: &Shared) -> Result<(), CatalogError> {
    let catalog = &shared.options.catalog;
    for rule in catalog.rules().await? {
        let now_ms = shared.options.clock.now_ms();
        let every_ms = i64::try_from(rule.spec.every_seconds * 1_000).unwrap_or(i64::MAX);
        let due = rule.last_run_ms.is_none_or(|last| last <= now_ms - every_ms);
        if !due || !catalog.take_rule(&rule.name, now_ms - every_ms, now_ms).await? {
            continue;
        }
        let found = match shared.stores.expand(&rule.spec.pattern).await {
            Ok(found) => found,
            Err(error) => {
                let why = error.message();
                tracing::warn!(rule = rule.name, why, "look for tables");
                catalog.found(&rule.name, &[], Some(&why), now_ms).await?;
                continue;
            }
        };
        let mut tables = Vec::new();
        for (path, source) in found {
            tables.extend(register(shared, &rule, (&path, source)).await?);
        }
        catalog.found(&rule.name, &tables, None, now_ms).await?;
    }
    Ok(())
}

/// Registers a table that a rule found, unless it is; `None` where the rule leaves it out.
async fn register(
    shared: &Shared,
    rule: &Rule,
    (path, source): (&str, String),
) -> Result<Option<FoundTable>, CatalogError> {
    let catalog = &shared.options.catalog;
    let now_ms = shared.options.clock.now_ms();
    let found = |table: Option<&TableName>, state, message| FoundTable {
        source: source.clone(),
        table: table.map(ToString::to_string),
        state,
        message,
        seen_ms: now_ms,
    };
    let name = match rule.spec.found(path) {
        Found::Table(name) => name,
        Found::Excluded => return Ok(None),
        Found::Unnamed(why) => return Ok(Some(found(None, FoundState::Refused, Some(why)))),
    };
    let known = match catalog.table(&name).await {
        Ok(table) => Some(table.source),
        Err(CatalogError::NotFound { .. }) => None,
        Err(error) => return Err(error),
    };
    if let Some(other) = known {
        let (state, message) = match other == source {
            true => (FoundState::Registered, None),
            false => (FoundState::Refused, Some(format!("{name} is the table at {other}"))),
        };
        return Ok(Some(found(Some(&name), state, message)));
    }
    let new = NewTable {
        name: name.clone(),
        source: source.clone(),
        policy: rule.spec.policy.clone(),
        sites: rule.spec.sites.clone(),
        rule: Some(rule.name.clone()),
        paused: rule.spec.paused,
    };
    let (state, message) = match catalog.register(&new, now_ms).await {
        Ok(_) => (FoundState::Registered, None),
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => (FoundState::Refused, Some(with_causes(&error))),
    };
    Ok(Some(found(Some(&name), state, message)))
}

/// Forgets a table that nobody follows any more.
pub(crate) async fn forget(shared: &Shared, table: &str) -> Result<(), CatalogError> {
    let catalog = &shared.options.catalog;
    let now_ms = shared.options.clock.now_ms();
    let open = catalog.open_operations(Some(table)).await?;
    let operation = open.into_iter().find(|one| one.kind == OperationKind::Unregister);
    let delete_after_ms = operation.as_ref().and_then(|one| {
        let delete = one.request.get("replicas")? == "delete";
        let grace_ms = one.request.get("grace_seconds")?.as_i64()?.checked_mul(1_000)?;
        delete.then(|| now_ms.saturating_add(grace_ms))
    });
    let name = catalog.table_by_id(table).await?.name;
    catalog.forget(&name, delete_after_ms, now_ms).await?;
    if let Some(operation) = operation {
        for state in [OperationState::Running, OperationState::Succeeded] {
            catalog.advance(&operation.id, state, (None, None), now_ms).await?;
        }
    }
    Ok(())
}
