//! The `aws-chunked` form of an upload body, with its checksum behind it.
//!
//! The server verifies the checksum before it commits, so a body that is cut or damaged on its
//! way never becomes an object. One chunk holds the whole body unless a server refuses that.
//!
//! Source: Amazon S3 API Reference, "Signature Calculations: Transferring Payload in Multiple
//! Chunks ... including trailing headers".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Name of the trailer.
pub(crate) const TRAILER: &str = "x-amz-checksum-crc32c";
/// Value of `x-amz-content-sha256` for such a body.
pub(crate) const PAYLOAD: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// How one body of known size is framed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Framing {
    /// Size of the bytes themselves.
    pub(crate) size_bytes: u64,
    /// Size of every chunk but the last.
    pub(crate) chunk_bytes: u64,
}

impl Framing {
    pub(crate) fn new(size_bytes: u64, chunk_bytes: Option<u64>) -> Self {
        let chunk_bytes = chunk_bytes.unwrap_or(size_bytes).clamp(1, size_bytes.max(1));
        Self { size_bytes, chunk_bytes }
    }

    /// Size of the framed body: the request's `Content-Length`.
    pub(crate) fn framed_bytes(&self) -> u64 {
        let full = self.size_bytes / self.chunk_bytes;
        let rest = self.size_bytes % self.chunk_bytes;
        let chunk = |bytes: u64| hex_digits(bytes) + 2 + bytes + 2;
        let last = if rest > 0 { chunk(rest) } else { 0 };
        full * chunk(self.chunk_bytes) + last + end(0).len() as u64
    }

    /// What stands before the chunk that starts at `at`, and its size.
    pub(crate) fn chunk_head(&self, at: u64) -> (String, u64) {
        let bytes = self.chunk_bytes.min(self.size_bytes.saturating_sub(at));
        (format!("{bytes:x}\r\n"), bytes)
    }
}

/// What stands behind a chunk.
pub(crate) const CHUNK_END: &str = "\r\n";

/// What stands behind the last chunk: the empty chunk and the trailer.
pub(crate) fn end(crc32c: u32) -> String {
    format!("0\r\n{TRAILER}:{}\r\n\r\n", encode(crc32c))
}

/// A CRC-32C as S3 writes it: base64 of its bytes, most significant first.
pub(crate) fn encode(crc32c: u32) -> String {
    STANDARD.encode(crc32c.to_be_bytes())
}

/// The reverse; `None` for the checksum of a checksum list (`...-3`) and anything else.
pub(crate) fn decode(text: &str) -> Option<u32> {
    let bytes: [u8; 4] = STANDARD.decode(text).ok()?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

fn hex_digits(value: u64) -> u64 {
    u64::from((u64::BITS - value.leading_zeros()).div_ceil(4).max(1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::body::Crc32c;

    /// Frames a whole body the way the upload body does.
    fn framed(bytes: &[u8], chunk_bytes: Option<u64>) -> Vec<u8> {
        let framing = Framing::new(bytes.len() as u64, chunk_bytes);
        let mut out = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (head, size) = framing.chunk_head(at as u64);
            let next = at + usize::try_from(size).unwrap();
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&bytes[at..next]);
            out.extend_from_slice(CHUNK_END.as_bytes());
            at = next;
        }
        out.extend_from_slice(end(Crc32c::of(bytes)).as_bytes());
        assert_eq!(out.len() as u64, framing.framed_bytes());
        out
    }

    #[test]
    fn one_chunk_holds_the_whole_body() {
        assert_eq!(
            framed(b"123456789", None),
            b"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n"
        );
    }

    #[test]
    fn smaller_chunks() {
        assert_eq!(
            framed(b"123456789", Some(4)),
            b"4\r\n1234\r\n4\r\n5678\r\n1\r\n9\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n"
        );
    }

    #[test]
    fn empty_body_is_a_trailer() {
        assert_eq!(framed(b"", None), b"0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n");
        assert_eq!(framed(b"", Some(1 << 20)), framed(b"", None));
    }

    #[test]
    fn lengths_agree_with_bytes() {
        let bytes = vec![7; 5000];
        for size in [1, 15, 16, 17, 255, 256, 257, 4095, 4096, 5000] {
            for chunk in [None, Some(1), Some(16), Some(256), Some(1 << 20)] {
                framed(&bytes[..size], chunk);
            }
        }
    }

    #[test]
    fn checksums_of_lists_are_not_checksums() {
        assert_eq!(decode("4waSgw=="), Some(0xe306_9283));
        assert_eq!(decode("4waSgw==-3"), None);
        assert_eq!(decode(""), None);
    }
}
