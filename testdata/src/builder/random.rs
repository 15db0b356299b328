//! Randomness of one table: everything follows from its seed.

use bytes::Bytes;
use fastrand::Rng;
use uuid::Uuid;

/// A random version 4 uuid.
pub(crate) fn uuid(rng: &mut Rng) -> Uuid {
    let mut bytes = [0_u8; 16];
    rng.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// `size` random bytes that depend on `seed` and `key` alone.
pub(crate) fn content(seed: u64, key: &str, size: u64) -> Bytes {
    let mut bytes = vec![0_u8; usize::try_from(size).expect("an object fits memory")];
    content_rng(seed, key).fill(&mut bytes);
    bytes.into()
}

/// The generator behind the bytes of the object `key`.
pub(crate) fn content_rng(seed: u64, key: &str) -> Rng {
    // FNV-1a: stable across releases of the standard library, whose hasher is not.
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Rng::with_seed(hash ^ seed)
}
