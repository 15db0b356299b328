//! Bodies for tests: long ones that are never held, and ones that fail.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use table_sync_store::{Body, ReadError, Reading};

/// The error of a failing body; tests look for this very type.
#[derive(Debug, thiserror::Error)]
#[error("the body broke as planned")]
pub struct Planned;

/// `size_bytes` bytes that differ from place to place, in chunks that fit no part size.
pub fn pattern(size_bytes: u64) -> Body {
    const CHUNK: u64 = 777_777;
    stream::unfold(0_u64, move |at| async move {
        (at < size_bytes).then(|| {
            let bytes = CHUNK.min(size_bytes - at);
            (Ok(chunk(at, bytes)), at + bytes)
        })
    })
    .boxed()
}

fn chunk(at: u64, bytes: u64) -> Bytes {
    (at..at + bytes).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// `good_bytes` bytes of the pattern, then an error.
pub fn breaking(good_bytes: u64) -> Body {
    pattern(good_bytes).chain(stream::iter([Err(Planned.into())])).boxed()
}

/// Whether a read gives exactly the pattern.
pub async fn is_pattern(reading: Reading, from: u64, size_bytes: u64) -> bool {
    let mut body = reading.body;
    let mut at = from;
    while let Some(bytes) = body.next().await {
        let bytes = bytes.unwrap();
        if bytes != chunk(at, bytes.len() as u64) {
            return false;
        }
        at += bytes.len() as u64;
    }
    at == from + size_bytes
}

pub async fn whole(reading: Reading) -> Result<Vec<u8>, ReadError> {
    let mut body = reading.body;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}
