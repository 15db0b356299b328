//! Table builder: hand-made Delta histories along independent axes.
//!
//! A [`TableBuilder`] holds the objects of one table. Each step adds the objects that a writer
//! would add, or damages them as an outage, a vacuum or a careless person would. Data files are
//! random bytes of the right size, since a replicator looks at bytes alone; deletion vectors and
//! checkpoints are real.
//!
//! ```
//! use driftless_testdata::builder::{DeletionVector, TableBuilder};
//!
//! let table = TableBuilder::new(7)
//!     .protocol(3, 7, &["deletionVectors"], &["deletionVectors"])
//!     .commit(|c| c.add("part-0", 100).add("part-1", 200))
//!     .commit(|c| c.delete_rows("part-0", DeletionVector::relative(0, 3)).remove("part-1"))
//!     .checkpoint_classic(1)
//!     .last_checkpoint(1);
//! assert_eq!(table.version(), 1);
//! assert!(table.objects().contains_key("_delta_log/00000000000000000001.json"));
//! ```
//!
//! # Invariants
//! - The same seed and the same steps give the same bytes.
//! - Versions and times follow the number of commits; no clock is read.
//! - Checkpoints, checksums and compacted logs come from a replay of what was committed. Damage
//!   changes objects, never that history, so a checkpoint after damage is still true.
//! - A step adds objects and replaces none; only damage and `_last_checkpoint` do.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use serde_json::Value;

use crate::Objects;

pub(crate) mod checkpoint;
mod commit;
mod damage;
pub(crate) mod deletion_vector;
mod derived;
mod feature;
mod file;
mod hostile;
pub(crate) mod metadata;
mod path;
pub(crate) mod random;
mod replay;
pub(crate) mod stats;
mod store;
mod truth;

pub use commit::Commit;
pub use deletion_vector::{DeletionVector, z85};
pub use file::DataFile;
pub use hostile::{HOSTILE_PATHS, ODD_KEYS, nested_line};
pub use metadata::Metadata;
pub use path::{NULL_PARTITION, log_path, partition_directory};
pub use store::{put_objects, write_objects};
pub use truth::LiveFile;

use derived::Written;
use metadata::Protocol;
use replay::State;

/// Time of version 0, milliseconds since 1970; the versions are [`VERSION_MS`] apart.
pub const EPOCH_MS: u64 = 1_710_000_000_000;

/// Milliseconds from one version to the next.
pub const VERSION_MS: u64 = 60_000;

/// The time in the actions of `version`, milliseconds since 1970.
pub fn version_ms(version: u64) -> u64 {
    EPOCH_MS + version * VERSION_MS
}

/// Key of the commit file of `version`.
pub fn commit_key(version: u64) -> String {
    format!("_delta_log/{version:020}.json")
}

/// Key of the hint to the newest checkpoint.
pub const LAST_CHECKPOINT_KEY: &str = "_delta_log/_last_checkpoint";

/// One table, grown step by step. Clone it to keep a state.
#[derive(Debug, Clone)]
pub struct TableBuilder {
    seed: u64,
    rng: Rng,
    protocol: Protocol,
    metadata: Metadata,
    /// Whether the next commit must carry them.
    protocol_changed: bool,
    metadata_changed: bool,
    /// Lines that a feature puts into the next commit.
    extra: Vec<Value>,
    /// The actions of each version, as they were meant.
    history: Vec<Vec<Value>>,
    /// The state after all of `history`.
    head: State,
    /// Derived objects, for `_last_checkpoint` and cleanup.
    written: Vec<Written>,
    /// `pathOrInlineDv` of relative vectors to the key of their file.
    vector_keys: BTreeMap<String, String>,
    objects: Objects,
}

