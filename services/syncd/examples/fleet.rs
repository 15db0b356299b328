//! A fleet of tables on one node: what it costs to watch them, and how late commits are seen.
//!
//! Tables lie in a folder and are published in another one, so that what is measured is the node
//! itself and not a network. Prints one JSON document.
//!
//! ```text
//! fleet TABLES SECONDS [COMMITS_PER_SECOND]
//! ```

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use driftless_catalog::{Catalog, NewTable, Policy, Site, TableFilter, TableName, database_url};
use driftless_syncd::{Daemon, Options};
use table_sync_engine::{Clock as _, SystemClock};
use tokio::time::{Instant, sleep, sleep_until};

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(driftless_syncd::BLOCKING_THREADS)
        .build();
    runtime.unwrap().block_on(measure());
}

async fn measure() {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let (tables, seconds) = (arguments[0], arguments[1]);
    let rate = arguments.get(2).copied().unwrap_or(0);
    let folder = tempfile::tempdir().unwrap();
    let catalog = fleet(folder.path(), tables).await;
    let options =
        Options { files: vec![folder.path().to_owned()], ..Options::new(catalog.clone(), "fleet") };
    let begun = Instant::now();
    let daemon = Daemon::start(options).await.unwrap();
    until_in_step(&catalog).await;
    let start_seconds = begun.elapsed().as_secs_f64();
    // The passes that follow a publication are behind us then.
    sleep(Duration::from_secs(60)).await;
    let (cpu, looks) = (cpu_seconds(), daemon.counters().counts().looks);
    let begun = Instant::now();
    if rate == 0 {
        sleep(Duration::from_secs(seconds)).await;
    } else {
        write(folder.path(), tables, (rate, seconds)).await;
    }
    let (elapsed, looks) = (begun.elapsed(), daemon.counters().counts().looks - looks);
    let cpu = cpu_seconds() - cpu;
    if rate > 0 {
        sleep(Duration::from_secs(40)).await;
    }
    let mut lags = if rate > 0 { lags_ms(&catalog).await } else { Vec::new() };
    lags.sort_unstable();
    let at = |share: f64| {
        let place = (lags.len() as f64 * share) as usize;
        lags.get(place.min(lags.len().saturating_sub(1))).copied()
    };
    let document = serde_json::json!({
        "tables": tables,
        "commits_per_second": rate,
        "start_seconds": start_seconds,
        "seconds": elapsed.as_secs_f64(),
        "core_share": cpu / elapsed.as_secs_f64(),
        "looks_per_second": looks as f64 / elapsed.as_secs_f64(),
        "rss_mib": rss_mib(),
        "commits": lags.len(),
        "lag_ms_p50": at(0.5),
        "lag_ms_p99": at(0.99),
        "lag_ms_max": lags.last(),
    });
    println!("{document:#}");
    daemon.stop().await;
}

/// A catalog with that many tables, each with one commit.
async fn fleet(folder: &Path, tables: u64) -> Catalog {
    let catalog = Catalog::open(&database_url(&folder.join("catalog.db"))).await.unwrap();
    let now_ms = SystemClock.now_ms();
    catalog.put_project(("fleet", None, 1), None, now_ms).await.unwrap();
    std::fs::create_dir(folder.join("site")).unwrap();
    let url = format!("file://{}", folder.join("site").display());
    let site = Site { name: "site".to_owned(), url, region: None, revision: 0, created_ms: 0 };
    catalog.put_site(&site, None, now_ms).await.unwrap();
    for at in 0..tables {
        let table = table_folder(folder, at);
        std::fs::create_dir_all(table.join("_delta_log")).unwrap();
        commit(&table, 0);
        let new = NewTable {
            name: TableName::new("fleet", &format!("n{}", at % 100), &format!("t{at}")).unwrap(),
            source: format!("file://{}", table.display()),
            policy: Policy { start: "earliest".to_owned(), ..Policy::default() },
            sites: vec!["site".to_owned()],
            rule: None,
            paused: false,
        };
        catalog.register(&new, now_ms).await.unwrap();
    }
    catalog
}

fn table_folder(folder: &Path, at: u64) -> PathBuf {
    folder.join("lake").join(format!("{}", at / 1_000)).join(format!("t{at}"))
}

/// One commit with one file of 16 bytes.
fn commit(table: &Path, version: u64) {
    let name = format!("part-{version}.parquet");
    std::fs::write(table.join(&name), b"PAR1 not a table").unwrap();
    let mut lines = Vec::new();
    if version == 0 {
        lines.push(r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#.to_owned());
        lines.push(
            r#"{"metaData":{"id":"fleet","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[]}","partitionColumns":[],"configuration":{},"createdTime":0}}"#
                .to_owned(),
        );
    }
    lines.push(format!(
        r#"{{"add":{{"path":"{name}","partitionValues":{{}},"size":16,"modificationTime":0,"dataChange":true}}}}"#
    ));
    let log = table.join("_delta_log");
    let parts = log.join(".writing");
    std::fs::write(&parts, lines.join("\n")).unwrap();
    std::fs::rename(parts, log.join(format!("{version:020}.json"))).unwrap();
}

/// Commits at an even pace, to one table after the other.
async fn write(folder: &Path, tables: u64, (rate, seconds): (u64, u64)) {
    let begun = Instant::now();
    for number in 0..rate * seconds {
        sleep_until(begun + Duration::from_secs_f64(number as f64 / rate as f64)).await;
        commit(&table_folder(folder, number % tables), 1 + number / tables);
    }
}

async fn until_in_step(catalog: &Catalog) {
    loop {
        let mut behind = 0;
        let mut filter = TableFilter::default();
        loop {
            let page = catalog.tables(&filter, 1_000).await.unwrap();
            let well = |table: &driftless_catalog::Table| {
                table.replicas.iter().all(|one| one.progress.pending_versions == Some(0))
            };
            behind += page.iter().filter(|table| !well(table)).count();
            let Some(last) = page.last() else { break };
            filter.after = Some(last.name.clone());
        }
        if behind == 0 {
            return;
        }
        eprintln!("{behind} tables to go");
        sleep(Duration::from_secs(2)).await;
    }
}

/// Times from commit to visible of what was published after the first version.
async fn lags_ms(catalog: &Catalog) -> Vec<i64> {
    let mut lags = Vec::new();
    let mut filter = TableFilter::default();
    loop {
        let page = catalog.tables(&filter, 1_000).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.after = Some(last.name.clone());
        for table in &page {
            for version in catalog.versions((&table.id, "site"), None, 1_000).await.unwrap() {
                if version.ordinal > 1 {
                    lags.extend(version.committed_ms.map(|at| version.published_ms - at));
                }
            }
        }
    }
    lags
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn rss_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}
