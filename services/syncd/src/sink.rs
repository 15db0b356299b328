//! The sink: what a pass tells while it runs, on its way to the catalog.

use std::collections::HashMap;
use std::sync::Arc;

use table_sync_engine::{Event, Progress};

use crate::counters::Counters;
use crate::recorder::Recorder;
use crate::report::Owner;

/// Takes the events of one pass. See the module.
pub(crate) struct Sink {
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
        Self { recorder, owners, counters }
    }
}

impl Progress for Sink {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Read { bytes } => self.counters.read(bytes),
            Event::FileDone { bytes, skipped: false, .. } => self.counters.copied(bytes),
            // The report of the whole pass says it again.
            Event::Published { target, receipt, .. } => {
                if let Some(owner) = self.owners.get(target) {
                    self.recorder.mention(owner.of_receipt(receipt));
                }
            }
            Event::Warning { url, message } => tracing::warn!(url, message),
            _ => {}
        }
    }
}
