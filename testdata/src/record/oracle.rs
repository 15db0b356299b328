//! The oracle: judges every state that a replica passes through.
//!
//! After each mutation below the table's prefix the readers of [`crate::models`] open the table.
//! Each must see a committed version of the source, whole and not older than before, or fail
//! loudly where that is allowed.
//!
//! # Invariants
//! - The truth is what the source has shown: [`Oracle::learn`] only adds to it.
//! - A violation never stops the run; [`Oracle::assert_clean`] does, with the story so far.
//!
//! Source: `docs/delta.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{Hook, Mutation, Op, StateOf};
use crate::Objects;
use crate::models::{
    self, LogName, OpenError, Opened, commit_key, complete_checkpoints, files_present,
    last_checkpoint, log_versions, references_of, snapshot_of_source,
};

const LOG_DIR: &str = "_delta_log/";
const HINT_KEY: &str = "_delta_log/_last_checkpoint";
/// Where the product keeps its own state, at the root of a store.
const STATE_DIR: &str = "_driftless/";

/// A modelled reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// Spark with Delta.
    Spark,
    /// Trino.
    Trino,
    /// delta-kernel-rs and what is built on it.
    Kernel,
}

impl Reader {
    const ALL: [Self; 3] = [Self::Spark, Self::Trino, Self::Kernel];

