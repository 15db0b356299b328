//! A service for tests, and requests to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use driftless_catalog::{
    Catalog, FromEnv, NewToken, OptionValue, Policy, Report, Role, Site, StoreRecord, Table,
    TableName, Version, database_url,
};
use driftless_catalogd::{
    Auth, InspectError, Inspection, Inspector, Limits, NoSecret, Options, Secrets, token,
};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use table_sync_core::Position;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// Times of tests begin here.
pub(crate) const NOW: i64 = 1_764_500_000_000;

/// A table that tests register.
pub(crate) const ORDERS: &str = "lake.sales.orders";

/// A service, its catalog and its clock.
pub(crate) struct Api {
    pub(crate) catalog: Catalog,
    pub(crate) router: Router,
    pub(crate) clock: Arc<AtomicI64>,
    folder: Arc<TempDir>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> String {
        let value = self.headers.get(name);
        value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// The word of an error, and its status.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let word = self.json()["error"]["type"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), word)
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.is_success(), "{self:?}");
        self
    }
}

/// Says what it is told to, by the source: it opens nothing.
struct StandIn;

#[async_trait::async_trait]
impl driftless_catalogd::Metrics for StandIn {
    async fn render(
        &self,
        _: &str,
        hints: driftless_catalogd::HintCounts,
    ) -> Result<(&'static str, String), driftless_catalogd::MetricsError> {
        let driftless_catalogd::HintCounts { matched, unmatched, refused } = hints;
        let text = format!("tablesync_stand_in {matched} {unmatched} {refused}\n");
        Ok(("text/plain; version=0.0.4", text))
    }
}

#[async_trait::async_trait]
impl Inspector for StandIn {
    async fn inspect(
        &self,
        source: &str,
        sites: &[Site],
        _: &Policy,
    ) -> Result<Inspection, InspectError> {
        match source.rsplit(['/', ':']).next().unwrap_or_default() {
            "panics" => panic!("as it was asked to"),
            "hangs" => std::future::pending().await,
            "absent" => Err(refused(false)),
            "away" => Err(refused(true)),
            _ => Ok(Inspection {
                format: "delta".to_owned(),
                head: Some(Position::Version(7)),
                replicable: true,
                findings: Vec::new(),
                details: json!({ "stand_in": true, "sites": sites.len() }),
            }),
        }
    }

    async fn live_digest(
        &self,
        _: &Table,
        site: &str,
        position: Position,
    ) -> Result<String, InspectError> {
        match site {
            "west" => Err(refused(true)),
            site => Ok(format!("digest of {position} at {site}")),
        }
    }

    async fn plan(&self, table: &Table) -> Result<Value, InspectError> {
        Ok(json!({ "stand_in": true, "table": table.name.to_string() }))
    }
}

/// Variables hold their own names, but for those that end in `_ABSENT`.
impl Secrets for StandIn {
    fn option(&self, store: &StoreRecord, name: &str) -> Result<String, NoSecret> {
        match &store.options[name] {
            OptionValue::Text(text) => Ok(text.clone()),
            OptionValue::Env(FromEnv { env }) if !env.ends_with("_ABSENT") => {
                Ok(format!("in {env}"))
            }
            _ => Err(NoSecret { message: format!("read {name} of the store {}", store.name) }),
        }
    }
}

fn refused(transient: bool) -> InspectError {
    let (code, message) = ("not_a_table".to_owned(), "open the table".to_owned());
    InspectError { code, message, transient }
}

