//! `driftless probe`: what a store really does.

use table_sync_core::limits::SMALL_OBJECT_BYTES_MAX;
use table_sync_engine::probe_key;
use table_sync_store::{Outcome, ProbeReport, Store, Verdict, WriteError, probe};

use crate::args::Probe;
use crate::exit::{CommandError, Exit};
use crate::output::human;
use crate::output::json::{CheckView, Document, ProbeView};
use crate::run::{Ended, Setting};
use table_sync_core::with_causes;

pub(crate) async fn run(setting: &Setting, args: &Probe) -> Result<Exit, Ended> {
    let (store, state) = setting.wire.store(&args.target)?;
    setting.screen.line(&format!("probing {} with real requests", store.url()));
    let scratch = format!("_driftless/probe/{}", uuid::Uuid::new_v4());
    let report =
        probe(&store, &scratch).await.map_err(|error| unavailable(&with_causes(&error)))?;
    let (verdict, reason, exit) = match &report.verdict {
        Verdict::Fit => ("fit", None, Exit::Done),
        Verdict::Unfit { reason } => ("unfit", Some(reason.as_str()), Exit::Blocked),
        Verdict::Inconclusive { reason } => ("inconclusive", Some(reason.as_str()), Exit::Failed),
    };
    let remembered = exit != Exit::Failed && remember(&state, &report).await?;
    let checks = report.checks.iter().map(|check| CheckView {
        name: &check.name,
        outcome: outcome(check.outcome),
        detail: &check.detail,
        required: check.required,
    });
    let view =
        ProbeView { store: store.url(), verdict, reason, remembered, checks: checks.collect() };
    let text = human::probe(setting.output.paint(), &view);
    setting.output.print(&Document::one(view), text)?;
    Ok(exit)
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Inconclusive => "inconclusive",
        Outcome::NotApplicable => "not_applicable",
    }
}

/// Keeps a conclusive answer for later passes, in place of an older one. `false` when another
/// process was faster: its answer is as good.
async fn remember(state: &Store, report: &ProbeReport) -> Result<bool, CommandError> {
    let failed = |text: String| unavailable(&format!("remember the answer: {text}"));
    let found = state.get(probe_key(), SMALL_OBJECT_BYTES_MAX).await;
    let found = found.map_err(|error| failed(with_causes(&error)))?;
    let expect = found.as_ref().map(|(_, facts)| &facts.identity);
    let body = serde_json::to_vec_pretty(report).map_err(|error| failed(error.to_string()))?;
    match state.replace(probe_key(), body.into(), expect).await {
        Ok(_) => Ok(true),
        Err(WriteError::Changed { .. } | WriteError::Exists { .. }) => Ok(false),
        Err(error) => Err(failed(with_causes(&error))),
    }
}

fn unavailable(message: &str) -> CommandError {
    let hint = "check that the target store is reachable and may be written, then run again";
    CommandError::failed("target_unavailable", message, hint)
}
