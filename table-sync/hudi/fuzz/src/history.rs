//! Parquet files of a history.
//!
//! # Laws
//! - Instants are told in the same order whether or not their files are asked for.
//! - Files that are not asked for are not told.
//! - What an instant held is decoded or refused, like any metadata.

use std::collections::BTreeSet;

use bytes::Bytes;
use table_sync_hudi::history::{files_of, for_each, parse_bytes};
use table_sync_hudi::metadata::CommitMetadata;

use super::Verdict;
use super::commit::assert_sound;

/// Reads the bytes as a history file.
pub fn target(data: &[u8]) -> Verdict {
    let file = Bytes::copy_from_slice(data);
    let mut instants = Vec::new();
    let read = for_each("input", &file, &mut |archived| instants.push(archived));
    assert_eq!(parse_bytes(data)[0], read.is_ok());
    let wanted: BTreeSet<_> = instants.iter().map(|archived| archived.requested).collect();
    let files = files_of("input", &file, &wanted);
    if let (Ok(()), Ok(files)) = (&read, &files) {
        let told: Vec<_> = files.iter().map(|files| files.archived.clone()).collect();
        assert_eq!(told, instants);
        for held in files {
            if let Ok(commit) = CommitMetadata::decode("input", &held.metadata) {
                assert_sound(&commit, held.metadata.len());
            }
        }
        let none = files_of("input", &file, &BTreeSet::new());
        assert!(none.is_ok_and(|none| none.is_empty()));
    }
    Verdict::of(read.is_ok())
}
