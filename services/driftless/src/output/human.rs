//! The same results for people: a few lines a target, tables aligned.

use std::fmt::Write as _;
use std::time::Duration;

use table_sync_core::{Blocked, Position};
use table_sync_delta::Inspection;
use table_sync_engine::{Estimate, Failure, PassReport, TargetReport, TargetStatus};

use super::Paint;
use super::json::{DemoChapters, DemoView, ProbeView, Run, VerifyTarget, VerifyView};
use crate::units::{show_bytes, show_duration};

/// Rows of equal width, columns two spaces apart, the last one ragged.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn version(position: Option<Position>) -> String {
    position.map_or_else(|| "none".to_owned(), |position| position.to_string())
}

fn number(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// Why it stopped, and what to do about it.
fn trouble(paint: Paint, blocked: Option<&Blocked>, failure: Option<&Failure>) -> String {
    let mut text = String::new();
    if let Some(blocked) = blocked {
        let _ = writeln!(text, "  {}: {}", paint.bad(blocked.code.as_str()), blocked.message);
    }
    if let Some(failure) = failure {
        let code = paint.bad(failure.code.as_str());
        let _ = writeln!(text, "  {code}: {}\n  hint: {}", failure.message, failure.hint);
    }
    text
}

fn state(paint: Paint, state: &str) -> String {
    match state {
        "ok" | "equal" | "fit" => paint.good(state),
        "catching_up" | "unpublished" | "unknown" | "inconclusive" => paint.warn(state),
        other => paint.bad(other),
    }
}

/// `sync`.
pub(crate) fn sync(paint: Paint, report: &PassReport) -> String {
    let mut text =
        format!("{} at version {}\n", paint.bold(&report.source), version(report.source_head));
    for target in &report.targets {
        text.push_str(&sync_target(paint, target));
    }
    text
}

fn sync_target(paint: Paint, report: &TargetReport) -> String {
    let mut text = format!(
        "{}: {}, version {}",
        report.target,
        state(paint, report.state.as_str()),
        version(report.head)
    );
    match (report.published.len(), report.start) {
        (0, _) => text.push_str(", nothing new\n"),
        (count, start) => {
            let from = start.map_or_else(String::new, |start| format!(" after {start}"));
            let _ = writeln!(
                text,
                ", published {count} {}{from}; copied {} in {} files, {} were there already",
                plural(count as u64, "version", "versions"),
                show_bytes(report.copied_bytes),
                report.copied_files,
                report.skipped_files
            );
        }
    }
    for jump in &report.jumped {
        let _ =
            writeln!(text, "  jumped to {jump}: versions before it, since the last, are not here");
    }
    if report.retired_files > 0 {
        let _ = writeln!(
            text,
            "  removed {} files that no promised version needs",
            report.retired_files
        );
    }
    if (report.start.is_none() || report.retired_files > 0)
        && let Some(earliest) = report.earliest_readable
    {
        let _ = writeln!(text, "  readable from version {earliest}");
    }
    text + &trouble(paint, report.blocked.as_ref(), report.failure.as_ref())
}

fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// `plan`.
pub(crate) fn plan(
    paint: Paint,
    source: &str,
    estimates: &[Estimate],
    eta_seconds: Option<u64>,
    egress_usd: Option<f64>,
) -> String {
    let head = estimates.iter().filter_map(|estimate| estimate.source_head).max();
    let mut text = format!("{} at version {}\n", paint.bold(source), version(head));
    for estimate in estimates {
        let plan = &estimate.plan;
        let _ = writeln!(text, "{} at version {}", estimate.target, version(plan.head));
        for run in Run::all(plan) {
            let _ = match run.kind {
                "jump" => writeln!(text, "  start from the checkpoint of version {}", run.first),
                _ if run.first == run.last => writeln!(text, "  publish version {}", run.first),
                _ => writeln!(text, "  publish versions {} to {}", run.first, run.last),
            };
        }
        if plan.publications.is_empty() && plan.refusal.is_none() && estimate.failure.is_none() {
            text.push_str("  nothing to publish\n");
        } else {
            let _ = writeln!(
                text,
                "  copy {} in {} files, and {} objects of the log; {} files are there already",
                show_bytes(estimate.copy_bytes),
                estimate.copy_files,
                estimate.log_objects,
                estimate.present_files
            );
            if estimate.unsized_files > 0 {
                let unsized_files = estimate.unsized_files;
                let _ = writeln!(text, "  the log states no size for {unsized_files} of them");
            }
        }
        text.push_str(&trouble(paint, plan.refusal.as_ref(), estimate.failure.as_ref()));
    }
    if let Some(seconds) = eta_seconds {
        let _ = writeln!(text, "takes about {}", show_duration(Duration::from_secs(seconds)));
    }
    if let Some(usd) = egress_usd {
        let _ = writeln!(text, "costs about {usd:.2} USD of egress");
    }
    text
}

/// `status`.
pub(crate) fn status(paint: Paint, source: &str, statuses: &[TargetStatus]) -> String {
    let head = statuses.iter().filter_map(|status| status.source_head).max();
    let mut text = format!("{} at version {}\n", paint.bold(source), version(head));
    let titles = ["target", "state", "version", "behind", "bytes", "age"];
    let mut rows = vec![titles.map(str::to_owned)];
    for status in statuses {
        let lag = status.lag;
        rows.push([
            status.target.clone(),
            status.state.as_str().to_owned(),
            version(status.head),
            number(lag.map(|lag| lag.versions)),
            status.lag_bytes.map_or_else(|| "unknown".to_owned(), show_bytes),
            lag.map_or_else(
                || "unknown".to_owned(),
                |lag| show_duration(Duration::from_millis(lag.ms)),
            ),
        ]);
    }
    text.push_str(&columns(&rows));
    for status in statuses {
        let why = trouble(paint, status.blocked.as_ref(), status.failure.as_ref());
        if !why.is_empty() {
            let _ = write!(text, "{}\n{why}", status.target);
        }
    }
    text
}

/// `verify`.
pub(crate) fn verify(paint: Paint, view: &VerifyView<'_>) -> String {
    let mut text = format!("{}\n", paint.bold(view.source));
    for target in &view.targets {
        text.push_str(&verify_target(paint, view.level, target));
    }
    text
}

fn verify_target(paint: Paint, level: &str, target: &VerifyTarget<'_>) -> String {
    let verdict = match target.equal {
        Some(true) => "equal",
        Some(false) => "differs",
        None => "unknown",
    };
    let mut text = format!(
        "{}: {} at version {} ({level})",
        target.target,
        state(paint, verdict),
        version(target.version)
    );
    if target.version.is_some() {
        let _ = write!(
            text,
            ": {} {} compared",
            target.commits,
            plural(target.commits, "commit", "commits")
        );
        if target.commits_gone > 0 {
            let _ = write!(text, ", {} no longer at the source", target.commits_gone);
        }
        if target.files > 0 {
            let _ = write!(text, ", {} {}", target.files, plural(target.files, "file", "files"));
        }
        if target.bytes > 0 {
            let _ = write!(text, ", {} read at both sides", show_bytes(target.bytes));
        }
        if let Some(rows) = &target.rows {
            let _ = write!(text, ", {} rows", rows.source.count);
        }
    }
    text.push('\n');
    for difference in &target.differences {
        let _ = writeln!(text, "  {} {}", difference.key, difference.message);
    }
    let listed = target.differences.len() as u64;
    if target.difference_count > listed {
        let _ = writeln!(text, "  and {} more", target.difference_count - listed);
    }
    if let Some(blocked) = &target.blocked {
        let _ = writeln!(text, "  {}: {}", paint.bad(blocked.code), blocked.message);
    }
    if let Some(error) = &target.error {
        let _ = writeln!(text, "  {}: {}", paint.bad(error.code), error.message);
        let _ = writeln!(text, "  hint: {}", error.hint);
    }
    text
}

/// `inspect`.
pub(crate) fn inspect(paint: Paint, source: &str, format: &str, found: &Inspection) -> String {
    let mut text = format!("{}\n", paint.bold(source));
    let list = |items: Vec<String>| {
        if items.is_empty() { "none".to_owned() } else { items.join(", ") }
    };
    let checkpoints = found
        .checkpoints
        .iter()
        .map(|(version, kinds)| format!("{version} ({})", kinds.join(", ")))
        .collect();
    let rows = [
        ("format", format.to_owned()),
        ("version", number(found.head)),
        ("readable from", number(found.earliest_readable)),
        ("table id", found.table_id.clone().unwrap_or_else(|| "none".to_owned())),
        ("name", found.name.clone().unwrap_or_else(|| "none".to_owned())),
        (
            "protocol",
            format!(
                "reader {}, writer {}",
                number(found.reader_version),
                number(found.writer_version)
            ),
        ),
        ("features", list(found.features.iter().cloned().collect())),
        ("partitioned by", list(found.partition_columns.clone())),
        ("live files", format!("{} ({})", found.files, show_bytes(found.bytes))),
        ("deletion vectors", found.deletion_vectors.to_string()),
        ("checkpoints", list(checkpoints)),
        ("other formats", list(found.other_formats.iter().map(ToString::to_string).collect())),
    ];
    text.push_str(&columns(&rows.map(|(name, value)| [format!("  {name}"), value])));
    let refusal = found.refusal.as_ref();
    let refusal = refusal.map(|refusal| (refusal.code, refusal.message.as_str()));
    verdict(&mut text, paint, &found.warnings, refusal);
    text
}

/// `inspect` of a Hudi table.
pub(crate) fn inspect_hudi(
    paint: Paint,
    source: &str,
    found: &table_sync_hudi::Inspection,
) -> String {
    let mut text = format!("{}\n", paint.bold(source));
    let list = |items: &[String]| {
        if items.is_empty() { "none".to_owned() } else { items.join(", ") }
    };
    let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
    let head = found.head.map_or_else(|| "none".to_owned(), |head| head.to_string());
    let layout = found.timeline_layout.map_or_else(|| "?".to_owned(), |layout| layout.to_string());
    let version = found.table_version.map_or_else(|| "?".to_owned(), |at| at.to_string());
    let rows = [
        ("format", "hudi".to_owned()),
        ("position", head),
        ("name", or_none(found.name.as_deref())),
        ("table version", version),
        ("type", or_none(found.table_type)),
        ("timeline", format!("layout {layout}, {} completed", found.completed_instants)),
        ("pending", list(&found.pending)),
        ("record key", list(&found.record_key)),
        ("partitioned by", list(&found.partition_columns)),
        ("key generator", or_none(found.key_generator.as_deref())),
        ("merge", or_none(found.merge.as_deref())),
        ("ordered by", list(&found.ordering)),
        ("metadata table", list(&found.metadata_partitions)),
        (
            "live files",
            format!("{} and {} logs ({})", found.files, found.logs, show_bytes(found.bytes)),
        ),
        (
            "readers",
            found.reader_min.map_or_else(|| "?".to_owned(), |min| format!("Hudi {min} or later")),
        ),
    ];
    text.push_str(&columns(&rows.map(|(name, value)| [format!("  {name}"), value])));
    let refusal = found.refusal.as_ref();
    let refusal = refusal.map(|refusal| (refusal.code, refusal.message.as_str()));
    verdict(&mut text, paint, &found.warnings, refusal);
    text
}

/// Whether a table can be replicated, and what else to know.
fn verdict(
    text: &mut String,
    paint: Paint,
    warnings: &[String],
    refusal: Option<(table_sync_core::BlockCode, &str)>,
) {
    for warning in warnings {
        let _ = writeln!(text, "  {}: {warning}", paint.warn("note"));
    }
    let _ = match refusal {
        None => writeln!(text, "{}", paint.good("can be replicated")),
        Some((code, message)) => {
            writeln!(text, "{}: {code}: {message}", paint.bad("cannot be replicated"))
        }
    };
}

/// `probe`.
pub(crate) fn probe(paint: Paint, view: &ProbeView<'_>) -> String {
    let mut text = format!("{}\n", paint.bold(view.store));
    let titles = ["check", "needed", "outcome", "detail"].map(str::to_owned);
    let mut rows = vec![titles];
    rows.extend(view.checks.iter().map(|check| {
        let needed = if check.required { "yes" } else { "no" };
        let outcome = check.outcome.replace('_', " ");
        [check.name.to_owned(), needed.to_owned(), outcome, check.detail.to_owned()]
    }));
    text.push_str(&columns(&rows));
    let verdict = match view.verdict {
        "fit" => paint.good("fit to be a target"),
        "unfit" => paint.bad("unfit to be a target"),
        _ => paint.warn("no conclusive answer"),
    };
    match view.reason {
        Some(reason) => {
            let _ = writeln!(text, "{verdict}: {reason}");
        }
        None => {
            let _ = writeln!(text, "{verdict}");
        }
    }
    text
}

/// `demo`, the last lines.
pub(crate) fn demo(paint: Paint, chapters: &DemoChapters) -> String {
    chapter(paint, &chapters.delta) + &chapter(paint, &chapters.hudi)
}

fn chapter(paint: Paint, view: &DemoView) -> String {
    let operations: Vec<_> =
        view.operations.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let mut text = format!("\n{}\n", paint.bold(view.format));
    let _ = writeln!(text, "commits at the source   {} ({})", view.commits, operations.join(", "));
    let _ = writeln!(text, "published at the target {}", view.published);
    let _ = writeln!(
        text,
        "lag, commit to publish  median {} ms, at most {} ms",
        number(view.lag_ms_median),
        number(view.lag_ms_max)
    );
    let _ = writeln!(
        text,
        "reads of the replica    {} of {} versions, {} torn, {} failed",
        view.reads, view.versions_read, view.torn, view.read_errors
    );
    if let Some(rows) = &view.rows {
        let same = if rows.source == rows.target { "equal" } else { "different" };
        let _ = writeln!(
            text,
            "rows of version {}      {} at the source, {} at the target, hashes {same}",
            view.version.map_or_else(|| "none".to_owned(), |at| at.to_string()),
            rows.source.count,
            rows.target.count
        );
    }
    let verdict = match view.verdict {
        "ok" => paint.good("every read saw a whole version, and the replica equals its source"),
        "torn" => paint.bad("a reader saw a version that was never committed"),
        "differs" => paint.bad("the replica differs from its source"),
        other => paint.warn(other),
    };
    let _ = writeln!(text, "{verdict}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_have_no_trailing_space() {
        let rows = [["a", "bb", "c"], ["aaa", "b", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "a    bb  c\naaa  b\n");
    }
}
