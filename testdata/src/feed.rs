//! Feeder: reveals a table in a source store, object by object, the way a writer would.
//!
//! # Invariants
//! - A commit appears after everything that it refers to; derived objects after their commit,
//!   sidecars before their manifest, `_last_checkpoint` after its checkpoint and only forward.
//! - The order is a function of the table and the seed.
//! - When the feeder is done, the store holds exactly the table's objects.
//!
//! Derived objects may come late, after later commits, as they do in real life. The hint of a
//! checkpoint that the table has moved past no longer exists, so it is composed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::Objects;
use crate::models::{
    LogName, commit_key, complete_checkpoints, last_checkpoint, log_versions, references_of,
    snapshot_of_source,
};

const LOG_DIR: &str = "_delta_log/";
const HINT_KEY: &str = "_delta_log/_last_checkpoint";
/// Chance that the derived objects of a version wait for the next commit.
const LATE: f64 = 0.25;

/// One object to reveal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Key relative to the table root, raw.
    pub key: String,
    /// Content.
    pub bytes: Bytes,
    /// Version whose commit this is, if it is one.
    pub commit: Option<u64>,
}

/// Reveals a table step by step.
#[derive(Debug)]
pub struct Feeder {
    steps: VecDeque<Step>,
    revealed: Objects,
    seed: u64,
}

impl Feeder {
    /// Plans the steps for a table. The seed is printed, so that a failed test can be run again.
    #[allow(clippy::print_stdout, reason = "a random test prints its seed")]
    pub fn new(objects: &Objects, seed: u64) -> Self {
        println!("feeder seed {seed}");
        let plan = Plan { objects, rng: fastrand::Rng::with_seed(seed), done: BTreeSet::new() };
        Self { steps: plan.steps().into(), revealed: Objects::new(), seed }
    }

    /// The seed of this feeder.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Steps that are left.
    pub fn remaining(&self) -> usize {
        self.steps.len()
    }

    /// What the source holds now; feed it to the oracle.
    pub fn revealed(&self) -> &Objects {
        &self.revealed
    }

    /// Puts the next object below the prefix; `None` when the table is complete.
    ///
    /// # Panics
    /// If the store refuses.
    pub async fn step(&mut self, store: &Arc<dyn ObjectStore>, prefix: &str) -> Option<Step> {
        let step = self.steps.pop_front()?;
        let key =
            if prefix.is_empty() { step.key.clone() } else { format!("{prefix}/{}", step.key) };
        let path = Path::parse(&key).unwrap_or_else(|e| panic!("key {key} of the table: {e}"));
        let put = store.put(&path, PutPayload::from_bytes(step.bytes.clone())).await;
        put.unwrap_or_else(|e| panic!("put {key}: {e}"));
        self.revealed.insert(step.key.clone(), step.bytes.clone());
        Some(step)
    }

    /// Steps until the next commit is there; its version, or `None` when the table is complete.
    pub async fn step_commit(&mut self, store: &Arc<dyn ObjectStore>, prefix: &str) -> Option<u64> {
        loop {
            if let Some(version) = self.step(store, prefix).await?.commit {
                return Some(version);
            }
        }
    }

    /// Reveals everything that is left.
    pub async fn finish(&mut self, store: &Arc<dyn ObjectStore>, prefix: &str) {
        while self.step(store, prefix).await.is_some() {}
    }
}

struct Plan<'a> {
    objects: &'a Objects,
    rng: fastrand::Rng,
    /// Keys that are planned; the hint is never among them.
    done: BTreeSet<String>,
}

