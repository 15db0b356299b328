//! One record of metadata in whatever encoding it has, and the file names in it.

use serde::Deserialize;
use table_sync_core::{InstantTime, PathError, RelPath};

use super::METADATA_BYTES_MAX;
use crate::avro;
use crate::error::DecodeError;
use crate::properties::METADATA_FOLDER;

/// Reads a record. Zero bytes are a record without values, whatever the encoding; anything that
/// is no Avro container is JSON.
pub(crate) fn decode<'de, T>(
    object: &str,
    kind: &'static str,
    bytes: &'de [u8],
) -> Result<T, DecodeError>
where
    T: Deserialize<'de> + Default,
{
    if bytes.len() > METADATA_BYTES_MAX {
        return Err(DecodeError::limit(object, "size in bytes", METADATA_BYTES_MAX as u64));
    }
    if bytes.is_empty() {
        return Ok(T::default());
    }
    if bytes.starts_with(avro::MAGIC) {
        return avro::read_container(bytes)
            .map_err(|error| DecodeError::damaged(object, kind, error));
    }
    // An array would be taken for a record by position, which no writer means.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(DecodeError::damaged(object, kind, "it is neither Avro nor a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| DecodeError::damaged(object, kind, error))
}

/// The key of a data file, as metadata states it: raw, below the table's root.
pub(super) fn data_key(object: &str, path: &str) -> Result<RelPath, DecodeError> {
    if has_scheme(path) {
        return Err(DecodeError::foreign(object, path, PathError::Absolute));
    }
    let key = RelPath::parse(path).map_err(|error| DecodeError::foreign(object, path, error))?;
    let first = key.as_str().split('/').next();
    if first == Some(METADATA_FOLDER) {
        return Err(DecodeError::reserved(object, path));
    }
    Ok(key)
}

/// Whether a path names its store, as Hadoop writes it: `s3a://bucket/key`, `file:/key`. A colon
/// in a later segment belongs to a partition's value.
fn has_scheme(path: &str) -> bool {
    let Some((first, _)) = path.split_once('/') else { return false };
    let Some(scheme) = first.strip_suffix(':') else { return false };
    let mut bytes = scheme.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// The key of a file that metadata of table services names.
///
/// Some writers state a name, some a path with the table's root before it. All mean a file of the
/// partition, so the last segment is what they say; the root of another place is not looked at.
pub(super) fn file_in(object: &str, partition: &str, file: &str) -> Result<RelPath, DecodeError> {
    let name = file.rsplit('/').next().unwrap_or(file);
    if partition.is_empty() {
        return data_key(object, name);
    }
    data_key(object, &format!("{partition}/{name}"))
}

/// An instant that metadata names.
pub(super) fn instant(
    object: &str,
    kind: &'static str,
    text: &str,
) -> Result<InstantTime, DecodeError> {
    let message = || format!("{text:?} is not an instant");
    InstantTime::parse(text).ok_or_else(|| DecodeError::damaged(object, kind, message()))
}
