//! The document of `verify`.

use serde::Serialize;
use table_sync_core::{Blocked, Position};
use table_sync_engine::VerifyReport;

use super::{BlockedView, ErrorView};
use crate::exit::CommandError;

/// `verify`, one table.
#[derive(Debug, Serialize)]
pub(crate) struct VerifyView<'a> {
    pub(crate) source: &'a str,
    pub(crate) format: &'static str,
    pub(crate) level: &'static str,
    pub(crate) targets: Vec<VerifyTarget<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct VerifyTarget<'a> {
    pub(crate) target: &'a str,
    /// The version that was compared.
    pub(crate) version: Option<Position>,
    /// `null` when it could not be told.
    pub(crate) equal: Option<bool>,
    pub(crate) commits: u64,
    pub(crate) commits_gone: u64,
    pub(crate) chain: Option<String>,
    pub(crate) live_digest: Option<&'a str>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) rows: Option<RowsView>,
    pub(crate) difference_count: u64,
    pub(crate) differences: Vec<DifferenceView<'a>>,
    pub(crate) blocked: Option<BlockedView<'a>>,
    pub(crate) error: Option<ErrorView<'a>>,
}

/// What another engine read at both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RowsView {
    pub(crate) source: RowsSide,
    pub(crate) target: RowsSide,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RowsSide {
    pub(crate) count: u64,
    pub(crate) hash: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct DifferenceView<'a> {
    pub(crate) key: &'a str,
    pub(crate) message: &'a str,
}

impl<'a> VerifyTarget<'a> {
    /// From the engine's part of a verification.
    pub(crate) fn of(target: &'a str, report: &'a VerifyReport) -> Self {
        let difference = |difference: &'a table_sync_engine::Difference| DifferenceView {
            key: &difference.key,
            message: &difference.message,
        };
        Self {
            target,
            version: report.position,
            equal: Some(report.is_equal()),
            commits: report.commits,
            commits_gone: report.commits_gone,
            chain: Some(report.chain.to_string()),
            live_digest: report.live_digest.as_deref(),
            files: report.files,
            bytes: report.bytes,
            rows: None,
            difference_count: report.difference_count,
            differences: report.differences.iter().map(difference).collect(),
            blocked: None,
            error: None,
        }
    }

    /// The answer is not known.
    pub(crate) fn unknown(target: &'a str) -> Self {
        Self {
            target,
            version: None,
            equal: None,
            commits: 0,
            commits_gone: 0,
            chain: None,
            live_digest: None,
            files: 0,
            bytes: 0,
            rows: None,
            difference_count: 0,
            differences: Vec::new(),
            blocked: None,
            error: None,
        }
    }

    pub(crate) fn block(&mut self, blocked: &'a Blocked) {
        self.equal = None;
        self.blocked = Some(BlockedView::of(blocked));
    }

    pub(crate) fn fail(&mut self, error: &'a CommandError) {
        let CommandError { exit: _, code, message, hint } = error;
        self.equal = None;
        self.error = Some(ErrorView { code, message, hint });
    }
}
