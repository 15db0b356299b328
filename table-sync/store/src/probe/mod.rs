//! The probe: ask a real store, with real requests, whether it keeps the promises that
//! publication rests on.
//!
//! Stores that speak a protocol do not all mean it: some let two creators win, some keep half of
//! a cut upload, some fold the case of names. All requests go to one scratch folder, which is
//! removed afterwards.
//!
//! # Invariants
//! - A failed check was seen to fail. A server error or a lost reply is inconclusive, never
//!   "unfit".
//! - Nothing outside the scratch folder is touched.

mod damage;
mod reads;
mod writes;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use table_sync_core::BoxError;

use crate::error::{ReadError, WriteError};
use crate::store::{Store, StoreKind};

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The store does it.
    Pass,
    /// The store was seen not to do it.
    Fail,
    /// An error was in the way.
    Inconclusive,
    /// The question does not arise for this kind of store.
    NotApplicable,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Stable name.
    pub name: String,
    /// The answer.
    pub outcome: Outcome,
    /// What was seen, for people.
    pub detail: String,
    /// Without it the store is no target; other checks only say what to expect.
    pub required: bool,
}

/// What follows from the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every required check passed.
    Fit,
    /// A required check failed.
    Unfit {
        /// Which, and what was seen.
        reason: String,
    },
    /// No required check failed, but not all could be answered.
    Inconclusive {
        /// Which, and what was in the way.
        reason: String,
    },
}

/// What a store was seen to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// URL of the store root.
    pub store: String,
    /// When, ms since the epoch.
    pub probed_ms: i64,
    /// All checks, in the order in which they were made.
    pub checks: Vec<Check>,
    /// What follows.
    pub verdict: Verdict,
}

impl ProbeReport {
    /// Whether a check of this name passed.
    pub fn passed(&self, name: &str) -> bool {
        self.checks.iter().any(|check| check.name == name && check.outcome == Outcome::Pass)
    }
}

/// Why nothing at all can be said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A first object could not be written.
    #[error("write a first object to {url}")]
    Write {
        /// URL of the store root.
        url: String,
        /// The cause.
        source: WriteError,
    },
    /// The first object could not be read back.
    #[error("read the first object back from {url}")]
    Read {
        /// URL of the store root.
        url: String,
        /// The cause.
        source: ReadError,
    },
}

/// Why a check did not pass.
enum Trouble {
    Fail(String),
    Inconclusive(String),
    NotApplicable(String),
}

/// What was seen.
type Finding = Result<String, Trouble>;

impl From<WriteError> for Trouble {
    fn from(error: WriteError) -> Self {
        Self::Inconclusive(chain(&error))
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Inconclusive(chain(&error))
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn fail<T>(text: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Fail(text.into()))
}

/// A store and the folder that the checks may use.
struct Bench<'a> {
    store: &'a Store,
    scratch: &'a str,
    checks: Vec<Check>,
}

impl Bench<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.scratch)
    }

    fn note(&mut self, name: &str, required: bool, finding: Finding) {
        let (outcome, detail) = match finding {
            Ok(detail) => (Outcome::Pass, detail),
            Err(Trouble::Fail(detail)) => (Outcome::Fail, detail),
            Err(Trouble::Inconclusive(detail)) => (Outcome::Inconclusive, detail),
            Err(Trouble::NotApplicable(detail)) => (Outcome::NotApplicable, detail),
        };
        tracing::debug!(check = name, ?outcome, detail, "probed");
        self.checks.push(Check { name: name.to_owned(), outcome, detail, required });
    }

    /// The bytes of a small object.
    async fn content(&self, key: &str) -> Result<Option<Bytes>, ReadError> {
        let found = self.store.get(key, 64 << 20).await?;
        Ok(found.map(|(bytes, _)| bytes))
    }
}

