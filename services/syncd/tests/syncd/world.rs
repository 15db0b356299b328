//! A world of folders: a lake with sources, two sites, a catalog, and nodes that work.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::status::{Circumstances, Status, lag_ms, status};
use driftless_catalog::{
    Catalog, Event, EventFilter, NewTable, Page, Policy, Replica, Site, Table, TableName,
    database_url,
};
use driftless_syncd::{Daemon, Options, Stores};
use driftless_testdata::Objects;
use driftless_testdata::feed::Feeder;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use table_sync_engine::{Clock as _, Level, Quiet, SystemClock, verify};
use tempfile::TempDir;

/// What a test waits for comes within this time, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(15);

pub(crate) struct World {
    folder: TempDir,
    pub(crate) catalog: Catalog,
}

pub(crate) fn now_ms() -> i64 {
    SystemClock.now_ms()
}

/// A policy that looks at the source once in an hour.
pub(crate) fn seldom() -> Policy {
    Policy { poll_seconds: 3_600, ..Policy::default() }
}

pub(crate) fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["lake", "east", "west"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        let url = database_url(&folder.path().join("data/catalog.db"));
        let catalog = Catalog::open(&url).await.unwrap();
        let world = Self { folder, catalog };
        world.inventory(&world.catalog).await;
        world
    }

    /// Sites and a project.
    pub(crate) async fn inventory(&self, catalog: &Catalog) {
        for name in ["east", "west"] {
            let url = format!("file://{}", self.path(name).display());
            let site =
                Site { name: name.to_owned(), url, region: None, revision: 0, created_ms: 0 };
            catalog.put_site(&site, None, now_ms()).await.unwrap();
        }
        catalog.put_project(("lake", None, 1), None, now_ms()).await.unwrap();
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn options(&self, node: &str) -> Options {
        Options {
            files: vec![self.folder.path().to_owned()],
            poll_least: Duration::from_millis(50),
            lease: Duration::from_secs(2),
            retry_budget: Duration::from_secs(1),
            ..Options::new(self.catalog.clone(), node)
        }
    }

    pub(crate) async fn daemon(&self, node: &str) -> Daemon {
        Daemon::start(self.options(node)).await.unwrap()
    }

    /// A source in the lake.
    pub(crate) fn source(&self, table: &str) -> String {
        format!("file://{}", self.path("lake").join(table).display())
    }

    pub(crate) async fn register(&self, table: &str, policy: Policy) -> Table {
        let new = NewTable {
            name: name(&format!("lake.sales.{table}")),
            source: self.source(table),
            policy,
            sites: vec!["east".to_owned(), "west".to_owned()],
            rule: None,
            paused: false,
        };
        self.catalog.register(&new, now_ms()).await.unwrap()
    }

    pub(crate) async fn table(&self, table: &str) -> Table {
        self.catalog.table(&name(&format!("lake.sales.{table}"))).await.unwrap()
    }

    /// Waits until the catalog says so.
    pub(crate) async fn until(&self, table: &str, what: &str, holds: impl Fn(&Table) -> bool) {
        let waiting = async {
            while !holds(&self.table(table).await) {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{table}: not {what}: {:#?}", self.table(table).await);
        }
    }

    /// Waits until both sites hold this version.
    pub(crate) async fn until_head(&self, table: &str, version: u64) {
        let head = Some(table_sync_core::Position::Version(version));
        let there = |table: &Table| table.replicas.iter().all(|one| one.progress.head == head);
        self.until(table, &format!("at version {version}"), there).await;
    }

    pub(crate) async fn until_status(&self, table: &str, wanted: Status) {
        let all = |table: &Table| {
            table.replicas.iter().all(|replica| status_of(table, replica) == wanted)
        };
        self.until(table, wanted.as_str(), all).await;
    }

    pub(crate) async fn events(&self, table: &str) -> Vec<Event> {
        let filter =
            EventFilter { table: Some(format!("lake.sales.{table}")), ..EventFilter::default() };
        self.catalog.events(&filter, Page::After(0), 10_000).await.unwrap()
    }

    /// Positions as they were published at a site, in order.
    pub(crate) async fn published(&self, table: &Table, site: &str) -> Vec<String> {
        let mut versions = self.catalog.versions((&table.id, site), None, 10_000).await.unwrap();
        versions.reverse();
        versions.into_iter().map(|version| version.position.to_string()).collect()
    }

    /// Holds every byte at both sites against the source.
    pub(crate) async fn verify(&self, table: &Table) {
        let stores = Stores::new(&self.options("verify"));
        let places: Vec<_> = table.replicas.iter().map(|one| one.location.clone()).collect();
        let opened = stores.table(&table.source, &places, &table.policy).await.unwrap();
        for target in &opened.targets {
            let report = verify(&opened.source, target, Level::Bytes, None, &Quiet).await.unwrap();
            assert!(report.differences.is_empty(), "{}: {:?}", target.url, report.differences);
        }
    }

    /// A table of the test data, to be revealed commit by commit.
    pub(crate) fn feed(&self, fixture: &str, table: &str) -> Feed {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/delta");
        let objects = driftless_testdata::corpus::load(&root.join(fixture).join("table"));
        Feed::new(&self.path("lake"), table, &objects)
    }
}

/// Lives a part of a recorded Hudi table's life in the lake: what comes after one step, up to and
/// including another.
pub(crate) fn live(table: &Path, fixture: &str, after: Option<&str>, through: &str) {
    use driftless_testdata::models::hudi::{Event, recorded_tables};
    let found = recorded_tables().into_iter().find(|one| one.name == fixture).unwrap();
    let objects = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/hudi").join(fixture);
    let done =
        after.map_or(0, |name| 1 + found.steps.iter().position(|step| step.name == name).unwrap());
    for step in &found.steps[done..] {
        for event in &step.events {
            match event {
                Event::Put { put, object, modified_ms } => {
                    let path = table.join(put);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::copy(objects.join("objects").join(object), &path).unwrap();
                    // Readers of version 6 go by it.
                    let after = Duration::from_millis(u64::try_from(*modified_ms).unwrap());
                    let file = std::fs::File::options().write(true).open(path).unwrap();
                    file.set_modified(std::time::UNIX_EPOCH + after).unwrap();
                }
                Event::Delete { delete } => std::fs::remove_file(table.join(delete)).unwrap(),
            }
        }
        if step.name == through {
            return;
        }
    }
}

pub(crate) fn status_of(table: &Table, replica: &Replica) -> Status {
    status(&replica.progress, &circumstances(table))
}

pub(crate) fn lag_of(table: &Table, replica: &Replica) -> Option<i64> {
    lag_ms(&replica.progress, &circumstances(table))
}

fn circumstances(table: &Table) -> Circumstances {
    Circumstances {
        desired: table.desired,
        owned: table.owned,
        check_fresh_ms: table.policy.check_fresh_ms(),
        lag_target_ms: i64::try_from(table.policy.lag_target_seconds() * 1_000).unwrap(),
        now_ms: now_ms(),
    }
}

/// A writer that reveals a table.
pub(crate) struct Feed {
    feeder: Feeder,
    store: Arc<dyn ObjectStore>,
    table: String,
}

impl Feed {
    fn new(lake: &Path, table: &str, objects: &Objects) -> Self {
        let store = Arc::new(LocalFileSystem::new_with_prefix(lake).unwrap());
        let seed = fastrand::u64(..);
        Self { feeder: Feeder::new(objects, seed), store, table: table.to_owned() }
    }

    /// The next commit; its version.
    pub(crate) async fn commit(&mut self) -> Option<u64> {
        self.feeder.step_commit(&self.store, &self.table).await
    }

    /// Everything that is left; the newest version.
    pub(crate) async fn finish(&mut self) -> u64 {
        let mut newest = 0;
        while let Some(version) = self.commit().await {
            newest = version;
        }
        newest
    }
}
