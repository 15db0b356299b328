//! The truth about a table, from the builder's history: what tests compare with.

use std::collections::BTreeSet;

use serde_json::Value;

use super::replay::State;
use super::{TableBuilder, index};

/// One live file of a version.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveFile {
    /// The path as the log has it.
    pub path: String,
    /// Key below the table root; `None` if the path is absolute.
    pub key: Option<String>,
    /// The log's `size`, bytes.
    pub size: i64,
    /// The log's deletion vector.
    pub vector: Option<Value>,
}

impl TableBuilder {
    /// The live files of `version`, ascending by log path and vector.
    pub fn live_files(&self, version: u64) -> Vec<LiveFile> {
        self.state(version).adds.values().map(live_file).collect()
    }

    /// Keys of all objects that a reader of `version` may open: its data files and the files of
    /// their deletion vectors. Absolute references are left out.
    pub fn snapshot_objects(&self, version: u64) -> BTreeSet<String> {
        self.state_objects(&self.state(version))
    }

    /// Keys of all objects that must be at a target before `version` is visible: those of the
    /// snapshot and the change data files of this one version.
    pub fn publish_objects(&self, version: u64) -> BTreeSet<String> {
        let mut keys = self.snapshot_objects(version);
        let changes = self.history[index(version)].iter().map(|line| &line["cdc"]["path"]);
        keys.extend(changes.filter_map(Value::as_str).filter_map(relative_key));
        keys
    }

    /// Keys outside the log that no version needs.
    pub fn orphans(&self) -> BTreeSet<String> {
        let versions = 0..self.next_version();
        let needed: BTreeSet<String> =
            versions.flat_map(|version| self.publish_objects(version)).collect();
        let keys = super::damage::data_keys(&self.objects);
        keys.filter(|key| !needed.contains(*key)).cloned().collect()
    }

    fn state_objects(&self, state: &State) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for add in state.adds.values() {
            keys.extend(add["path"].as_str().and_then(relative_key));
            let vector = &add["deletionVector"];
            if vector["storageType"] == "u" {
                let path = vector["pathOrInlineDv"].as_str().unwrap_or_default();
                keys.extend(self.vector_keys.get(path).cloned());
            }
        }
        keys
    }
}

fn live_file(add: &Value) -> LiveFile {
    let path = add["path"].as_str().unwrap_or_default().to_owned();
    LiveFile {
        key: relative_key(&path),
        path,
        size: add["size"].as_i64().unwrap_or_default(),
        vector: add.get("deletionVector").filter(|vector| !vector.is_null()).cloned(),
    }
}

/// The key that a relative log path names: decoded once.
fn relative_key(path: &str) -> Option<String> {
    let scheme = path.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    if scheme || path.starts_with('/') {
        return None;
    }
    let key = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
    Some(key.into_owned())
}
