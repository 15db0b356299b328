//! TEMPORARY
#![allow(missing_docs)]
use serde::{Deserialize, Serialize};
#[derive(Debug, Serialize, Deserialize)]
pub enum Verdict {
    Fit,
    Unfit { reason: String },
    Inconclusive { reason: String },
}
#[derive(Debug, Serialize, Deserialize)]
pub struct ProbeReport {
    pub verdict: Verdict,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ProbeError;
pub async fn probe(_: &table_sync_store::Store, _: &str) -> Result<ProbeReport, ProbeError> {
    Ok(ProbeReport { verdict: Verdict::Fit })
}