/// Probes a store below `scratch`, a folder that nobody else uses
/// (`_driftless/probe/<uuid>`), and removes what it wrote.
///
/// # Errors
/// [`ProbeError`] when the store cannot be written or read at all.
pub async fn probe(store: &Store, scratch: &str) -> Result<ProbeReport, ProbeError> {
    let scratch = scratch.trim_matches('/');
    let mut bench = Bench { store, scratch, checks: Vec::new() };
    first(&bench).await?;
    let finding = writes::create_if_absent(&bench).await;
    bench.note("create_if_absent", true, finding);
    let finding = writes::create_race(&bench).await;
    bench.note("create_race", true, finding);
    let finding = writes::replace_if_match(&bench).await;
    bench.note("replace_if_match", true, finding);
    let finding = writes::overwrite(&bench).await;
    bench.note("overwrite", true, finding);
    let finding = reads::read_after_write(&bench).await;
    bench.note("read_after_write", true, finding);
    let finding = reads::pinned_read(&bench).await;
    bench.note("pinned_read", true, finding);
    let finding = reads::list_after_write(&bench).await;
    bench.note("list_after_write", true, finding);
    let finding = reads::list_order(&bench).await;
    bench.note("list_order", true, finding);
    let finding = reads::key_names(&bench).await;
    bench.note("key_names", true, finding);
    let finding = reads::distinct_names(&bench).await;
    bench.note("distinct_names", true, finding);
    let finding = damage::cut_upload(&bench).await;
    bench.note("cut_upload", true, finding);
    let finding = damage::wrong_checksum(&bench).await;
    bench.note("wrong_checksum", true, finding);
    let finding = writes::multipart(&bench).await;
    bench.note("multipart", true, finding);
    let finding = writes::multipart_condition(&bench).await;
    bench.note("multipart_condition", false, finding);
    let finding = reads::checksum_kept(&bench).await;
    bench.note("checksum_kept", false, finding);
    let finding = writes::delete(&bench).await;
    bench.note("delete", false, finding);
    let finding = writes::delete_if_match(&bench).await;
    bench.note("delete_if_match", false, finding);
    let finding = damage::unsigned_cut_upload(&bench).await;
    bench.note("unsigned_cut_upload", false, finding);
    let finding = damage::hard_links(&bench).await;
    bench.note("hard_links", false, finding);
    bench.note("tried_as_target", false, tried(store.kind()));
    let finding = writes::clean_up(&bench).await;
    bench.note("clean_up", false, finding);
    let verdict = verdict(&bench.checks);
    let probed_ms = crate::clock::now_ms();
    Ok(ProbeReport { store: store.url().to_owned(), probed_ms, checks: bench.checks, verdict })
}

/// One object there and back: without that no check means anything.
async fn first(bench: &Bench<'_>) -> Result<(), ProbeError> {
    let url = || bench.store.url().to_owned();
    let key = bench.key("first");
    let written = bench.store.create(&key, Bytes::from_static(b"driftless")).await;
    written.map_err(|source| ProbeError::Write { url: url(), source })?;
    let read = bench.content(&key).await;
    read.map_err(|source| ProbeError::Read { url: url(), source })?;
    Ok(())
}

/// What this software was ever run against as a target.
fn tried(kind: StoreKind) -> Finding {
    match kind {
        StoreKind::Gcs => Err(Trouble::NotApplicable(
            "Google Cloud Storage is unverified as a target: it was tried as a source only"
                .to_owned(),
        )),
        StoreKind::File | StoreKind::S3 | StoreKind::Azure | StoreKind::Other => {
            Ok("this kind of store is tested as a target".to_owned())
        }
    }
}

fn verdict(checks: &[Check]) -> Verdict {
    let of = |outcome: Outcome| {
        let texts = checks
            .iter()
            .filter(|check| check.required && check.outcome == outcome)
            .map(|check| format!("{}: {}", check.name, check.detail));
        texts.collect::<Vec<_>>().join("; ")
    };
    let failed = of(Outcome::Fail);
    let open = of(Outcome::Inconclusive);
    if !failed.is_empty() {
        Verdict::Unfit { reason: failed }
    } else if !open.is_empty() {
        Verdict::Inconclusive { reason: open }
    } else {
        Verdict::Fit
    }
}

/// A body in two pieces, the last byte by itself behind `gate`.
fn gated(bytes: Bytes, gate: impl Future<Output = ()> + Send + 'static) -> crate::body::Body {
    use futures::stream::{self, StreamExt as _};
    let last_at = bytes.len().saturating_sub(1);
    let (head, last) = (bytes.slice(..last_at), bytes.slice(last_at..));
    let head = stream::iter([Ok::<_, BoxError>(head)]);
    let last = stream::once(async move {
        gate.await;
        Ok(last)
    });
    head.chain(last).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outcomes: &[(Outcome, bool)], expect: &Verdict) {
        let checks: Vec<Check> = outcomes
            .iter()
            .map(|(outcome, required)| Check {
                name: "n".to_owned(),
                outcome: *outcome,
                detail: "d".to_owned(),
                required: *required,
            })
            .collect();
        assert_eq!(&verdict(&checks), expect);
    }

    #[test]
    fn only_required_checks_decide() {
        use Outcome::{Fail, Inconclusive, NotApplicable, Pass};
        check(&[(Pass, true), (NotApplicable, true), (Fail, false)], &Verdict::Fit);
        let reason = "n: d".to_owned();
        let unfit = Verdict::Unfit { reason: reason.clone() };
        check(&[(Inconclusive, true), (Fail, true)], &unfit);
        check(&[(Inconclusive, true), (Fail, false)], &Verdict::Inconclusive { reason });
    }
}
