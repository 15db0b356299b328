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
