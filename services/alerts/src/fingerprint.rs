//! The fingerprint of an alert: the same that Prometheus gives to a set of labels.

use std::collections::BTreeMap;
use std::hash::Hasher as _;

use fnv::FnvHasher;

/// Follows each name and each value; occurs in no UTF-8 text.
const SEPARATOR: u8 = 255;

/// FNV-1a, 64 bits, over names and values in the order of names; 16 hexadecimal digits.
///
/// # Source
/// `prometheus/common:model/signature.go`, `labelSetToFingerprint`.
pub fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let mut hasher = FnvHasher::default();
    for (name, value) in labels {
        for text in [name, value] {
            hasher.write(text.as_bytes());
            hasher.write(&[SEPARATOR]);
        }
    }
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(labels: &[(&str, &str)], expect: u64) {
        let owned = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(fingerprint(&owned.collect()), format!("{expect:016x}"));
    }

    /// Values of `prometheus/common:model/signature_test.go`.
    #[test]
    fn as_prometheus_does() {
        check(&[], 14_695_981_039_346_656_037);
        check(
            &[("name", "garland, briggs"), ("fear", "love is not enough")],
            5_799_056_148_416_392_346,
        );
        check(&[("first-label", "first-label-value")], 5_146_282_821_936_882_169);
    }
}
