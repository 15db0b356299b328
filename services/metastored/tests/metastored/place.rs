//! A catalog with tables, and a service over it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use driftless_catalog::{
    Catalog, NewTable, Policy, Site, StoreRecord, Table, TableName, database_url,
};
use driftless_metastored::{Limits, LookError, Options, Snapshot, Snapshots, Tls, listen, serve};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Times of tests begin here.
pub(crate) const NOW: i64 = 1_764_500_000_000;

pub(crate) struct Place {
    pub(crate) catalog: Catalog,
    pub(crate) snapshots: Arc<Told>,
    pool: sqlx::AnyPool,
    _folder: TempDir,
}

/// Snapshots as a test tells them, by `namespace.table`.
#[derive(Default)]
pub(crate) struct Told(Mutex<BTreeMap<String, Arc<Snapshot>>>);

impl Told {
    pub(crate) fn tell(&self, table: &str, snapshot: Snapshot) {
        self.0.lock().unwrap().insert(table.to_owned(), Arc::new(snapshot));
    }

    fn of(&self, table: &Table) -> Result<Arc<Snapshot>, LookError> {
        let key = format!("{}.{}", table.name.namespace(), table.name.table());
        let told = self.0.lock().unwrap().get(&key).cloned();
        told.ok_or_else(|| LookError::Unread { table: key, source: "the store is gone".into() })
    }
}

#[async_trait::async_trait]
impl Snapshots for Told {
    async fn snapshot(&self, table: &Table, _: &str) -> Result<Arc<Snapshot>, LookError> {
        self.of(table)
    }

    async fn merges(&self, table: &Table, _: &str) -> Result<bool, LookError> {
        Ok(self.of(table)?.merges)
    }

    /// Columns that grow with each version; the log does not reach down to the first.
    async fn schema(
        &self,
        _: &Table,
        _: &str,
        version: u64,
    ) -> Result<Option<Arc<str>>, LookError> {
        let field = |at| format!(r#"{{"name":"C{at}","type":"long","nullable":true}}"#);
        let fields: Vec<_> = (0..version).map(field).collect();
        let schema = format!(r#"{{"type":"struct","fields":[{}]}}"#, fields.join(","));
        Ok((version > 0).then(|| schema.into()))
    }
}

impl Place {
    /// The project `lake` with the sites `east` and `west`, and no tables.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = database_url(&folder.path().join("catalog.db"));
        let catalog = Catalog::open(&url).await.unwrap();
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&url).await.unwrap();
        let store = StoreRecord {
            name: "vast".to_owned(),
            url: "s3://lake".to_owned(),
            region: None,
            options: BTreeMap::new(),
            projects: Vec::new(),
            revision: 0,
            created_ms: 0,
        };
        catalog.put_store(&store, None, NOW).await.unwrap();
        for name in ["east", "west"] {
            let (name, url) = (name.to_owned(), format!("vast:{name}"));
            let site = Site { name, url, region: None, revision: 0, created_ms: 0 };
            catalog.put_site(&site, None, NOW).await.unwrap();
        }
        catalog.put_project(("lake", None, 1), None, NOW).await.unwrap();
        Self { catalog, snapshots: Arc::default(), pool, _folder: folder }
    }

    /// Registers a table at both sites, and publishes it at `east`.
    pub(crate) async fn publish(&self, name: &str, format: &str, location: Option<&str>) {
        let name = TableName::parse(&format!("lake.{name}")).unwrap();
        let new = NewTable {
            source: format!("gs://source/{name}"),
            name,
            policy: Policy::default(),
            sites: vec!["east".to_owned(), "west".to_owned()],
            rule: None,
            paused: false,
        };
        let table = self.catalog.register(&new, NOW).await.unwrap();
        let head = if format == "hudi" { "20240102030405000_20240102030400000" } else { "3" };
        self.sql("UPDATE tables SET format = $1 WHERE id = $2", &[format, &table.id]).await;
        let sql = "UPDATE replicas SET head = $1 WHERE table_id = $2 AND site = 'east'";
        self.sql(sql, &[head, &table.id]).await;
        if let Some(location) = location {
            let sql = "UPDATE replicas SET location = $1 WHERE table_id = $2 AND site = 'east'";
            self.sql(sql, &[location, &table.id]).await;
        }
    }

    pub(crate) async fn sql(&self, sql: &'static str, values: &[&str]) {
        let mut query = sqlx::query(sql);
        for value in values {
            query = query.bind((*value).to_owned());
        }
        query.execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn serve(&self) -> Service {
        self.serve_with("east", Limits::default()).await
    }

    pub(crate) async fn serve_with(&self, site: &str, limits: Limits) -> Service {
        self.serve_over(site, limits, None).await
    }

    pub(crate) async fn serve_over(&self, site: &str, limits: Limits, tls: Option<Tls>) -> Service {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = Options {
            catalog: self.catalog.clone(),
            project: "lake".to_owned(),
            site: site.to_owned(),
            trino_catalog: "delta".to_owned(),
            snapshots: self.snapshots.clone(),
            tls,
            limits,
        };
        let running = tokio::spawn(serve(listener, options, async {
            let _ = stopped.await;
        }));
        Service { address, stop: Some(stop), running }
    }
}

pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<()>,
}

impl Service {
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.running.await.unwrap();
    }
}