impl Api {
    /// Without tokens.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let url = database_url(&folder.path().join("catalog.db"));
        let catalog = Catalog::open(&url).await.unwrap();
        Self::over((catalog, Arc::new(AtomicI64::new(NOW)), folder), change)
    }

    /// Another service over the same catalog and clock.
    pub(crate) fn beside(&self, change: impl FnOnce(&mut Options)) -> Self {
        Self::over((self.catalog.clone(), self.clock.clone(), self.folder.clone()), change)
    }

    fn over(
        (catalog, clock, folder): (Catalog, Arc<AtomicI64>, Arc<TempDir>),
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let now = clock.clone();
        let mut options = Options {
            catalog: catalog.clone(),
            auth: Auth::Open,
            inspector: Some(Arc::new(StandIn)),
            secrets: Some(Arc::new(StandIn)),
            metrics: Some(Arc::new(StandIn)),
            metrics_open: false,
            now_ms: Arc::new(move || now.load(Ordering::SeqCst)),
            changed: None,
            wake: None,
            page_key: [7; 32],
            allow_files: Arc::new(|folder| folder.starts_with("/allowed")),
            limits: Limits::default(),
        };
        change(&mut options);
        let router = driftless_catalogd::router(options);
        Self { catalog, router, clock, folder }
    }

    /// The URL of the catalog's database.
    pub(crate) fn database(&self) -> String {
        database_url(&self.folder.path().join("catalog.db"))
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    /// `line`: method and path; `headers`: name and value.
    pub(crate) async fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap());
        let text = match kind {
            // It does not end.
            Some("text/event-stream") => String::new(),
            _ => {
                let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                String::from_utf8(bytes.to_vec()).unwrap()
            }
        };
        Reply { status: parts.status, headers: parts.headers, text }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), &[], "").await
    }

    /// A change with a JSON body, `null` = without one.
    pub(crate) async fn change(&self, line: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(line, &[], &body).await
    }

    /// Two stores, two sites, two projects.
    pub(crate) async fn seed(&self) {
        for (line, body) in [
            ("PUT /v1/stores/source", json!({ "url": "gs://lake" })),
            ("PUT /v1/stores/vast", json!({ "url": "s3://vast" })),
            ("PUT /v1/sites/east", json!({ "url": "vast:east" })),
            ("PUT /v1/sites/west", json!({ "url": "vast:west" })),
            ("PUT /v1/projects/lake", json!({})),
            ("PUT /v1/projects/mart", json!({})),
        ] {
            self.change(line, body).await.ok();
        }
    }

    pub(crate) async fn register(&self, name: &str) -> Value {
        let body = new_table(name);
        self.change("POST /v1/tables", body).await.ok().json()
    }

    /// A token's secret, made beside the API.
    pub(crate) async fn token(&self, name: &str, role: Role, project: Option<&str>) -> String {
        let secret = token::secret().unwrap();
        let new = NewToken {
            name: name.to_owned(),
            sha256: token::sha256(&secret),
            role,
            project: project.map(str::to_owned),
            expires_ms: NOW + 1_000_000,
        };
        self.catalog.add_token(&new, NOW).await.unwrap();
        format!("Bearer {secret}")
    }

    /// Publishes versions of a table at a site, as its owner would.
    pub(crate) async fn publish(&self, name: &str, site: &str, versions: &[u64]) {
        let table = self.catalog.table(&TableName::parse(name).unwrap()).await.unwrap();
        let replica = table.replicas.iter().find(|replica| replica.site == site).unwrap();
        let version = |at: &u64| Version {
            position: Position::Version(*at),
            kind: "append".to_owned(),
            committed_ms: Some(NOW),
            published_ms: NOW + 500,
            files: 1,
            bytes: 10,
            commit_sha256: Some("ab".repeat(32)),
            chain_sha256: None,
            live_digest: None,
            ordinal: 0,
        };
        let mut progress = replica.progress.clone();
        progress.condition = driftless_catalog::status::Condition::Well;
        progress.head = versions.last().map(|at| Position::Version(*at));
        progress.checked_ms = Some(NOW);
        progress.pending_versions = Some(0);
        let report = Report {
            table: table.id,
            site: site.to_owned(),
            epoch: table.epoch,
            incarnation: replica.incarnation,
            format: Some("delta"),
            progress: Some(progress),
            versions: versions.iter().map(version).collect(),
            events: Vec::new(),
        };
        assert_eq!(self.catalog.record(&[report], NOW).await.unwrap(), [true]);
    }
}

pub(crate) fn new_table(name: &str) -> Value {
    let source = format!("source:{}", name.replace('.', "/"));
    json!({ "name": name, "source": source, "sites": ["east", "west"] })
}

/// The routes of the OpenAPI document: `METHOD path`, with names filled in, and the operation.
pub(crate) fn routes() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(&driftless_catalogd::openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_ascii_uppercase();
            let mut filled = path.clone();
            for (name, value) in [
                ("{store}", "vast"),
                ("{site}", "east"),
                ("{project}", "lake"),
                ("{namespace}", "sales"),
                ("{group}", "close"),
                ("{table}", ORDERS),
                ("{pin}", "close"),
                ("{rule}", "all"),
                ("{position}", "0"),
                ("{operation}", "00000000-0000-7000-8000-000000000000"),
                ("{token}", "00000000-0000-7000-8000-000000000000"),
            ] {
                filled = filled.replace(name, value);
            }
            assert!(!filled.contains('{'), "{filled}: name what the test is to fill in");
            let route = format!("{method} {path}");
            routes.push((route, format!("{method} {filled}"), operation.clone()));
        }
    }
    routes
}
