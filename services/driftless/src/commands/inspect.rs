//! `driftless inspect`: what a table is.

use driftless_wire::Format;
use table_sync_core::{BlockCode, SourceError, SourceLog, with_causes};
use table_sync_delta::DeltaLog;
use table_sync_hudi::HudiLog;

use crate::args::Inspect;
use crate::exit::{CommandError, Exit};
use crate::output::human;
use crate::output::json::{Document, HudiInspectView, InspectView};
use crate::run::{Ended, Setting};

pub(crate) async fn run(setting: &Setting, args: &Inspect) -> Result<Exit, Ended> {
    let table = setting.wire.source(&args.source, &args.paths)?;
    let url = &table.source.url;
    let format = table.log.format_of_source().await.map_err(|error| source_error(url, error))?;
    match format {
        Format::Delta => inspect_delta(setting, url, &table.log.delta).await,
        Format::Hudi => inspect_hudi(setting, url, &table.log.hudi).await,
    }
}

async fn inspect_delta(setting: &Setting, url: &str, log: &DeltaLog) -> Result<Exit, Ended> {
    let view = log.observe(None).await.map_err(|error| source_error(url, error))?;
    let found = log.support(&view).await.map_err(|error| source_error(url, error))?;
    if let Some(refusal) = &found.refusal {
        not_a_table(url, refusal.code, &refusal.message)?;
    }
    let format = SourceLog::format(log);
    let document = Document::one(InspectView::of(url, format, &found));
    let paint = setting.output.paint();
    setting.output.print(&document, human::inspect(paint, url, format, &found))?;
    Ok(Exit::of_target(found.refusal.as_ref().map(|refusal| refusal.code), false))
}

async fn inspect_hudi(setting: &Setting, url: &str, log: &HudiLog) -> Result<Exit, Ended> {
    let found = log.inspect().await.map_err(|error| source_error(url, error))?;
    if let Some(refusal) = &found.refusal {
        not_a_table(url, refusal.code, &refusal.message)?;
    }
    let document = Document::one(HudiInspectView::of(url, &found));
    setting.output.print(&document, human::inspect_hudi(setting.output.paint(), url, &found))?;
    Ok(Exit::of_target(found.refusal.as_ref().map(|refusal| refusal.code), false))
}

/// There is nothing to tell about what is no table.
fn not_a_table(url: &str, code: BlockCode, message: &str) -> Result<(), CommandError> {
    if code == BlockCode::NotATable {
        return Err(CommandError::blocked(code, format!("inspect {url}: {message}")));
    }
    Ok(())
}

/// A source that could not be looked at.
pub(super) fn source_error(url: &str, error: SourceError) -> CommandError {
    match error {
        SourceError::Blocked(blocked) => CommandError::blocked(blocked.code, blocked.message),
        SourceError::Missing { .. } | SourceError::Changed { .. } => CommandError::failed(
            "source_changed",
            format!("read {url}: {}", with_causes(&error)),
            "run again; the source is observed anew",
        ),
        SourceError::Hold { message } => CommandError::failed(
            "source_changed",
            format!("read {url}: {message}"),
            "run again when the writer is done",
        ),
        error => CommandError::failed(
            "source_unavailable",
            format!("read {url}: {}", with_causes(&error)),
            "check that the source store is reachable, then run again",
        ),
    }
}
