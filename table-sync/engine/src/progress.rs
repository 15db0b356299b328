//! What a pass tells while it runs.

use std::time::Duration;

use table_sync_core::{PlannedKind, Position};

use crate::Receipt;

/// One thing that happened. Borrowed: a sink that keeps it copies what it needs.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A target was observed and planned.
    Planned {
        /// The target's URL.
        target: &'a str,
        /// How many positions this pass will publish there.
        positions: usize,
    },
    /// Some of the files that a position needs at a target, as far as the log states their
    /// sizes. Comes in parts, ahead of the copying, and only when [`Progress::wants_totals`].
    Needed {
        /// The target's URL.
        target: &'a str,
        /// How many.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Bytes arrived from the source.
    Read {
        /// How many.
        bytes: u64,
    },
    /// A file is at the target.
    FileDone {
        /// The target's URL.
        target: &'a str,
        /// Its size.
        bytes: u64,
        /// Whether it was there already.
        skipped: bool,
    },
    /// An object at the target is not the one that belongs there. Said where it is looked at before
    /// it is counted as present; what becomes of it is said apart.
    Mismatch {
        /// The target's URL.
        target: &'a str,
        /// In what.
        what: Mismatch,
    },
    /// A position became visible.
    Published {
        /// The target's URL.
        target: &'a str,
        /// Which.
        position: Position,
        /// How.
        kind: PlannedKind,
        /// What is known of it.
        receipt: &'a Receipt,
        /// The table's format, as [`PassReport::format`](crate::PassReport::format).
        format: &'static str,
    },
    /// From now on some readers see a mixture of two states.
    WindowOpened {
        /// The target's URL.
        target: &'a str,
        /// The position that is becoming visible.
        position: Position,
    },
    /// All readers see one state again.
    WindowClosed {
        /// The target's URL.
        target: &'a str,
        /// The position that became visible.
        position: Position,
        /// For how long it was open.
        time: Duration,
    },
    /// Something a person may want to know.
    Warning {
        /// The target's URL, or the source's.
        url: &'a str,
        /// What.
        message: &'a str,
    },
}

/// In what an object is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// Its size is another than the log states.
    Size,
    /// Its checksum is another than the source's.
    Checksum,
}

/// Takes events. Called from many tasks at once; must not block.
pub trait Progress: Send + Sync {
    /// One event.
    fn event(&self, event: Event<'_>);

    /// Whether to count what a position needs while it is copied, which reads its log object
    /// once more.
    fn wants_totals(&self) -> bool {
        false
    }
}

/// Takes no notice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: Event<'_>) {}
}
