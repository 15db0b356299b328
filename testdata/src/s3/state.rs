//! What the server stores, and the one door through which it changes.
//!
//! # Invariants
//! - All of it is behind one lock, which is never held across an await or a hook.
//! - Stored objects change only inside [`Shared::mutate`] (or by set-up calls of the test), and
//!   never while the server is stopped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use tokio::sync::watch;

use super::checksum::{Algorithm, entity_tag};
use super::clock::now;
use super::config::Config;
use super::record::{
    Action, MutationInfo, MutationKind, Outcome, Phase, ReadAction, ReadInfo, RequestRecord,
};
use super::reply::{Fault, S3Error};
use super::request::Head;

/// One stored object; immutable once stored.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) modified: DateTime<Utc>,
    pub(super) checksums: BTreeMap<Algorithm, String>,
    /// Whether `checksums` are of the parts' checksums.
    pub(super) composite: bool,
    /// Content headers and `x-amz-meta-*`.
    pub(super) metadata: HeaderMap,
}

impl Object {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self {
            etag: entity_tag(&bytes),
            bytes,
            modified: now(),
            checksums: BTreeMap::new(),
            composite: false,
            metadata: HeaderMap::new(),
        }
    }
}

/// Part of an upload.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) etag: String,
    pub(super) checksums: BTreeMap<Algorithm, String>,
}

/// A multipart upload that is neither complete nor aborted.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) full_object: bool,
    pub(super) metadata: HeaderMap,
    pub(super) initiated: DateTime<Utc>,
    pub(super) parts: BTreeMap<u32, Part>,
}

pub(super) type Bucket = BTreeMap<String, Arc<Object>>;

struct Change {
    bucket: String,
    key: String,
    before: Option<Arc<Object>>,
}

/// Most object changes that a listing can lag by.
const JOURNAL_MAX: usize = 10_000;

/// Everything that the lock protects.
#[derive(Default)]
pub(super) struct State {
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) uploads_started: u64,
    pub(super) records: Vec<RequestRecord>,
    pub(super) mutations: Vec<MutationInfo>,
    pub(super) reads: u64,
    /// Number of the mutation that stopped the server.
    pub(super) stopped: Option<u64>,
    journal: VecDeque<Change>,
}

impl State {
    pub(super) fn bucket(&self, name: &str) -> Result<&Bucket, S3Error> {
        self.buckets.get(name).ok_or_else(no_such_bucket)
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> Result<Arc<Object>, S3Error> {
        self.bucket(bucket)?.get(key).cloned().ok_or_else(S3Error::no_such_key)
    }

    /// Stores an object, or removes it for `None`.
    pub(super) fn set(
        &mut self,
        bucket: &str,
        key: &str,
        object: Option<Object>,
    ) -> Result<(), S3Error> {
        let objects = self.buckets.get_mut(bucket).ok_or_else(no_such_bucket)?;
        let before = match object {
            Some(object) => objects.insert(key.to_owned(), Arc::new(object)),
            None => objects.remove(key),
        };
        self.journal.push_back(Change { bucket: bucket.to_owned(), key: key.to_owned(), before });
        if self.journal.len() > JOURNAL_MAX {
            self.journal.pop_front();
        }
        Ok(())
    }

    /// Makes all changes so far visible to listings.
    pub(super) fn settle(&mut self) {
        self.journal.clear();
    }

    /// The bucket as listings see it, `lag` object changes ago.
    pub(super) fn listed(&self, bucket: &str, lag: usize) -> Result<Bucket, S3Error> {
        let mut view = self.bucket(bucket)?.clone();
        for change in self.journal.iter().rev().take(lag).filter(|c| c.bucket == bucket) {
            match &change.before {
                Some(object) => view.insert(change.key.clone(), Arc::clone(object)),
                None => view.remove(&change.key),
            };
        }
        Ok(view)
    }
}

fn no_such_bucket() -> S3Error {
    S3Error::new(404, "NoSuchBucket", "The specified bucket does not exist")
}

type MutationHook = Arc<dyn Fn(u64, &MutationInfo) -> Action + Send + Sync>;
type ReadHook = Arc<dyn Fn(&ReadInfo) -> ReadAction + Send + Sync>;

/// State, configuration and hooks, shared by all connections and the test.
pub(super) struct Shared {
    state: Mutex<State>,
    config: RwLock<Arc<Config>>,
    pub(super) mutation_hook: RwLock<Option<MutationHook>>,
    pub(super) read_hook: RwLock<Option<ReadHook>>,
    /// Told when the server stops and when a request ends.
    pub(super) changed: Condvar,
    /// Counts resumes: a hung request waits for the next one.
    pub(super) resumes: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        let mut state = State::default();
        for bucket in &config.buckets {
            state.buckets.entry(bucket.clone()).or_default();
        }
        Self {
            state: Mutex::new(state),
            config: RwLock::new(Arc::new(config)),
            mutation_hook: RwLock::new(None),
            read_hook: RwLock::new(None),
            changed: Condvar::new(),
            resumes: watch::channel(0).0,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked with the lock held has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        let mut slot = self.config.write().unwrap_or_else(PoisonError::into_inner);
        let mut config = Config::clone(&slot);
        change(&mut config);
        *slot = Arc::new(config);
    }