impl Plan<'_> {
    fn steps(mut self) -> Vec<Step> {
        let commits = log_versions(self.objects);
        let checkpoints = complete_checkpoints(self.objects);
        let mut steps = Vec::new();
        if commits.first() != Some(&0)
            && let Some((&base, _)) = checkpoints.first_key_value()
        {
            self.base(base, &mut steps);
        }
        let mut waiting = Vec::new();
        for &version in &commits {
            let key = commit_key(version);
            if !self.done.contains(&key) {
                self.references(std::slice::from_ref(&key), &mut steps);
                self.add(&key, &mut steps);
            }
            self.derived(version, &mut waiting);
            if self.rng.f64() >= LATE {
                steps.append(&mut waiting);
            }
        }
        steps.append(&mut waiting);
        self.leftovers(&mut steps);
        steps
    }

    /// A log that does not start at 0 starts with its first checkpoint and everything below it.
    fn base(&mut self, base: u64, steps: &mut Vec<Step>) {
        if let Ok(opened) = snapshot_of_source(self.objects, base) {
            let mut keys: Vec<String> = opened.files.into_iter().map(|file| file.path).collect();
            self.rng.shuffle(&mut keys);
            keys.iter().for_each(|key| self.add(key, steps));
        }
        let below: Vec<u64> =
            log_versions(self.objects).into_iter().filter(|version| *version <= base).collect();
        let keys: Vec<String> = below.iter().map(|version| commit_key(*version)).collect();
        self.references(&keys, steps);
        self.derived(base, steps);
        keys.iter().for_each(|key| self.add(key, steps));
    }

    /// What log objects refer to and is not there yet, in random order.
    fn references(&mut self, keys: &[String], steps: &mut Vec<Step>) {
        let mut needed = BTreeSet::new();
        for key in keys {
            if let Ok(found) = references_of(self.objects, key) {
                needed.extend(found.needed);
                needed.extend(found.change_data);
            }
        }
        let mut needed: Vec<String> = needed.into_iter().collect();
        self.rng.shuffle(&mut needed);
        needed.iter().for_each(|key| self.add(key, steps));
    }

    /// Checksum, compacted files, sidecars, checkpoint files and hint of one version.
    fn derived(&mut self, version: u64, steps: &mut Vec<Step>) {
        let names = self.objects.keys().filter_map(|key| {
            let name = LogName::parse(key.strip_prefix(LOG_DIR)?)?;
            let own = name.version() == version && !matches!(name, LogName::Commit(_));
            own.then(|| (key.clone(), name))
        });
        let mut names: Vec<(String, LogName)> = names.collect();
        self.rng.shuffle(&mut names);
        for (key, name) in names {
            if !matches!(name, LogName::Checksum(_) | LogName::Compacted(..)) {
                self.references(std::slice::from_ref(&key), steps);
            }
            self.add(&key, steps);
        }
        steps.extend(self.hint(version).map(|bytes| Step {
            key: HINT_KEY.to_owned(),
            bytes,
            commit: None,
        }));
    }

    /// The hint that a writer would leave at this version: the table's own, or a composed one.
    fn hint(&self, version: u64) -> Option<Bytes> {
        let last = last_checkpoint(self.objects).ok()??;
        let keys = complete_checkpoints(self.objects).remove(&version)?;
        if last.version <= version {
            return (last.version == version).then(|| self.objects.get(HINT_KEY).cloned())?;
        }
        let name = keys.first()?.strip_prefix(LOG_DIR)?;
        let mut hint = serde_json::json!({ "version": version, "size": 1 });
        match LogName::parse(name)? {
            LogName::UuidCheckpoint(_) => {
                hint["v2Checkpoint"] = serde_json::json!({ "path": name });
            }
            LogName::CheckpointPart(_, _, parts) => hint["parts"] = parts.into(),
            _ => {}
        }
        Some(hint.to_string().into())
    }

    /// Objects that nothing refers to, anywhere before the end; a hint that names nothing, last.
    fn leftovers(&mut self, steps: &mut Vec<Step>) {
        let stray: Vec<String> = self
            .objects
            .keys()
            .filter(|key| !self.done.contains(*key) && *key != HINT_KEY)
            .cloned()
            .collect();
        for key in stray {
            let mut one = Vec::new();
            self.add(&key, &mut one);
            let at = self.rng.usize(0..=steps.len());
            steps.splice(at..at, one);
        }
        let ends: BTreeMap<&str, &Bytes> =
            steps.iter().map(|step| (step.key.as_str(), &step.bytes)).collect();
        let own = self.objects.get(HINT_KEY);
        if let Some(bytes) = own.filter(|own| ends.get(HINT_KEY) != Some(own)) {
            let bytes = bytes.clone();
            steps.push(Step { key: HINT_KEY.to_owned(), bytes, commit: None });
        }
    }

    fn add(&mut self, key: &str, steps: &mut Vec<Step>) {
        let Some(bytes) = self.objects.get(key) else { return };
        if self.done.insert(key.to_owned()) {
            let name = key.strip_prefix(LOG_DIR).and_then(LogName::parse);
            let commit = match name {
                Some(LogName::Commit(version)) => Some(version),
                _ => None,
            };
            steps.push(Step { key: key.to_owned(), bytes: bytes.clone(), commit });
        }
    }
}
