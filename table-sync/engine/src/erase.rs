//! Erasing: a replica that nobody is to read any more, deleted as a whole.
//!
//! # Invariants
//! - Only the folder of the replica is touched, and only while its descriptor names the table that
//!   is meant, or is gone.
//! - A reader that is still there fails; it is never shown an older state, or half of one: objects
//!   go in the turns of [`Farewell`](table_sync_core::Farewell).
//! - The descriptor goes last, so that whoever goes on after a crash knows what it deletes.

use std::ops::ControlFlow;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use table_sync_core::Farewell;

use crate::Target;
use crate::descriptor::{self, descriptor_key};
use crate::lane::{target_read_failure, target_write_failure};
use crate::options::object_key;
use crate::report::{Failure, FailureCode};

/// Deletes in flight at once.
const DELETES_AT_ONCE: usize = 16;

/// Objects that are listed and deleted at a time: what bounds the memory.
const BATCH: usize = 10_000;

/// Deletes the whole replica at a target. `table`: the name that its descriptor must hold. Answers
/// how many objects were deleted. May be repeated: what is gone is gone.
///
/// # Errors
/// The replica is another table's, or the target failed; then it is to be repeated.
pub async fn erase(target: &Target, table: &str) -> Result<u64, Failure> {
    let loaded = descriptor::load(&target.state, &target.table).await;
    let loaded = loaded.map_err(|error| Failure::new(FailureCode::TargetUnavailable, &error))?;
    let found = loaded.as_ref().and_then(|loaded| loaded.descriptor.table.as_deref());
    if loaded.is_some() && found != Some(table) {
        let found = found.unwrap_or("a table without a name").to_owned();
        let error = NotOurs { url: target.url.clone(), found, table: table.to_owned() };
        return Err(Failure::new(FailureCode::Contended, &error));
    }
    let mut deleted = 0;
    for turn in Farewell::ALL {
        deleted += one_turn(target, turn).await?;
    }
    let key = descriptor_key(&target.table);
    let gone = target.state.delete(&key, loaded.as_ref().map(|loaded| &loaded.identity)).await;
    gone.map_err(|error| target_write_failure(&error))?;
    Ok(deleted)
}

#[derive(Debug, thiserror::Error)]
#[error("{url} holds {found}, not {table}: it is not deleted")]
struct NotOurs {
    url: String,
    found: String,
    table: String,
}

async fn one_turn(target: &Target, turn: Farewell) -> Result<u64, Failure> {
    let prefix = object_key(&target.table, "");
    let mut deleted = 0;
    loop {
        let mut keys = Vec::new();
        let listed = target.store.list(&prefix, None, |object| {
            let key = object.key.strip_prefix(&prefix).unwrap_or_default();
            if target.log.farewell(key) == turn {
                keys.push(object.key.to_string());
            }
            if keys.len() < BATCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        listed.await.map_err(|error| target_read_failure(&error))?;
        if keys.is_empty() {
            return Ok(deleted);
        }
        deleted += keys.len() as u64;
        // Commits go one after the other: among them the order is what keeps readers from an
        // older state.
        let at_once = if turn == Farewell::Data { DELETES_AT_ONCE } else { 1 };
        stream::iter(keys)
            .map(async |key| target.store.delete(&key, None).await)
            .buffered(at_once)
            .try_for_each(async |()| Ok(()))
            .await
            .map_err(|error| target_write_failure(&error))?;
    }
}
