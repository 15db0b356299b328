//! One target's way through a pass.

use std::sync::Arc;

use table_sync_core::{Blocked, Plan, ReplicaView, SourceView, TableState};

use super::arrive;
use crate::lane::Stop;
use crate::report::{Failure, TargetReport};
use crate::transfer::Context;
use crate::windows::Windows;
use crate::{Event, Target};

/// One target's way through a pass.
pub(super) struct Run {
    pub(super) index: usize,
    pub(super) target: Target,
    pub(super) report: TargetReport,
    pub(super) arrival: Option<arrive::Arrival>,
    pub(super) view: ReplicaView,
    pub(super) plan: Plan,
    pub(super) finished: bool,
    pub(super) windows: Arc<Windows>,
}

impl Run {
    pub(super) fn new(index: usize, target: &Target) -> Self {
        Self {
            index,
            target: target.clone(),
            report: TargetReport::new(&target.url),
            arrival: None,
            view: ReplicaView::default(),
            plan: Plan::default(),
            finished: false,
            windows: Arc::default(),
        }
    }

    /// What there is to say about it, at its end.
    pub(super) fn into_report(self) -> TargetReport {
        TargetReport { windows: self.windows.report(), ..self.report }
    }

    /// Takes over where the source sees the replica's commits: the replica's own order may be that
    /// of the copy.
    pub(super) fn place(&mut self, view: &SourceView) {
        if view.set.is_none() {
            return;
        }
        view.place(&mut self.view);
        if self.report.published.is_empty() && self.report.start.is_some() {
            self.report.start = self.view.head;
        }
        self.note_head();
    }

    pub(super) fn note_head(&mut self) {
        self.report.head = self.view.head;
        let log = self.view.earliest_readable;
        let known = arrive::descriptor_of(self);
        self.report.earliest_readable = known.map_or(log, |known| known.earliest(log));
    }

    pub(super) fn block(&mut self, blocked: Blocked) {
        self.report.state = TableState::of_blocked(blocked.code);
        self.report.blocked = Some(blocked);
        self.finished = true;
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.report.state = TableState::Failed;
        self.report.failure = Some(failure);
        self.finished = true;
    }

    pub(super) fn stop(&mut self, stop: Stop) {
        match stop {
            Stop::Blocked(blocked) => self.block(blocked),
            Stop::Failed(failure) => self.fail(failure),
            Stop::Held(reason) => {
                self.report.state = match self.report.head {
                    Some(_) => TableState::CatchingUp,
                    None => TableState::Unpublished,
                };
                self.report.warnings.push(reason);
                self.finished = true;
            }
            Stop::Behind => {}
        }
    }

    pub(super) fn warn(&mut self, context: &Context, message: String) {
        if self.report.warnings.contains(&message) {
            return;
        }
        context.progress.event(Event::Warning { url: &self.target.url, message: &message });
        self.report.warnings.push(message);
    }
}
