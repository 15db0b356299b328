//! A catalog with tables, a clock, and a receiver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use driftless_alerts::{Cycle, Options, Receiver, ReceiverKind};
use driftless_catalog::status::Condition;
use driftless_catalog::{
    Catalog, NewTable, Policy, Priority, Progress, Report, Site, StoreRecord, TableName,
    database_url,
};
use table_sync_core::Position;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Times of tests begin here.
pub(crate) const NOW: i64 = 1_764_500_000_000;

pub(crate) const MINUTE: i64 = 60_000;

/// The node that owns the tables.
pub(crate) const NODE: &str = "node-1";

pub(crate) struct World {
    _folder: TempDir,
    pub(crate) catalog: Catalog,
    pub(crate) now_ms: Arc<AtomicI64>,
}

impl World {
    /// Two projects, two sites, one node.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = database_url(&folder.path().join("catalog.db"));
        let catalog = Catalog::open(&url).await.unwrap();
        let store = StoreRecord {
            name: "vast".to_owned(),
            url: "s3://vast".to_owned(),
            region: None,
            options: BTreeMap::new(),
            projects: Vec::new(),
            revision: 0,
            created_ms: 0,
        };
        catalog.put_store(&store, None, NOW).await.unwrap();
        for name in ["east", "west"] {
            let site = Site {
                name: name.to_owned(),
                url: format!("vast:{name}"),
                region: None,
                revision: 0,
                created_ms: 0,
            };
            catalog.put_site(&site, None, NOW).await.unwrap();
        }
        for name in ["lake", "mart"] {
            catalog.put_project((name, None, 1), None, NOW).await.unwrap();
        }
        catalog.beat((NODE, "alpha", "0.1.0"), 3_600_000).await.unwrap();
        Self { _folder: folder, catalog, now_ms: Arc::new(AtomicI64::new(NOW)) }
    }

    pub(crate) fn now(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// A table that the node owns, in step at these sites.
    pub(crate) async fn table(&self, name: &str, tier: Priority, sites: &[&str]) {
        let new = NewTable {
            name: TableName::parse(name).unwrap(),
            source: format!("gs://lake/{name}"),
            policy: Policy { priority: tier, ..Policy::default() },
            sites: sites.iter().map(|site| (*site).to_owned()).collect(),
            rule: None,
            paused: false,
        };
        self.catalog.register(&new, NOW).await.unwrap();
        self.catalog.claim(NODE, 1_000).await.unwrap();
        for site in sites {
            self.report(name, site, |_| ()).await;
        }
    }

    /// Its owner reports: in step at version 7, but for what is changed.
    pub(crate) async fn report(&self, name: &str, site: &str, change: impl FnOnce(&mut Progress)) {
        let table = self.catalog.table(&TableName::parse(name).unwrap()).await.unwrap();
        let now_ms = self.now();
        let mut progress = Progress {
            condition: Condition::Well,
            source_head: Some(Position::Version(7)),
            source_head_ms: Some(NOW - 10_000),
            checked_ms: Some(now_ms),
            head: Some(Position::Version(7)),
            head_committed_ms: Some(NOW - 10_000),
            published_ms: Some(NOW - 8_000),
            pending_versions: Some(0),
            pending_bytes: Some(0),
            moved_ms: Some(now_ms),
            ..Progress::default()
        };
        change(&mut progress);
        let report = Report {
            table: table.id,
            site: site.to_owned(),
            epoch: table.epoch,
            incarnation: 1,
            format: Some("delta"),
            progress: Some(progress),
            versions: Vec::new(),
            events: Vec::new(),
        };
        assert_eq!(self.catalog.record(&[report], now_ms).await.unwrap(), [true]);
    }

    pub(crate) fn options(&self, receivers: &[&Receiver]) -> Options {
        let now_ms = self.now_ms.clone();
        let clock = Arc::new(move || now_ms.load(Ordering::SeqCst));
        let mut options =
            Options::new(self.catalog.clone(), clock, "https://driftless.example.com/");
        options.receivers = receivers.iter().map(|receiver| (*receiver).clone()).collect();
        options
    }

    pub(crate) fn cycle(&self, receivers: &[&Receiver]) -> Cycle {
        Cycle::new(self.options(receivers)).unwrap()
    }
}

/// The first commit that is not published was made so long ago, and nothing has moved since.
pub(crate) fn behind(now_ms: i64, lag_ms: i64) -> impl FnOnce(&mut Progress) {
    move |progress| {
        progress.source_head = Some(Position::Version(9));
        progress.pending_versions = Some(2);
        progress.pending_bytes = None;
        progress.oldest_pending_ms = Some(now_ms - lag_ms);
        progress.moved_ms = Some(now_ms - lag_ms);
    }
}

pub(crate) fn blocked(progress: &mut Progress) {
    progress.condition = Condition::Blocked;
    progress.reason_code = Some("feature.unsupported".to_owned());
    progress.reason = Some("column <mapping> & more is not supported".to_owned());
    progress.reason_position = Some("8".to_owned());
}

/// What arrived.
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An HTTP server that takes webhooks.
pub(crate) struct Inbox {
    pub(crate) receiver: Receiver,
    /// The status of its answers.
    pub(crate) answer: Arc<AtomicU16>,
    arrived: mpsc::UnboundedReceiver<Received>,
}

impl Inbox {
    pub(crate) async fn new(name: &str, kind: ReceiverKind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, name, kind)
    }

    pub(crate) fn on(listener: TcpListener, name: &str, kind: ReceiverKind) -> Self {
        let (sender, arrived) = mpsc::unbounded_channel();
        let answer = Arc::new(AtomicU16::new(200));
        let status = answer.clone();
        let take = async move |headers: HeaderMap, body: Bytes| {
            sender.send(Received { headers, body }).unwrap();
            StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap()
        };
        let receiver = Receiver {
            name: name.to_owned(),
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            kind,
            secret: Some("key".to_owned()),
            min_severity: driftless_alerts::rule::Severity::Info,
            projects: Vec::new(),
        };
        let app = Router::new().route("/hook", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { receiver, answer, arrived }
    }

    /// What arrived so far.
    pub(crate) fn all(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.arrived.try_recv().ok()).collect()
    }

    /// The only one that arrived so far.
    #[track_caller]
    pub(crate) fn one(&mut self) -> Received {
        let mut all = self.all();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// The next one, once it arrives.
    pub(crate) async fn next(&mut self) -> Received {
        self.arrived.recv().await.unwrap()
    }
}
