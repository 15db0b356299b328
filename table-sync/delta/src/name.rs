//! Names of log objects.
//!
//! A name is taken literally: a version is exactly 20 digits, a part number 10, a checkpoint id
//! 36 characters. Whatever else lies in a log folder is [`LogName::Other`], never an error.
//!
//! Source: Delta protocol, "Delta Log Entries", "Checkpoints", "Log Compaction Files".

use table_sync_core::{PathError, RelPath};

/// Folder of the log below the table root, with its slash.
pub const LOG_PREFIX: &str = "_delta_log/";

/// Folder of sidecar files below the table root, with its slash.
pub const SIDECAR_PREFIX: &str = "_delta_log/_sidecars/";

/// What a log object's name says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogName {
    /// `N.json`.
    Commit(u64),
    /// A checkpoint, or one part of it.
    Checkpoint {
        /// The version whose state it holds.
        version: u64,
        /// Which naming scheme.
        kind: CheckpointName,
    },
    /// `x.y.compacted.json`: versions `x..=y` in one file.
    Compacted {
        /// First version.
        first: u64,
        /// Last version.
        last: u64,
    },
    /// `N.crc`.
    Crc(u64),
    /// `_last_checkpoint`.
    LastCheckpoint,
    /// Anything else.
    Other,
}

/// Naming schemes of checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointName {
    /// `N.checkpoint.parquet`.
    Classic,
    /// `N.checkpoint.<part>.<of>.parquet`.
    Part {
        /// This part, from 1.
        part: u32,
        /// How many parts there are.
        of: u32,
    },
    /// `N.checkpoint.<uuid>.json` or `.parquet`.
    Uuid {
        /// The id, 36 characters.
        id: Box<str>,
        /// Whether the manifest is JSON.
        json: bool,
    },
}

impl LogName {
    /// Parses a key below the table root.
    pub fn of(key: &RelPath) -> Self {
        key.as_str().strip_prefix(LOG_PREFIX).map_or(Self::Other, Self::parse)
    }

    /// Parses a name below `_delta_log/`.
    pub fn parse(name: &str) -> Self {
        if name == "_last_checkpoint" {
            return Self::LastCheckpoint;
        }
        parse_versioned(name).unwrap_or(Self::Other)
    }

    /// The version that the object belongs to: the last one for a compacted file.
    pub fn version(&self) -> Option<u64> {
        match self {
            Self::Commit(version) | Self::Crc(version) | Self::Checkpoint { version, .. } => {
                Some(*version)
            }
            Self::Compacted { last, .. } => Some(*last),
            Self::LastCheckpoint | Self::Other => None,
        }
    }
}

/// Key of the commit object of a version, below the table root.
///
/// # Errors
/// Never in practice: the name is made of digits.
pub fn commit_key(version: u64) -> Result<RelPath, PathError> {
    RelPath::parse(&format!("{LOG_PREFIX}{version:020}.json"))
}

/// Key of `_last_checkpoint` below the table root.
///
/// # Errors
/// Never in practice: the name is constant.
pub fn last_checkpoint_key() -> Result<RelPath, PathError> {
    RelPath::parse(&format!("{LOG_PREFIX}_last_checkpoint"))
}

fn parse_versioned(name: &str) -> Option<LogName> {
    let mut fields = name.split('.');
    let version = digits(fields.next()?, 20)?;
    let rest: Vec<&str> = fields.collect();
    match rest.as_slice() {
        ["json"] => Some(LogName::Commit(version)),
        ["crc"] => Some(LogName::Crc(version)),
        ["checkpoint", "parquet"] => {
            Some(LogName::Checkpoint { version, kind: CheckpointName::Classic })
        }
        ["checkpoint", id, extension @ ("json" | "parquet")] if is_uuid(id) => {
            let kind = CheckpointName::Uuid { id: (*id).into(), json: *extension == "json" };
            Some(LogName::Checkpoint { version, kind })
        }
        ["checkpoint", part, of, "parquet"] => {
            let part = u32::try_from(digits(part, 10)?).ok()?;
            let of = u32::try_from(digits(of, 10)?).ok()?;
            let kind = CheckpointName::Part { part, of };
            (1..=of).contains(&part).then_some(LogName::Checkpoint { version, kind })
        }
        [last, "compacted", "json"] => {
            let last = digits(last, 20)?;
            (version <= last).then_some(LogName::Compacted { first: version, last })
        }
        _ => None,
    }
}

fn digits(text: &str, count: usize) -> Option<u64> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expect: LogName) {
        assert_eq!(LogName::parse(name), expect, "{name}");
    }

    #[test]
    fn every_kind_is_recognised() {
        let version = 10;
        let checkpoint = |kind| LogName::Checkpoint { version, kind };
        check("00000000000000000010.json", LogName::Commit(10));
        check("00000000000000000010.crc", LogName::Crc(10));
        check("00000000000000000010.checkpoint.parquet", checkpoint(CheckpointName::Classic));
        check(
            "00000000000000000010.checkpoint.0000000001.0000000003.parquet",
            checkpoint(CheckpointName::Part { part: 1, of: 3 }),
        );
        let id = "80a083e8-7026-4e79-81be-64bd76c43a11";
        check(
            &format!("00000000000000000010.checkpoint.{id}.json"),
            checkpoint(CheckpointName::Uuid { id: id.into(), json: true }),
        );
        check(
            &format!("00000000000000000010.checkpoint.{id}.parquet"),
            checkpoint(CheckpointName::Uuid { id: id.into(), json: false }),
        );
        check(
            "00000000000000000004.00000000000000000006.compacted.json",
            LogName::Compacted { first: 4, last: 6 },
        );
        check("_last_checkpoint", LogName::LastCheckpoint);
    }

    #[test]
    fn strays_of_real_logs_are_other() {
        for name in [
            ".00000000000000000000.json.crc",
            ".00000000000000000000.crc.crc",
            "._last_checkpoint.crc",
            "..00000000000000000001.json.2e9f.tmp.crc",
            ".tmp/00000000000000000001.json",
            "_trino_meta/extended_stats.json",
            "_autostats/x",
            ".s3-optimization-0",
            "_commits/00000000000000000001.json",
            "_staged_commits/00000000000000000001.80a083e8-7026-4e79-81be-64bd76c43a11.json",
            "_sidecars/x.parquet",
            "info.txt",
            "_last_vacuum_info",
            "0000000000000000001.json",
            "000000000000000000001.json",
            "+0000000000000000001.json",
            "00000000000000000001.JSON",
            "00000000000000000001.json.bak",
            "00000000000000000001.checkpoint.short.parquet",
            "00000000000000000001.checkpoint.0000000003.0000000002.parquet",
            "00000000000000000001.checkpoint.0000000000.0000000002.parquet",
            "00000000000000000001.checkpoint.1.2.parquet",
            "00000000000000000006.00000000000000000004.compacted.json",
            "99999999999999999999.json",
            "",
        ] {
            check(name, LogName::Other);
        }
    }
}
