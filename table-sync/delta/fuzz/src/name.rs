//! Names of log objects.
//!
//! # Laws
//! - A name that means something is the only spelling of that meaning.
//! - Every meaning has a name.

use table_sync_core::RelPath;
use table_sync_delta::name::{CheckpointName, LogName};

use super::Verdict;

/// Reads the bytes as a name below `_delta_log/`, and makes a name of them.
pub fn target(data: &[u8]) -> Verdict {
    made_of(data);
    let Ok(text) = std::str::from_utf8(data) else { return Verdict::Refused };
    let name = LogName::parse(text);
    if let Ok(key) = RelPath::parse(&format!("_delta_log/{text}")) {
        assert_eq!(LogName::of(&key), name);
    }
    if let Ok(key) = RelPath::parse(text) {
        let inside = text.starts_with("_delta_log/");
        assert!(inside || LogName::of(&key) == LogName::Other, "{text:?} is not in the log");
    }
    assert_eq!(spelled(&name).as_deref().unwrap_or(text), text, "a second spelling");
    Verdict::of(name != LogName::Other)
}

/// The canonical spelling; `None` for what has no meaning.
fn spelled(name: &LogName) -> Option<String> {
    Some(match name {
        LogName::Commit(version) => format!("{version:020}.json"),
        LogName::Crc(version) => format!("{version:020}.crc"),
        LogName::Compacted { first, last } => {
            assert!(first <= last);
            format!("{first:020}.{last:020}.compacted.json")
        }
        LogName::LastCheckpoint => "_last_checkpoint".to_owned(),
        LogName::Checkpoint { version, kind } => match kind {
            CheckpointName::Classic => format!("{version:020}.checkpoint.parquet"),
            CheckpointName::Part { part, of } => {
                assert!(1 <= *part && part <= of);
                format!("{version:020}.checkpoint.{part:010}.{of:010}.parquet")
            }
            CheckpointName::Uuid { id, json } => {
                assert_eq!(id.len(), 36);
                let ending = if *json { "json" } else { "parquet" };
                format!("{version:020}.checkpoint.{id}.{ending}")
            }
        },
        LogName::Other => return None,
    })
}

/// Takes numbers from the bytes and asserts that the names made of them are understood.
fn made_of(data: &[u8]) {
    let number = |at: usize| {
        let bytes = data.iter().skip(at).take(8).fold(0_u64, |n, b| n << 8 | u64::from(*b));
        bytes.rotate_left(u32::from(data.first().copied().unwrap_or(0)))
    };
    let (first, second) = (number(0).min(number(8)), number(0).max(number(8)));
    let of = u32::try_from(number(4) >> 32).unwrap_or(1).max(1);
    let part = u32::try_from(number(12) >> 32).unwrap_or(1) % of + 1;
    let kind = CheckpointName::Part { part, of };
    for name in [
        LogName::Commit(first),
        LogName::Crc(second),
        LogName::Compacted { first, last: second },
        LogName::Checkpoint { version: first, kind },
        LogName::Checkpoint { version: second, kind: CheckpointName::Classic },
    ] {
        let text = spelled(&name).expect("it has a meaning");
        assert_eq!(LogName::parse(&text), name, "{text}");
    }
}
