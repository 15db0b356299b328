//! The console over a catalog of many tables at two sites, for a browser to measure: most are in
//! step, some are behind, some blocked. Prints its address, and serves until it is killed.
//!
//! ```text
//! console TABLES
//! ```

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use driftless_catalog::status::Condition;
use driftless_catalog::{
    Catalog, NewTable, Policy, Progress, Report, Site, Table, TableName, database_url,
};
use driftless_catalogd::{Auth, Limits, Options, router, serve};
use table_sync_core::Position;
use tokio::net::TcpListener;

const SITES: [&str; 2] = ["east", "west"];

#[allow(clippy::disallowed_methods, reason = "the page tells ages by the time of day")]
fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// One table in fifty is behind, one in a thousand blocked.
fn progress(at: u64) -> Progress {
    let now_ms = now_ms();
    let in_step = Progress {
        condition: Condition::Well,
        source_head: Some(Position::Version(at)),
        checked_ms: Some(now_ms + 3_600_000),
        head: Some(Position::Version(at)),
        head_committed_ms: Some(now_ms - 100_000),
        published_ms: Some(now_ms - 98_000),
        pending_versions: Some(0),
        pending_bytes: Some(0),
        ..Progress::default()
    };
    let behind = Progress {
        source_head: Some(Position::Version(at + 2)),
        pending_versions: Some(2),
        oldest_pending_ms: Some(now_ms - i64::try_from(at).unwrap()),
        ..in_step.clone()
    };
    match at {
        _ if at.is_multiple_of(1_000) => Progress {
            condition: Condition::Blocked,
            reason_code: Some("feature.unsupported".to_owned()),
            reason: Some("the log asks for a feature that is not known".to_owned()),
            ..behind
        },
        _ if at.is_multiple_of(50) => behind,
        _ => in_step,
    }
}

fn reports(table: &Table, at: u64) -> impl Iterator<Item = Report> {
    SITES.into_iter().map(move |site| Report {
        table: table.id.clone(),
        site: site.to_owned(),
        epoch: table.epoch,
        incarnation: 1,
        format: Some("delta"),
        progress: Some(progress(at)),
        versions: Vec::new(),
        events: Vec::new(),
    })
}

async fn fleet(catalog: &Catalog, tables: u64) {
    for project in ["fleet", "lake"] {
        catalog.put_project((project, None, 1), None, now_ms()).await.unwrap();
    }
    for site in SITES {
        let url = format!("s3://{site}");
        let site = Site { name: site.to_owned(), url, region: None, revision: 0, created_ms: 0 };
        catalog.put_site(&site, None, now_ms()).await.unwrap();
    }
    catalog.beat(("node-1", "alpha", "0.1.0"), 3_600_000).await.unwrap();
    let mut said = Vec::new();
    for at in 0..tables {
        let project = if at.is_multiple_of(3) { "lake" } else { "fleet" };
        let namespace = format!("n{}", at % 100);
        let new = NewTable {
            name: TableName::new(project, &namespace, &format!("table_{at}")).unwrap(),
            source: format!("s3://lake/t{at}"),
            policy: Policy::default(),
            sites: SITES.map(str::to_owned).to_vec(),
            rule: None,
            paused: false,
        };
        let table = catalog.register(&new, now_ms()).await.unwrap();
        said.extend(reports(&table, at));
    }
    while !catalog.claim("node-1", 1_000).await.unwrap().is_empty() {}
    // Their owner's epoch is the first.
    for report in &mut said {
        report.epoch = 1;
    }
    for chunk in said.chunks(500) {
        catalog.record(chunk, now_ms()).await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let tables = std::env::args().nth(1).unwrap().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&database_url(&folder.path().join("catalog.db"))).await.unwrap();
    fleet(&catalog, tables).await;
    let options = Options {
        catalog,
        auth: Auth::Open,
        inspector: None,
        secrets: None,
        metrics: None,
        metrics_open: false,
        now_ms: Arc::new(now_ms),
        changed: None,
        wake: None,
        page_key: [7; 32],
        allow_files: Arc::new(|_| false),
        limits: Limits::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    serve(listener, router(options), std::future::pending()).await;
}
