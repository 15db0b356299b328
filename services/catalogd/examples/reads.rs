//! The API under load: tables read one by one over many connections, at a steady pace. Server,
//! database and clients share this machine. Prints one JSON document.
//!
//! ```text
//! reads TABLES READS_PER_SECOND SECONDS
//! ```

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::{Catalog, NewTable, Policy, Site, TableName, database_url};
use driftless_catalogd::{Auth, Limits, Options, router, serve};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};

/// Readers, each with a connection of its own.
const READERS: u64 = 32;

/// A moment of no importance.
const NOW_MS: i64 = 1_764_500_000_000;

fn name(at: u64) -> TableName {
    TableName::new("fleet", &format!("n{}", at % 100), &format!("t{at}")).unwrap()
}

#[tokio::main]
async fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let (tables, rate, seconds) = (arguments[0], arguments[1], arguments[2]);
    let folder = tempfile::tempdir().unwrap();
    let catalog = fleet(folder.path(), tables).await;
    let options = Options {
        catalog,
        auth: Auth::Open,
        inspector: None,
        secrets: None,
        metrics: None,
        metrics_open: false,
        now_ms: Arc::new(|| NOW_MS),
        changed: None,
        wake: None,
        page_key: [7; 32],
        allow_files: Arc::new(|_| false),
        limits: Limits::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, router(options), std::future::pending()));
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let each = Duration::from_secs_f64(READERS as f64 / rate as f64);
    let readers = (0..READERS).map(|reader| {
        let url = url.clone();
        let from = begun + each.mul_f64(reader as f64 / READERS as f64);
        tokio::spawn(read(url, (tables, reader), (from, each, seconds)))
    });
    let mut latencies = Vec::new();
    for reader in futures_of(readers).await {
        latencies.extend(reader);
    }
    let elapsed = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let document = serde_json::json!({
        "tables": tables,
        "reads": latencies.len(),
        "reads_per_second": latencies.len() as f64 / elapsed,
        "ms_p50": at(0.5),
        "ms_p99": at(0.99),
        "ms_max": at(1.0),
        "core_share": (cpu_seconds() - cpu) / elapsed,
    });
    println!("{document:#}");
}

async fn futures_of<T>(tasks: impl Iterator<Item = tokio::task::JoinHandle<T>>) -> Vec<T> {
    let tasks: Vec<_> = tasks.collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

/// Reads at an even pace; how long each read took from the moment at which it was due, µs.
async fn read(
    url: String,
    (tables, reader): (u64, u64),
    (from, each, seconds): (Instant, Duration, u64),
) -> Vec<u64> {
    let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut latencies = Vec::new();
    let mut random = reader.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut due = from;
    while due < from + Duration::from_secs(seconds) {
        sleep_until(due).await;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let table = name((random >> 33) % tables);
        let answer = client.get(format!("{url}/v1/tables/{table}").parse().unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        latencies.push(u64::try_from(due.elapsed().as_micros()).unwrap());
        due += each;
    }
    latencies
}

async fn fleet(folder: &Path, tables: u64) -> Catalog {
    let catalog = Catalog::open(&database_url(&folder.join("catalog.db"))).await.unwrap();
    catalog.put_project(("fleet", None, 1), None, NOW_MS).await.unwrap();
    for site in ["east", "west"] {
        let url = format!("s3://{site}");
        let site = Site { name: site.to_owned(), url, region: None, revision: 0, created_ms: 0 };
        catalog.put_site(&site, None, NOW_MS).await.unwrap();
    }
    for at in 0..tables {
        let new = NewTable {
            name: name(at),
            source: format!("s3://lake/t{at}"),
            policy: Policy::default(),
            sites: vec!["east".to_owned(), "west".to_owned()],
            rule: None,
            paused: false,
        };
        catalog.register(&new, NOW_MS).await.unwrap();
    }
    catalog
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
