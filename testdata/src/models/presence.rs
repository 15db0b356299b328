//! Whether everything that a snapshot references is there.
//!
//! # Invariants
//! - A data file is judged by key and size, a deletion vector by its own length and checksum.
//! - Absolute references lie outside the table. They are looked up under their whole decoded URL,
//!   which only the objects of a declared root have; others are reported, never skipped.
//!
//! Source: Delta protocol, "Deletion Vectors", "Deletion Vector Files".

use super::action::{decode_path, is_absolute, object_key};
use super::{LiveFile, Opened};
use crate::Objects;

/// One reference that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Key relative to the table root, or the absolute reference.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Checks every live data file and deletion vector; empty means that the snapshot is whole.
pub fn files_present(opened: &Opened, objects: &Objects) -> Vec<Missing> {
    let mut missing = Vec::new();
    for file in &opened.files {
        missing.extend(data_file(file, objects));
        if let Some(dv) = &file.dv {
            missing.extend(deletion_vector(dv, objects));
        }
    }
    missing
}

fn data_file(file: &LiveFile, objects: &Objects) -> Option<Missing> {
    let fault = |reason: String| Some(Missing { key: file.path.clone(), reason });
    let Some(bytes) = objects.get(&object_key(&file.path)) else {
        return fault(absence(&file.path).to_owned());
    };
    if file.size >= 0 && bytes.len() as u64 != file.size.unsigned_abs() {
        return fault(format!("{} bytes, log says {}", bytes.len(), file.size));
    }
    None
}

fn deletion_vector(unique_id: &str, objects: &Objects) -> Option<Missing> {
    if unique_id.starts_with('i') {
        return None;
    }
    let key = match deletion_vector_key(unique_id) {
        Ok(key) => key,
        Err(reason) => return Some(Missing { key: unique_id.to_owned(), reason }),
    };
    let reason = match objects.get(&object_key(&key)) {
        None => absence(&key).to_owned(),
        Some(bytes) => stored_vector(bytes, split_offset(unique_id).1).err()?,
    };
    Some(Missing { key, reason })
}

/// Why an object is not found.
fn absence(path: &str) -> &'static str {
    if is_absolute(path) { "absolute reference" } else { "absent" }
}

/// Key of the file that holds a deletion vector, from its unique id.
///
/// # Errors
/// The text says what is wrong with the id, for example an inline vector, which has no file.
pub fn deletion_vector_key(unique_id: &str) -> Result<String, String> {
    let (id, _) = split_offset(unique_id);
    match id.split_at_checked(1) {
        Some(("p", path)) => decode_path(path),
        Some(("u", rest)) => {
            let cut = rest.len().checked_sub(20).ok_or("id is shorter than 20 characters")?;
            let (prefix, encoded) = rest.split_at_checked(cut).ok_or("id is not ASCII")?;
            let raw = z85_decode(encoded)?;
            let raw: [u8; 16] = raw.try_into().map_err(|_| "id is not 16 bytes")?;
            let uuid = uuid::Uuid::from_bytes(raw);
            let slash = if prefix.is_empty() { "" } else { "/" };
            Ok(format!("{prefix}{slash}deletion_vector_{uuid}.bin"))
        }
        _ => Err(format!("{unique_id} has no file")),
    }
}

/// Splits `@offset` off. `@` is also a Z85 character: digits after it count only when what stays
/// is long enough for an id.
fn split_offset(unique_id: &str) -> (&str, Option<u64>) {
    let split = unique_id.rsplit_once('@').and_then(|(id, offset)| {
        let long = !id.starts_with('u') || id.len() > 20;
        offset.parse().ok().filter(|_| long).map(|offset| (id, Some(offset)))
    });
    split.unwrap_or((unique_id, None))
}

/// Checks the record at an offset: length (4 bytes, big endian), data, CRC-32 of the data.
fn stored_vector(file: &[u8], offset: Option<u64>) -> Result<(), String> {
    // Without an offset the record follows the format version, the first byte of the file.
    let offset = usize::try_from(offset.unwrap_or(1)).map_err(|e| e.to_string())?;
    let record = file.get(offset..).ok_or("offset is past the end")?;
    let (len, rest) = record.split_first_chunk::<4>().ok_or("no length")?;
    let len = u32::from_be_bytes(*len) as usize;
    let data = rest.get(..len).ok_or("data is cut off")?;
    let stored = rest[len..].first_chunk::<4>().ok_or("no checksum")?;
    let actual = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, data);
    if u64::from(u32::from_be_bytes(*stored)) != actual {
        return Err("checksum differs".to_owned());
    }
    Ok(())
}

const Z85: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Decodes Z85: five characters to four bytes, big endian.
///
/// # Errors
/// The text says which rule of ZeroMQ RFC 32 the input breaks.
pub fn z85_decode(text: &str) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(5) {
        return Err("length is not a multiple of 5".to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len() / 5 * 4);
    for group in text.as_bytes().chunks(5) {
        let mut value = 0_u64;
        for byte in group {
            let digit = Z85.iter().position(|c| c == byte).ok_or("not a Z85 character")?;
            value = value * 85 + digit as u64;
        }
        bytes.extend(u32::try_from(value).map_err(|_| "group is too large")?.to_be_bytes());
    }
    Ok(bytes)
}
