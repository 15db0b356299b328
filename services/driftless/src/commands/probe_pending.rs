//! Stand-in until table-sync-store has its probe.
pub(super) enum Outcome { Pass, Fail, Inconclusive, NotApplicable }
pub(super) enum Verdict { Fit, Unfit { reason: String }, Inconclusive { reason: String } }
pub(super) struct Check { pub(super) name: String, pub(super) outcome: Outcome, pub(super) detail: String }
#[derive(serde::Serialize)]
pub(super) struct ProbeReport { #[serde(skip)] pub(super) verdict: Verdict, #[serde(skip)] pub(super) checks: Vec<Check> }
#[derive(Debug, thiserror::Error)]
#[error("probe")]
pub(super) struct ProbeError;
pub(super) async fn probe(_: &table_sync_store::Store, _: &str) -> Result<ProbeReport, ProbeError> {
    Ok(ProbeReport { verdict: Verdict::Fit, checks: Vec::new() })
}
