//! What happened so far in the demo, told as it happens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use table_sync_core::Position;

use super::not_understood;
use crate::exit::{CommandError, Exit};
use crate::output::json::{DemoView, RowsView};
use crate::output::write;
use crate::run::Setting;

/// One commit, as the writer reports it.
#[derive(Debug, Deserialize)]
pub(super) struct WriterLine {
    version: Position,
    operation: String,
    rows: i64,
    sum: i64,
}

/// One line of the reader.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ReaderLine {
    Read(ReadLine),
    Summary {
        reads: u64,
        torn: u64,
        errors: u64,
    },
    Error {
        error: ReadError,
    },
    Waiting {
        #[allow(dead_code, reason = "tells this line from the others")]
        waiting: bool,
    },
}

#[derive(Debug, Deserialize)]
struct ReadLine {
    version: Position,
    rows: Option<i64>,
    sum: Option<i64>,
    ok: bool,
    reason: Option<String>,
    ms: u64,
}

#[derive(Debug, Deserialize)]
struct ReadError {
    code: String,
    message: String,
}

/// A commit at the source.
struct Committed {
    at: Instant,
    rows: i64,
    sum: i64,
}

/// How the story names a position.
fn label(position: Position) -> String {
    match position.requested() {
        Some(requested) => format!("instant {requested}"),
        None => format!("version {position:<4}"),
    }
}

/// The demo so far.
pub(super) struct Story<'a> {
    setting: &'a Setting,
    started: Instant,
    commits: BTreeMap<Position, Committed>,
    operations: BTreeMap<String, u64>,
    published: BTreeMap<Position, Instant>,
    lags_ms: Vec<u64>,
    /// Totals that were read, by version, until the writer's own are known.
    unjudged: Vec<(Position, i64, i64)>,
    versions_read: std::collections::BTreeSet<Position>,
    reads: u64,
    torn: u64,
    errors: u64,
    view: DemoView,
}

impl<'a> Story<'a> {
    pub(super) fn new(
        setting: &'a Setting,
        format: &'static str,
        (source, target): (String, String),
    ) -> Self {
        Self {
            setting,
            started: Instant::now(),
            commits: BTreeMap::new(),
            operations: BTreeMap::new(),
            published: BTreeMap::new(),
            lags_ms: Vec::new(),
            unjudged: Vec::new(),
            versions_read: std::collections::BTreeSet::new(),
            reads: 0,
            torn: 0,
            errors: 0,
            view: DemoView {
                format,
                source,
                target,
                commits: 0,
                operations: BTreeMap::new(),
                published: 0,
                lag_ms_median: None,
                lag_ms_max: None,
                reads: 0,
                torn: 0,
                read_errors: 0,
                versions_read: 0,
                version: None,
                rows: None,
                verdict: "failed",
            },
        }
    }

