//! The sink: what a pass tells while it runs, on its way to the catalog.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use table_sync_engine::{Event, Progress};

use tokio::time::Instant;

use crate::counters::Counters;
use crate::recorder::Recorder;
use crate::report::Owner;

/// While a pass reads from its source, it is noted this often that the source is there.
const CHECKED_EVERY: Duration = Duration::from_secs(15);

/// Takes the events of one pass. See the module.
pub(crate) struct Sink {
    checked: Mutex<Instant>,
    recorder: Recorder,
    /// By the target's URL.
    owners: HashMap<String, Owner>,
    counters: Arc<Counters>,
}

impl Sink {
    pub(crate) fn new(
        recorder: Recorder,
        owners: HashMap<String, Owner>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { checked: Mutex::new(Instant::now()), recorder, owners, counters }
    }

    /// The source gave what it was asked for: a pass may take hours, and its table is not unknown
    /// meanwhile.
    fn source_answers(&self) {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.elapsed() < CHECKED_EVERY {
            return;
        }
        *checked = Instant::now();
        if let Some(owner) = self.owners.values().next() {
            self.recorder.mention_checked(owner.table.clone());
        }
    }
}

impl Progress for Sink {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Read { bytes } => {
                self.counters.read(bytes);
                self.source_answers();
            }
            Event::FileDone { bytes, skipped: false, .. } => self.counters.copied(bytes),
            Event::Mismatch { what, .. } => self.counters.mismatched(what),
            // The report of the whole pass says it again.
            Event::Published { target, receipt, format, .. } => {
                if let Some(owner) = self.owners.get(target) {
                    self.recorder.mention(owner.of_receipt(receipt, format));
                }
            }
            Event::Warning { url, message } => tracing::warn!(url, message),
            _ => {}
        }
    }
}
