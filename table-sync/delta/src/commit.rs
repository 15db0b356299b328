//! Commits: the bytes of one log object, and the actions in them.
//!
//! # Invariants
//! - An object is read from the store once; its bytes stay in memory, or on disk when large.
//! - Actions are read in bounded memory, however many there are.

use std::collections::BTreeMap;
use std::io::Read;

use bytes::Bytes;
use table_sync_core::SpoolFile;

use crate::action::{Action, Record};
pub use crate::framing::FramingError;
use crate::framing::{Attempt, Objects};

/// The bytes of a log object.
#[derive(Debug, Clone)]
pub enum LogBytes {
    /// In memory.
    Memory(Bytes),
    /// On local disk.
    Spool(SpoolFile),
}

impl LogBytes {
    /// Opens the bytes from their start.
    ///
    /// # Errors
    /// [`FramingError::Io`] when the local file is gone.
    pub fn open(&self) -> Result<Box<dyn Read + Send>, FramingError> {
        match self {
            Self::Memory(bytes) => Ok(Box::new(std::io::Cursor::new(bytes.clone()))),
            Self::Spool(file) => {
                let file = std::fs::File::open(&file.path).map_err(FramingError::Io)?;
                Ok(Box::new(file))
            }
        }
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spool(file) => file.size_bytes,
        }
    }
}

/// Reads actions one JSON object at a time.
pub struct ActionReader<R> {
    objects: Objects<R>,
}

impl<R: Read> ActionReader<R> {
    /// Starts at the beginning of `source`, which is read in large pieces.
    pub fn new(source: R) -> Self {
        Self { objects: Objects::new(source) }
    }

    /// Visits the actions of the next JSON object; `None` at the end, else what `visit` said.
    ///
    /// # Errors
    /// [`FramingError`] when the object does not parse; the reader must not be used after that.
    pub fn next<E>(
        &mut self,
        visit: &mut dyn FnMut(Action<'_>) -> Result<(), E>,
    ) -> Result<Option<Result<(), E>>, FramingError> {
        self.objects.next(&mut |object| match serde_json::from_slice::<Record<'_>>(object) {
            Ok(record) => Attempt::Done(record.try_for_each(&mut |action| visit(action))),
            Err(error) if error.is_data() => Attempt::Form,
            Err(_) => Attempt::Extent,
        })
    }
}

/// Visits every action of a log object.
///
/// # Errors
/// The outer error when the bytes do not parse, the inner one when `visit` stops.
pub fn for_each<E>(
    source: impl Read,
    visit: &mut dyn FnMut(Action<'_>) -> Result<(), E>,
) -> Result<Result<(), E>, FramingError> {
    let mut reader = ActionReader::new(source);
    while let Some(visited) = reader.next(visit)? {
        if visited.is_err() {
            return Ok(visited);
        }
    }
    Ok(Ok(()))
}

/// How many actions of each kind a log object holds. Reads arbitrary bytes: for fuzzing, too.
///
/// # Errors
/// [`FramingError`] when the bytes do not parse.
pub fn parse_all(bytes: &[u8]) -> Result<BTreeMap<String, u64>, FramingError> {
    let mut counts = BTreeMap::new();
    let counted = for_each::<std::convert::Infallible>(bytes, &mut |action| {
        let name = match action {
            Action::Add(_) => "add",
            Action::Remove(_) => "remove",
            Action::Cdc(_) => "cdc",
            Action::Metadata(_) => "metaData",
            Action::Protocol(_) => "protocol",
            Action::CommitInfo(_) => "commitInfo",
            Action::Txn => "txn",
            Action::DomainMetadata => "domainMetadata",
            Action::Adaptive => "checkpoint",
            Action::Sidecar(_) => "sidecar",
            Action::CheckpointMetadata => "checkpointMetadata",
            Action::Unknown(ref name) => name.as_ref(),
        };
        *counts.entry(name.to_owned()).or_default() += 1;
        Ok(())
    })?;
    match counted {
        Ok(()) => Ok(counts),
        Err(never) => match never {},
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
