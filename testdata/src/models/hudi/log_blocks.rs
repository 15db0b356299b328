//! Blocks of log files, and which of them a reader merges.
//!
//! # Invariants
//! - A rollback block undoes earlier blocks only.
//! - A block that another one compacted is replaced by it, in the place of the compacted ones.
//!
//! Source: Hudi's `HoodieLogFormat`, `BaseHoodieLogRecordReader`.

use std::collections::{BTreeMap, BTreeSet};

use super::MergedLog;

const MAGIC: &[u8] = b"#HUDI#";

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Rows or change data of any encoding.
    Data,
    /// Keys to delete.
    Delete,
    /// A rollback command.
    Command,
    /// Not readable, and skipped by readers.
    Corrupt,
}

/// One block of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it holds.
    pub kind: BlockKind,
    /// Instant that wrote it.
    pub instant: String,
    /// Instant that a rollback command undoes.
    pub target: Option<String>,
    /// Instants whose blocks this one stands for.
    pub compacted: Vec<String>,
    /// Where the content lies in the file, bytes.
    pub content: std::ops::Range<usize>,
}

/// The blocks of a log file. What cannot be read ends the list with one corrupt block.
pub fn blocks_of(bytes: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some((block, next)) = block_at(bytes, at) else {
            let content = at..bytes.len();
            let (instant, target, compacted) = Default::default();
            let kind = BlockKind::Corrupt;
            blocks.push(Block { kind, instant, target, compacted, content });
            break;
        };
        blocks.push(block);
        at = next;
    }
    blocks
}

/// Header keys, see `HeaderMetadataType`.
const INSTANT_TIME: u32 = 0;
const TARGET_INSTANT_TIME: u32 = 1;
const COMPACTED_BLOCK_TIMES: u32 = 4;

fn block_at(bytes: &[u8], at: usize) -> Option<(Block, usize)> {
    let mut cursor = Cursor { bytes, at };
    if cursor.take(MAGIC.len())? != MAGIC {
        return None;
    }
    let size = usize::try_from(cursor.u64()?).ok()?;
    let end = cursor.at.checked_add(size).filter(|end| *end <= bytes.len())?;
    let _format = cursor.u32()?;
    let code = cursor.u32()?;
    let mut header = BTreeMap::new();
    for _ in 0..cursor.u32()? {
        let key = cursor.u32()?;
        let length = cursor.u32()? as usize;
        header.insert(key, String::from_utf8_lossy(cursor.take(length)?).into_owned());
    }
    let length = usize::try_from(cursor.u64()?).ok()?;
    let content = cursor.at..cursor.at.checked_add(length).filter(|stop| *stop <= end)?;
    let kind = match code {
        0 => BlockKind::Command,
        1 => BlockKind::Delete,
        2 => BlockKind::Corrupt,
        _ => BlockKind::Data,
    };
    let compacted = header.get(&COMPACTED_BLOCK_TIMES).map(String::as_str).unwrap_or_default();
    let compacted = compacted.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect();
    let instant = header.remove(&INSTANT_TIME).unwrap_or_default();
    let target = header.remove(&TARGET_INSTANT_TIME);
    Some((Block { kind, instant, target, compacted, content }, end))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let found = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(found)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }
}

/// A block of one of the logs of a slice.
pub(super) type Placed = (usize, usize, Block);

/// The blocks that a reader merges, in merge order: log, number in the log, block.
///
/// `logs` are the blocks of each log in the order of the slice; `counts` says whether a data or
/// delete block of an instant counts at all.
pub(super) fn merged(logs: &[Vec<Block>], counts: impl Fn(&str) -> bool) -> Vec<Placed> {
    let mut order: Vec<String> = Vec::new();
    let mut by_instant: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
    for (log, blocks) in logs.iter().enumerate() {
        for (number, block) in blocks.iter().enumerate() {
            match block.kind {
                BlockKind::Corrupt => {}
                BlockKind::Command => {
                    let target = block.target.as_deref().unwrap_or_default();
                    order.retain(|time| time != target);
                    by_instant.remove(target);
                }
                BlockKind::Data | BlockKind::Delete if counts(&block.instant) => {
                    let found = by_instant.entry(block.instant.clone()).or_default();
                    if found.is_empty() {
                        order.push(block.instant.clone());
                    }
                    found.push((log, number, block.clone()));
                }
                BlockKind::Data | BlockKind::Delete => {}
            }
        }
    }
    placed(&order, &by_instant)
}

/// Second pass, newest first: compacted blocks give way to what stands for them.
fn placed(order: &[String], by_instant: &BTreeMap<String, Vec<Placed>>) -> Vec<Placed> {
    let mut stands_for: BTreeMap<String, String> = BTreeMap::new();
    let mut included = BTreeSet::new();
    let mut newest_first: Vec<&Vec<Placed>> = Vec::new();
    for time in order.iter().rev() {
        let Some(blocks) = by_instant.get(time) else { continue };
        let compacted = blocks.first().map(|(_, _, block)| block.compacted.as_slice());
        if let Some(compacted @ [_, ..]) = compacted {
            let last = stands_for.get(time).unwrap_or(time).clone();
            stands_for.extend(compacted.iter().map(|old| (old.clone(), last.clone())));
            continue;
        }
        let shown = stands_for.get(time).unwrap_or(time);
        if included.insert(shown.clone()) {
            newest_first.extend(by_instant.get(shown));
        }
    }
    newest_first.into_iter().rev().flatten().cloned().collect()
}

/// Merged blocks by file, for a snapshot.
pub(super) fn by_path(placed: &[Placed], paths: &[String]) -> Vec<MergedLog> {
    let mut logs: Vec<MergedLog> = Vec::new();
    for (log, number, _) in placed {
        let Some(path) = paths.get(*log) else { continue };
        match logs.last_mut().filter(|last| last.path == *path) {
            Some(last) => last.blocks.push(*number),
            None => logs.push(MergedLog { path: path.clone(), blocks: vec![*number] }),
        }
    }
    logs
}
