//! A replica's log, as three kinds of readers open it.
//!
//! # Invariants
//! - The head is a version that Spark, Trino and kernel readers all open; what only some of them
//!   open is `unfinished`.
//! - What no publication of this program leaves behind stops the table.
//!
//! Source: behaviour measured with Spark 3.5, Trino 476 and delta-rs on every intermediate state.

use async_trait::async_trait;
use table_sync_core::{
    BlockCode, Blocked, Farewell, Hint, Pointer, Position, ReplicaError, ReplicaLog, ReplicaView,
    SourceError,
};

use crate::describe::read_commit;
use crate::last_checkpoint::LastCheckpoint;
use crate::listing::Listing;
use crate::live;
use crate::log::{DeltaLog, key_error};
use crate::name::{LogName, commit_key, last_checkpoint_key};
use crate::observe::{Observed, observe};

#[async_trait]
impl ReplicaLog for DeltaLog {
    /// Bases first, so that the log has to begin at its first commit; then the commits, the first
    /// one first: what is left has no beginning, and opens nowhere.
    fn farewell(&self, key: &str) -> Farewell {
        let Some(name) = key.strip_prefix("_delta_log/") else { return Farewell::Data };
        let commit = name.strip_suffix(".json").is_some_and(|version| {
            !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
        });
        if commit { Farewell::Log } else { Farewell::Entry }
    }

    async fn observe(&self, hint: Option<Hint>) -> Result<ReplicaView, ReplicaError> {
        if let Some(blocked) = self.misplaced() {
            return Err(blocked.into());
        }
        let view = match hint {
            Some(Hint { head: Position::Version(head), earliest_readable }) => {
                look_from(self, head, earliest_readable).await?
            }
            _ => None,
        };
        match view {
            Some(view) => Ok(view),
            None => look_at_all(self).await,
        }
    }

    async fn pointer(&self, view: &ReplicaView) -> Result<Option<Pointer>, ReplicaError> {
        let key = last_checkpoint_key().map_err(key_error).map_err(replica_error)?;
        let Some(listed) = view.objects.get(&key) else { return Ok(None) };
        let read = self.hint(&key, listed).await.map_err(replica_error)?;
        Ok(read.and_then(|(body, sha256)| {
            let hint = LastCheckpoint::parse(&body)?;
            Some(Pointer { position: Position::Version(hint.version), sha256 })
        }))
    }

    async fn table_id(&self, view: &ReplicaView) -> Result<Option<String>, ReplicaError> {
        let Some(Position::Version(head)) = view.head else { return Ok(None) };
        let listing = match view.listed_from {
            None => Listing::of(&view.objects),
            Some(_) => Listing::of(&self.reader.list(None).await.map_err(replica_error)?),
        };
        live::table_id(&self.reader, &listing, head).await.map_err(replica_error)
    }
}

/// Looks from a hint on; `None` when the hint does not hold or something is odd.
async fn look_from(
    log: &DeltaLog,
    head: u64,
    earliest_readable: Position,
) -> Result<Option<ReplicaView>, ReplicaError> {
    let observed = observe(&log.reader, Some(head)).await.map_err(replica_error)?;
    let listing = Listing::of(&observed.objects);
    if !listing.commits.contains(&head) {
        return Ok(None);
    }
    match standing(&listing, Some(head)) {
        Some(standing) if foreign(&observed, &standing).is_none() => {
            view(log, observed, standing, Some(earliest_readable)).await.map(Some)
        }
        _ => Ok(None),
    }
}

async fn look_at_all(log: &DeltaLog) -> Result<ReplicaView, ReplicaError> {
    let observed = observe(&log.reader, None).await.map_err(replica_error)?;
    let listing = Listing::of(&observed.objects);
    let Some(standing) = standing(&listing, None) else {
        let first = run_start(&listing).unwrap_or_default();
        let message = format!(
            "the replica's log has no commit before _delta_log/{first:020}.json and no checkpoint \
             to open it from; this program leaves no such log behind, so find out who wrote here \
             and replicate to a new location"
        );
        return Err(Blocked::at(BlockCode::Diverged, Position::Version(first), message).into());
    };
    if let Some((name, version)) = foreign(&observed, &standing) {
        let message = format!(
            "the replica's log holds {name}, but version {version} is not published here; find \
             out who wrote it, remove it, and run again"
        );
        return Err(Blocked::at(BlockCode::Diverged, Position::Version(version), message).into());
    }
    let earliest = earliest_readable(&listing).map(Position::Version);
    view(log, observed, standing, earliest).await
}

