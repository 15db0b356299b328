//! Names of data files.
//!
//! # Invariants
//! - A name is taken literally; what no Hudi writer names so is [`FileName::Other`], never an
//!   error. Delta UniForm names base files `part-...parquet`.
//! - The instant in a log's name is the delta commit's from table version 8 on, the base file's
//!   before.
//!
//! Source: Hudi `FSUtils.makeBaseFileName`, `FSUtils.LOG_FILE_PATTERN`.

use std::fmt;

use table_sync_core::InstantTime;

/// Name of the object that marks a partition's folder; may have the base format's extension.
pub const PARTITION_METADATA: &str = ".hoodie_partition_metadata";

/// What a data file's name says it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// `<fileId>_<writeToken>_<t>.<ext>`.
    Base {
        /// Its file group.
        file_id: Box<str>,
        /// The attempt that wrote it.
        write_token: Box<str>,
        /// The instant that wrote it.
        instant: InstantTime,
        /// Its format.
        extension: Box<str>,
    },
    /// `.<fileId>_<t>.log.<version>[_<writeToken>][.cdc]`.
    Log {
        /// Its file group.
        file_id: Box<str>,
        /// The instant in its name.
        instant: InstantTime,
        /// Its number among the logs of the slice, from 1, as written.
        version: u32,
        /// The attempt that wrote it.
        write_token: Option<Box<str>>,
        /// Whether it belongs to the change feed.
        is_cdc: bool,
    },
    /// Anything else.
    Other(Box<str>),
}

impl FileName {
    /// Parses a file's name, without its folder.
    pub fn parse(name: &str) -> Self {
        let parsed = if name.starts_with('.') { parse_log(name) } else { parse_base(name) };
        parsed.unwrap_or_else(|| Self::Other(name.into()))
    }

    /// The file group.
    pub fn file_id(&self) -> Option<&str> {
        match self {
            Self::Base { file_id, .. } | Self::Log { file_id, .. } => Some(file_id),
            Self::Other(_) => None,
        }
    }

    /// The instant in the name.
    pub fn instant(&self) -> Option<InstantTime> {
        match self {
            Self::Base { instant, .. } | Self::Log { instant, .. } => Some(*instant),
            Self::Other(_) => None,
        }
    }

    /// Whether it belongs to the change feed, which snapshots do not need.
    pub fn is_cdc(&self) -> bool {
        matches!(self, Self::Log { is_cdc: true, .. })
    }

    /// Whether it is a log file, of a change feed or not.
    pub fn is_log(&self) -> bool {
        matches!(self, Self::Log { .. })
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base { file_id, write_token, instant, extension } => {
                write!(f, "{file_id}_{write_token}_{instant}.{extension}")
            }
            Self::Log { file_id, instant, version, write_token, is_cdc } => {
                write!(f, ".{file_id}_{instant}.log.{version}")?;
                if let Some(token) = write_token {
                    write!(f, "_{token}")?;
                }
                f.write_str(if *is_cdc { CDC_SUFFIX } else { "" })
            }
            Self::Other(name) => f.write_str(name),
        }
    }
}

const CDC_SUFFIX: &str = ".cdc";

fn parse_base(name: &str) -> Option<FileName> {
    let (stem, extension) = name.split_once('.')?;
    let (stem, instant) = stem.rsplit_once('_')?;
    let (file_id, write_token) = stem.rsplit_once('_')?;
    let instant = InstantTime::parse(instant)?;
    if file_id.is_empty() || extension.is_empty() || !is_token(write_token) {
        return None;
    }
    let (file_id, write_token) = (file_id.into(), write_token.into());
    Some(FileName::Base { file_id, write_token, instant, extension: extension.into() })
}

fn parse_log(name: &str) -> Option<FileName> {
    let name = name.strip_prefix('.')?;
    let (stem, rest) = name.rsplit_once(".log.")?;
    let (file_id, instant) = stem.rsplit_once('_')?;
    let instant = InstantTime::parse(instant)?;
    let (version, write_token, is_cdc) = parse_tail(rest)?;
    if file_id.is_empty() {
        return None;
    }
    let (file_id, write_token) = (file_id.into(), write_token.map(Into::into));
    Some(FileName::Log { file_id, instant, version, write_token, is_cdc })
}

/// What follows `.log.`: version, token, and whether it belongs to the change feed.
fn parse_tail(tail: &str) -> Option<(u32, Option<&str>, bool)> {
    let (rest, is_cdc) = match tail.strip_suffix(CDC_SUFFIX) {
        Some(rest) => (rest, true),
        None => (tail, false),
    };
    let (version, write_token) = match rest.split_once('_') {
        Some((version, token)) if is_token(token) => (version, Some(token)),
        Some(_) => return None,
        // The suffix is part of the token in Hudi's pattern.
        None if is_cdc => return None,
        None => (rest, None),
    };
    let canonical = !version.starts_with('0') && version.bytes().all(|byte| byte.is_ascii_digit());
    if !canonical {
        return None;
    }
    Some((version.parse().ok()?, write_token, is_cdc))
}

