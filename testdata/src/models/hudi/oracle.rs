//! The oracle: judges every state that a replica of a Hudi table passes through.
//!
//! # Invariants
//! - The truth is what the source has shown: learning only adds to it.
//! - Each reader of a replica sees a committed state of the source, never an older one than
//!   before, unless the source went back too.
//! - Loud errors are allowed only as long as there is no table.
//! - A violation never stops the run; [`HudiOracle::assert_clean`] does, with the story so far.
//!
//! Source: `docs/hudi.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::names::{BaseName, split_key};
use super::recorded::{Recorded, completes};
use super::timeline::Span;
use super::{HudiObjects, Loud, Object, Snapshot, readers};
use crate::record::{Hook, Mutation, Op, StateOf};

/// A modelled reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HudiReader {
    /// Spark with Hudi 0.15.
    Zero,
    /// Spark with Hudi 1.x, merging late logs.
    One,
    /// Spark with Hudi 1.x, ignoring late logs.
    OneStrict,
    /// Stock Trino.
    Trino,
    /// Spark with Hudi 1.x over the metadata table.
    MetadataTable,
}

impl HudiReader {
    const ALL: [Self; 5] =
        [Self::Zero, Self::One, Self::OneStrict, Self::Trino, Self::MetadataTable];

    /// Opens the latest snapshot.
    ///
    /// # Errors
    /// Those of the model.
    pub fn open(self, objects: &HudiObjects) -> Result<Snapshot, Loud> {
        readers::State::open(objects)?.read(self)
    }

    /// Whether it takes completion times from modification times of version 6 objects.
    fn reads_times(self) -> bool {
        matches!(self, Self::One | Self::OneStrict | Self::MetadataTable)
    }
}

/// Which generation of Hudi readers a replica is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readers {
    /// Hudi 0.x only.
    Zero,
    /// Hudi 1.x only.
    One,
    /// Both.
    #[default]
    Both,
}

impl Readers {
    fn include(self, reader: HudiReader) -> bool {
        match self {
            Self::Zero => !reader.reads_times(),
            Self::One => reader != HudiReader::Zero,
            Self::Both => true,
        }
    }
}

/// How a target's modification times reach a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Modified {
    /// Whole seconds, as S3 reports them.
    #[default]
    Seconds,
    /// Milliseconds, as a file system reports them.
    Millis,
}

/// Gives the modification time of a key that was just written, milliseconds since 1970.
pub type Clock = Arc<dyn Fn(&str) -> i64 + Send + Sync>;

#[derive(Debug, Default)]
struct State {
    /// Every content that a key has had at the source.
    contents: BTreeMap<String, BTreeSet<Bytes>>,
    /// States in which each reader has seen the source: snapshot to ordinals, ascending.
    truth: BTreeMap<HudiReader, BTreeMap<Snapshot, Vec<usize>>>,
    /// Ordinals of states that un-published something.
    rewinds: BTreeSet<usize>,
    learned: usize,
    /// Readers that could not open the source when it was last learned.
    loud: BTreeMap<HudiReader, Loud>,
    /// Completed write instants at the last state, and its start.
    writes: BTreeSet<String>,
    /// Every write instant that has been complete, and the first start.
    ever: BTreeSet<String>,
    first_start: Option<String>,
    /// Ordinal that each reader has reached at the target.
    seen: BTreeMap<HudiReader, usize>,
    /// First content of each key of the target.
    written: BTreeMap<String, Bytes>,
    modified: BTreeMap<String, i64>,
    window: bool,
    story: Vec<String>,
    violations: Vec<String>,
}

/// Judges one replica of one table. Cheap to clone: clones share what they know.
#[derive(Debug, Clone)]
pub struct HudiOracle {
    prefix: String,
    readers: Readers,
    granularity: Modified,
    state: Arc<Mutex<State>>,
}

impl HudiOracle {
    /// An oracle for the replica below a prefix, without slash at the end.
    pub fn new(prefix: &str, readers: Readers, granularity: Modified) -> Self {
        Self { prefix: prefix.to_owned(), readers, granularity, state: Arc::default() }
    }

