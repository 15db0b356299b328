//! The JSON documents of every command: a contract, documented in `docs/json.md`.
//!
//! Written by hand rather than derived from the engine's types, so that those can change without
//! breaking anybody's script. A field is never removed or given another meaning without a new
//! [`SCHEMA`]; fields may be added.

mod hudi;
mod verify;

use std::collections::BTreeMap;

use serde::Serialize;
use table_sync_core::{Blocked, Plan, PlannedKind, Position};
use table_sync_delta::Inspection;
use table_sync_engine::{Estimate, Failure, PassReport, TargetReport, TargetStatus, WindowReport};

use crate::exit::CommandError;

pub(crate) use self::hudi::HudiInspectView;
pub(crate) use self::verify::{RowsSide, RowsView, VerifyTarget, VerifyView};

/// Version of all documents.
pub(crate) const SCHEMA: u32 = 1;

/// Why a command was not carried out.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorDocument<'a> {
    error: ErrorView<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ErrorView<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    pub(crate) hint: &'a str,
}

impl<'a> ErrorDocument<'a> {
    pub(crate) fn of(error: &'a CommandError) -> Self {
        let CommandError { exit: _, code, message, hint } = error;
        Self { error: ErrorView { code, message, hint } }
    }
}

impl<'a> ErrorView<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self { code: failure.code.as_str(), message: &failure.message, hint: failure.hint }
    }
}

/// Why a table waits for a person.
#[derive(Debug, Serialize)]
pub(crate) struct BlockedView<'a> {
    pub(crate) code: &'static str,
    pub(crate) message: &'a str,
    pub(crate) position: Option<Position>,
}

impl<'a> BlockedView<'a> {
    fn of(blocked: &'a Blocked) -> Self {
        let Blocked { code, message, position } = blocked;
        Self { code: code.as_str(), message, position: *position }
    }
}

/// The document of a command that was given one table, or of several.
#[derive(Debug, Serialize)]
pub(crate) struct Document<T> {
    schema: u32,
    #[serde(flatten)]
    body: OneOrMany<T>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many { tables: Vec<T> },
}

impl<T> Document<T> {
    /// About one table or store.
    pub(crate) fn one(body: T) -> Self {
        Self { schema: SCHEMA, body: OneOrMany::One(body) }
    }

    /// About the tables of the arguments; `several` when those name more than one, or a pattern.
    pub(crate) fn tables(mut tables: Vec<T>, several: bool) -> Self {
        match tables.pop() {
            Some(table) if tables.is_empty() && !several => Self::one(table),
            last => {
                tables.extend(last);
                Self { schema: SCHEMA, body: OneOrMany::Many { tables } }
            }
        }
    }
}

/// `sync`, one table.
#[derive(Debug, Serialize)]
pub(crate) struct SyncView<'a> {
    source: &'a str,
    format: &'static str,
    source_head: Option<Position>,
    targets: Vec<SyncTarget<'a>>,
}

#[derive(Debug, Serialize)]
struct SyncTarget<'a> {
    target: &'a str,
    start: Option<Position>,
    head: Option<Position>,
    earliest_readable: Option<Position>,
    published: &'a [Position],
    jumped: &'a [Position],
    copied_files: u64,
    copied_bytes: u64,
    skipped_files: u64,
    retired_files: u64,
    state: &'static str,
    blocked: Option<BlockedView<'a>>,
    error: Option<ErrorView<'a>>,
    warnings: &'a [String],
    windows: Vec<WindowView>,
}

/// A time during which some readers saw a mixture of two states.
#[derive(Debug, Serialize)]
struct WindowView {
    position: Position,
    seconds: f64,
    closed: bool,
}

impl<'a> SyncView<'a> {
    pub(crate) fn of(report: &'a PassReport) -> Self {
        Self {
            source: &report.source,
            format: report.format,
            source_head: report.source_head,
            targets: report.targets.iter().map(SyncTarget::of).collect(),
        }
    }
}

impl<'a> SyncTarget<'a> {
    fn of(report: &'a TargetReport) -> Self {
        Self {
            target: &report.target,
            start: report.start,
            head: report.head,
            earliest_readable: report.earliest_readable,
            published: &report.published,
            jumped: &report.jumped,
            copied_files: report.copied_files,
            copied_bytes: report.copied_bytes,
            skipped_files: report.skipped_files,
            retired_files: report.retired_files,
            state: report.state.as_str(),
            blocked: report.blocked.as_ref().map(BlockedView::of),
            error: report.failure.as_ref().map(ErrorView::of),
            warnings: &report.warnings,
            windows: report.windows.iter().map(WindowView::of).collect(),
        }
    }
}

