//! `driftless sync`: one pass, or passes until stopped.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use driftless_wire::Table;
use futures::future::join_all;
use table_sync_engine::{Options, PassReport, follow, pass};

use super::{TABLES_AT_ONCE, for_each, lists_tables, options};
use crate::args::Sync;
use crate::exit::Exit;
use crate::output::human;
use crate::output::json::{Document, SyncView};
use crate::run::{Ended, Setting};

pub(crate) async fn run(setting: &Setting, args: &Sync) -> Result<Exit, Ended> {
    let tables = setting.wire.tables_from(&args.tables, args.range.start).await?;
    let at_once = if args.follow { tables.len() } else { tables.len().min(TABLES_AT_ONCE) };
    let options = Options {
        transfers: share(args.transfers, at_once),
        bandwidth_limit: args.bandwidth_limit.map(|limit| share_rate(limit, at_once)),
        adopt: args.adopt,
        retire: args.retire,
        believe: !args.follow,
        ..options(setting, Some(&args.range))
    };
    if args.follow {
        return Ok(follow_all(setting, &tables, &options).await);
    }
    let progress = setting.screen.progress();
    let reports = for_each(&tables, async |table| {
        pass(&table.source, &table.targets, &options, Arc::clone(&progress)).await
    })
    .await;
    setting.screen.clear();
    let views = reports.iter().map(SyncView::of).collect();
    let document = Document::tables(views, lists_tables(&args.tables));
    let paint = setting.output.paint();
    let text: String = reports.iter().map(|report| human::sync(paint, report)).collect();
    setting.output.print(&document, text)?;
    Ok(reports.iter().map(Exit::of_pass).fold(Exit::Done, Exit::worst))
}

/// One part of what tables that are worked on at once share.
fn share(total: NonZeroUsize, at_once: usize) -> NonZeroUsize {
    NonZeroUsize::new(total.get() / at_once.max(1)).unwrap_or(NonZeroUsize::MIN)
}

fn share_rate(total: NonZeroU64, at_once: usize) -> NonZeroU64 {
    NonZeroU64::new(total.get() / (at_once as u64).max(1)).unwrap_or(NonZeroU64::MIN)
}

/// Ends only when nobody takes the reports any more; else the caller drops it.
async fn follow_all(setting: &Setting, tables: &[Table], options: &Options) -> Exit {
    let progress = setting.screen.progress();
    let followed = tables.iter().map(|table| {
        let progress = Arc::clone(&progress);
        let mut said = String::new();
        let each = move |report: &PassReport| print_pass(setting, report, &mut said);
        follow(&table.source, &table.targets, options, progress, each)
    });
    join_all(followed).await;
    Exit::Failed
}

/// One pass of `--follow`. For people, a pass that changed nothing is not worth a line, and the
/// same trouble is said once. Whether to go on.
fn print_pass(setting: &Setting, report: &PassReport, said: &mut String) -> bool {
    let text = human::sync(setting.output.paint(), report);
    if !setting.output.is_json() {
        let news = report.targets.iter().any(|target| !target.published.is_empty());
        let trouble = Exit::of_pass(report) != Exit::Done;
        if !news && (!trouble || text == *said) {
            return true;
        }
        said.clone_from(&text);
    }
    let document = Document::one(SyncView::of(report));
    setting.screen.suspend(|| setting.output.print_line(&document, text)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_share_what_was_allowed() {
        let of = |total, at_once| share(NonZeroUsize::new(total).unwrap(), at_once).get();
        assert_eq!(of(16, 1), 16);
        assert_eq!(of(16, 4), 4);
        assert_eq!(of(2, 4), 1);
        assert_eq!(of(16, 0), 16);
        let rate = |total, at_once| share_rate(NonZeroU64::new(total).unwrap(), at_once).get();
        assert_eq!(rate(100, 4), 25);
        assert_eq!(rate(1, 4), 1);
    }
}
