//! Damage: what outages, cleanups and people do to the objects of a table.
//!
//! History stays as it was committed, except where a person starts it anew.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Commit, TableBuilder, commit_key, index, random};
use crate::Objects;

const LOG: &str = "_delta_log/";

impl TableBuilder {
    /// Deletes one object.
    ///
    /// # Panics
    /// If there is none: the test would damage nothing.
    pub fn delete_object(mut self, key: &str) -> Self {
        assert!(self.objects.remove(key).is_some(), "no object {key}");
        self
    }

    /// Writes any object, over an older one if there is one.
    pub fn put_object(mut self, key: &str, bytes: impl Into<Bytes>) -> Self {
        self.objects.insert(key.to_owned(), bytes.into());
        self
    }

    /// Cuts an object to its first `bytes` bytes.
    ///
    /// # Panics
    /// If there is no such object or it is not longer.
    pub fn truncate(mut self, key: &str, bytes: usize) -> Self {
        let object = self.objects.get_mut(key).unwrap_or_else(|| panic!("no object {key}"));
        assert!(bytes < object.len(), "{key} is not longer than {bytes} bytes");
        *object = object.slice(..bytes);
        self
    }

    /// Flips one bit of an object: same size, other content.
    ///
    /// # Panics
    /// If there is no such object or byte.
    pub fn flip_bit(mut self, key: &str, byte: usize) -> Self {
        let object = self.objects.get_mut(key).unwrap_or_else(|| panic!("no object {key}"));
        let mut bytes = object.to_vec();
        bytes[byte] ^= 1;
        *object = bytes.into();
        self
    }

    /// Cleans the log as writers do: commits, checksums, checkpoints and compacted logs below
    /// `version` go, and sidecars that no checkpoint names any more. A checkpoint of `version`
    /// should exist.
    pub fn clean_log_below(mut self, version: u64) -> Self {
        self.objects.retain(|key, _| log_version(key).is_none_or(|found| found >= version));
        self.written.retain(|written| written.version >= version);
        let written = self.written.iter();
        let named: BTreeSet<&String> = written.flat_map(|written| &written.sidecars).collect();
        let sidecar = |key: &String| key.starts_with("_delta_log/_sidecars/");
        self.objects.retain(|key, _| !sidecar(key) || named.contains(key));
        self
    }

    /// Deletes every file that the newest version does not need, as a vacuum with no retention.
    pub fn vacuum(self) -> Self {
        let version = self.version();
        self.vacuum_below(version)
    }

    /// Deletes every file that no version from `version` on needs. Change data files go with the
    /// versions that made them.
    pub fn vacuum_below(mut self, version: u64) -> Self {
        let versions = version..=self.version();
        let needed: BTreeSet<String> =
            versions.flat_map(|version| self.publish_objects(version)).collect();
        self.objects.retain(|key, _| key.starts_with(LOG) || needed.contains(key));
        self
    }

    /// Drops the table and creates it again at the same path: all objects go, the next commit is
    /// version 0 of a new table id, with other bytes for the same keys.
    pub fn recreate(mut self) -> Self {
        self.objects.clear();
        self.restart();
        self
    }

    /// As [`TableBuilder::recreate`], but log objects of `version` and later, and all data files,
    /// are left behind, so that two histories meet in one log.
    pub fn recreate_over_leftovers(mut self, version: u64) -> Self {
        self.objects.retain(|key, _| log_version(key).is_none_or(|found| found >= version));
        self.restart();
        self
    }

    fn restart(&mut self) {
        self.seed = self.rng.u64(..);
        let id = random::uuid(&mut self.rng).to_string();
        self.metadata.id(&id);
        self.protocol_changed = true;
        self.metadata_changed = true;
        self.history.clear();
        self.head = super::State::default();
        self.written.clear();
    }

    /// Rolls the table back by force: every log object above `version` is deleted, so that the
    /// next commit takes a number that was used before. Files stay.
    pub fn roll_back_to(mut self, version: u64) -> Self {
        self.objects.retain(|key, _| log_version(key).is_none_or(|found| found <= version));
        self.head = self.state(version);
        self.history.truncate(index(version) + 1);
        self.written.retain(|written| written.version <= version);
        self
    }

