//! The demo's reader: opens the newest version again and again and checks it.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;
use table_sync_core::Position;

use super::{DemoError, DemoTable, Totals, check, report};
use crate::error::RowsError;

/// How long and how often to read.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// From the start of one read to the start of the next; a slower read delays the next.
    pub interval: Duration,
    /// When to stop; the read that runs then is finished first.
    pub duration: Duration,
}

/// One read, as reported.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Waiting {
        waiting: bool,
    },
    Read {
        version: Position,
        #[serde(flatten)]
        totals: Option<Totals>,
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        ms: u128,
    },
    Error {
        error: Failure,
        ms: u128,
    },
}

#[derive(Debug, Serialize)]
struct Failure {
    code: &'static str,
    message: String,
}

/// The last line of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ReadSummary {
    /// Versions opened, each time counted.
    pub reads: u64,
    /// Reads whose rows no committed version has, or that went back to an older version.
    pub torn: u64,
    /// Reads that failed loudly.
    pub errors: u64,
    /// Looks at the table before anything was published.
    pub waiting: u64,
    /// Different versions opened.
    pub versions_seen: usize,
}

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    summary: ReadSummary,
    versions: BTreeSet<Position>,
}

/// Reads `table` until `options.duration` is over or `stop` completes.
///
/// Reads at least once. Writes one JSON line per read to `out`, and the summary as the last one.
///
/// # Errors
/// [`DemoError::Report`] if `out` refuses a line. A table that cannot be read is no error here
/// but a line and a count.
pub async fn read(
    table: &DemoTable,
    options: ReadOptions,
    stop: impl Future<Output = ()>,
    out: &mut (dyn Write + Send),
) -> Result<ReadSummary, DemoError> {
    let mut seen = Seen::default();
    let mut ticks = tokio::time::interval(options.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let end = tokio::time::sleep(options.duration);
    tokio::pin!(stop, end);
    loop {
        let line = seen.read_once(table).await;
        report(out, &line)?;
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = &mut end => break,
            _ = ticks.tick() => {}
        }
    }
    seen.summary.versions_seen = seen.versions.len();
    report(out, &seen.summary)?;
    Ok(seen.summary)
}

impl Seen {
    async fn read_once(&mut self, table: &DemoTable) -> Line {
        let start = Instant::now();
        let (version, checked) = match table.newest().await {
            Ok((Some(version), batches)) => (version, check(&batches)),
            Ok((None, _)) | Err(RowsError::NotATable { .. }) if self.versions.is_empty() => {
                self.summary.waiting += 1;
                return Line::Waiting { waiting: true };
            }
            Ok((None, _)) => return self.failed("gone", "no version is left".to_owned(), start),
            Err(error) => return self.failed(error.code(), error.with_causes(), start),
        };
        let newest = self.versions.last().copied();
        let checked = match (checked, newest) {
            (Ok(_), Some(newest)) if version < newest => {
                Err(format!("version {newest} was read before"))
            }
            (checked, _) => checked,
        };
        self.summary.reads += 1;
        self.summary.torn += u64::from(checked.is_err());
        self.versions.insert(version);
        Line::Read {
            version,
            totals: checked.as_ref().ok().copied(),
            ok: checked.is_ok(),
            reason: checked.err(),
            ms: start.elapsed().as_millis(),
        }
    }

    fn failed(&mut self, code: &'static str, message: String, start: Instant) -> Line {
        self.summary.errors += 1;
        Line::Error { error: Failure { code, message }, ms: start.elapsed().as_millis() }
    }
}