/// `<task partition>-<stage>-<attempt>`.
fn is_token(text: &str) -> bool {
    let numbers = text.split('-');
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.clone().count() == 3 && numbers.into_iter().all(is_number)
}

/// What a listing of millions of files asks of a name: its group, its instant and its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rows.
    Base,
    /// Changes to rows.
    Log,
    /// A change feed.
    ChangeFeed,
}

/// The group, instant and kind of a data file's name, without a copy; `None` for anything else.
pub(crate) fn glance(name: &str) -> Option<(&str, InstantTime, Kind)> {
    if let Some(rest) = name.strip_prefix('.') {
        let (stem, tail) = rest.rsplit_once(".log.")?;
        let (file_id, instant) = stem.rsplit_once('_')?;
        let (_, _, is_cdc) = parse_tail(tail)?;
        let kind = if is_cdc { Kind::ChangeFeed } else { Kind::Log };
        if file_id.is_empty() {
            return None;
        }
        return Some((file_id, InstantTime::parse(instant)?, kind));
    }
    let (stem, extension) = name.split_once('.')?;
    let (stem, instant) = stem.rsplit_once('_')?;
    let (file_id, write_token) = stem.rsplit_once('_')?;
    let named = !file_id.is_empty() && !extension.is_empty() && is_token(write_token);
    named.then_some((file_id, InstantTime::parse(instant)?, Kind::Base))
}

/// Parses arbitrary bytes: for fuzzing.
pub fn parse_bytes(bytes: &[u8]) -> Option<FileName> {
    std::str::from_utf8(bytes).ok().map(FileName::parse)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "167a0e3e-9b94-444f-a178-242230cdb5a2-0";
    const T: &str = "20211221030120532";

    fn time() -> InstantTime {
        InstantTime::parse(T).unwrap()
    }

    #[track_caller]
    fn check(name: &str, expect: FileName) {
        let parsed = FileName::parse(name);
        assert_eq!(parsed, expect, "{name}");
        assert_eq!(parsed.to_string(), name);
    }

    #[test]
    fn base_files() {
        let base = |file_id: &str, token: &str, extension: &str| FileName::Base {
            file_id: file_id.into(),
            write_token: token.into(),
            instant: time(),
            extension: extension.into(),
        };
        check(&format!("{ID}_0-28-26_{T}.parquet"), base(ID, "0-28-26", "parquet"));
        check(&format!("{ID}_0-28-26_{T}.orc"), base(ID, "0-28-26", "orc"));
        check(&format!("files-0000-0_0-5-4_{T}.hfile"), base("files-0000-0", "0-5-4", "hfile"));
        // Bucket and Flink writers put underscores nowhere, but a file id may hold them.
        check(&format!("a_b_1-2-3_{T}.parquet"), base("a_b", "1-2-3", "parquet"));
    }

    #[test]
    fn log_files() {
        let log = |version, token: Option<&str>, is_cdc| FileName::Log {
            file_id: ID.into(),
            instant: time(),
            version,
            write_token: token.map(Into::into),
            is_cdc,
        };
        check(&format!(".{ID}_{T}.log.1_0-28-29"), log(1, Some("0-28-29"), false));
        check(&format!(".{ID}_{T}.log.12"), log(12, None, false));
        check(&format!(".{ID}_{T}.log.1_0-28-29.cdc"), log(1, Some("0-28-29"), true));
        assert!(FileName::parse(&format!(".{ID}_{T}.log.1_0-28-29.cdc")).is_cdc());
    }

    #[test]
    fn other_names_are_kept() {
        for name in [
            "part-00000-80a083e8-7026-4e79-81be-64bd76c43a11-c000.snappy.parquet",
            PARTITION_METADATA,
            ".hoodie_partition_metadata.parquet",
            ".167a0e3e-0_20211221030120532.log.1_0-28-29.crc",
            ".167a0e3e-0_20211221030120532.log.1.cdc",
            ".167a0e3e-0_20211221030120532.log.01_0-28-29",
            ".167a0e3e-0_20211221030120532.log.1_0-28",
            ".167a0e3e-0_20211221030120532.log.",
            ".167a0e3e-0_20211221030120532.log.99999999999",
            ".commits_.archive.1_1-0-1",
            "167a0e3e-0_0-28-26_20211221030120532.",
            "167a0e3e-0_0-28-26_20211221030120532",
            "167a0e3e-0_0-28-26_2021122103012053299.parquet",
            "_0-28-26_20211221030120532.parquet",
            "167a0e3e-0_0-28_20211221030120532.parquet",
            "",
        ] {
            check(name, FileName::Other(name.into()));
        }
    }

    proptest! {
        #[test]
        fn names_are_written_as_they_were(
            name in "\\.?[a-z0-9-]{1,8}(_[0-9]{1,2}-[0-9]-[0-9])?_[0-9]{1,18}\\.(log\\.[0-9]{1,3}\
                     (_[0-9]-[0-9]-[0-9])?(\\.cdc)?|parquet)"
        ) {
            prop_assert_eq!(FileName::parse(&name).to_string(), name);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(name) = parse_bytes(&bytes) {
                prop_assert_eq!(name.to_string().into_bytes(), bytes);
            }
        }
    }
}
