//! One target during a pass: what stopped it, and what was done there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use table_sync_core::{BlockCode, Blocked, FileRef, Position, RelPath, ReplicaView, Role};
use table_sync_store::{ReadError, WriteError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::report::{Failure, FailureCode};
use crate::windows::Windows;
use crate::{Source, Target};

/// Why nothing more is done at a target in this round.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// A retry may help.
    Failed(Failure),
    /// A person must decide.
    Blocked(Blocked),
    /// Publishing now would show a state that never was; what is waited for.
    Held(String),
    /// The target trails the others and goes on alone.
    Behind,
}

/// One target, shared by the tasks that write to it.
pub(crate) struct Lane {
    pub(crate) target: Target,
    /// What the replica held when the round began.
    pub(crate) replica: ReplicaView,
    /// Every object in the table's folder was written by us, whole: sizes can be trusted where
    /// the store keeps no checksum.
    pub(crate) ours_from_start: bool,
    /// Source and target are one store, so that it can copy by itself.
    pub(crate) same_store: bool,
    /// Files are often there already: ask before sending bytes.
    ask_first: AtomicBool,
    stop: OnceLock<Stop>,
    halted: Notify,
    /// How long other targets waited for this one, over all files, in microseconds.
    held_us: AtomicU64,
    /// How long the quickest target took for the same files, in microseconds.
    quickest_us: AtomicU64,
    pub(crate) copied_files: AtomicU64,
    pub(crate) copied_bytes: AtomicU64,
    pub(crate) skipped_files: AtomicU64,
    pub(crate) windows: Arc<Windows>,
    /// When partitions were brought, by the file that makes them.
    partitions: Mutex<HashMap<RelPath, Instant>>,
}

impl Lane {
    pub(crate) fn new(
        source: &Source,
        target: Target,
        replica: ReplicaView,
        ours_from_start: bool,
        windows: Arc<Windows>,
    ) -> Self {
        let same_store = target.store.can_copy_from(&source.store);
        Self {
            target,
            replica,
            ours_from_start,
            same_store,
            ask_first: AtomicBool::new(false),
            stop: OnceLock::new(),
            halted: Notify::new(),
            held_us: AtomicU64::new(0),
            quickest_us: AtomicU64::new(0),
            copied_files: AtomicU64::new(0),
            copied_bytes: AtomicU64::new(0),
            skipped_files: AtomicU64::new(0),
            windows,
            partitions: Mutex::default(),
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.stop.get().is_none()
    }

    /// Stops the lane; the first reason stays.
    pub(crate) fn halt(&self, stop: Stop) {
        let _ = self.stop.set(stop);
        // One publisher waits; a permit is kept for it if it does not wait yet.
        self.halted.notify_one();
    }

    /// Waits until the lane is stopped. For one waiter.
    pub(crate) async fn halted(&self) {
        while self.is_active() {
            self.halted.notified().await;
        }
    }

    pub(crate) fn stopped(&self) -> Option<&Stop> {
        self.stop.get()
    }

    /// Notes that others waited for this lane.
    pub(crate) fn held_others(&self, time: Duration) {
        self.held_us.fetch_add(microseconds(time), Ordering::Relaxed);
    }

    /// How long others waited for this lane so far.
    pub(crate) fn held(&self) -> Duration {
        Duration::from_micros(self.held_us.load(Ordering::Relaxed))
    }

    /// Notes how long the quickest target took for a file that this lane took too.
    pub(crate) fn quickest_took(&self, time: Duration) {
        self.quickest_us.fetch_add(microseconds(time), Ordering::Relaxed);
    }

    /// How long the quickest target took so far.
    pub(crate) fn quickest(&self) -> Duration {
        Duration::from_micros(self.quickest_us.load(Ordering::Relaxed))
    }

    pub(crate) fn asks_first(&self) -> bool {
        self.ask_first.load(Ordering::Relaxed)
    }

    pub(crate) fn set_asks_first(&self, ask: bool) {
        self.ask_first.store(ask, Ordering::Relaxed);
    }

    pub(crate) fn copied(&self, file: &FileRef, bytes: u64) {
        self.copied_files.fetch_add(1, Ordering::Relaxed);
        self.copied_bytes.fetch_add(bytes, Ordering::Relaxed);
        if file.role == Role::PartitionMetadata {
            let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
            partitions.insert(file.path.clone(), Instant::now());
        }
    }

    /// When the partition that a file makes was brought; `None` where it was there before.
    pub(crate) fn brought(&self, file: &RelPath) -> Option<Instant> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.get(file).copied()
    }

    pub(crate) fn skipped(&self) {
        self.skipped_files.fetch_add(1, Ordering::Relaxed);
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A failure at the target, from a read.
pub(crate) fn target_read_failure(error: &ReadError) -> Failure {
    let code = match error {
        ReadError::Denied { .. } => FailureCode::Denied,
        _ => FailureCode::TargetUnavailable,
    };
    Failure::new(code, error)
}

/// A failure at the target, from a write.
pub(crate) fn target_write_failure(error: &WriteError) -> Failure {
    let code = match error {
        WriteError::Denied { .. } => FailureCode::Denied,
        WriteError::Changed { .. } => FailureCode::Contended,
        _ => FailureCode::TargetUnavailable,
    };
    Failure::new(code, error)
}

/// What a write error means when trying again cannot help; `None` when it can.
pub(crate) fn final_stop(error: &WriteError, position: Option<Position>) -> Option<Stop> {
    match error {
        WriteError::Denied { .. } => Some(Stop::Failed(target_write_failure(error))),
        WriteError::TooLarge { .. } => Some(Stop::Blocked(Blocked {
            code: BlockCode::LimitExceeded,
            message: format!("{error}; replicate to a store that takes larger objects"),
            position,
        })),
        _ => None,
    }
}

/// A failure at the source, from a read.
pub(crate) fn source_read_failure(error: &ReadError) -> Failure {
    let code = match error {
        ReadError::Denied { .. } => FailureCode::Denied,
        ReadError::Changed { .. } => FailureCode::SourceChanged,
        _ => FailureCode::SourceUnavailable,
    };
    Failure::new(code, error)
}
