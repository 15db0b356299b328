//! `driftless inspect`: what a table is.

use table_sync_core::{BlockCode, SourceError, SourceLog as _, with_causes};

use crate::args::Inspect;
use crate::exit::{CommandError, Exit};
use crate::output::human;
use crate::output::json::{Document, InspectView};
use crate::run::{Ended, Setting};

pub(crate) async fn run(setting: &Setting, args: &Inspect) -> Result<Exit, Ended> {
    let table = setting.wire.source(&args.source, args.paths)?;
    let url = &table.source.url;
    let view = table.delta.observe(None).await.map_err(|error| source_error(url, error))?;
    let found = table.delta.support(&view).await.map_err(|error| source_error(url, error))?;
    if let Some(refusal) = &found.refusal
        && refusal.code == BlockCode::NotATable
    {
        let message = format!("inspect {url}: {}", refusal.message);
        return Err(CommandError::blocked(refusal.code, message).into());
    }
    let format = table.delta.format();
    let document = Document::one(InspectView::of(url, format, &found));
    let paint = setting.output.paint();
    setting.output.print(&document, human::inspect(paint, url, format, &found))?;
    Ok(Exit::of_target(found.refusal.as_ref().map(|refusal| refusal.code), false))
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
        error => CommandError::failed(
            "source_unavailable",
            format!("read {url}: {}", with_causes(&error)),
            "check that the source store is reachable, then run again",
        ),
    }
}