impl WindowView {
    fn of(window: &WindowReport) -> Self {
        let WindowReport { position, time, closed } = *window;
        Self { position, seconds: time.as_secs_f64(), closed }
    }
}

/// `plan`, one table.
#[derive(Debug, Serialize)]
pub(crate) struct PlanView<'a> {
    source: &'a str,
    format: &'static str,
    source_head: Option<Position>,
    /// Bytes that leave the source: each is read once, however many targets there are.
    pub(crate) read_bytes: u64,
    pub(crate) eta_seconds: Option<u64>,
    pub(crate) egress_usd: Option<f64>,
    targets: Vec<PlanTarget<'a>>,
}

#[derive(Debug, Serialize)]
struct PlanTarget<'a> {
    target: &'a str,
    head: Option<Position>,
    end: Option<Position>,
    versions: usize,
    publications: Vec<Run>,
    jumped: Vec<Position>,
    copy_files: u64,
    copy_bytes: u64,
    unsized_files: u64,
    present_files: u64,
    log_objects: u64,
    blocked: Option<BlockedView<'a>>,
    error: Option<ErrorView<'a>>,
}

/// Publications of one kind in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Run {
    pub(crate) kind: &'static str,
    pub(crate) first: Position,
    pub(crate) last: Position,
}

impl Run {
    /// A plan's publications, in order. A jump always stands alone.
    pub(crate) fn all(plan: &Plan) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for planned in &plan.publications {
            let kind = kind_name(planned.kind);
            match runs.last_mut() {
                Some(run) if run.kind == kind && planned.kind == PlannedKind::Append => {
                    run.last = planned.position;
                }
                _ => runs.push(Self { kind, first: planned.position, last: planned.position }),
            }
        }
        runs
    }
}

/// The name of a way to publish.
pub(crate) fn kind_name(kind: PlannedKind) -> &'static str {
    match kind {
        PlannedKind::Jump => "jump",
        _ => "append",
    }
}

impl<'a> PlanView<'a> {
    pub(crate) fn of(source: &'a str, format: &'static str, estimates: &'a [Estimate]) -> Self {
        Self {
            source,
            format,
            source_head: estimates.iter().filter_map(|estimate| estimate.source_head).max(),
            read_bytes: estimates.iter().map(|estimate| estimate.copy_bytes).max().unwrap_or(0),
            eta_seconds: None,
            egress_usd: None,
            targets: estimates.iter().map(PlanTarget::of).collect(),
        }
    }
}

impl<'a> PlanTarget<'a> {
    fn of(estimate: &'a Estimate) -> Self {
        Self {
            target: &estimate.target,
            head: estimate.plan.head,
            end: estimate.plan.end(),
            versions: estimate.plan.publications.len(),
            publications: Run::all(&estimate.plan),
            jumped: estimate.plan.jumps().collect(),
            copy_files: estimate.copy_files,
            copy_bytes: estimate.copy_bytes,
            unsized_files: estimate.unsized_files,
            present_files: estimate.present_files,
            log_objects: estimate.log_objects,
            blocked: estimate.plan.refusal.as_ref().map(BlockedView::of),
            error: estimate.failure.as_ref().map(ErrorView::of),
        }
    }
}

/// `plan --files`, one file.
#[derive(Debug, Serialize)]
pub(crate) struct FileView<'a> {
    pub(crate) schema: u32,
    pub(crate) target: &'a str,
    pub(crate) position: Position,
    pub(crate) path: &'a str,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) role: String,
}

/// `status`, one table.
#[derive(Debug, Serialize)]
pub(crate) struct StatusView<'a> {
    source: &'a str,
    format: &'static str,
    source_head: Option<Position>,
    targets: Vec<StatusTarget<'a>>,
}

#[derive(Debug, Serialize)]
struct StatusTarget<'a> {
    target: &'a str,
    head: Option<Position>,
    earliest_readable: Option<Position>,
    state: &'static str,
    lag: Option<LagView>,
    blocked: Option<BlockedView<'a>>,
    error: Option<ErrorView<'a>>,
}

#[derive(Debug, Serialize)]
struct LagView {
    versions: u64,
    bytes: Option<u64>,
    seconds: f64,
}

