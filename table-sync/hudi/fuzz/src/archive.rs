//! Archive files of layout 1.
//!
//! # Laws
//! - What is told is completed, and its number is bounded by the bytes.
//! - Asked for all commits, an archive tells each that it has, once; their files are data files
//!   strictly below the root.
//! - An archive without skipped blocks, twice in a row, has its instants twice; a block that is
//!   cut short behind it changes nothing but the count of what was skipped.
//! - Block by block, a naive walk finds as many whole ones.

use std::collections::BTreeSet;

use table_sync_hudi::archive::{Archive, commits_of, parse_bytes};

use super::Verdict;
use super::commit::assert_sound;

const MAGIC: &[u8] = b"#HUDI#";

/// Reads the bytes as an archive file.
pub fn target(data: &[u8]) -> Verdict {
    let Ok(archive) = parse_bytes(data) else { return Verdict::Refused };
    assert!(archive.instants.len() <= data.len(), "more instants than bytes");
    let wanted: BTreeSet<_> = archive.instants.iter().map(|archived| archived.requested).collect();
    let writes = archive.instants.iter().filter(|archived| archived.action.writes_data());
    if let Ok(commits) = commits_of("input", data, &wanted) {
        assert!(commits.iter().map(|(archived, _)| archived).eq(writes));
        commits.iter().for_each(|(_, commit)| assert_sound(commit, data.len()));
        assert!(commits_of("input", data, &BTreeSet::new()).is_ok_and(|none| none.is_empty()));
    }
    assert!(archive.blocks_skipped <= count(data), "more skipped than there are");
    if archive.blocks_skipped == 0 {
        assert_appended(data, &archive);
    }
    Verdict::Accepted
}

fn assert_appended(data: &[u8], archive: &Archive) {
    let (whole, behind) = naive_walk(data);
    assert_eq!(behind, data.len(), "{whole} whole blocks and then something else");
    let twice = parse_bytes(&[data, data].concat()).expect("an archive twice");
    let expected: Vec<_> = archive.instants.iter().chain(&archive.instants).cloned().collect();
    assert_eq!(twice, Archive { instants: expected, blocks_skipped: 0 });
    let cut = parse_bytes(&[data, MAGIC, &[0, 0, 0, 0, 0, 0, 1, 0, 9]].concat());
    let expected = Archive { instants: archive.instants.clone(), blocks_skipped: 1 };
    assert_eq!(cut.as_ref(), Ok(&expected));
}

/// How many whole blocks a text begins with, and where they end.
fn naive_walk(data: &[u8]) -> (usize, usize) {
    let (mut blocks, mut at) = (0, 0);
    while data.get(at..at + 6) == Some(MAGIC) {
        let Some(length) = data.get(at + 6..at + 14) else { break };
        let length = length.iter().fold(0_u128, |n, byte| n << 8 | u128::from(*byte));
        let end = at as u128 + 14 + length;
        if end > data.len() as u128 {
            break;
        }
        at = usize::try_from(end).expect("it is below the length");
        blocks += 1;
    }
    (blocks, at)
}

fn count(data: &[u8]) -> usize {
    data.windows(MAGIC.len()).filter(|window| *window == MAGIC).count()
}
