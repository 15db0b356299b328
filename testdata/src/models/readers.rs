//! The three readers, each opening the latest snapshot its own way.
//!
//! # Source
//! `docs/delta.md`, "Order of writes, and what a reader sees"; the tests of this crate repeat what
//! each reader does with each state, one by one.

use super::features::{self, Reader};
use super::log::{Log, last_checkpoint};
use super::replay::Replay;
use super::{OpenError, Opened};
use crate::Objects;

/// Opens the latest snapshot as Spark does.
///
/// The newest complete checkpoint K counts and the hint does not. There must be a commit at or
/// above K, and the commits above it must be contiguous.
///
/// # Errors
/// See the Spark column of the matrix.
pub fn spark(objects: &Objects) -> Result<Opened, OpenError> {
    let log = Log::of(objects);
    let base = log.checkpoints.last_key_value();
    let mut replay = Replay::default();
    let mut next = 0;
    let latest = log.commits.last().copied();
    if let Some((&version, files)) = base {
        if latest.is_none_or(|latest| latest < version) {
            return Err(OpenError::NoCommitAtCheckpoint { version });
        }
        replay.checkpoint(objects, files)?;
        next = version + 1;
    }
    let latest = latest.ok_or(OpenError::NotATable)?;
    if let (None, Some(&first @ 1..)) = (base, log.commits.first()) {
        return Err(OpenError::Truncated { first });
    }
    if let Some(missing) = (next..=latest).find(|v| !log.commits.contains(v)) {
        return Err(OpenError::NotContiguous { missing });
    }
    while next <= latest {
        // A compacted file stands for its commits; the longest that fits is taken.
        let compacted = log.compacted.range((next, next)..=(next, latest)).next_back();
        if let Some(&(first, last)) = compacted {
            replay.compacted(objects, first, last)?;
            next = last + 1;
        } else {
            replay.commit(objects, next)?;
            next += 1;
        }
    }
    features::check(Reader::Spark, replay.finish(latest)?)
}

/// Opens the latest snapshot as Trino does.
///
/// The hint names the base, whatever else is there; without a hint the base is commit 0. Then the
/// tail is read one by one until a commit is missing.
///
/// # Errors
/// See the Trino column of the matrix.
pub fn trino(objects: &Objects) -> Result<Opened, OpenError> {
    let hint = last_checkpoint(objects).map_err(|reason| OpenError::HintInvalid { reason })?;
    let log = Log::of(objects);
    let mut replay = Replay::default();
    let mut version = None;
    if let Some(hint) = hint {
        let keys = hint.keys();
        if !keys.iter().all(|key| objects.contains_key(key)) {
            return Err(OpenError::HintDangling { version: hint.version });
        }
        replay.checkpoint(objects, &super::log::CheckpointFiles { keys })?;
        version = Some(hint.version);
    }
    loop {
        let next = version.map_or(0, |v: u64| v + 1);
        if !log.commits.contains(&next) {
            break;
        }
        replay.commit(objects, next)?;
        version = Some(next);
    }
    let Some(version) = version else {
        let empty = log.commits.is_empty() && log.checkpoints.is_empty();
        return Err(if empty { OpenError::NotATable } else { OpenError::MetadataNotFound });
    };
    features::check(Reader::Trino, replay.finish(version)?)
}

/// Opens the latest snapshot as kernel readers do (delta-rs, DuckDB).
///
/// A complete checkpoint is enough to be the latest version. Without a hint, a log that starts
/// above 0 without a checkpoint is accepted silently if a commit carries protocol and metadata.
///
/// # Errors
/// See the kernel column of the matrix.
pub fn kernel(objects: &Objects) -> Result<Opened, OpenError> {
    kernel_until(objects, None)
}

/// Opens one version the way kernel readers travel in time.
///
/// # Errors
/// Those of [`kernel`], and [`OpenError::NoSuchVersion`] when the log does not reach the version.
pub fn open_at(objects: &Objects, version: u64) -> Result<Opened, OpenError> {
    kernel_until(objects, Some(version))
}

fn kernel_until(objects: &Objects, end: Option<u64>) -> Result<Opened, OpenError> {
    // A hint that does not parse is logged and ignored by this reader.
    let hint = last_checkpoint(objects).ok().flatten();
    let hint = hint.filter(|hint| end.is_none_or(|end| hint.version <= end));
    let log = Log::of(objects);
    let start = hint.as_ref().map_or(0, |hint| hint.version);
    let end_or_max = end.unwrap_or(u64::MAX);
    let base = log.checkpoints.range(start..=end_or_max).next_back();
    if let Some(hint) = &hint {
        let dangling = OpenError::HintDangling { version: hint.version };
        let (version, files) = base.ok_or(dangling.clone())?;
        let parts = hint.parts.unwrap_or(1) as usize;
        if *version == hint.version && files.keys.len() != parts {
            return Err(dangling);
        }
    }
    let mut replay = Replay::default();
    let mut reached = None;
    if let Some((&version, files)) = base {
        replay.checkpoint(objects, files)?;
        reached = Some(version);
    }
    let first = base.map_or(start, |(version, _)| version.saturating_add(1));
    let commits =
        if first <= end_or_max { Some(log.commits.range(first..=end_or_max)) } else { None };
    for &commit in commits.into_iter().flatten() {
        // Without a checkpoint the first commit may be any: nothing says that it must be 0.
        if let Some(missing) = reached.map(|v| v + 1).filter(|next| *next != commit) {
            return Err(OpenError::NotContiguous { missing });
        }
        replay.commit(objects, commit)?;
        reached = Some(commit);
    }
    let version = match (reached, end) {
        (Some(reached), Some(end)) if reached != end => {
            return Err(OpenError::NoSuchVersion { version: end });
        }
        (None, Some(end)) => return Err(OpenError::NoSuchVersion { version: end }),
        (None, None) => return Err(OpenError::NotATable),
        (Some(reached), _) => reached,
    };
    features::check(Reader::Kernel, replay.finish(version)?)
}
