//! What we remember beside the tables of a store: `_driftless/replicas/<table>.json`.
//!
//! A descriptor names the source of a replica and its head after the last pass. It saves a
//! listing; it is never the truth about the replica: a head that the log does not show is
//! ignored. It is written by compare-and-set, and only when something changed.

use std::ops::ControlFlow;

use futures::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use table_sync_core::limits::SMALL_OBJECT_BYTES_MAX;
use table_sync_core::{Hint, ObjectIdentity, Position};
use table_sync_store::{ReadError, Store, WriteError};

/// Layout of the descriptor. A reader accepts its own and lower numbers, and ignores fields that
/// it does not know, so that two neighbouring releases can share a store.
pub(crate) const LAYOUT: u32 = 1;

/// Where descriptors are, and how their keys end.
const FOLDER: &str = "_driftless/replicas/";
const SUFFIX: &str = ".json";

/// Descriptors that are read at once when all are.
const READS_AT_ONCE: usize = 16;

/// The descriptor of one replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Layout number, [`LAYOUT`].
    pub layout: u32,
    /// The source's URL, without credentials.
    pub source: String,
    /// Table format.
    pub format: String,
    /// Head after the last pass.
    pub head: Option<Position>,
    /// SHA-256 of the head's commit object as it was published, in hexadecimal.
    #[serde(default)]
    pub head_sha256: Option<String>,
    /// Lowest readable position after the last pass.
    pub earliest_readable: Option<Position>,
    /// The table's folder was empty when we started: every object in it is ours, and whole.
    pub ours_from_start: bool,
    /// The store was probed and is fit to be a target.
    pub store_fit: bool,
    /// Digest of both logs' listings when nothing was left to attach: an equal one needs no look.
    #[serde(default)]
    pub settled: Option<String>,
    /// Files that only positions below this one need were removed.
    #[serde(default)]
    pub retired_through: Option<Position>,
    /// The same, where the removal has begun and is not known to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<Position>,
    /// When the replica held all that the source had committed, oldest first: only for logs that
    /// do not tell since when something is visible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complete: Vec<Complete>,
    /// How both logs were when the replica was left in step with its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_step: Option<InStep>,
    /// Fencing number of the owner that deletes; grows with each owner.
    #[serde(default)]
    pub epoch: u64,
    /// The table's whole name in the catalog that registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The project that it belongs to there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The site's name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// How many times the source's table was created anew, as the catalog counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u32>,
}

/// How both logs were when a replica held all that its source had committed, and nothing was left
/// to do. Only for logs of which a whole look costs more than to ask for this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InStep {
    /// Mark of the source's log: see [`table_sync_core::SourceLog::mark`].
    pub source: String,
    /// Mark of the replica's.
    pub replica: String,
    /// When the head was committed, on the source's clock: ms since the epoch.
    pub committed_ms: Option<i64>,
}

/// A moment at which a replica held all that its source had committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// Its head then.
    pub head: Position,
    /// When, by the target's clock: ms since the epoch.
    pub at_ms: i64,
}

impl Descriptor {
    /// The lowest position that readers can open, given the lowest one that the log shows.
    pub(crate) fn earliest(&self, log: Option<Position>) -> Option<Position> {
        log.max(self.retired().filter(|_| log.is_some()))
    }

    /// Below this position files may be gone.
    pub(crate) fn retired(&self) -> Option<Position> {
        self.retired_through.max(self.retiring)
    }

    pub(crate) fn hint(&self) -> Option<Hint> {
        Some(Hint { head: self.head?, earliest_readable: self.earliest_readable? })
    }
}

/// A descriptor as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) descriptor: Descriptor,
    pub(crate) identity: ObjectIdentity,
}

/// Key of a table's descriptor below the store root.
pub fn descriptor_key(table: &str) -> String {
    format!("{FOLDER}{table}{SUFFIX}")
}

/// Key of the remembered probe result below the store root.
pub fn probe_key() -> &'static str {
    "_driftless/probe.json"
}

/// Why a descriptor could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// A later release wrote it.
    #[error("{key} was written by a newer release (layout {layout}); upgrade this one")]
    Newer {
        /// Key below the store root.
        key: String,
        /// Its layout number.
        layout: u32,
    },
    /// It is not ours, or not whole.
    #[error("{key} does not parse; remove it and run again with --adopt")]
    Damaged {
        /// Key below the store root.
        key: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// The store failed.
    #[error("read {key}")]
    Read {
        /// Key below the store root.
        key: String,
        /// The cause.
        source: ReadError,
    },
}

/// Reads every descriptor that a store keeps, in no order. `each` gets the table's path below the
/// store root, and the descriptor or why there is none.
///
/// For rebuilding a catalog. Memory: the paths of the tables, and a few descriptors.
///
/// # Errors
/// A store that cannot be listed.
pub async fn descriptors(
    state: &Store,
    mut each: impl FnMut(&str, Result<Descriptor, DescriptorError>),
) -> Result<(), ReadError> {
    let mut tables = Vec::new();
    let listed = state.list(FOLDER, None, |object| {
        let table = object.key.strip_prefix(FOLDER).and_then(|key| key.strip_suffix(SUFFIX));
        tables.extend(table.map(str::to_owned));
        ControlFlow::Continue(())
    });
    listed.await?;
    let mut read = stream::iter(tables)
        .map(async |table| {
            let loaded = load(state, &table).await;
            (table, loaded)
        })
        .buffer_unordered(READS_AT_ONCE);
    while let Some((table, loaded)) = read.next().await {
        match loaded {
            Ok(Some(loaded)) => each(&table, Ok(loaded.descriptor)),
            // Removed since it was listed.
            Ok(None) => {}
            Err(error) => each(&table, Err(error)),
        }
    }
    Ok(())
}

pub(crate) async fn load(state: &Store, table: &str) -> Result<Option<Loaded>, DescriptorError> {
    let key = descriptor_key(table);
    let found = state.get(&key, SMALL_OBJECT_BYTES_MAX).await;
    let found = found.map_err(|source| DescriptorError::Read { key: key.clone(), source })?;
    let Some((bytes, facts)) = found else { return Ok(None) };
    #[derive(Deserialize)]
    struct LayoutOnly {
        layout: u32,
    }
    let damaged = |source| DescriptorError::Damaged { key: key.clone(), source };
    let LayoutOnly { layout } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if layout > LAYOUT {
        return Err(DescriptorError::Newer { key, layout });
    }
    let descriptor = serde_json::from_slice(&bytes).map_err(damaged)?;
    Ok(Some(Loaded { descriptor, identity: facts.identity }))
}

/// Writes the descriptor over what was read. A lost race is no error: the other process wrote
/// what it saw, and both saw the same log.
pub(crate) async fn save(
    state: &Store,
    table: &str,
    descriptor: &Descriptor,
    expect: Option<&ObjectIdentity>,
) -> Result<Option<ObjectIdentity>, WriteError> {
    let key = descriptor_key(table);
    let mut body = serde_json::to_vec_pretty(descriptor).unwrap_or_default();
    body.push(b'\n');
    match state.replace(&key, body.into(), expect).await {
        Ok(facts) => Ok(Some(facts.identity)),
        Err(WriteError::Changed { .. } | WriteError::Exists { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