    /// Remembers the objects of a source state, committed or not.
    pub fn see(&self, source: &HudiObjects) {
        self.lock().see(source);
    }

    /// Learns a committed state of the source: call it when an instant has completed.
    pub fn learn(&self, source: &HudiObjects) {
        let mut state = self.lock();
        state.see(source);
        state.learn(source);
    }

    /// Learns a whole recorded life.
    pub fn learn_recorded(&self, table: &Recorded) {
        table.replay(|_, event, source| {
            self.see(source);
            if event.completes() {
                self.learn(source);
            }
        });
    }

    /// The hook that feeds this oracle. `clock` is asked once per write, with the whole key.
    pub fn hook(&self, clock: Clock) -> Hook {
        let oracle = self.clone();
        Arc::new(move |mutation, state_of| oracle.judge(mutation, state_of, &clock))
    }

    /// Judges a whole state of the target that changed by other means than a recording store.
    pub fn check(&self, target: &HudiObjects) {
        let mut state = self.lock();
        state.story.push(format!("state of {} objects", target.len()));
        state.check_readers(&self.coarse(target), self.readers);
    }

    /// Takes a replica that is there already as the state to go on from.
    pub fn resume(&self, target: &HudiObjects) {
        let mut state = self.lock();
        for (key, object) in target {
            state.written.entry(key.clone()).or_insert_with(|| object.bytes.clone());
            state.modified.insert(key.clone(), object.modified_ms);
        }
        state.check_readers(&self.coarse(target), self.readers);
    }

    /// From now on 1.x readers of a version 6 table may be wrong, until the window is closed.
    pub fn open_window(&self) {
        self.lock().window = true;
    }

    /// Ends the window; the next mutation is judged again.
    pub fn close_window(&self) {
        self.lock().window = false;
    }

    /// Ordinal of the source state that each reader has reached.
    pub fn seen(&self) -> BTreeMap<HudiReader, usize> {
        self.lock().seen.clone()
    }

