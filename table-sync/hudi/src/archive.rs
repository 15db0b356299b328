//! The archive of layout 1: instants in files of Hudi's log format.
//!
//! An archive is appended to, so its last block may be cut short, and a retried append may leave
//! a damaged block before a good one. Readers skip both, and so does this one; it says how many.
//!
//! # Invariants
//! - Nothing is allocated for a length before its bytes are there.
//! - Only completed instants are told; an archive holds their other states as well.
//!
//! Metadata of an archive names no files of the change feed: its schema has no field for them.
//!
//! Source: Hudi `HoodieLogFormat`, `HoodieLogFileReader`, `HoodieAvroDataBlock`,
//! `HoodieArchivedMetaEntry.avsc`.

use std::collections::BTreeSet;

use serde::Deserialize;
use table_sync_core::InstantTime;

use crate::avro::WriterSchema;
use crate::error::DecodeError;
use crate::history::Archived;
use crate::instant::Action;
use crate::metadata::{CommitMetadata, CommitRecord};

/// Largest archive file, in bytes. Hudi rolls them over at a small size.
pub const ARCHIVE_BYTES_MAX: usize = 1 << 30;

/// First bytes of a block.
const MAGIC: &[u8] = b"#HUDI#";

/// Ordinal of a block of Avro records.
const AVRO_BLOCK: u32 = 3;

/// Ordinal of the schema among the entries of a block's header.
const SCHEMA_ENTRY: u32 = 2;

/// Most entries of a block's header. Writers use one.
const HEADER_ENTRIES_MAX: u32 = 64;

/// Bytes behind a block's footer: its length once more, for reading backwards.
const TRAILER_BYTES: usize = 8;

const KIND: &str = "archive";

/// What an archive file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    /// Its completed instants, in its order.
    pub instants: Vec<Archived>,
    /// Blocks that are cut short or damaged, and were skipped.
    pub blocks_skipped: usize,
}

/// The number of an archive file by its name, `.commits_.archive.<number>_<token>`; `None` for
/// anything else.
pub fn file_number(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(".commits_.archive.")?;
    let (number, token) = rest.split_once('_')?;
    let is_token = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && token.bytes().all(is_token)).then(|| number.parse().ok()).flatten()
}

/// Reads the completed instants of an archive file. `object` names it in errors.
///
/// # Errors
/// [`DecodeError`] when a whole block does not decode.
pub fn parse(object: &str, bytes: &[u8]) -> Result<Archive, DecodeError> {
    let mut instants = Vec::new();
    let blocks_skipped = for_each_completed(object, bytes, &mut |_, archived| {
        instants.push(archived);
        Ok(())
    })?;
    Ok(Archive { instants, blocks_skipped })
}

/// Reads what the wanted commits wrote. Instants that are not in it, or wrote nothing by their
/// kind (cleans, rollbacks), are left out.
///
/// # Errors
/// [`DecodeError`].
pub fn commits_of(
    object: &str,
    bytes: &[u8],
    wanted: &BTreeSet<InstantTime>,
) -> Result<Vec<(Archived, CommitMetadata)>, DecodeError> {
    let mut found = Vec::new();
    for_each_completed(object, bytes, &mut |entry, archived| {
        if !wanted.contains(&archived.requested) || !archived.action.writes_data() {
            return Ok(());
        }
        let record: MetadataRecord = entry.read()?;
        let record = match archived.action.comparable() {
            Action::ReplaceCommit => record.replace_commit.or(record.commit),
            _ => record.commit.or(record.replace_commit),
        };
        found.push((archived, record.unwrap_or_default().into_metadata(object)?));
        Ok(())
    })?;
    Ok(found)
}

/// The fields of an archived entry that name its instant.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EntryRecord {
    commit_time: Option<String>,
    action_type: Option<String>,
    action_state: Option<String>,
    state_transition_time: Option<String>,
}

/// The fields of an archived entry that say what it wrote.
#[derive(Default, Deserialize)]
#[serde(default)]
struct MetadataRecord {
    #[serde(rename = "hoodieCommitMetadata")]
    commit: Option<CommitRecord>,
    #[serde(rename = "hoodieReplaceCommitMetadata")]
    replace_commit: Option<CommitRecord>,
}

impl EntryRecord {
    /// The instant, unless the entry is one of its earlier states.
    fn into_completed(self, object: &str) -> Result<Option<Archived>, DecodeError> {
        // Entries without a state are from writers that archived completed instants only.
        if self.action_state.is_some_and(|state| state != "COMPLETED") {
            return Ok(None);
        }
        let requested = self.commit_time.as_deref().and_then(InstantTime::parse);
        let action = self.action_type.as_deref().and_then(Action::parse);
        let (Some(requested), Some(action)) = (requested, action) else {
            let message = "an entry has no instant or no action";
            return Err(DecodeError::damaged(object, KIND, message));
        };
        let completion = self.state_transition_time.as_deref().and_then(InstantTime::parse);
        Ok(Some(Archived { requested, completion, action }))
    }
}

