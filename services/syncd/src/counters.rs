//! Counters: what this process has done since it was started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use table_sync_engine::Mismatch;

/// Latencies that are kept until somebody takes them, at most.
const LATENCIES_MAX: usize = 100_000;

/// See the module. All only grow.
#[derive(Debug, Default)]
pub struct Counters {
    read_bytes: AtomicU64,
    copied_bytes: AtomicU64,
    copied_files: AtomicU64,
    published_within: AtomicU64,
    published_late: AtomicU64,
    looks: AtomicU64,
    passes: AtomicU64,
    failures: AtomicU64,
    missed: AtomicU64,
    other_sizes: AtomicU64,
    other_checksums: AtomicU64,
    other_writers: AtomicU64,
    leases_lost: AtomicU64,
    latencies_ms: Mutex<Vec<i64>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Bytes read from sources.
    pub read_bytes: u64,
    /// Bytes written to sites.
    pub copied_bytes: u64,
    /// Files written to sites.
    pub copied_files: u64,
    /// Versions published within their table's lag target.
    pub published_within: u64,
    /// Versions published later than that.
    pub published_late: u64,
    /// Looks at sources that had nothing new.
    pub looks: u64,
    /// Passes.
    pub passes: u64,
    /// Passes that failed or were blocked, at a site.
    pub failures: u64,
    /// Commits that a look or a pass found before any notification told of them.
    pub missed: u64,
    /// Objects at sites that had another size than they should have.
    pub other_sizes: u64,
    /// Objects at sites that had another checksum than the source's.
    pub other_checksums: u64,
    /// Replicas that were found to hold what somebody else wrote.
    pub other_writers: u64,
    /// Leases that another node took over.
    pub leases_lost: u64,
}

impl Counters {
    pub(crate) fn read(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn copied(&self, bytes: u64) {
        self.copied_files.fetch_add(1, Ordering::Relaxed);
        self.copied_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A version was published, so long after its commit.
    pub(crate) fn published(&self, latency_ms: i64, within: bool) {
        let counter = if within { &self.published_within } else { &self.published_late };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut latencies = self.latencies_ms.lock().unwrap_or_else(PoisonError::into_inner);
        if latencies.len() < LATENCIES_MAX {
            latencies.push(latency_ms);
        }
    }

    /// Takes the times from commit to publication that nobody took yet, ms.
    pub fn take_latencies_ms(&self) -> Vec<i64> {
        std::mem::take(&mut *self.latencies_ms.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn looked(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn passed(&self, failed: bool) {
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    pub(crate) fn missed(&self, commits: u64) {
        self.missed.fetch_add(commits, Ordering::Relaxed);
    }

    pub(crate) fn mismatched(&self, what: Mismatch) {
        let counter = match what {
            Mismatch::Size => &self.other_sizes,
            Mismatch::Checksum => &self.other_checksums,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn diverged(&self) {
        self.other_writers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lease_lost(&self) {
        self.leases_lost.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            read_bytes: read(&self.read_bytes),
            copied_bytes: read(&self.copied_bytes),
            copied_files: read(&self.copied_files),
            published_within: read(&self.published_within),
            published_late: read(&self.published_late),
            looks: read(&self.looks),
            passes: read(&self.passes),
            failures: read(&self.failures),
            missed: read(&self.missed),
            other_sizes: read(&self.other_sizes),
            other_checksums: read(&self.other_checksums),
            other_writers: read(&self.other_writers),
            leases_lost: read(&self.leases_lost),
        }
    }
}
