//! Avro as timelines hold it: object containers with one record, and bare records.
//!
//! Records are read through `serde`, straight from their bytes: fields that a type does not name
//! are skipped unread, whatever the writer's release added. The same types read the JSON of
//! layout 1.
//!
//! # Invariants
//! - Memory is bounded by the bytes read and what the type keeps: nothing is allocated for a
//!   length before its bytes are there.
//! - Work is bounded: values that take no bytes are counted, nesting is limited.
//!
//! Source: Avro 1.11 specification, "Binary Encoding", "Object Container Files".

mod datum;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use apache_avro::Schema;
use apache_avro::schema::{Name, ResolvedSchema};
use serde::Deserialize;

use datum::{Datum, Input};

/// First bytes of an object container.
pub(crate) const MAGIC: &[u8] = b"Obj\x01";

/// Length of the marker between blocks, in bytes.
const SYNC_BYTES: usize = 16;

/// Largest schema, in bytes. Hudi's largest takes 15 KiB.
const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// Most entries of a container's header. Writers use two.
const HEADER_ENTRIES_MAX: usize = 1024;

/// Why Avro bytes do not give a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct AvroError {
    message: String,
}

impl AvroError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl serde::de::Error for AvroError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

/// A writer's schema.
pub(crate) struct WriterSchema {
    schema: Schema,
}

impl WriterSchema {
    /// Parses a schema's JSON.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, AvroError> {
        if json.len() > SCHEMA_BYTES_MAX {
            return Err(AvroError::new("schema is too large"));
        }
        let json = std::str::from_utf8(json).map_err(|_| AvroError::new("schema is not UTF-8"))?;
        // The library is not written for schemas that nobody vouches for.
        let parsed = catch_unwind(AssertUnwindSafe(|| Schema::parse_str(json)));
        match parsed {
            Ok(Ok(schema)) => Ok(Self { schema }),
            Ok(Err(error)) => Err(AvroError::new(format!("schema does not parse: {error}"))),
            Err(_) => Err(AvroError::new("schema does not parse: the Avro library panicked")),
        }
    }

    /// The schema with its names, for reading.
    pub(crate) fn resolve(&self) -> Result<Resolved<'_>, AvroError> {
        let resolved = catch_unwind(AssertUnwindSafe(|| ResolvedSchema::try_from(&self.schema)));
        match resolved {
            Ok(Ok(resolved)) => {
                Ok(Resolved { schema: &self.schema, names: resolved.get_names().clone() })
            }
            Ok(Err(error)) => Err(AvroError::new(format!("schema is not closed: {error}"))),
            Err(_) => Err(AvroError::new("schema is not closed: the Avro library panicked")),
        }
    }
}

/// A schema and the types that it names.
pub(crate) struct Resolved<'s> {
    schema: &'s Schema,
    names: HashMap<Name, &'s Schema>,
}

impl Resolved<'_> {
    /// Reads one bare record from the start of `bytes`; bytes behind it are left.
    pub(crate) fn read<'de, T: Deserialize<'de>>(&self, bytes: &'de [u8]) -> Result<T, AvroError> {
        let mut input = Input::new(bytes);
        T::deserialize(Datum::new(&mut input, self.schema, &self.names))
    }
}

/// Reads the first record of an object container.
pub(crate) fn read_container<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, AvroError> {
    let mut input = Input::new(bytes);
    if input.take(MAGIC.len())? != MAGIC {
        return Err(AvroError::new("no Avro container"));
    }
    let header = Header::read(&mut input)?;
    let schema = WriterSchema::parse(header.schema)?;
    let count = input.long()?;
    let block_bytes = input.length()?;
    let block = input.take(block_bytes)?;
    if input.take(SYNC_BYTES)? != header.sync {
        return Err(AvroError::new("block does not end in the container's marker"));
    }
    if count < 1 {
        return Err(AvroError::new("container holds no record"));
    }
    schema.resolve()?.read(block)
}

/// What precedes the blocks of a container.
struct Header<'de> {
    schema: &'de [u8],
    sync: &'de [u8],
}

impl<'de> Header<'de> {
    fn read(input: &mut Input<'de>) -> Result<Self, AvroError> {
        let mut schema = None;
        let mut entries = 0;
        loop {
            let count = input.block_count()?.items;
            if count == 0 {
                break;
            }
            entries += count;
            if entries > HEADER_ENTRIES_MAX {
                return Err(AvroError::new("header has too many entries"));
            }
            for _ in 0..count {
                let (key, value) = (input.bytes()?, input.bytes()?);
                match key {
                    b"avro.schema" => schema = Some(value),
                    // Hudi's timeline writer sets no codec.
                    b"avro.codec" if value != b"null" => {
                        let codec = String::from_utf8_lossy(value);
                        return Err(AvroError::new(format!("codec {codec:?} is not supported")));
                    }
                    _ => {}
                }
            }
        }
        let schema = schema.ok_or_else(|| AvroError::new("header has no schema"))?;
        let sync = input.take(SYNC_BYTES)?;
        Ok(Self { schema, sync })
    }
}

#[cfg(test)]
#[path = "avro_tests.rs"]
mod tests;