/// Where a replica stands.
struct Standing {
    head: Option<u64>,
    unfinished: Option<u64>,
}

/// First version of the newest run of commits without a hole.
fn run_start(listing: &Listing) -> Option<u64> {
    let mut start = *listing.commits.last()?;
    while let Some(below) = start.checked_sub(1).filter(|below| listing.commits.contains(below)) {
        start = below;
    }
    Some(start)
}

/// Where the log stands; `None` when its newest commits cannot be opened. `known` is a version
/// that was found to be readable before.
fn standing(listing: &Listing, known: Option<u64>) -> Option<Standing> {
    let head = listing.commits.last().copied();
    let newest = listing.checkpoints.last().map(|set| set.version);
    if let (Some(head), Some(start)) = (head, run_start(listing)) {
        let run = start..=head;
        let from_known = known.is_some_and(|known| run.contains(&known));
        let mut bases = listing.checkpoints.iter().map(|set| set.version);
        let from_base = bases.any(|at| run.contains(&at) || at.checked_add(1) == Some(start));
        if start > 0 && !from_known && !from_base {
            return None;
        }
    }
    let unfinished = newest.filter(|newest| head.is_none_or(|head| *newest > head));
    Some(Standing { head, unfinished })
}

/// An object above the head that no publication of this program leaves there.
fn foreign(observed: &Observed, standing: &Standing) -> Option<(String, u64)> {
    observed.objects.keys().find_map(|key| {
        let name = LogName::of(key);
        let version = name.version()?;
        let above = standing.head.is_none_or(|head| version > head);
        let ours = matches!(name, LogName::Checkpoint { .. });
        (above && !ours).then(|| (key.to_string(), version))
    })
}

/// The lowest version that readers open, from a whole listing.
fn earliest_readable(listing: &Listing) -> Option<u64> {
    if listing.commits.contains(&0) {
        return Some(0);
    }
    let mut versions = listing.checkpoints.iter().map(|set| set.version);
    versions.find_map(|version| listing.base_position(version))
}

async fn view(
    log: &DeltaLog,
    observed: Observed,
    standing: Standing,
    earliest: Option<Position>,
) -> Result<ReplicaView, ReplicaError> {
    let mut fingerprint = None;
    if let Some(head) = standing.head {
        let read = read_commit(&log.reader, head).await.map_err(replica_error)?;
        let path = commit_key(head).map_err(key_error).map_err(replica_error)?;
        let read = read.ok_or_else(|| replica_error(SourceError::Missing { path }))?;
        fingerprint = Some(read.sha256);
    }
    Ok(ReplicaView {
        head: standing.head.map(Position::Version),
        fingerprint,
        unfinished: standing.unfinished.map(Position::Version),
        earliest_readable: earliest,
        pointer: None,
        objects: observed.objects,
        listed_from: observed.from.map(Position::Version),
        ..ReplicaView::default()
    })
}

/// At a target, what is missing or damaged was not left so by this program.
fn replica_error(error: SourceError) -> ReplicaError {
    match error {
        SourceError::Blocked(blocked) => ReplicaError::Blocked(blocked),
        SourceError::Io { path, source } => ReplicaError::Io { path, source },
        SourceError::Changed { path } => {
            ReplicaError::Io { path: path.to_string(), source: "changed while it was read".into() }
        }
        SourceError::Missing { path } => {
            let message = format!("{path} is missing at the target, or does not parse");
            Blocked::table(BlockCode::Diverged, message).into()
        }
        SourceError::Damaged { position, message, .. } => {
            let message = format!("commit {position} at the target does not parse: {message}");
            Blocked::at(BlockCode::Diverged, position, message).into()
        }
        error => ReplicaError::Io { path: "_delta_log".to_owned(), source: error.into() },
    }
}