    /// Puts the request on record; its index is also the count of earlier ones.
    pub(super) fn arrive(&self, head: &mut Head) -> Result<(), Fault> {
        let mut state = self.lock();
        head.index = state.records.len();
        state.records.push(head.record());
        if state.stopped.is_some() { Err(Fault::Hang) } else { Ok(()) }
    }

    pub(super) fn note(&self, index: usize, note: impl FnOnce(&mut RequestRecord)) {
        if let Some(record) = self.lock().records.get_mut(index) {
            note(record);
        }
    }

    pub(super) fn end(&self, index: usize, outcome: Outcome, bytes_out: u64) {
        self.note(index, |record| {
            record.outcome = outcome;
            record.bytes_out = bytes_out;
        });
        self.changed.notify_all();
    }

    /// Makes one mutation: number, hook, decision and change under the lock, hook.
    ///
    /// `apply` changes the state or refuses; it is the only place where conditions on the
    /// target are decided.
    pub(super) async fn mutate<T>(
        &self,
        head: &Head,
        (kind, key, bytes): (MutationKind, &str, u64),
        apply: impl FnOnce(&mut State) -> Result<T, S3Error>,
    ) -> Result<T, Fault> {
        let mut info = MutationInfo {
            n: 0,
            phase: Phase::Before,
            kind,
            bucket: head.bucket.clone(),
            key: key.to_owned(),
            bytes,
            status: None,
        };
        info.n = self.number(head.index, &info)?;
        let mut drop_reply = false;
        match self.call_hook(&info).await {
            Action::Continue => {}
            Action::Refuse(status, code) => {
                self.decided(&info, Some(status));
                return Err(scripted(status, code).into());
            }
            Action::DropReply => drop_reply = true,
            Action::DropRequest => return Err(Fault::Drop),
            Action::Hang => return Err(Fault::Hang),
            Action::Stop => return Err(self.halt(info.n)),
        }

        let result = {
            let mut state = self.lock();
            if state.stopped.is_some() {
                return Err(Fault::Hang);
            }
            apply(&mut state)
        };
        info.phase = Phase::After;
        info.status = Some(match (&result, kind) {
            (Err(error), _) => error.status,
            (Ok(_), MutationKind::Delete | MutationKind::AbortUpload) => 204,
            (Ok(_), _) => 200,
        });
        self.decided(&info, info.status);
        match self.call_hook(&info).await {
            Action::Continue if drop_reply => Err(Fault::Drop),
            Action::Continue => result.map_err(Fault::Error),
            Action::Refuse(status, code) => Err(scripted(status, code).into()),
            Action::DropReply | Action::DropRequest => Err(Fault::Drop),
            Action::Hang => Err(Fault::Hang),
            Action::Stop => Err(self.halt(info.n)),
        }
    }

    fn number(&self, index: usize, info: &MutationInfo) -> Result<u64, Fault> {
        let mut state = self.lock();
        if state.stopped.is_some() {
            return Err(Fault::Hang);
        }
        let n = state.mutations.len() as u64 + 1;
        state.mutations.push(MutationInfo { n, ..info.clone() });
        if let Some(record) = state.records.get_mut(index) {
            record.mutation = Some(n);
        }
        Ok(n)
    }

    fn decided(&self, info: &MutationInfo, status: Option<u16>) {
        if let Some(noted) = self.lock().mutations.get_mut(info.n as usize - 1) {
            noted.phase = info.phase;
            noted.status = status;
        }
    }

    fn halt(&self, n: u64) -> Fault {
        self.lock().stopped.get_or_insert(n);
        self.changed.notify_all();
        Fault::Hang
    }

    /// Hooks may block, so they run off the server's own threads.
    async fn call_hook(&self, info: &MutationInfo) -> Action {
        let hook = self.mutation_hook.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(hook) = hook else { return Action::Continue };
        let info = info.clone();
        let call = tokio::task::spawn_blocking(move || hook(info.n, &info));
        // A hook that panics must not pass for one that lets the request through.
        call.await.unwrap_or(Action::DropRequest)
    }

    pub(super) async fn call_read_hook(&self, head: &Head, status: u16, bytes: u64) -> ReadAction {
        let hook = self.read_hook.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(hook) = hook else { return ReadAction::Continue };
        let n = {
            let mut state = self.lock();
            state.reads += 1;
            state.reads
        };
        let info = ReadInfo {
            n,
            method: head.method.clone(),
            bucket: head.bucket.clone(),
            key: head.key.clone(),
            query: head.raw_query.clone(),
            status,
            bytes,
        };
        let call = tokio::task::spawn_blocking(move || hook(&info));
        call.await.unwrap_or(ReadAction::DropReply)
    }
}

/// The error that a hook asks for.
pub(super) fn scripted(status: u16, code: &'static str) -> S3Error {
    S3Error::new(status, code, "scripted by the test")
}
