//! Digests: of one object, of a chain of commits, of a set of files.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// SHA-256 of one object's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    /// Digest of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads a digest as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        if text.len() != 2 * digest.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Running hash over commits: `H(N) = sha256(H(N-1) || sha256(commit N))`, `H(-1)` all zero.
///
/// Two sites that publish the same commits from the same start hold the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHash(Sha256Digest);

impl Default for ChainHash {
    fn default() -> Self {
        Self(Sha256Digest([0; 32]))
    }
}

impl ChainHash {
    /// The chain with one more commit.
    #[must_use]
    pub fn then(self, commit: Sha256Digest) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0.0);
        hasher.update(commit.0);
        Self(Sha256Digest(hasher.finalize().into()))
    }

    /// Reads a chain as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Sha256Digest::parse(text).map(Self)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Order-independent digest of a multiset of live files: the sum modulo 2^128 of one hash each,
/// with the count beside it.
///
/// Entries may be taken out again, so a digest can follow a log without holding the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetDigest {
    sum: u128,
    count: i64,
}

impl SetDigest {
    /// Adds one file: its key, and the id of its deletion vector where it has one.
    pub fn insert(&mut self, path: &str, qualifier: Option<&str>) {
        self.sum = self.sum.wrapping_add(Self::entry(path, qualifier));
        self.count += 1;
    }

    /// Takes one file out.
    pub fn remove(&mut self, path: &str, qualifier: Option<&str>) {
        self.sum = self.sum.wrapping_sub(Self::entry(path, qualifier));
        self.count -= 1;
    }

    /// How many files are in the set.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// Hash of one entry: the first 16 bytes of `sha256(path NUL qualifier)`, big-endian.
    pub fn entry(path: &str, qualifier: Option<&str>) -> u128 {
        let mut hasher = Sha256::new();
        hasher.update(path.as_bytes());
        hasher.update([0]);
        hasher.update(qualifier.unwrap_or_default().as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        digest.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
    }
}

impl fmt::Display for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_and_read_alike() {
        let digest = Sha256Digest::of(b"driftless");
        assert_eq!(Sha256Digest::parse(&digest.to_string()), Some(digest));
        let chain = ChainHash::default().then(digest);
        assert_eq!(ChainHash::parse(&chain.to_string()), Some(chain));
        let long = format!("{digest}0");
        for text in ["", "00", "zz", long.as_str(), &"\u{e9}".repeat(32)] {
            assert_eq!(Sha256Digest::parse(text), None, "{text}");
        }
    }

    #[test]
    fn set_digest_ignores_order_and_undoes_inserts() {
        let mut left = SetDigest::default();
        left.insert("a", None);
        left.insert("b", Some("uabc@1"));
        let mut right = SetDigest::default();
        right.insert("b", Some("uabc@1"));
        right.insert("gone", None);
        right.insert("a", None);
        assert_ne!(left, right);
        right.remove("gone", None);
        assert_eq!(left, right);
        assert_eq!(left.count(), 2);
    }

    #[test]
    fn chain_depends_on_order() {
        let (a, b) = (Sha256Digest::of(b"a"), Sha256Digest::of(b"b"));
        assert_ne!(ChainHash::default().then(a).then(b), ChainHash::default().then(b).then(a));
    }
}
