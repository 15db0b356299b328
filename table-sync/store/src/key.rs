//! Keys below the store root.

use table_sync_core::{PathError, RelPath};

use crate::{Store, StoreKind};

/// Longest key of a bucket, counted from the bucket's root: bytes on S3 and GCS, characters on
/// Azure.
///
/// Source: Amazon S3 User Guide, "Naming Amazon S3 objects"; Cloud Storage, "Object naming
/// guidelines"; Azure Storage, "Naming and referencing containers, blobs, and metadata".
const WHOLE_KEY_MAX: usize = 1024;

/// A key that is longer than the store takes, its own prefix included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key {key} is {length} {unit} long, and the store takes {length_max}")]
pub struct KeyTooLong {
    /// The whole key in the bucket or container.
    pub key: String,
    /// Its length.
    pub length: usize,
    /// The longest that is taken.
    pub length_max: usize,
    /// What is counted: bytes or characters.
    pub unit: &'static str,
}

impl Store {
    /// Whether the store limits the length of keys, whatever their segments.
    pub fn limits_keys(&self) -> bool {
        matches!(self.kind(), StoreKind::S3 | StoreKind::Gcs | StoreKind::Azure)
    }

    /// Asks whether a key, together with the store's own prefix, is one that the store takes.
    ///
    /// # Errors
    /// [`KeyTooLong`], which no retry changes.
    pub fn check_key_length(&self, key: &str) -> Result<(), KeyTooLong> {
        let prefix = self.prefix();
        // No text has more characters than bytes.
        if !self.limits_keys() || prefix.len() + 1 + key.len() <= WHOLE_KEY_MAX {
            return Ok(());
        }
        let key = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") };
        let (length, unit) = match self.kind() {
            StoreKind::Azure => (key.chars().count(), "characters"),
            _ => (key.len(), "bytes"),
        };
        if length <= WHOLE_KEY_MAX {
            return Ok(());
        }
        Err(KeyTooLong { key, length, length_max: WHOLE_KEY_MAX, unit })
    }
}

/// Refuses what cannot be confined to the store root.
pub(crate) fn checked(key: &str) -> Result<(), PathError> {
    RelPath::parse(key).map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Location, Secret, Settings, StoreConfig, open};

    /// A store of a kind, rooted ten characters deep. Nothing is asked of it.
    fn store(scheme: &str) -> Store {
        let options = match scheme {
            "az" => [("account_name", "a"), ("account_key", "aw==")].as_slice(),
            "s3" => &[("access_key_id", "a"), ("secret_access_key", "b")],
            _ => &[],
        };
        let options = options.iter().map(|(name, value)| {
            let value = Secret::plain(*value);
            ((*name).to_owned(), value)
        });
        let url = format!("{scheme}://bucket/123456789é");
        let config = StoreConfig { url, options: options.collect() };
        let stores: BTreeMap<_, _> = [("site".to_owned(), config)].into();
        open(&Location::parse("site:t", &stores).unwrap(), &Settings::default()).unwrap()
    }

    /// `expect`: the length that is too much.
    #[track_caller]
    fn check(scheme: &str, key: &str, expect: Option<(usize, &str)>) {
        let found = store(scheme).check_key_length(key).err();
        let found = found.map(|error| (error.length, error.unit));
        assert_eq!(found, expect, "{scheme} {}", key.len());
    }

    #[test]
    fn the_stores_prefix_counts() {
        check("s3", &"k".repeat(1012), None);
        check("s3", &"k".repeat(1013), Some((1025, "bytes")));
        check("s3", &"é".repeat(507), Some((1026, "bytes")));
        check("az", &"k".repeat(1013), None);
        check("az", &"é".repeat(1013), None);
        check("az", &"é".repeat(1014), Some((1025, "characters")));
        let memory = std::sync::Arc::new(object_store::memory::InMemory::new());
        let other = Store::over(memory, "memory:///");
        assert_eq!(other.check_key_length(&"k".repeat(5000)), Ok(()));
    }
}