    /// Writes the commit of `version` again with other bytes and the same effect.
    pub fn rewrite_commit(mut self, version: u64) -> Self {
        let actions = &mut self.history[index(version)];
        actions[0] = json!({ "commitInfo": {"operation": "REWRITTEN"} });
        let log: String = actions.iter().map(|action| format!("{action}\n")).collect();
        self.objects.insert(commit_key(version), log.into());
        self
    }

    /// Writes the commit of `version` again with other actions, which also replace the old ones
    /// in the builder's history. Protocol and metadata lines stay.
    pub fn rewrite_commit_with(
        mut self,
        version: u64,
        fill: impl FnOnce(&mut Commit) -> &mut Commit,
    ) -> Self {
        let base = version.checked_sub(1).map(|before| self.state(before)).unwrap_or_default();
        let mut commit = Commit::new(version, self.seed, self.rng.fork(), base);
        let table_wide = |line: &&Value| line.get("protocol").or(line.get("metaData")).is_some();
        for line in self.history[index(version)].iter().filter(table_wide) {
            commit.action(line.clone());
        }
        fill(&mut commit);
        let finished = commit.finish();
        self.add_objects(finished.objects, finished.vector_keys);
        self.history[index(version)] = finished.actions;
        self.objects.insert(commit_key(version), finished.log);
        self.head = self.state(self.version());
        self
    }

    /// Adds every stray name that was seen in real tables. None is part of the table.
    pub fn stray_files(mut self) -> Self {
        let version = self.version();
        let uuid = random::uuid(&mut self.rng);
        for key in stray_keys(version, &uuid.to_string()) {
            self.objects.entry(key).or_insert_with(|| Bytes::from_static(b"stray"));
        }
        self
    }
}

/// The keys of [`TableBuilder::stray_files`].
fn stray_keys(version: u64, uuid: &str) -> Vec<String> {
    let n = format!("{version:020}");
    let in_log = [
        format!(".{n}.json.crc"),
        format!(".{n}.crc.crc"),
        "._last_checkpoint.crc".to_owned(),
        format!("..{n}.json.{uuid}.tmp.crc"),
        format!(".{n}.json.{uuid}.tmp"),
        format!(".tmp/{n}.json.{uuid}"),
        "_trino_meta/extended_stats.json".to_owned(),
        "_autostats/stats.json".to_owned(),
        ".s3-optimization-0".to_owned(),
        ".s3-optimization-1".to_owned(),
        ".s3-optimization-2".to_owned(),
        format!("_commits/{n}.{uuid}.json"),
        format!("_staged_commits/{n}.{uuid}.json"),
        format!("_sidecars/.{uuid}.parquet.crc"),
        "info.txt".to_owned(),
        "_last_vacuum_info".to_owned(),
        // A version in front of an unknown ending, and numbers that are not versions.
        format!("{n}.unknown"),
        format!("{n}.checkpoint.short-id.parquet"),
        format!("{version:019}.json"),
        format!("{version:021}.json"),
    ];
    let beside = [
        "_SUCCESS".to_owned(),
        format!("_started_{version}"),
        format!("_committed_{version}"),
        ".part-0.crc".to_owned(),
        "_symlink_format_manifest/manifest".to_owned(),
        "metadata/v1.metadata.json".to_owned(),
        format!("part-{uuid}.orphan"),
    ];
    let in_log = in_log.into_iter().map(|name| format!("{LOG}{name}"));
    in_log.chain(beside).collect()
}

/// The version whose cleanup removes the log object `key`; `None` for everything else. A
/// compacted log counts as its last version.
fn log_version(key: &str) -> Option<u64> {
    let name = key.strip_prefix(LOG)?;
    let mut parts = name.split('.');
    let first = version_of(parts.next()?)?;
    Some(parts.next().and_then(version_of).unwrap_or(first))
}

fn version_of(text: &str) -> Option<u64> {
    let digits = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The keys of `objects` outside the log.
pub(super) fn data_keys(objects: &Objects) -> impl Iterator<Item = &String> {
    objects.keys().filter(|key| !key.starts_with(LOG))
}
