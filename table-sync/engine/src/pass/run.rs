//! One target's way through a pass.

use std::sync::Arc;

use table_sync_core::{Blocked, Plan, ReplicaView, SourceView, TableState};

use super::arrive;
use crate::lane::Stop;
use crate::receipt::{Pending, committed_ms};
use crate::report::{Failure, TargetReport};
use crate::transfer::Context;
use crate::windows::Windows;
use crate::{Event, Target, headroom};

/// One target's way through a pass.
pub(super) struct Run {
    pub(super) index: usize,
    pub(super) target: Target,
    pub(super) report: TargetReport,
    pub(super) arrival: Option<arrive::Arrival>,
    pub(super) view: ReplicaView,
    pub(super) plan: Plan,
    pub(super) finished: bool,
    /// `view` was observed.
    pub(super) looked: bool,
    /// The replica was remembered to be in step, and one of the logs is not as it was then.
    pub(super) has_moved: bool,
    /// The source as it was seen last, with the replica's head in its listing.
    pub(super) source: Option<Arc<SourceView>>,
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
            looked: false,
            has_moved: false,
            source: None,
            windows: Arc::default(),
        }
    }

    /// What there is to say about it, at its end. `source`: what others saw of the source, for a
    /// run that did not come so far.
    pub(super) fn into_report(self, source: Option<&SourceView>) -> TargetReport {
        let epoch = arrive::descriptor_of(&self).map(|known| known.epoch);
        let head = self.report.head;
        let view = self.seen(source);
        TargetReport {
            windows: self.windows.report(),
            head_committed_ms: view.and_then(|view| committed_ms(view, head?)),
            pending: view.and_then(|view| Pending::of(view, head)),
            epoch,
            ..self.report
        }
    }

    /// When the source may begin to delete what the target lacks. `source`: as above.
    pub(super) async fn deadline_ms(
        &self,
        context: &Context,
        source: Option<&SourceView>,
    ) -> Option<i64> {
        headroom::deadline_ms(context, self.seen(source)?, self.report.head).await
    }

    /// The source as this run knows it, where its target was looked at.
    fn seen<'a>(&'a self, source: Option<&'a SourceView>) -> Option<&'a SourceView> {
        self.source.as_deref().or(source).filter(|_| self.looked)
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
