//! `driftless status`: how far targets are behind.

use std::sync::Arc;

use table_sync_engine::{Quiet, TargetStatus, status};

use super::{for_each, lists_tables, options};
use crate::args::Status;
use crate::exit::Exit;
use crate::output::human;
use crate::output::json::{Document, StatusView};
use crate::run::{Ended, Setting};

pub(crate) async fn run(setting: &Setting, args: &Status) -> Result<Exit, Ended> {
    let tables = setting.wire.tables(&args.tables).await?;
    let options = options(setting, None);
    let statuses = for_each(&tables, async |table| {
        status(&table.source, &table.targets, &options, Arc::new(Quiet)).await
    })
    .await;
    let paint = setting.output.paint();
    let mut views = Vec::new();
    let mut text = String::new();
    for (table, statuses) in tables.iter().zip(&statuses) {
        let url = &table.source.url;
        views.push(StatusView::of(url, table.source.log.format(), statuses));
        text.push_str(&human::status(paint, url, statuses));
    }
    let document = Document::tables(views, lists_tables(&args.tables));
    setting.output.print(&document, text)?;
    Ok(statuses.iter().flatten().map(exit_of).fold(Exit::Done, Exit::worst))
}

/// Being behind is no failure.
fn exit_of(status: &TargetStatus) -> Exit {
    let code = status.blocked.as_ref().map(|blocked| blocked.code);
    Exit::of_target(code, status.failure.is_some())
}