/// One entry's bytes, and how to read them.
struct Entry<'a> {
    object: &'a str,
    schema: &'a crate::avro::Resolved<'a>,
    bytes: &'a [u8],
}

impl Entry<'_> {
    fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        self.schema.read(self.bytes).map_err(|error| DecodeError::damaged(self.object, KIND, error))
    }
}

/// Visits the completed entries of every whole block; returns how many blocks were skipped.
fn for_each_completed(
    object: &str,
    bytes: &[u8],
    visit: &mut dyn FnMut(&Entry<'_>, Archived) -> Result<(), DecodeError>,
) -> Result<usize, DecodeError> {
    if bytes.len() > ARCHIVE_BYTES_MAX {
        return Err(DecodeError::limit(object, "size in bytes", ARCHIVE_BYTES_MAX as u64));
    }
    if !bytes.is_empty() && !bytes.starts_with(MAGIC) {
        let message = "it does not start with a log block";
        return Err(DecodeError::damaged(object, KIND, message));
    }
    let mut skipped = 0;
    let mut rest = bytes;
    while let Some(block) = rest.strip_prefix(MAGIC) {
        let Some((body, after)) = whole_block(block) else {
            skipped += 1;
            rest = find(block, MAGIC).and_then(|at| block.get(at..)).unwrap_or_default();
            continue;
        };
        rest = after;
        let cut_short = || DecodeError::damaged(object, KIND, "a block is cut short");
        let Some(data) = AvroBlock::parse(body).ok_or_else(cut_short)? else { continue };
        data.for_each_completed(object, visit)?;
    }
    Ok(skipped)
}

/// Splits a block behind its magic from what follows it. `None` when it is not whole: its end is
/// not there, or neither the file's end nor another block follows.
fn whole_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut cursor = Cursor { rest: bytes };
    let size_bytes = usize::try_from(cursor.long()?).ok()?;
    let (body, after) = cursor.rest.split_at_checked(size_bytes)?;
    (after.is_empty() || after.starts_with(MAGIC)).then_some((body, after))
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

/// A block of Avro records.
struct AvroBlock<'a> {
    schema: &'a [u8],
    content: &'a [u8],
}

impl<'a> AvroBlock<'a> {
    /// `None` when the block is cut short, `Some(None)` when it holds no Avro records.
    fn parse(body: &'a [u8]) -> Option<Option<Self>> {
        let mut cursor = Cursor { rest: body };
        let (_version, kind) = (cursor.int()?, cursor.int()?);
        if kind != AVRO_BLOCK {
            return Some(None);
        }
        let mut schema = None;
        let entries = cursor.int()?;
        if entries > HEADER_ENTRIES_MAX {
            return None;
        }
        for _ in 0..entries {
            let (entry, length) = (cursor.int()?, cursor.int()?);
            let value = cursor.take(usize::try_from(length).ok()?)?;
            if entry == SCHEMA_ENTRY {
                schema = Some(value);
            }
        }
        let content_bytes = usize::try_from(cursor.long()?).ok()?;
        let content = cursor.take(content_bytes)?;
        // Footer and trailer follow; nothing of them is needed.
        (cursor.rest.len() >= TRAILER_BYTES).then_some(())?;
        Some(Some(Self { schema: schema?, content }))
    }

    fn for_each_completed(
        &self,
        object: &str,
        visit: &mut dyn FnMut(&Entry<'_>, Archived) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let damaged = |error| DecodeError::damaged(object, KIND, error);
        let schema = WriterSchema::parse(self.schema).map_err(damaged)?;
        let schema = schema.resolve().map_err(damaged)?;
        let cut_short = || DecodeError::damaged(object, KIND, "records are cut short");
        let mut cursor = Cursor { rest: self.content };
        let _version = cursor.int().ok_or_else(cut_short)?;
        let count = cursor.int().ok_or_else(cut_short)?;
        for _ in 0..count {
            let record = cursor.record().ok_or_else(cut_short)?;
            let entry = Entry { object, schema: &schema, bytes: record };
            let names: EntryRecord = entry.read()?;
            if let Some(archived) = names.into_completed(object)? {
                visit(&entry, archived)?;
            }
        }
        Ok(())
    }
}

/// Big-endian numbers, as `java.io.DataOutput` writes them.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn int(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn record(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.int()?).ok()?;
        self.take(length)
    }
}

/// Reads arbitrary bytes: for fuzzing.
///
/// # Errors
/// As [`parse`].
pub fn parse_bytes(bytes: &[u8]) -> Result<Archive, DecodeError> {
    parse("input", bytes)
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