    /// How many source states are known.
    pub fn learned(&self) -> usize {
        self.lock().learned
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

    /// Panics unless every reader that can open the source sees its newest state.
    #[track_caller]
    pub fn assert_at_head(&self) {
        self.assert_clean();
        let state = self.lock();
        let head = state.learned.checked_sub(1);
        for reader in HudiReader::ALL.into_iter().filter(|r| self.readers.include(*r)) {
            let truth = state.truth.get(&reader).into_iter().flatten();
            let known = truth.clone().any(|(_, ordinals)| ordinals.last().copied() == head);
            let optional = reader == HudiReader::MetadataTable;
            if !known || (optional && !state.seen.contains_key(&reader)) {
                continue;
            }
            let story = state.story.join("\n");
            // Several states can look alike; what counts is that it looks like the newest.
            let seen = state.seen.get(&reader);
            let same = |(_, ordinals): (_, &Vec<usize>)| {
                seen.is_some_and(|s| ordinals.contains(s)) && ordinals.last().copied() == head
            };
            assert!(truth.clone().any(same), "{reader:?} is at {seen:?} of {head:?}:\n{story}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn coarse(&self, target: &HudiObjects) -> HudiObjects {
        let mut target = target.clone();
        if self.granularity == Modified::Seconds {
            for object in target.values_mut() {
                object.modified_ms -= object.modified_ms.rem_euclid(1000);
            }
        }
        target
    }

    fn judge(&self, mutation: &Mutation, state_of: &StateOf<'_>, clock: &Clock) {
        let Some(key) = own_key(&self.prefix, &mutation.key) else { return };
        let mut state = self.lock();
        let before = state.violations.len();
        state.story.push(mutation.to_string());
        match mutation.bytes {
            Some(_) => state.modified.insert(key.clone(), clock(&mutation.key)),
            None => state.modified.remove(&key),
        };
        state.check_object(&key, mutation);
        let objects = state_of(&self.prefix).into_iter().filter(|(key, _)| is_own(key));
        let time = |key: &str| state.modified.get(key).copied().unwrap_or_default();
        let stamp = |(key, bytes): (String, Bytes)| {
            let modified_ms = time(&key);
            (key, Object { bytes, modified_ms })
        };
        let target: HudiObjects = objects.map(stamp).collect();
        state.check_readers(&self.coarse(&target), self.readers);
        for violation in state.violations.iter_mut().skip(before) {
            *violation = format!("after {mutation}: {violation}");
        }
    }
}

fn own_key(prefix: &str, key: &str) -> Option<String> {
    let rest = match prefix {
        "" => key,
        prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    is_own(rest).then(|| rest.to_owned())
}

/// Whether a key is the table's, not the product's own state.
fn is_own(key: &str) -> bool {
    !key.split('/').any(|part| part.starts_with("_driftless") || part == ".driftless")
}

/// Objects that a writer replaces in place.
fn is_mutable(key: &str) -> bool {
    let (_, name) = split_key(key);
    name.starts_with("hoodie.properties") || name == "index.json" || name == "_version_"
}

/// Objects that are a writer's own business and never copied.
fn is_private(key: &str) -> bool {
    let folders =
        [".hoodie/.temp/", ".hoodie/.heartbeat/", ".hoodie/.locks/", ".hoodie/.aux/.sample"];
    folders.iter().any(|folder| key.starts_with(folder))
        || split_key(key).1.ends_with(".crc")
        || key == ".hoodie/.lock"
        || key.ends_with("hoodie.properties.backup")
}

impl State {
    fn see(&mut self, source: &HudiObjects) {
        for (key, object) in source {
            if !self.contents.get(key).is_some_and(|found| found.contains(&object.bytes)) {
                self.contents.entry(key.clone()).or_default().insert(object.bytes.clone());
            }
        }
    }

    fn learn(&mut self, source: &HudiObjects) {
        let ordinal = self.learned;
        self.learned += 1;
        self.loud.clear();
        let state = readers::State::open(source);
        let mut answers = BTreeMap::new();
        for reader in HudiReader::ALL {
            let answer = state.as_ref().map_err(Clone::clone).and_then(|s| s.read(reader));
            answers.insert(reader, answer);
        }
        let right = |reader| answers.get(&reader).cloned().and_then(Result::ok);
        let (zero, listing) = (right(HudiReader::Zero), right(HudiReader::One));
        for (reader, answer) in answers {
            let mut shown = Vec::new();
            match answer {
                Ok(snapshot) => shown.push(snapshot),
                Err(error) => {
                    self.loud.insert(reader, error);
                }
            }
            if reader.reads_times() {
                // A replica without the hazards of version 6 shows what was really committed, and
                // a metadata table lists what storage does.
                shown.extend(zero.clone());
                shown.extend(listing.clone());
            }
            let truth = self.truth.entry(reader).or_default();
            for snapshot in shown {
                let ordinals = truth.entry(snapshot).or_default();
                if ordinals.last() != Some(&ordinal) {
                    ordinals.push(ordinal);
                }
            }
        }
        if let Some(facts) = state.as_ref().ok().and_then(|state| state.facts()) {
            self.learn_writes(&facts.completed, ordinal);
        }
    }

    /// Remembers the completed writes, and whether some were un-published.
    fn learn_writes(&mut self, completed: &Span, ordinal: usize) {
        let writes: BTreeSet<String> = completed.times().cloned().collect();
        if self.first_start.is_none() {
            self.first_start.clone_from(&completed.start);
        }
        let mut gone = self.writes.difference(&writes);
        if gone.any(|time| completed.start.as_ref().is_none_or(|start| time >= start)) {
            self.rewinds.insert(ordinal);
        }
        self.ever.extend(writes.iter().cloned());
        self.writes = writes;
    }

    fn fault(&mut self, text: String) {
        self.violations.push(text);
    }

    /// The mutated object itself: allowed here, the right bytes, written the right way.
    fn check_object(&mut self, key: &str, m: &Mutation) {
        let Some(bytes) = &m.bytes else {
            if key == ".hoodie/hoodie.properties" && !self.seen.is_empty() {
                self.fault(format!("{key} was deleted"));
            }
            return;
        };
        if is_private(key) {
            self.fault(format!("{key} is the writer's own and must not be copied"));
        }
        if is_mutable(key) {
            return;
        }
        if !self.is_known(key, bytes) {
            self.fault(format!("{key} has bytes that the source never had"));
        }
        let (folder, name) = split_key(key);
        let base = BaseName::parse(name, ".parquet").filter(|_| !folder.starts_with(".hoodie"));
        if let Some(base) = base.filter(|base| !self.was_committed(&base.instant)) {
            self.fault(format!("{key} belongs to {}, which never completed", base.instant));
        }
        if completes(key) && m.op != Op::PutCreate {
            self.fault(format!("{key} was written by {:?}, not by put-if-absent", m.op));
        }
        let first = self.written.entry(key.to_owned()).or_insert_with(|| bytes.clone());
        if first != bytes {
            self.fault(format!("{key} was written again with other bytes"));
        }
    }

    /// Whether the source had this content; a staged timeline may lie in another folder.
    fn is_known(&self, key: &str, bytes: &Bytes) -> bool {
        let at = |key: &str| self.contents.get(key).is_some_and(|c| c.contains(bytes));
        if at(key) {
            return true;
        }
        let rest = key.strip_prefix(".hoodie/").and_then(|rest| rest.split_once('/'));
        rest.is_some_and(|(_, rest)| at(&format!(".hoodie/timeline/{rest}")))
    }

    fn was_committed(&self, instant: &str) -> bool {
        let archived = self.first_start.as_deref().is_some_and(|start| instant < start);
        archived || self.ever.contains(instant)
    }

    fn check_readers(&mut self, target: &HudiObjects, readers: Readers) {
        let state = readers::State::open(target);
        let version = state.as_ref().map_or(0, |state| state.version());
        for reader in HudiReader::ALL.into_iter().filter(|reader| readers.include(*reader)) {
            if self.window && version < 8 && reader.reads_times() {
                continue;
            }
            match state.as_ref().map_err(Clone::clone).and_then(|s| s.read(reader)) {
                Ok(snapshot) => self.check_snapshot(reader, &snapshot),
                Err(Loud::NotATable) if !self.seen.contains_key(&reader) => {}
                Err(Loud::NoMetadataTable) => {}
                // What the source itself does not offer to this reader is no fault of a replica.
                Err(error @ Loud::Unsupported { .. }) if self.loud.get(&reader) == Some(&error) => {
                }
                Err(error) => self.fault(format!("{reader:?} fails: {error}")),
            }
        }
    }

    fn check_snapshot(&mut self, reader: HudiReader, snapshot: &Snapshot) {
        let truth = self.truth.get(&reader);
        let Some(ordinals) = truth.and_then(|truth| truth.get(snapshot)).cloned() else {
            let text = self.difference(reader, snapshot);
            return self.fault(format!("{reader:?} sees what the source never showed: {text}"));
        };
        let before = self.seen.get(&reader).copied();
        let forward = ordinals.iter().copied().find(|o| before.is_none_or(|before| *o >= before));
        let reached = forward.or_else(|| {
            let rewound = before.is_some_and(|b| self.rewinds.range(b + 1..).next().is_some());
            ordinals.last().copied().filter(|_| rewound)
        });
        match reached {
            Some(ordinal) => {
                self.seen.insert(reader, ordinal);
            }
            None => {
                let text = format!("{reader:?} went back from state {before:?} to {ordinals:?}");
                self.fault(text);
            }
        }
    }

    /// What differs from the most similar state of the source.
    fn difference(&self, reader: HudiReader, snapshot: &Snapshot) -> String {
        let latest = snapshot.latest.as_deref().unwrap_or("none");
        let known = self.truth.get(&reader).into_iter().flatten();
        let common = |(known, _): &(&Snapshot, _)| {
            let slices = known.slices.symmetric_difference(&snapshot.slices).count();
            (known.latest != snapshot.latest, slices)
        };
        let Some((nearest, _)) = known.min_by_key(common) else {
            return format!("latest {latest}, and the source was never open");
        };
        let lost: Vec<_> = nearest.slices.difference(&snapshot.slices).collect();
        let extra: Vec<_> = snapshot.slices.difference(&nearest.slices).collect();
        let of = nearest.latest.as_deref().unwrap_or("none");
        format!("latest {latest}; against {of}: lost {lost:?}, extra {extra:?}")
    }
}
