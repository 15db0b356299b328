//! A metastore with many Delta tables in one database: how long its listings take. Service,
//! database and client share this machine. Prints one JSON document.
//!
//! ```text
//! listing TABLES ROUNDS
//! ```

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use driftless_catalog::status::Condition;
use driftless_catalog::{
    Catalog, NewTable, Policy, Progress, Report, Site, Table, TableName, Version, database_url,
};
use driftless_metastored::{Limits, LookError, Options, Snapshot, Snapshots, listen, serve};
use table_sync_core::Position;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A moment of no importance.
const NOW_MS: i64 = 1_764_500_000_000;

/// Tables whose versions are told to the catalog at once.
const BATCH: usize = 1_000;

/// Replicas that are not looked at: there is no Hudi table, and a view has this one column.
struct Unseen;

#[async_trait::async_trait]
impl Snapshots for Unseen {
    async fn snapshot(&self, table: &Table, _: &str) -> Result<Arc<Snapshot>, LookError> {
        Err(LookError::Unread { table: table.name.to_string(), source: "no store".into() })
    }

    async fn merges(&self, table: &Table, _: &str) -> Result<bool, LookError> {
        Err(LookError::Unread { table: table.name.to_string(), source: "no store".into() })
    }

    async fn schema(&self, _: &Table, _: &str, _: u64) -> Result<Option<Arc<str>>, LookError> {
        Ok(Some(r#"{"type":"struct","fields":[{"name":"id","type":"long"}]}"#.into()))
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<usize> =
        std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let (tables, rounds) = (arguments[0], arguments[1]);
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        catalog: filled(folder.path(), tables).await,
        project: "lake".to_owned(),
        site: "east".to_owned(),
        trino_catalog: "delta".to_owned(),
        snapshots: Arc::new(Unseen),
        tls: None,
        limits: Limits::default(),
    };
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(serve(listener, options, std::future::pending()));
    let moment = "sales@20251130T105320Z";
    let calls: [(&str, &[&str]); 7] = [
        ("get_all_tables", &["sales"]),
        ("get_table_meta", &["sales", "*"]),
        ("get_tables", &["sales", "t_0000*"]),
        ("get_all_tables", &["sales@1"]),
        ("get_all_tables", &[moment]),
        ("get_table", &["sales", "t_00007"]),
        ("get_table", &[moment, "t_00007"]),
    ];
    let mut found = Vec::new();
    for (method, arguments) in calls {
        let call = call(method, arguments);
        let mut times = Vec::with_capacity(rounds);
        let mut bytes = 0;
        for _ in 0..rounds {
            let begun = Instant::now();
            bytes = answer(&mut stream, &call).await;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_unstable_by(f64::total_cmp);
        found.push(serde_json::json!({
            "call": format!("{method}({})", arguments.join(", ")),
            "answer_bytes": bytes,
            "ms_p50": times[times.len() / 2],
            "ms_max": times[times.len() - 1],
        }));
    }
    println!("{:#}", serde_json::json!({ "tables": tables, "rounds": rounds, "calls": found }));
}

/// A framed call whose arguments are texts.
fn call(method: &str, arguments: &[&str]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    let mut message = vec![0x80, 0x01, 0, 1];
    message.extend(length(method.len()));
    message.extend(method.as_bytes());
    message.extend([0; 4]);
    for (at, text) in arguments.iter().enumerate() {
        message.push(11);
        message.extend(i16::try_from(at + 1).unwrap().to_be_bytes());
        message.extend(length(text.len()));
        message.extend(text.as_bytes());
    }
    message.push(0);
    [&length(message.len())[..], &message].concat()
}

/// Bytes of the answer, all of which came.
async fn answer(stream: &mut TcpStream, call: &[u8]) -> usize {
    stream.write_all(call).await.unwrap();
    let bytes = usize::try_from(stream.read_u32().await.unwrap()).unwrap();
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer).await.unwrap();
    bytes
}

/// A catalog with tables of two versions, the second of which was committed last.
async fn filled(folder: &Path, tables: usize) -> Catalog {
    let catalog = Catalog::open(&database_url(&folder.join("catalog.db"))).await.unwrap();
    catalog.put_project(("lake", None, 1), None, NOW_MS).await.unwrap();
    for site in ["east", "west"] {
        let url = format!("s3://{site}");
        let site = Site { name: site.to_owned(), url, region: None, revision: 0, created_ms: 0 };
        catalog.put_site(&site, None, NOW_MS).await.unwrap();
    }
    let mut reports = Vec::new();
    for at in 0..tables {
        let new = NewTable {
            name: TableName::new("lake", "sales", &format!("t_{at:05}")).unwrap(),
            source: format!("s3://source/t_{at:05}"),
            policy: Policy::default(),
            sites: vec!["east".to_owned(), "west".to_owned()],
            rule: None,
            paused: false,
        };
        let table = catalog.register(&new, NOW_MS).await.unwrap();
        reports.push(report(table.id));
        if reports.len() == BATCH || at + 1 == tables {
            catalog.record(&std::mem::take(&mut reports), NOW_MS).await.unwrap();
        }
    }
    catalog
}

fn report(table: String) -> Report {
    let version = |at: u64, committed_ms| Version {
        position: Position::Version(at),
        kind: "append".to_owned(),
        committed_ms: Some(committed_ms),
        published_ms: NOW_MS,
        files: 1,
        bytes: 1,
        commit_sha256: None,
        chain_sha256: None,
        live_digest: None,
        ordinal: 0,
    };
    let progress = Progress {
        condition: Condition::Well,
        head: Some(Position::Version(1)),
        head_committed_ms: Some(NOW_MS + 60_000),
        source_head: Some(Position::Version(1)),
        pending_versions: Some(0),
        listed_ms: Some(NOW_MS + 120_000),
        ..Progress::default()
    };
    Report {
        table,
        site: "east".to_owned(),
        epoch: 1,
        incarnation: 1,
        format: Some("delta"),
        progress: Some(progress),
        versions: vec![version(0, NOW_MS - 60_000), version(1, NOW_MS + 60_000)],
        events: Vec::new(),
    }
}
