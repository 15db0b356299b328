//! Commit metadata, JSON and Avro, to the files that it wrote.
//!
//! # Laws
//! - Every file is a data file strictly below the root; every partition is one as well, or empty.
//! - Files ascend, each once; their number is bounded by the bytes.
//! - Files, sizes, hidden groups and operation are those of a naive reading.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use table_sync_core::RelPath;
use table_sync_hudi::metadata::{CommitMetadata, decode_any};

use super::confined::{assert_confined, assert_data};
use super::{Verdict, naive};

/// Values that one byte of Avro may stand for, and those that none pays for.
const VALUES_PER_BYTE: usize = 16;
const FREE_VALUES: usize = 4096;

/// Reads the bytes as a completed commit.
pub fn target(data: &[u8]) -> Verdict {
    let decoded = CommitMetadata::decode("input", data);
    assert_eq!(decode_any(data)[0], decoded.is_ok());
    let Ok(commit) = decoded else { return Verdict::Refused };
    assert_sound(&commit, data.len());
    if let Some(record) = naive::record(data) {
        let _ = assert_read(&commit, &record);
    }
    Verdict::Accepted
}

/// What holds of any commit, wherever its bytes came from.
pub(crate) fn assert_sound(commit: &CommitMetadata, bytes: usize) {
    let values_max = bytes * VALUES_PER_BYTE + FREE_VALUES;
    assert!(commit.writes.len() <= values_max && commit.replaced.len() <= values_max);
    assert!(commit.writes.windows(2).all(|pair| pair[0].path < pair[1].path));
    assert!(commit.replaced.windows(2).all(|pair| pair[0] < pair[1]));
    for write in &commit.writes {
        assert_data(&write.path);
        assert_ne!(write.size_bytes, Some(0));
    }
    for partition in commit.partitions().into_iter().filter(|partition| !partition.is_empty()) {
        assert_confined(&RelPath::parse(partition).expect("a folder below the root"));
    }
}

/// One file by the naive reading.
#[derive(Debug, Default)]
struct Naive<'a> {
    size_bytes: Option<u64>,
    partitions: BTreeSet<&'a str>,
    has_rows: bool,
}

/// Compares with the naive reading; `None` where that one cannot tell.
fn assert_read(commit: &CommitMetadata, record: &Value) -> Option<()> {
    let mut files: BTreeMap<&str, Naive<'_>> = BTreeMap::new();
    let mut add = |partition, path, size: Option<&Value>, has_rows| {
        let file = files.entry(path).or_default();
        let size = size.and_then(Value::as_u64).filter(|size| *size > 0);
        file.size_bytes = file.size_bytes.max(size);
        file.partitions.insert(partition);
        file.has_rows |= has_rows;
    };
    for (keys, stat) in naive::at(record, "partitionToWriteStats.*.#")? {
        let partition = keys.first().copied().unwrap_or_default();
        let stat = stat.as_object()?;
        if let Some(path) = stat.get("path").filter(|path| !path.is_null()) {
            add(partition, path.as_str()?, stat.get("fileSizeInBytes"), true);
        }
        if let Some(cdc) = stat.get("cdcStats").filter(|cdc| !cdc.is_null()) {
            cdc.as_object()?.iter().for_each(|(path, size)| {
                add(partition, path, Some(size), false);
            });
        }
    }
    let paths: Vec<&str> = commit.writes.iter().map(|write| write.path.as_str()).collect();
    assert_eq!(paths, files.keys().copied().collect::<Vec<_>>());
    for write in &commit.writes {
        let file = &files[write.path.as_str()];
        assert_eq!(write.size_bytes, file.size_bytes, "{}", write.path);
        assert_eq!(write.cdc, !file.has_rows, "{}", write.path);
        assert!(file.partitions.contains(write.partition.as_str()), "{}", write.path);
    }
    let replaced = naive::texts(record, "partitionToReplaceFileIds.*.#")?;
    let group = |(keys, id): (Vec<&str>, &str)| (keys[0].to_owned(), id.to_owned());
    let replaced: BTreeSet<_> = replaced.into_iter().map(group).collect();
    assert_eq!(commit.replaced, replaced.into_iter().collect::<Vec<_>>());
    let operation = naive::texts(record, "operationType")?.into_iter().next();
    assert_eq!(commit.operation.as_deref(), operation.map(|(_, text)| text));
    Some(())
}