    pub(super) fn format(&self) -> &'static str {
        self.view.format
    }

    pub(super) fn source(&self) -> &str {
        &self.view.source
    }

    pub(super) fn target(&self) -> &str {
        &self.view.target
    }

    /// The newest published version.
    pub(super) fn head(&self) -> Option<Position> {
        self.published.last_key_value().map(|(version, _)| *version)
    }

    /// Whether the newest commit is published.
    pub(super) fn caught_up(&self) -> bool {
        let newest = self.commits.last_key_value().map(|(version, _)| *version);
        newest.is_some() && self.head() >= newest
    }

    /// A line of the story: part of the result for people, progress for machines.
    pub(super) fn tell(&self, text: &str) {
        if self.setting.output.is_json() {
            self.setting.screen.line(text);
        } else if !self.setting.globals.quiet {
            // When nobody listens any more, the verdict still counts.
            let _ = write(format!("{text}\n").as_bytes());
        }
    }

    fn tell_now(&self, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.tell(&format!("{seconds:5.1} s  {text}"));
    }

    /// The writer committed.
    pub(super) fn committed(&mut self, line: &str) -> Result<(), CommandError> {
        let WriterLine { version, operation, rows, sum } = WriterLine::parse(line)?;
        let at = Instant::now();
        self.tell_now(&format!("source   {} {operation}, {rows} rows", label(version)));
        *self.operations.entry(operation).or_default() += 1;
        self.commits.insert(version, Committed { at, rows, sum });
        // The writer reports after it committed: the replica may have been faster.
        if let Some(published) = self.published.get(&version) {
            self.lags_ms.push(ms(published.saturating_duration_since(at)));
        }
        self.judge();
        Ok(())
    }

    /// A version became visible at the replica.
    pub(super) fn published(&mut self, version: Position, at: Instant) {
        self.published.insert(version, at);
        let lag = self.commits.get(&version).map(|commit| {
            let lag_ms = ms(at.saturating_duration_since(commit.at));
            self.lags_ms.push(lag_ms);
            lag_ms
        });
        let lag = lag.map_or_else(|| "at once".to_owned(), |lag_ms| format!("lag {lag_ms} ms"));
        let (reads, torn) = (self.reads, self.torn);
        self.tell_now(&format!(
            "replica  {} published, {lag}; {reads} reads so far, {torn} torn",
            label(version)
        ));
    }

    /// The reader looked at the replica.
    pub(super) fn read(&mut self, line: &str) -> Result<(), CommandError> {
        let parsed = serde_json::from_str(line).map_err(|_| not_understood("reader", line))?;
        match parsed {
            ReaderLine::Waiting { .. } => {}
            ReaderLine::Error { error } => {
                self.errors += 1;
                self.tell_now(&format!("reader   failed: {}: {}", error.code, error.message));
            }
            ReaderLine::Read(read) => self.read_version(&read),
            ReaderLine::Summary { reads, torn, errors } => {
                self.reads = self.reads.max(reads);
                self.torn = self.torn.max(torn);
                self.errors = self.errors.max(errors);
            }
        }
        Ok(())
    }

    fn read_version(&mut self, read: &ReadLine) {
        let ReadLine { version, ms, .. } = read;
        self.reads += 1;
        self.versions_read.insert(*version);
        if let (true, Some(rows), Some(sum)) = (read.ok, read.rows, read.sum) {
            self.tell_now(&format!("reader   {} {rows} rows, whole, {ms} ms", label(*version)));
            self.unjudged.push((*version, rows, sum));
            self.judge();
        } else {
            self.torn += 1;
            let reason = read.reason.as_deref().unwrap_or("no rows");
            self.tell_now(&format!("reader   {} TORN: {reason}", label(*version)));
        }
    }

    /// Holds what was read against what the writer says it wrote.
    fn judge(&mut self) {
        let mut torn = Vec::new();
        let commits = &self.commits;
        self.unjudged.retain(|(version, rows, sum)| match commits.get(version) {
            None => true,
            Some(commit) => {
                if (commit.rows, commit.sum) != (*rows, *sum) {
                    torn.push(*version);
                }
                false
            }
        });
        for version in torn {
            self.torn += 1;
            self.tell_now(&format!(
                "reader   {} TORN: it does not add up to what was committed",
                label(version)
            ));
        }
    }

    /// Rows of the last version at both sides.
    pub(super) fn set_rows(&mut self, version: Position, rows: RowsView) {
        self.view.version = Some(version);
        self.view.rows = Some(rows);
    }

    /// The verdict.
    pub(super) fn end(mut self) -> (DemoView, Exit) {
        self.lags_ms.sort_unstable();
        let equal = self.view.rows.as_ref().is_some_and(|rows| rows.source == rows.target);
        let (verdict, exit) = if self.torn > 0 {
            ("torn", Exit::Differs)
        } else if !equal {
            ("differs", Exit::Differs)
        } else if self.errors > 0 {
            ("some reads failed", Exit::Failed)
        } else if self.reads == 0 {
            ("nothing was read: the demo was too short", Exit::Failed)
        } else {
            ("ok", Exit::Done)
        };
        let view = DemoView {
            commits: self.commits.len() as u64,
            operations: self.operations,
            published: self.published.len() as u64,
            lag_ms_median: self.lags_ms.get(self.lags_ms.len() / 2).copied(),
            lag_ms_max: self.lags_ms.last().copied(),
            reads: self.reads,
            torn: self.torn,
            read_errors: self.errors,
            versions_read: self.versions_read.len() as u64,
            verdict,
            ..self.view
        };
        (view, exit)
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
