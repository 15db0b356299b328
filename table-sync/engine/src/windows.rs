//! Windows: when some readers of a target saw a mixture of two states, during one pass.
//!
//! # Invariants
//! - At most one is open at a target. It has the position that opened it.
//! - One that the pass leaves open is reported as open.

use std::sync::Mutex;
use std::time::Duration;

use table_sync_core::Position;
use tokio::time::Instant;

use crate::{Event, Progress};

/// A time during which some readers saw a mixture of two states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowReport {
    /// The position whose publication opened it.
    pub position: Position,
    /// How long it was open during the pass.
    pub time: Duration,
    /// Whether it was closed by the end of the pass.
    pub closed: bool,
}

/// The windows of one target.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<(Position, Instant)>,
    closed: Vec<WindowReport>,
}

impl Windows {
    /// Notes that a mixture is visible from now on, if none is yet.
    pub(crate) fn open(&self, progress: &dyn Progress, target: &str, position: Position) {
        let mut state = self.state.lock().unwrap_or_else(|lock| lock.into_inner());
        if state.open.is_none() {
            state.open = Some((position, Instant::now()));
            progress.event(Event::WindowOpened { target, position });
        }
    }

    /// Notes that all readers see one state again.
    pub(crate) fn close(&self, progress: &dyn Progress, target: &str) {
        let mut state = self.state.lock().unwrap_or_else(|lock| lock.into_inner());
        if let Some((position, since)) = state.open.take() {
            let time = since.elapsed();
            state.closed.push(WindowReport { position, time, closed: true });
            progress.event(Event::WindowClosed { target, position, time });
        }
    }

    /// All so far, in order.
    pub(crate) fn report(&self) -> Vec<WindowReport> {
        let state = self.state.lock().unwrap_or_else(|lock| lock.into_inner());
        let open = state.open.map(|(position, since)| WindowReport {
            position,
            time: since.elapsed(),
            closed: false,
        });
        state.closed.iter().copied().chain(open).collect()
    }
}
