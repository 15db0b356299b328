//! From what a pass says to what the catalog keeps. Pure.

use driftless_catalog::status::Condition;
use driftless_catalog::{NewEvent, Progress, Report, Version};
use table_sync_core::{PlannedKind, TableState};
use table_sync_engine::{PassReport, Pending, Receipt, TargetReport, TargetStatus};

/// Whose report it is.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) table: String,
    pub(crate) site: String,
    pub(crate) epoch: u64,
    pub(crate) incarnation: u32,
}

impl Owner {
    fn report(&self) -> Report {
        Report {
            table: self.table.clone(),
            site: self.site.clone(),
            epoch: self.epoch,
            incarnation: self.incarnation,
            format: None,
            progress: None,
            versions: Vec::new(),
            events: Vec::new(),
        }
    }

    /// What a pass did at one site, after what was known before it. `began_ms`, `now_ms`: when it
    /// began and ended.
    pub(crate) fn of_pass(
        &self,
        pass: &PassReport,
        target: &TargetReport,
        before: &Progress,
        (began_ms, now_ms): (i64, i64),
    ) -> Report {
        Report {
            format: format(pass.format),
            progress: Some(progress(pass, target, before, (began_ms, now_ms))),
            versions: target.receipts.iter().map(version).collect(),
            events: windows(target),
            ..self.report()
        }
    }

    /// What was published just now. From its first version on, readers are told of a table, and
    /// have to know its format.
    pub(crate) fn of_receipt(&self, receipt: &Receipt, of: &str) -> Report {
        Report { format: format(of), versions: vec![version(receipt)], ..self.report() }
    }

    /// What a look at a paused table found. `began_ms`, `now_ms`: when it began and ended.
    pub(crate) fn of_survey(
        &self,
        status: &TargetStatus,
        before: &Progress,
        (began_ms, now_ms): (i64, i64),
    ) -> Report {
        let mut now = before.clone();
        if let Some(lag) = status.lag {
            now.checked_ms = Some(now_ms);
            now.listed_ms = Some(began_ms);
            now.source_head = status.source_head.or(before.source_head);
            now.pending_versions = i64::try_from(lag.versions).ok();
            let age_ms = i64::try_from(lag.ms).unwrap_or(i64::MAX);
            now.oldest_pending_ms = (lag.versions > 0).then(|| now_ms.saturating_sub(age_ms));
            // A source that could not be asked this time keeps things no shorter than before.
            let deadline_ms = status.deadline_ms.or(before.deadline_ms);
            now.deadline_ms = deadline_ms.filter(|_| lag.versions > 0);
            now.pending_bytes = status.lag_bytes.and_then(|bytes| i64::try_from(bytes).ok());
        }
        Report { progress: Some(now), ..self.report() }
    }

    /// Trouble that came before any pass.
    pub(crate) fn of_trouble(&self, before: &Progress, (code, message): (&str, String)) -> Report {
        let progress = Progress {
            condition: Condition::Failed,
            reason_code: Some(code.to_owned()),
            reason: Some(message),
            reason_position: None,
            ..before.clone()
        };
        Report { progress: Some(progress), ..self.report() }
    }
}

fn format(name: &str) -> Option<&'static str> {
    ["delta", "hudi"].into_iter().find(|known| *known == name)
}

