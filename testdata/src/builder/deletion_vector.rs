//! Deletion vectors: inline, relative and absolute, in the real format.
//!
//! Source: Delta protocol, "Deletion Vectors", "Deletion Vector Format"; the portable Roaring
//! format, github.com/RoaringBitmap/RoaringFormatSpec; Z85, rfc.zeromq.org/spec/32.

use serde_json::{Value, json};

/// First bytes of a serialised bitmap.
const BITMAP_MAGIC: u32 = 1_681_511_377;

/// A Roaring container of the array kind holds at most this many rows.
const CARDINALITY_MAX: u16 = 4_096;

/// Where a deletion vector is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletionVector {
    /// `i`: in the log itself.
    Inline {
        /// Deleted rows, 1 to 4,096.
        cardinality: u16,
    },
    /// `u`: a file below the table root. Vectors of one commit with the same `prefix` and `file`
    /// share one object and differ by offset.
    Relative {
        /// Directory of the file, below the table root; may be empty.
        prefix: String,
        /// Number of the file among those of this prefix and commit.
        file: u32,
        /// Deleted rows, 1 to 4,096.
        cardinality: u16,
    },
    /// `p`: a URL as it stands. No object is made.
    Absolute {
        /// For example `gs://other/table/deletion_vector_1.bin`.
        url: String,
        /// Deleted rows, 1 to 4,096.
        cardinality: u16,
    },
}

impl DeletionVector {
    /// An inline vector of `cardinality` rows.
    pub fn inline(cardinality: u16) -> Self {
        Self::Inline { cardinality }
    }

    /// A vector in file number `file` of its commit, in the table root.
    pub fn relative(file: u32, cardinality: u16) -> Self {
        Self::prefixed("", file, cardinality)
    }

    /// A vector in file number `file` of its commit, in the directory `prefix`.
    pub fn prefixed(prefix: &str, file: u32, cardinality: u16) -> Self {
        Self::Relative { prefix: prefix.to_owned(), file, cardinality }
    }

    /// A vector in the file at `url`, which is not made.
    pub fn absolute(url: &str, cardinality: u16) -> Self {
        Self::Absolute { url: url.to_owned(), cardinality }
    }
}

/// The log's descriptor. `offset` is absent for inline vectors.
pub(super) fn descriptor(
    storage_type: &str,
    path_or_inline: &str,
    offset: Option<usize>,
    size_bytes: usize,
    cardinality: u16,
) -> Value {
    let mut value = json!({
        "storageType": storage_type,
        "pathOrInlineDv": path_or_inline,
        "sizeInBytes": size_bytes,
        "cardinality": cardinality,
    });
    if let Some(offset) = offset {
        value["offset"] = offset.into();
    }
    value
}

/// A serialised bitmap that deletes the rows `0..cardinality`.
pub(super) fn bitmap(cardinality: u16) -> Vec<u8> {
    assert!((1..=CARDINALITY_MAX).contains(&cardinality), "cardinality is not in 1..=4096");
    let mut bytes = Vec::new();
    bytes.extend(BITMAP_MAGIC.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes()); // bitmaps
    bytes.extend(0_u32.to_le_bytes()); // high 32 bits of the rows
    bytes.extend(12_346_u32.to_le_bytes()); // cookie: no run containers
    bytes.extend(1_u32.to_le_bytes()); // containers
    bytes.extend(0_u16.to_le_bytes()); // key of the container
    bytes.extend((cardinality - 1).to_le_bytes());
    bytes.extend(16_u32.to_le_bytes()); // offset of the container after the cookie
    for row in 0..cardinality {
        bytes.extend(row.to_le_bytes());
    }
    bytes
}

/// Appends a bitmap to the bytes of a deletion vector file. Returns the offset of its entry.
pub(super) fn append(file: &mut Vec<u8>, bitmap: &[u8]) -> usize {
    if file.is_empty() {
        file.push(1); // format version
    }
    let offset = file.len();
    let size = u32::try_from(bitmap.len()).expect("a bitmap of at most 4,096 rows is small");
    file.extend(size.to_be_bytes());
    file.extend(bitmap);
    file.extend(crc_fast::crc32_iso_hdlc(bitmap).to_be_bytes());
    offset
}

/// Z85 text of `bytes`, which are padded with zeros to a multiple of four.
pub fn z85(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 85] =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let mut text = String::with_capacity(bytes.len().div_ceil(4) * 5);
    for chunk in bytes.chunks(4) {
        let mut word = [0_u8; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for power in (0..5).rev() {
            let digit = word / 85_u32.pow(power) % 85;
            text.push(char::from(ALPHABET[digit as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own example.
    #[test]
    fn z85_matches_its_specification() {
        assert_eq!(z85(&[0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B]), "HelloWorld");
    }

    /// The protocol's example of a relative vector: the last 20 characters are the uuid.
    #[test]
    fn z85_of_a_uuid_matches_the_protocol() {
        let uuid = uuid::Uuid::parse_str("d2c639aa-8816-431a-aaf6-d3fe2512ff61").unwrap();
        assert_eq!(z85(uuid.as_bytes()), "^-aqEH.-t@S}K{vb[*k^");
    }

    #[test]
    fn vectors_in_one_file_follow_each_other() {
        let mut file = Vec::new();
        let first = append(&mut file, &bitmap(3));
        let second = append(&mut file, &bitmap(1));
        assert_eq!((first, second), (1, 1 + 4 + bitmap(3).len() + 4));
        assert_eq!(file.len(), second + 4 + bitmap(1).len() + 4);
    }
}
