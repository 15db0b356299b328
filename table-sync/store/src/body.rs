//! Bodies: streams of bytes on their way in and out, counted and checked.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use futures::stream::{BoxStream, StreamExt as _};
use table_sync_core::{BoxError, ObjectIdentity};

use crate::error::{LengthError, ReadError};

/// Bytes on their way into a store.
pub type Body = BoxStream<'static, Result<Bytes, BoxError>>;

/// What a store says of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Which content the key holds.
    pub identity: ObjectIdentity,
    /// CRC-32C of the whole object, where the store keeps one.
    pub crc32c: Option<u32>,
    /// When the store took it, ms since the epoch, on the store's clock; after a write, ours.
    pub modified_ms: i64,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Key below the store root.
    pub key: String,
    /// Which content the key holds. A listing names no version.
    pub identity: ObjectIdentity,
    /// When the store took it, ms since the epoch, on the store's clock.
    pub modified_ms: i64,
}

/// An object that is being read.
pub struct Reading {
    /// Which content is read. The body fails rather than mix two contents.
    pub identity: ObjectIdentity,
    /// Size of the whole object in bytes, also when a range is read.
    pub object_bytes: u64,
    /// CRC-32C of the whole object, where the store publishes one.
    pub crc32c: Option<u32>,
    /// When the store took it, ms since the epoch, on the store's clock.
    pub modified_ms: i64,
    /// The bytes. A body that ends without an error is complete.
    pub body: BoxStream<'static, Result<Bytes, ReadError>>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("identity", &self.identity)
            .field("crc32c", &self.crc32c)
            .finish_non_exhaustive()
    }
}

/// What was written, as the store acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Identity of the new object.
    pub identity: ObjectIdentity,
    /// CRC-32C of the bytes that were sent; where the store can, it verified it.
    pub crc32c: u32,
    /// Bytes that were sent.
    pub size_bytes: u64,
}

/// What must be at a key for an upload to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    Absent,
    /// The object that was observed.
    Match(ObjectIdentity),
    /// Anything.
    Any,
}

/// Running CRC-32C.
pub(crate) struct Crc32c(Digest);

impl Crc32c {
    pub(crate) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Goes on as if the bytes behind `next` had been taken here.
    pub(crate) fn append(&mut self, next: &Self) {
        // A combination costs as much as summing 100 KiB, and most bodies are one part.
        if self.0.get_amount() == 0 {
            self.0 = next.0;
        } else {
            self.0.combine(&next.0);
        }
    }

    /// The checksum of what was taken so far.
    pub(crate) fn value(&self) -> u32 {
        // The algorithm yields 32 bits in a 64-bit word.
        u32::try_from(self.0.finalize()).unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut crc = Self::new();
        crc.update(bytes);
        crc.value()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the source publishes CRC-32C {expected:08x}, but its bytes have {found:08x}")]
struct ChecksumError {
    expected: u32,
    found: u32,
}

/// The same bytes, failing at their end when their CRC-32C is not `expected`: an upload is then
/// cut before the store can commit it.
pub fn verify_crc32c(body: Body, expected: u32) -> Body {
    let state = (body, Crc32c::new(), false);
    futures::stream::unfold(state, move |(mut body, mut crc, ended)| async move {
        if ended {
            return None;
        }
        match body.next().await {
            Some(Ok(chunk)) => {
                crc.update(&chunk);
                Some((Ok(chunk), (body, crc, false)))
            }
            Some(Err(error)) => Some((Err(error), (body, crc, true))),
            None if crc.value() == expected => None,
            None => {
                let error = ChecksumError { expected, found: crc.value() };
                Some((Err(error.into()), (body, crc, true)))
            }
        }
    })
    .boxed()
}

/// Counts a body against its announced size, and sums it.
pub(crate) struct Tally {
    expected: u64,
    found: u64,
    crc: Crc32c,
}

impl Tally {
    pub(crate) fn new(expected: u64) -> Self {
        Self { expected, found: 0, crc: Crc32c::new() }
    }

    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), LengthError> {
        self.found += chunk.len() as u64;
        if self.found > self.expected {
            return Err(LengthError::Long { expected: self.expected });
        }
        self.crc.update(chunk);
        Ok(())
    }

    /// The CRC-32C, once the body has ended.
    pub(crate) fn finish(&self) -> Result<u32, LengthError> {
        if self.found < self.expected {
            return Err(LengthError::Short { found: self.found, expected: self.expected });
        }
        Ok(self.crc.value())
    }
}

/// A body of bytes at hand.
pub(crate) fn of_bytes(bytes: Bytes) -> Body {
    futures::stream::iter([Ok(bytes)]).boxed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::TryStreamExt as _;

    #[test]
    fn crc32c_of_the_check_string() {
        // RFC 3720, appendix B.4, and the catalogue of CRC algorithms.
        assert_eq!(Crc32c::of(b"123456789"), 0xe306_9283);
        assert_eq!(Crc32c::of(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn checksums_are_appended() {
        let (mut left, mut right) = (Crc32c::new(), Crc32c::new());
        left.update(b"1234");
        right.update(b"56789");
        left.append(&right);
        assert_eq!(left.value(), 0xe306_9283);
        let mut whole = Crc32c::new();
        whole.append(&left);
        whole.append(&Crc32c::new());
        assert_eq!(whole.value(), 0xe306_9283);
    }

    #[tokio::test]
    async fn wrong_checksum_fails_after_the_last_byte() {
        let body = || of_bytes(Bytes::from_static(b"123456789"));
        let good: Vec<Bytes> = verify_crc32c(body(), 0xe306_9283).try_collect().await.unwrap();
        assert_eq!(good.concat(), b"123456789");
        let mut bad = verify_crc32c(body(), 1);
        assert!(bad.next().await.unwrap().is_ok());
        assert!(bad.next().await.unwrap().is_err());
        assert!(bad.next().await.is_none());
    }

    #[test]
    fn tally_refuses_short_and_long_bodies() {
        let mut tally = Tally::new(3);
        tally.take(b"ab").unwrap();
        assert!(matches!(tally.finish(), Err(LengthError::Short { found: 2, expected: 3 })));
        tally.take(b"c").unwrap();
        assert!(tally.finish().is_ok());
        assert!(matches!(tally.take(b"d"), Err(LengthError::Long { expected: 3 })));
    }
}
