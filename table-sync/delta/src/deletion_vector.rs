//! Deletion vectors: which file a descriptor names.
//!
//! A descriptor is `i` (bytes inside the log), `u` (a file below the table root, named by an
//! encoded id) or `p` (an absolute path). Only the last two name an object.
//!
//! Source: Delta protocol, "Deletion Vectors".

use table_sync_core::{FileKey, RelPath};

use crate::reference::{Reference, ReferenceError};

/// Characters of an encoded id: 16 bytes in Z85.
const ID_CHARS: usize = 20;

/// The alphabet of Z85 (ZeroMQ RFC 32), in order of value.
const Z85: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// What one descriptor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionVector {
    /// The protocol's `uniqueId`: with the path it is the key of a live file.
    pub unique_id: Box<str>,
    /// The file that holds the marks; `None` when they are inline.
    pub file: Option<FileKey>,
}

impl DeletionVector {
    /// Reads a descriptor.
    ///
    /// - `storage_type`: `i`, `u` or `p`.
    /// - `value`: the protocol's `pathOrInlineDv`.
    /// - `offset`: byte offset inside the file, where there is one.
    ///
    /// # Errors
    /// [`ReferenceError`] when the file lies outside the table root, or the id does not decode.
    pub fn resolve(
        storage_type: &str,
        value: &str,
        offset: Option<i64>,
        reference: &Reference,
    ) -> Result<Self, ReferenceError> {
        let file = match storage_type {
            "i" => None,
            "u" => Some(FileKey::of_table(relative_file(value)?)),
            "p" => Some(reference.resolve(value)?),
            _ => return Err(ReferenceError::DeletionVector),
        };
        let unique_id = match offset {
            Some(offset) => format!("{storage_type}{value}@{offset}"),
            None => format!("{storage_type}{value}"),
        };
        Ok(Self { unique_id: unique_id.into(), file })
    }
}

/// `<prefix>/deletion_vector_<uuid>.bin`, always relative to the table root.
fn relative_file(value: &str) -> Result<RelPath, ReferenceError> {
    let split = value.len().checked_sub(ID_CHARS).ok_or(ReferenceError::DeletionVector)?;
    let (prefix, id) = value.split_at_checked(split).ok_or(ReferenceError::DeletionVector)?;
    let id = decode_id(id).ok_or(ReferenceError::DeletionVector)?;
    let name = format!("deletion_vector_{}.bin", uuid::Uuid::from_bytes(id).hyphenated());
    let key = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    RelPath::parse(&key).map_err(ReferenceError::Path)
}

/// Decodes 20 characters of Z85 to 16 bytes.
fn decode_id(text: &str) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    for (group, bytes) in text.as_bytes().chunks(5).zip(id.chunks_mut(4)) {
        let mut value: u32 = 0;
        for digit in group {
            let digit = Z85.iter().position(|letter| letter == digit)?;
            value = value.checked_mul(85)?.checked_add(u32::try_from(digit).ok()?)?;
        }
        bytes.copy_from_slice(&value.to_be_bytes());
    }
    Some(id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(storage_type: &str, value: &str, expect: Result<Option<&str>, ReferenceError>) {
        let found = DeletionVector::resolve(storage_type, value, Some(4), &Reference::refuse());
        let expect = expect.map(|file| DeletionVector {
            unique_id: format!("{storage_type}{value}@4").into(),
            file: file.map(|key| FileKey::of_table(RelPath::parse(key).unwrap())),
        });
        assert_eq!(found, expect, "{value}");
    }

    #[test]
    fn examples_of_the_protocol_resolve() {
        // Delta protocol, "Derived Fields" and "JSON Example 1": prefix `ab`, random prefix dir.
        check(
            "u",
            "ab^-aqEH.-t@S}K{vb[*k^",
            Ok(Some("ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin")),
        );
        check(
            "u",
            "^-aqEH.-t@S}K{vb[*k^",
            Ok(Some("deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin")),
        );
        check("i", "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L", Ok(None));
        check("p", "dv/x.bin", Ok(Some("dv/x.bin")));
    }

    #[test]
    fn hostile_descriptors_are_refused() {
        use table_sync_core::PathError;
        check("u", "short", Err(ReferenceError::DeletionVector));
        check("u", "^-aqEH.-t@S}K{vb[*k~", Err(ReferenceError::DeletionVector));
        check("u", "^-aqEH.-t@S}K{vb[*\u{20ac}", Err(ReferenceError::DeletionVector));
        // Five digits of the largest value do not fit 32 bits.
        check("u", "####################", Err(ReferenceError::DeletionVector));
        check("x", "^-aqEH.-t@S}K{vb[*k^", Err(ReferenceError::DeletionVector));
        check("u", "../up^-aqEH.-t@S}K{vb[*k^", Err(ReferenceError::Path(PathError::Segment)));
        check("u", "/abs^-aqEH.-t@S}K{vb[*k^", Err(ReferenceError::Path(PathError::Absolute)));
        let foreign = Err(ReferenceError::Path(PathError::Absolute));
        check("p", "s3://user:pw@other/dv.bin", foreign);
    }

    #[test]
    fn descriptor_without_offset_has_a_short_id() {
        let vector = DeletionVector::resolve("i", "abc", None, &Reference::refuse()).unwrap();
        assert_eq!(&*vector.unique_id, "iabc");
    }
}