fn progress(
    pass: &PassReport,
    target: &TargetReport,
    before: &Progress,
    (began_ms, now_ms): (i64, i64),
) -> Progress {
    let (condition, code, reason, position) = condition(target);
    let seen = pass.source_head.is_some();
    let last = target.receipts.last();
    let moved = !target.receipts.is_empty() || target.copied_files > 0;
    // A source without any position was not seen, so that nothing is known to be pending.
    let pending = target.pending.as_ref().filter(|_| seen);
    Progress {
        condition,
        reason_code: code,
        reason,
        reason_position: position,
        since_ms: before.since_ms,
        source_head: pass.source_head.or(before.source_head),
        source_head_ms: pass.source_head_ms.or(before.source_head_ms),
        // A failure at the target leaves what the source said as true as before.
        checked_ms: if seen { Some(now_ms) } else { before.checked_ms },
        listed_ms: if pending.is_some() { Some(began_ms) } else { before.listed_ms },
        head: target.head.or(before.head),
        head_committed_ms: target.head_committed_ms.or(before.head_committed_ms),
        published_ms: last.map(|last| last.published_ms).or(before.published_ms),
        earliest_readable: target.earliest_readable.or(before.earliest_readable),
        pending_versions: match pending {
            Some(pending) => i64::try_from(pending.versions).ok(),
            None => before.pending_versions,
        },
        pending_bytes: pending.filter(|pending| pending.versions == 0).map(|_| 0),
        oldest_pending_ms: match pending {
            Some(pending) => pending.oldest_ms,
            None => before.oldest_pending_ms,
        },
        moved_ms: if moved { Some(now_ms) } else { before.moved_ms },
        deadline_ms: match pending {
            Some(pending) => deadline_ms(target.deadline_ms, pending, before),
            None => before.deadline_ms,
        },
    }
}

/// What was known of the same commit before holds where the source did not say.
fn deadline_ms(said_ms: Option<i64>, pending: &Pending, before: &Progress) -> Option<i64> {
    let is_same = pending.versions > 0 && pending.oldest_ms == before.oldest_pending_ms;
    said_ms.or(before.deadline_ms.filter(|_| is_same))
}

type Reason = (Condition, Option<String>, Option<String>, Option<String>);

fn condition(target: &TargetReport) -> Reason {
    if let Some(blocked) = &target.blocked {
        let condition = match TableState::of_blocked(blocked.code) {
            TableState::Rewound => Condition::Rewound,
            TableState::Diverged => Condition::Diverged,
            _ => Condition::Blocked,
        };
        let position = blocked.position.map(|position| position.to_string());
        let code = blocked.code.as_str().to_owned();
        return (condition, Some(code), Some(blocked.message.clone()), position);
    }
    if let Some(failure) = &target.failure {
        let code = failure.code.as_str().to_owned();
        let message = format!("{}; {}", failure.message, failure.hint);
        return (Condition::Failed, Some(code), Some(message), None);
    }
    match target.state {
        TableState::CatchingUp | TableState::Unpublished => {
            let why = target.warnings.last().cloned();
            (Condition::Held, Some("held".to_owned()), why, None)
        }
        _ => (Condition::Well, None, None, None),
    }
}

fn version(receipt: &Receipt) -> Version {
    let kind = match receipt.kind {
        PlannedKind::Jump => "jump",
        _ => "append",
    };
    Version {
        position: receipt.position,
        kind: kind.to_owned(),
        committed_ms: receipt.committed_ms,
        published_ms: receipt.published_ms,
        files: i64::try_from(receipt.files).unwrap_or(i64::MAX),
        bytes: i64::try_from(receipt.bytes).unwrap_or(i64::MAX),
        commit_sha256: receipt.commit_sha256.map(|sha256| sha256.to_string()),
        chain_sha256: None,
        live_digest: None,
        ordinal: 0,
    }
}

/// Times during which some readers saw a mixture are worth an event each.
fn windows(target: &TargetReport) -> Vec<NewEvent> {
    let windows = target.windows.iter().map(|window| NewEvent {
        kind: "replica.window",
        body: serde_json::json!({
            "position": window.position,
            "seconds": window.time.as_secs_f64(),
            "closed": window.closed,
        }),
    });
    windows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said_ms: Option<i64>, (versions, oldest_ms): (u64, Option<i64>), expect: Option<i64>) {
        let before = Progress {
            oldest_pending_ms: Some(1_000),
            deadline_ms: Some(9_000),
            ..Progress::default()
        };
        let pending = Pending { versions, oldest: None, oldest_ms };
        assert_eq!(deadline_ms(said_ms, &pending, &before), expect);
    }

    #[test]
    fn a_deadline_holds_as_long_as_the_same_commit_waits() {
        check(Some(8_000), (3, Some(1_000)), Some(8_000));
        check(None, (3, Some(1_000)), Some(9_000));
        check(None, (2, Some(2_000)), None);
        check(None, (0, None), None);
    }
}
