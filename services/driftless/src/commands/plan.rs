//! `driftless plan`: what a sync would do.

use driftless_wire::Table;
use futures::stream::TryStreamExt as _;
use table_sync_engine::{Estimate, estimate};

use super::inspect::source_error;
use super::{for_each, lists_tables, options};
use crate::args::Plan;
use crate::exit::Exit;
use crate::output::json::{Document, FileView, PlanView, SCHEMA};
use crate::output::{human, json_line};
use crate::run::{Ended, Setting};

pub(crate) async fn run(setting: &Setting, args: &Plan) -> Result<Exit, Ended> {
    let tables = setting.wire.tables_from(&args.tables, args.range.start).await?;
    let options = options(setting, Some(&args.range));
    let estimates = for_each(&tables, async |table| {
        let quiet = std::sync::Arc::new(table_sync_engine::Quiet);
        estimate(&table.source, &table.targets, &options, quiet).await
    })
    .await;
    let exit = estimates.iter().flatten().map(exit_of).fold(Exit::Done, Exit::worst);
    if args.files {
        for (table, estimates) in tables.iter().zip(&estimates) {
            print_files(table, estimates).await?;
        }
        return Ok(exit);
    }
    let paint = setting.output.paint();
    let mut views = Vec::new();
    let mut text = String::new();
    for (table, estimates) in tables.iter().zip(&estimates) {
        let url = &table.source.url;
        let mut view = PlanView::of(url, table.source.log.format(), estimates);
        let bytes = view.read_bytes;
        view.eta_seconds = args.bandwidth.map(|rate| bytes.div_ceil(rate.get()));
        view.egress_usd = args.egress_usd_per_gib.map(|usd| gib(bytes) * usd);
        text.push_str(&human::plan(paint, url, estimates, view.eta_seconds, view.egress_usd));
        views.push(view);
    }
    let document = Document::tables(views, lists_tables(&args.tables));
    setting.output.print(&document, text)?;
    Ok(exit)
}

fn exit_of(estimate: &Estimate) -> Exit {
    let code = estimate.plan.refusal.as_ref().map(|refusal| refusal.code);
    Exit::of_target(code, estimate.failure.is_some())
}

fn gib(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "an estimate of money")]
    let bytes = bytes as f64;
    bytes / f64::from(1u32 << 30)
}

/// Streams what the plans need: a plan of a million files is never held.
async fn print_files(table: &Table, estimates: &[Estimate]) -> Result<(), Ended> {
    let url = &table.source.url;
    let failed = |error| source_error(url, error);
    for estimate in estimates {
        if estimate.plan.publications.is_empty() {
            continue;
        }
        let view = table.source.log.observe(estimate.plan.head).await.map_err(failed)?;
        for planned in &estimate.plan.publications {
            let described = table.source.log.describe(&view, planned).await.map_err(failed)?;
            let mut needs = (described.needs)();
            while let Some(chunk) = needs.try_next().await.map_err(failed)? {
                for file in &chunk {
                    json_line(&FileView {
                        schema: SCHEMA,
                        target: &estimate.target,
                        position: planned.position,
                        path: &table.source.name_of(file),
                        size_bytes: file.size_bytes,
                        role: file.role.to_string().replace(' ', "_"),
                    })?;
                }
            }
        }
    }
    Ok(())
}