    fn open(self, objects: &Objects) -> Result<Opened, OpenError> {
        match self {
            Self::Spark => models::spark(objects),
            Self::Trino => models::trino(objects),
            Self::Kernel => models::kernel(objects),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// Every object that the source has shown; the newest content of each.
    source: Objects,
    /// Every content that a key has had at the source.
    contents: BTreeMap<String, Vec<Bytes>>,
    truth: BTreeMap<u64, Result<Opened, OpenError>>,
    /// Keys that some commit or checkpoint of the source refers to.
    referenced: BTreeSet<String>,
    /// Change data files that the source lost.
    lost: BTreeSet<String>,
    /// Newest version that each reader has opened at the target.
    seen: BTreeMap<Reader, u64>,
    hint: Option<u64>,
    story: Vec<String>,
    violations: Vec<String>,
}

/// Judges one replica of one table. Cheap to clone: clones share what they know.
#[derive(Debug, Clone)]
pub struct Oracle {
    prefix: String,
    /// Roots of other tables: URL as references spell it, and prefix in the store.
    aliases: Vec<(String, String)>,
    deletes_allowed: bool,
    state: Arc<Mutex<State>>,
}

impl Oracle {
    /// An oracle for the replica below a prefix, without slash at the end.
    pub fn new(prefix: &str) -> Self {
        let state = Arc::default();
        Self { prefix: prefix.to_owned(), aliases: Vec::new(), deletes_allowed: false, state }
    }

    /// Follows absolute references below `url` to the objects below `prefix` of the same store, as
    /// readers do whose endpoint is mapped. Nothing there may be replaced or deleted.
    #[must_use]
    pub fn aliasing(mut self, url: &str, prefix: &str) -> Self {
        self.aliases.push((url.to_owned(), prefix.to_owned()));
        self
    }

    /// Takes deletes as legal, for tests of retirement. What readers see is judged all the same.
    #[must_use]
    pub fn allowing_deletes(mut self) -> Self {
        self.deletes_allowed = true;
        self
    }

    /// Learns what the source shows now; objects of other tables under their URLs. Call it whenever the source has changed, before the next
    /// pass; objects that are gone from the source are remembered.
    pub fn learn(&self, source: &Objects) {
        self.lock().learn(source);
    }

    /// Says that the source lost a change data file before it could be copied: the one reference
    /// that a published commit may leave open.
    pub fn lose(&self, key: &str) {
        self.lock().lost.insert(key.to_owned());
    }

    /// Takes a replica that is there already as the state to go on from.
    pub fn resume(&self, target: &Objects) {
        let mut state = self.lock();
        for reader in Reader::ALL {
            if let Some(opened) = whole(reader.open(target)) {
                state.seen.insert(reader, opened.version);
            }
        }
        state.hint = last_checkpoint(target).ok().flatten().map(|hint| hint.version);
    }

    /// The hook that feeds this oracle.
    pub fn hook(&self) -> Hook {
        let oracle = self.clone();
        Arc::new(move |mutation, state_of| oracle.judge(mutation, state_of))
    }

    /// Newest version that each reader has opened.
    pub fn seen(&self) -> BTreeMap<Reader, u64> {
        self.lock().seen.clone()
    }

    /// What is wrong so far, one text each.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Panics with the violations and the mutations that led there, if there are any.
    #[track_caller]
    pub fn assert_clean(&self) {
        let state = self.lock();
        if state.violations.is_empty() {
            return;
        }
        let mut text = String::new();
        for violation in &state.violations {
            writeln!(text, "- {violation}").expect("write to a string");
        }
        panic!("oracle found violations:\n{text}mutations:\n{}", state.story.join("\n"));
    }

    /// Panics unless every reader sees the version, and nothing was wrong on the way.
    #[track_caller]
    pub fn assert_at(&self, version: u64) {
        self.assert_clean();
        for reader in Reader::ALL {
            let seen = self.lock().seen.get(&reader).copied();
            let story = self.lock().story.join("\n");
            assert_eq!(seen, Some(version), "{reader:?} is elsewhere after\n{story}");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn judge(&self, mutation: &Mutation, state_of: &StateOf<'_>) {
        let own = self.own_key(&mutation.key);
        let foreign = self.foreign_key(&mutation.key);
        let Some(key) = own.or_else(|| foreign.clone()) else { return };
        let mut state = self.lock();
        let before = state.violations.len();
        state.story.push(mutation.to_string());
        let mut target = state_of(&self.prefix);
        for (url, prefix) in &self.aliases {
            let objects = state_of(prefix).into_iter();
            target.extend(objects.map(|(key, bytes)| (format!("{url}/{key}"), bytes)));
        }
        if foreign.is_some() && mutation.previous.is_some() {
            state.fault(format!("{key} is of another table and was replaced or deleted"));
        }
        state.check_object(&key, mutation, &target, self.deletes_allowed);
        let in_log = key.starts_with(LOG_DIR);
        if in_log || mutation.previous.is_some() {
            state.check_readers(&target);
        }
        if in_log {
            state.check_log(&key, &target);
        }
        for violation in state.violations.iter_mut().skip(before) {
            *violation = format!("after {mutation}: {violation}");
        }
    }

    /// Name of an object below an alias root.
    fn foreign_key(&self, key: &str) -> Option<String> {
        let below = |(url, prefix): &(String, String)| {
            let rest = key.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
            Some(format!("{url}/{rest}"))
        };
        self.aliases.iter().find_map(below)
    }

    fn own_key(&self, key: &str) -> Option<String> {
        let rest = match self.prefix.as_str() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        let state = self.prefix.is_empty() && rest.starts_with(STATE_DIR);
        (!state).then(|| rest.to_owned())
    }
}

/// The snapshot behind an answer: a reader that lacks a feature still points at one.
fn whole(answer: Result<Opened, OpenError>) -> Option<Opened> {
    match answer {
        Ok(opened) => Some(opened),
        Err(OpenError::Unsupported { opened, .. }) => Some(*opened),
        Err(_) => None,
    }
}

impl State {
    fn learn(&mut self, source: &Objects) {
        for (key, bytes) in source {
            let contents = self.contents.entry(key.clone()).or_default();
            if contents.contains(bytes) {
                continue;
            }
            contents.push(bytes.clone());
            self.source.insert(key.clone(), bytes.clone());
        }
        let log = self.source.keys().filter(|key| key.starts_with(LOG_DIR));
        let files = log.filter(|key| key.ends_with(".json") || key.ends_with(".parquet"));
        for key in files {
            let Ok(found) = references_of(&self.source, key) else { continue };
            self.referenced.extend(found.needed);
            self.referenced.extend(found.change_data);
            self.referenced.extend(found.absolute);
        }
        let committed = log_versions(&self.source);
        let checkpoints = complete_checkpoints(&self.source).into_keys();
        for version in committed.into_iter().chain(checkpoints) {
            if !self.truth.get(&version).is_some_and(Result::is_ok) {
                self.truth.insert(version, snapshot_of_source(&self.source, version));
            }
        }
    }

    fn fault(&mut self, text: String) {
        self.violations.push(text);
    }

    /// The mutated object itself: allowed here, the right bytes, written the right way.
    fn check_object(&mut self, key: &str, m: &Mutation, target: &Objects, deletes: bool) {
        let Some(bytes) = &m.bytes else {
            if !deletes {
                self.fault(format!("{key} was deleted"));
            }
            return;
        };
        if key == HINT_KEY {
            self.check_hint(target);
            return;
        }
        let name = key.strip_prefix(LOG_DIR);
        let belongs = match name {
            Some(name) => LogName::parse(name).is_some() || self.referenced.contains(key),
            None => self.referenced.contains(key),
        };
        if !belongs {
            self.fault(format!("{key} is no part of the table and must not be copied"));
        }
        let known = |content: &Bytes| self.contents.get(key).is_some_and(|c| c.contains(content));
        if !known(bytes) {
            self.fault(format!("{key} has bytes that the source never had"));
        }
        let name = name.and_then(LogName::parse);
        if matches!(name, Some(LogName::Commit(_))) && m.op != Op::PutCreate {
            self.fault(format!("{key} was written by {:?}, not by put-if-absent", m.op));
        }
        let Some(previous) = m.previous.as_ref().filter(|previous| *previous != bytes) else {
            return;
        };
        let shown = name.as_ref().is_some_and(|name| self.shown(name.version()));
        let replaced = previous_was_good(self.contents.get(key), previous);
        if shown || (replaced && name.is_none()) || matches!(name, Some(LogName::Commit(_))) {
            self.fault(format!("{key} was overwritten with other bytes"));
        }
    }

    fn shown(&self, version: u64) -> bool {
        self.seen.values().any(|seen| *seen >= version)
    }

    /// The hint names a whole checkpoint and moves forward only.
    fn check_hint(&mut self, target: &Objects) {
        match last_checkpoint(target) {
            Ok(Some(hint)) => {
                if let Some(key) = hint.keys().iter().find(|key| !target.contains_key(*key)) {
                    self.fault(format!("_last_checkpoint names {key}, which is not there"));
                }
                if let Some(before) = self.hint.filter(|before| *before > hint.version) {
                    self.fault(format!("_last_checkpoint went from {before} to {}", hint.version));
                }
                self.hint = Some(hint.version);
            }
            Ok(None) => {}
            Err(reason) => self.fault(format!("_last_checkpoint is not valid: {reason}")),
        }
    }

    fn check_readers(&mut self, target: &Objects) {
        for reader in Reader::ALL {
            match reader.open(target) {
                Ok(opened) => self.check_snapshot(reader, &opened, target),
                Err(OpenError::Unsupported { opened, .. }) => {
                    self.check_snapshot(reader, &opened, target);
                }
                Err(error) => {
                    let jump = is_jump(&error, target);
                    if self.seen.contains_key(&reader) && !jump {
                        self.fault(format!("{reader:?} fails: {error}"));
                    }
                }
            }
        }
    }

    fn check_snapshot(&mut self, reader: Reader, opened: &Opened, target: &Objects) {
        let version = opened.version;
        match self.truth.get(&version) {
            None => self.fault(format!("{reader:?} opens {version}, which the source never had")),
            Some(Err(error)) => {
                let text =
                    format!("{reader:?} opens {version}, which fails at the source: {error}");
                self.fault(text);
            }
            Some(Ok(truth)) if truth != opened => {
                let text = difference(truth, opened);
                self.fault(format!("{reader:?} opens a wrong version {version}: {text}"));
            }
            Some(Ok(_)) => {}
        }
        for missing in files_present(opened, target) {
            let text = format!("{reader:?} opens {version} without {}", missing.key);
            self.fault(format!("{text}: {}", missing.reason));
        }
        if let Some(before) = self.seen.get(&reader).filter(|before| **before > version) {
            let text = format!("{reader:?} went back from {before} to {version}");
            self.fault(text);
        }
        self.seen.insert(reader, version);
    }

    /// Order between log objects, and what time travel shows of the new version.
    fn check_log(&mut self, key: &str, target: &Objects) {
        let commits = log_versions(target);
        let checkpoints = complete_checkpoints(target);
        let base = checkpoints.keys().next();
        if let Some(first) = commits.first().filter(|first| **first > 0)
            && base.is_none_or(|base| *base > *first)
        {
            self.fault(format!("log starts at {first} without a base checkpoint"));
        }
        let name = key.strip_prefix(LOG_DIR).and_then(LogName::parse);
        let there = |version: u64| target.contains_key(&commit_key(version));
        match name {
            Some(LogName::Commit(version)) => self.check_commit(version, target),
            Some(LogName::Checksum(v) | LogName::Compacted(_, v)) if !there(v) => {
                self.fault(format!("{key} precedes its commit"));
            }
            Some(
                LogName::ClassicCheckpoint(v)
                | LogName::UuidCheckpoint(v)
                | LogName::CheckpointPart(v, _, _),
            ) if !there(v) && v > 0 && there(v - 1) => {
                // Only a bootstrap or a jump puts a checkpoint before its commit.
                self.fault(format!("{key} precedes its commit in steady state"));
            }
            _ => {}
        }
    }

    fn check_commit(&mut self, version: u64, target: &Objects) {
        // The commit's own references, removed by now or not: change data readers follow them.
        if let Ok(found) = references_of(target, &commit_key(version)) {
            for key in found.needed.iter().chain(&found.absolute).chain(&found.change_data) {
                // What the source never had, for example in a hand-made log, nobody can copy.
                let had = self.contents.contains_key(key) && !self.lost.contains(key);
                if had && !target.contains_key(key) {
                    self.fault(format!("{version}.json refers to {key}, which is not there"));
                }
            }
        }
        if let Some(opened) = whole(models::open_at(target, version))
            && let Some(Ok(truth)) = self.truth.get(&version)
            && *truth != opened
        {
            let text = difference(truth, &opened);
            self.fault(format!("time travel opens a wrong version {version}: {text}"));
        }
    }
}

/// Whether the content that was replaced was a content of the source.
fn previous_was_good(contents: Option<&Vec<Bytes>>, previous: &Bytes) -> bool {
    contents.is_some_and(|contents| contents.contains(previous))
}

/// Spark's error between a checkpoint and its commit, which a jump cannot avoid.
fn is_jump(error: &OpenError, target: &Objects) -> bool {
    match error {
        OpenError::NoCommitAtCheckpoint { version } => {
            let below = version.checked_sub(1).map(commit_key);
            !below.is_some_and(|key| target.contains_key(&key))
        }
        _ => false,
    }
}

fn difference(truth: &Opened, opened: &Opened) -> String {
    let lost: Vec<_> = truth.files.difference(&opened.files).map(|file| &file.path).collect();
    let extra: Vec<_> = opened.files.difference(&truth.files).map(|file| &file.path).collect();
    let protocol = if truth.protocol == opened.protocol { "same" } else { "other" };
    let id = if truth.metadata_id == opened.metadata_id { "same" } else { "other" };
    format!("lost {lost:?}, extra {extra:?}, {protocol} protocol, {id} metadata id")
}
