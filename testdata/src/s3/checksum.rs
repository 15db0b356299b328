//! Checksums of object bodies: the algorithms of S3, and MD5 for `Content-MD5`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use sha2::{Digest as _, Sha256};

/// Algorithms with an `x-amz-checksum-*` header that the double verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha256,
}

impl Algorithm {
    pub(super) const ALL: [Self; 4] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha256];

    /// Name of the header that carries the value.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// Name of the element that carries the value in XML.
    pub(super) fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// The algorithm that a header name or an `x-amz-checksum-algorithm` value names.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        let short = name.strip_prefix("x-amz-checksum-").unwrap_or(&name);
        match short {
            "crc32" => Some(Self::Crc32),
            "crc32c" => Some(Self::Crc32c),
            "crc64nvme" => Some(Self::Crc64Nvme),
            "sha256" => Some(Self::Sha256),
            _ => None,
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let crc = |algorithm| crc_fast::checksum(algorithm, bytes);
        match self {
            Self::Crc32 => (crc(CrcAlgorithm::Crc32IsoHdlc) as u32).to_be_bytes().to_vec(),
            Self::Crc32c => (crc(CrcAlgorithm::Crc32Iscsi) as u32).to_be_bytes().to_vec(),
            Self::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme).to_be_bytes().to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
        }
    }

    /// Value as headers carry it: base64 of the big-endian digest.
    pub(super) fn value(self, bytes: &[u8]) -> String {
        BASE64.encode(self.digest(bytes))
    }

    /// Composite value of an object of parts: digest of the digests, with the count of parts.
    /// `None` when a part's value is not base64.
    pub(super) fn composite<'a>(
        self,
        parts: impl ExactSizeIterator<Item = &'a str>,
    ) -> Option<String> {
        let count = parts.len();
        let mut digests = Vec::new();
        for part in parts {
            digests.extend(BASE64.decode(part).ok()?);
        }
        Some(format!("{}-{count}", self.value(&digests)))
    }
}

/// Lower-case hex of the SHA-256 of `bytes`.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Opaque entity tag of `bytes`: 32 hex digits that look like an MD5 and are none, so that a
/// client which takes an ETag for a checksum fails its tests.
pub(super) fn entity_tag(bytes: &[u8]) -> String {
    let mut tag = sha256_hex(bytes);
    tag.truncate(32);
    tag
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Base64 of the MD5 of `bytes`, as `Content-MD5` carries it.
pub(super) fn md5_base64(bytes: &[u8]) -> String {
    BASE64.encode(md5(bytes))
}

/// MD5 (RFC 1321). Nothing but `Content-MD5` of DeleteObjects and small writes needs it.
fn md5(bytes: &[u8]) -> [u8; 16] {
    let mut message = bytes.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend((bytes.len() as u64).wrapping_mul(8).to_le_bytes());

    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in message.chunks_exact(64) {
        let added = md5_block(state, block);
        for (word, add) in state.iter_mut().zip(added) {
            *word = word.wrapping_add(add);
        }
    }
    let mut digest = [0; 16];
    for (out, word) in digest.chunks_exact_mut(4).zip(state) {
        out.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

fn md5_block([mut a, mut b, mut c, mut d]: [u32; 4], block: &[u8]) -> [u32; 4] {
    const SHIFTS: [[u32; 4]; 4] =
        [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let word = |i: usize| {
        u32::from_le_bytes([block[4 * i], block[4 * i + 1], block[4 * i + 2], block[4 * i + 3]])
    };
    for i in 0..64 {
        let (mix, index) = match i / 16 {
            0 => ((b & c) | (!b & d), i),
            1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
            2 => (b ^ c ^ d, (3 * i + 5) % 16),
            _ => (c ^ (b | !d), (7 * i) % 16),
        };
        let constant = ((i as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32;
        let sum = mix.wrapping_add(a).wrapping_add(constant).wrapping_add(word(index));
        a = d;
        d = c;
        c = b;
        b = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_matches_the_vectors_of_rfc_1321() {
        let cases = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ];
        for (text, expect) in cases {
            assert_eq!(hex(&md5(text.as_bytes())), expect, "{text:?}");
        }
    }

    #[test]
    fn crcs_match_the_check_values_of_the_crc_catalogue() {
        let cases = [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
        ];
        for (algorithm, expect) in cases {
            assert_eq!(hex(&algorithm.digest(b"123456789")), expect, "{algorithm:?}");
        }
    }
}