impl<'a> StatusView<'a> {
    pub(crate) fn of(source: &'a str, format: &'static str, statuses: &'a [TargetStatus]) -> Self {
        Self {
            source,
            format,
            source_head: statuses.iter().filter_map(|status| status.source_head).max(),
            targets: statuses.iter().map(StatusTarget::of).collect(),
        }
    }
}

impl<'a> StatusTarget<'a> {
    fn of(status: &'a TargetStatus) -> Self {
        let seconds = |ms: u64| std::time::Duration::from_millis(ms).as_secs_f64();
        let lag = status.lag.map(|lag| LagView {
            versions: lag.versions,
            bytes: status.lag_bytes,
            seconds: seconds(lag.ms),
        });
        Self {
            target: &status.target,
            head: status.head,
            earliest_readable: status.earliest_readable,
            state: status.state.as_str(),
            lag,
            blocked: status.blocked.as_ref().map(BlockedView::of),
            error: status.failure.as_ref().map(ErrorView::of),
        }
    }
}

/// `inspect`.
#[derive(Debug, Serialize)]
pub(crate) struct InspectView<'a> {
    source: &'a str,
    format: &'static str,
    replicable: bool,
    blocked: Option<RefusedView<'a>>,
    head: Option<u64>,
    earliest_readable: Option<u64>,
    table_id: Option<&'a str>,
    name: Option<&'a str>,
    protocol: ProtocolView<'a>,
    partition_columns: &'a [String],
    files: u64,
    bytes: u64,
    deletion_vectors: u64,
    live_digest: Option<&'a str>,
    checkpoints: Vec<CheckpointView<'a>>,
    other_formats: Vec<&'a str>,
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct RefusedView<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct ProtocolView<'a> {
    reader: Option<i64>,
    writer: Option<i64>,
    features: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct CheckpointView<'a> {
    version: u64,
    kinds: &'a [&'static str],
}

impl<'a> InspectView<'a> {
    pub(crate) fn of(source: &'a str, format: &'static str, found: &'a Inspection) -> Self {
        let checkpoint = |(version, kinds): (&u64, &'a Vec<&'static str>)| CheckpointView {
            version: *version,
            kinds,
        };
        Self {
            source,
            format,
            replicable: found.is_replicable(),
            blocked: found.refusal.as_ref().map(|refusal| RefusedView {
                code: refusal.code.as_str(),
                message: &refusal.message,
            }),
            head: found.head,
            earliest_readable: found.earliest_readable,
            table_id: found.table_id.as_deref(),
            name: found.name.as_deref(),
            protocol: ProtocolView {
                reader: found.reader_version,
                writer: found.writer_version,
                features: found.features.iter().map(String::as_str).collect(),
            },
            partition_columns: &found.partition_columns,
            files: found.files,
            bytes: found.bytes,
            deletion_vectors: found.deletion_vectors,
            live_digest: found.digest.as_deref(),
            checkpoints: found.checkpoints.iter().map(checkpoint).collect(),
            other_formats: found.other_formats.iter().copied().collect(),
            warnings: &found.warnings,
        }
    }
}

/// `probe`.
#[derive(Debug, Serialize)]
pub(crate) struct ProbeView<'a> {
    pub(crate) store: &'a str,
    pub(crate) verdict: &'static str,
    pub(crate) reason: Option<&'a str>,
    /// Whether the answer is kept under `_driftless/` for later passes.
    pub(crate) remembered: bool,
    pub(crate) checks: Vec<CheckView<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CheckView<'a> {
    pub(crate) name: &'a str,
    pub(crate) outcome: &'static str,
    pub(crate) required: bool,
    pub(crate) detail: &'a str,
}

/// `demo`.
#[derive(Debug, Serialize)]
pub(crate) struct DemoView {
    pub(crate) format: &'static str,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) commits: u64,
    pub(crate) operations: BTreeMap<String, u64>,
    pub(crate) published: u64,
    pub(crate) lag_ms_median: Option<u64>,
    pub(crate) lag_ms_max: Option<u64>,
    pub(crate) reads: u64,
    pub(crate) torn: u64,
    pub(crate) read_errors: u64,
    pub(crate) versions_read: u64,
    pub(crate) version: Option<Position>,
    pub(crate) rows: Option<RowsView>,
    pub(crate) verdict: &'static str,
}

/// `demo`, both chapters.
#[derive(Debug, Serialize)]
pub(crate) struct DemoChapters {
    #[serde(flatten)]
    pub(crate) delta: DemoView,
    /// The same with a Hudi table.
    pub(crate) hudi: DemoView,
}