impl TableBuilder {
    /// An empty table: protocol (1, 2), one column `c0 long`, no partitions, no commit yet.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let id = random::uuid(&mut rng).to_string();
        Self {
            seed,
            rng,
            protocol: Protocol::new(1, 2, &[], &[]),
            metadata: Metadata::new(id),
            protocol_changed: true,
            metadata_changed: true,
            extra: Vec::new(),
            history: Vec::new(),
            head: State::default(),
            written: Vec::new(),
            vector_keys: BTreeMap::new(),
            objects: Objects::new(),
        }
    }

    /// Sets the protocol; the next commit carries it. Features are written when the version of
    /// their side lists features (reader 3, writer 7).
    pub fn protocol(
        mut self,
        reader: u32,
        writer: u32,
        reader_features: &[&str],
        writer_features: &[&str],
    ) -> Self {
        self.protocol = Protocol::new(reader, writer, reader_features, writer_features);
        self.protocol_changed = true;
        self
    }

    /// Changes the metadata; the next commit carries it.
    pub fn metadata(mut self, change: impl FnOnce(&mut Metadata) -> &mut Metadata) -> Self {
        change(&mut self.metadata);
        self.metadata_changed = true;
        self
    }

    /// Gives the table a new `metaData.id` with the next commit, as CREATE OR REPLACE does.
    pub fn replace(mut self) -> Self {
        let id = random::uuid(&mut self.rng).to_string();
        self.metadata(|metadata| metadata.id(&id))
    }

    /// Makes the next version. Its first line is `commitInfo`, then `protocol` and `metaData` if
    /// they changed, then what `fill` adds.
    pub fn commit(mut self, fill: impl FnOnce(&mut Commit) -> &mut Commit) -> Self {
        let finished = self.prepared(fill);
        self.publish(finished);
        self
    }

    /// Makes `count` versions of one file each, `<prefix>-<version>` of `size` bytes.
    pub fn commits(mut self, count: u64, prefix: &str, size: u64) -> Self {
        for _ in 0..count {
            self = self.commit(|c| c.add(&format!("{prefix}-{}", c.version()), size));
        }
        self
    }

    /// Makes the next version from `bytes` as they stand. Replay sees the JSON objects in them
    /// up to the first place that is not JSON.
    pub fn raw_commit(mut self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let values = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
        let actions = values.map_while(Result::ok).collect();
        self.append(bytes, actions);
        self
    }

    /// The newest version.
    ///
    /// # Panics
    /// If there is no commit.
    pub fn version(&self) -> u64 {
        self.next_version().checked_sub(1).expect("the table has no commit yet")
    }

    /// The objects as they are now.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The objects, without the builder.
    pub fn build(self) -> Objects {
        self.objects
    }

    fn next_version(&self) -> u64 {
        self.history.len() as u64
    }

    /// A commit with everything in it, not yet part of the table.
    fn prepared(&mut self, fill: impl FnOnce(&mut Commit) -> &mut Commit) -> commit::Finished {
        let version = self.next_version();
        let rng = self.rng.fork();
        let mut commit = Commit::new(version, self.seed, rng, self.head.clone());
        if self.metadata.has("delta.enableInCommitTimestamps", "true") {
            commit.info("inCommitTimestamp", version_ms(version).into());
        }
        if std::mem::take(&mut self.protocol_changed) {
            commit.action(self.protocol.line());
        }
        if std::mem::take(&mut self.metadata_changed) {
            commit.action(self.metadata.line(version_ms(version)));
        }
        for line in std::mem::take(&mut self.extra) {
            commit.action(line);
        }
        fill(&mut commit);
        commit.finish()
    }

    fn publish(&mut self, finished: commit::Finished) {
        self.add_objects(finished.objects, finished.vector_keys);
        self.append(finished.log, finished.actions);
    }

    fn add_objects(&mut self, objects: Objects, vector_keys: Vec<(String, String)>) {
        for (key, bytes) in objects {
            self.objects.entry(key).or_insert(bytes);
        }
        self.vector_keys.extend(vector_keys);
    }

    fn append(&mut self, log: Bytes, actions: Vec<Value>) {
        let key = commit_key(self.next_version());
        for action in &actions {
            self.head.apply(action);
        }
        self.history.push(actions);
        self.objects.insert(key, log);
    }

    /// The state after `version`.
    ///
    /// # Panics
    /// If `version` was not committed.
    fn state(&self, version: u64) -> State {
        assert!(version < self.next_version(), "version {version} was not committed");
        State::of(&self.history[..=index(version)])
    }
}

fn index(version: u64) -> usize {
    usize::try_from(version).expect("versions of a test are few")
}
