//! Names in `_delta_log/` and the `_last_checkpoint` hint.
//!
//! # Invariants
//! - A commit is exactly 20 digits and `.json`; a name that merely resembles one is ignored.
//! - [`Log`] is built from names alone: no object is read before a model asks for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Objects;

/// Folder of the log below the table root, with its slash.
pub(super) const LOG_DIR: &str = "_delta_log/";
/// Folder of the sidecar files below the table root, with its slash.
pub(super) const SIDECAR_DIR: &str = "_delta_log/_sidecars/";
/// Key of the checkpoint hint.
pub(super) const HINT_KEY: &str = "_delta_log/_last_checkpoint";

/// What a file name directly below `_delta_log/` says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogName {
    /// `N.json`.
    Commit(u64),
    /// `N.crc`.
    Checksum(u64),
    /// `x.y.compacted.json`.
    Compacted(u64, u64),
    /// `N.checkpoint.parquet`.
    ClassicCheckpoint(u64),
    /// `N.checkpoint.o.p.parquet`: version, part (from 1), parts.
    CheckpointPart(u64, u32, u32),
    /// `N.checkpoint.<uuid>.json` or `.parquet`.
    UuidCheckpoint(u64),
}

impl LogName {
    /// Parses a file name without folder; `None` for anything that is no part of the table state.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let version = digits(parts.next()?, 20)?;
        let rest: Vec<&str> = parts.collect();
        match rest.as_slice() {
            ["json"] => Some(Self::Commit(version)),
            ["crc"] => Some(Self::Checksum(version)),
            [end, "compacted", "json"] => Some(Self::Compacted(version, digits(end, 20)?)),
            ["checkpoint", "parquet"] => Some(Self::ClassicCheckpoint(version)),
            ["checkpoint", uuid, "json" | "parquet"] if uuid.len() == 36 => {
                Some(Self::UuidCheckpoint(version))
            }
            ["checkpoint", part, parts, "parquet"] => {
                let part = u32::try_from(digits(part, 10)?).ok()?;
                let parts = u32::try_from(digits(parts, 10)?).ok()?;
                (part >= 1 && part <= parts).then_some(Self::CheckpointPart(version, part, parts))
            }
            _ => None,
        }
    }

    /// Version that the name belongs to; for a compacted file the last one.
    pub fn version(&self) -> u64 {
        match *self {
            Self::Commit(v)
            | Self::Checksum(v)
            | Self::Compacted(_, v)
            | Self::ClassicCheckpoint(v)
            | Self::CheckpointPart(v, _, _)
            | Self::UuidCheckpoint(v) => v,
        }
    }
}

fn digits(text: &str, len: usize) -> Option<u64> {
    let plain = text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Key of the commit file of a version, relative to the table root.
pub fn commit_key(version: u64) -> String {
    format!("{LOG_DIR}{version:020}.json")
}

/// Versions that have a commit file, ascending.
pub fn log_versions(objects: &Objects) -> Vec<u64> {
    Log::of(objects).commits.into_iter().collect()
}

/// Versions that have a complete checkpoint, with the keys of its best form.
pub fn complete_checkpoints(objects: &Objects) -> BTreeMap<u64, Vec<String>> {
    Log::of(objects).checkpoints.into_iter().map(|(v, files)| (v, files.keys)).collect()
}

/// One complete checkpoint: every file of it is there (sidecars not counted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckpointFiles {
    /// Keys relative to the table root.
    pub(super) keys: Vec<String>,
}

/// The names in one log, sorted by what they are.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) commits: BTreeSet<u64>,
    /// Compacted ranges, first and last version.
    pub(super) compacted: BTreeSet<(u64, u64)>,
    /// Best complete checkpoint of each version: uuid before multi-part before classic.
    pub(super) checkpoints: BTreeMap<u64, CheckpointFiles>,
}

impl Log {
    pub(super) fn of(objects: &Objects) -> Self {
        let mut log = Self::default();
        let mut parts: BTreeMap<(u64, u32), BTreeMap<u32, String>> = BTreeMap::new();
        let mut ranked: BTreeMap<u64, (u8, CheckpointFiles)> = BTreeMap::new();
        let mut offer = |version: u64, rank: u8, keys: Vec<String>| {
            if ranked.get(&version).is_none_or(|(best, _)| *best < rank) {
                ranked.insert(version, (rank, CheckpointFiles { keys }));
            }
        };
        for key in objects.keys() {
            let Some(name) = key.strip_prefix(LOG_DIR) else { continue };
            match LogName::parse(name) {
                Some(LogName::Commit(v)) => {
                    log.commits.insert(v);
                }
                Some(LogName::Compacted(first, last)) => {
                    log.compacted.insert((first, last));
                }
                Some(LogName::ClassicCheckpoint(v)) => offer(v, 0, vec![key.clone()]),
                Some(LogName::UuidCheckpoint(v)) => offer(v, 2, vec![key.clone()]),
                Some(LogName::CheckpointPart(v, part, of)) => {
                    parts.entry((v, of)).or_default().insert(part, key.clone());
                }
                Some(LogName::Checksum(_)) | None => {}
            }
        }
        for ((version, of), found) in parts {
            if found.len() == of as usize {
                offer(version, 1, found.into_values().collect());
            }
        }
        log.checkpoints = ranked.into_iter().map(|(v, (_, files))| (v, files)).collect();
        log
    }
}

/// The parsed `_last_checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCheckpoint {
    /// Version of the checkpoint.
    pub version: u64,
    /// Number of parts of a multi-part checkpoint.
    pub parts: Option<u32>,
    /// File name of a UUID-named checkpoint.
    pub v2_path: Option<String>,
}

impl LastCheckpoint {
    /// Keys of the files that the hint names, as Trino derives them.
    pub fn keys(&self) -> Vec<String> {
        let version = self.version;
        match (&self.v2_path, self.parts) {
            (Some(name), _) => vec![format!("{LOG_DIR}{name}")],
            (None, Some(parts)) => (1..=parts)
                .map(|part| {
                    format!("{LOG_DIR}{version:020}.checkpoint.{part:010}.{parts:010}.parquet")
                })
                .collect(),
            (None, None) => vec![format!("{LOG_DIR}{version:020}.checkpoint.parquet")],
        }
    }
}

/// Reads `_last_checkpoint`: `None` if absent.
///
/// # Errors
/// The text says what is wrong: not JSON, or a required field (`version`, `size`) is missing.
pub fn last_checkpoint(objects: &Objects) -> Result<Option<LastCheckpoint>, String> {
    let Some(bytes) = objects.get(HINT_KEY) else { return Ok(None) };
    let value: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let version = value.get("version").and_then(Value::as_u64).ok_or("no version")?;
    value.get("size").and_then(Value::as_u64).ok_or("no size")?;
    let parts = match value.get("parts") {
        None | Some(Value::Null) => None,
        Some(parts) => Some(parts.as_u64().and_then(|p| u32::try_from(p).ok()).ok_or("bad parts")?),
    };
    let v2_path = value
        .get("v2Checkpoint")
        .and_then(|v2| v2.get("path"))
        .and_then(Value::as_str)
        .map(str::to_owned);
    Ok(Some(LastCheckpoint { version, parts, v2_path }))
}
