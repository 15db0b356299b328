//! What is in flight for the targets that keep pace with each other.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use table_sync_core::FileKey;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::Options;

/// Files being brought to the targets of one schedule. Two of its positions may need the same
/// file: the second waits and then finds it there, so that its bytes are read once.
///
/// Targets that go on alone have a schedule, and a share of transfers, of their own: else a slow one
/// would still take the places of the others.
pub(crate) struct InFlight {
    permits: Semaphore,
    keys: Mutex<HashSet<FileKey>>,
    left: Notify,
}

impl InFlight {
    pub(crate) fn new(options: &Options) -> Self {
        let permits = Semaphore::new(options.transfers.get());
        Self { permits, keys: Mutex::default(), left: Notify::new() }
    }

    /// Waits for a place among the transfers.
    pub(crate) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed, so always some.
        self.permits.acquire().await.ok()
    }

    /// Waits until nobody else works on the object. `true` when somebody did.
    pub(crate) async fn enter(&self, key: &FileKey) -> (Entered<'_>, bool) {
        let mut waited = false;
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Registered before the look, so that no wake-up is missed.
            left.as_mut().enable();
            let entered =
                self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
            if entered {
                return (Entered { all: self, key: key.clone() }, waited);
            }
            waited = true;
            left.await;
        }
    }
}

/// Leaves when it is dropped.
pub(crate) struct Entered<'a> {
    all: &'a InFlight,
    key: FileKey,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.all.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.all.left.notify_waiters();
    }
}
