//! The service's own processes: `serve`, `syncd`, `catalogd`.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use driftless_alerts::{self as alerts, Alerts, AlertsHandle};
use driftless_catalog::{Catalog, CatalogError, database_url};
use driftless_catalogd as catalogd;
use driftless_syncd::{Counters, Daemon, Stores, is_below};
use table_sync_core::with_causes;
use table_sync_engine::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::args::{Api, Catalogd, Database, Serve, Syncd, Work};
use crate::exit::{CommandError, Exit};
use crate::inspector::Opening;
use crate::measured::Measured;
use crate::run::{Ended, Setting};

pub(crate) mod catalog;
pub(crate) mod engines;
pub(crate) mod metastores;
pub(crate) mod tables;
pub(crate) mod token;

use metastores::Metastores;

/// File of the embedded catalog in its folder.
const DATABASE: &str = "catalog.db";

/// `driftless serve`: everything in one process.
pub(crate) async fn serve(
    setting: &Setting,
    args: &Serve,
    stop: impl Future<Output = ()>,
) -> Result<Exit, Ended> {
    let catalog = open_catalog(&args.database).await?;
    let options = work_options(setting, &catalog, &args.work)?;
    let stores = Arc::new(Stores::new(&options));
    let changed = Arc::clone(&options.changed);
    let mut api =
        Listening::new(&catalog, &args.api, Arc::clone(&stores), (options.files.clone(), changed))
            .await?;
    let metastores = Metastores::listen(&catalog, &args.engines, stores).await?;
    let alerts = start_alerts(setting, &catalog, &api.external_url(&args.api))?;
    let daemon = Daemon::start(options).await.map_err(catalog_error)?;
    api.measure(setting, Some(daemon.counters()));
    api.say(setting)?;
    metastores.say(setting)?;
    let metastores = metastores.start();
    api.run(stop).await;
    metastores.stop().await;
    daemon.stop().await;
    alerts.stop().await;
    catalog.close().await;
    Ok(Exit::Done)
}

/// `driftless syncd`: a node that works on tables.
pub(crate) async fn syncd(
    setting: &Setting,
    args: &Syncd,
    stop: impl Future<Output = ()>,
) -> Result<Exit, Ended> {
    let catalog = open_catalog(&args.database).await?;
    let options = work_options(setting, &catalog, &args.work)?;
    let daemon = Daemon::start(options).await.map_err(catalog_error)?;
    let document = serde_json::json!({ "node": daemon.node() });
    setting.output.print_line(&document, format!("working as {}\n", daemon.node()))?;
    stop.await;
    daemon.stop().await;
    catalog.close().await;
    Ok(Exit::Done)
}

/// `driftless catalogd`: the API and the console.
pub(crate) async fn catalogd(
    setting: &Setting,
    args: &Catalogd,
    stop: impl Future<Output = ()>,
) -> Result<Exit, Ended> {
    let catalog = open_catalog(&args.database).await?;
    let mut options = daemon_options(setting, &catalog, "catalogd");
    options.files = folders(&args.allow_files)?;
    options.secrets.clone_from(&args.secrets);
    let stores = Arc::new(Stores::new(&options));
    let hooks = (options.files.clone(), Arc::new(Notify::new()));
    let mut api = Listening::new(&catalog, &args.api, stores, hooks).await?;
    let alerts = start_alerts(setting, &catalog, &api.external_url(&args.api))?;
    api.measure(setting, None);
    api.say(setting)?;
    api.run(stop).await;
    alerts.stop().await;
    catalog.close().await;
    Ok(Exit::Done)
}

/// Starts to evaluate the rules of alerts, and to tell the receivers of the configuration.
fn start_alerts(
    setting: &Setting,
    catalog: &Catalog,
    external_url: &str,
) -> Result<AlertsHandle, CommandError> {
    let mut options = alerts::Options::new(catalog.clone(), Arc::new(now_ms), external_url);
    options.receivers.clone_from(&setting.wire.config().receivers);
    Alerts::start(options).map_err(|error| {
        CommandError::configuration(with_causes(&error), "see [[receivers]] in docs/alerts.md")
    })
}

/// Opens the catalog that the arguments name; an embedded one is made where it is missing.
pub(crate) async fn open_catalog(args: &Database) -> Result<Catalog, CommandError> {
    let url = match &args.database {
        Some(url) => url.clone(),
        None => {
            let folder = std::path::absolute(&args.data).map_err(|error| {
                CommandError::arguments(format!("use --data: {error}"), "name a folder")
            })?;
            database_url(&folder.join(DATABASE))
        }
    };
    Catalog::open(&url).await.map_err(catalog_error)
}

pub(crate) fn catalog_error(error: CatalogError) -> CommandError {
    let message = with_causes(&error);
    match error {
        CatalogError::Newer { .. } | CatalogError::Foreign(_) | CatalogError::Folder { .. } => {
            CommandError::configuration(message, "see docs/operations.md on upgrades and back-ups")
        }
        CatalogError::Database(_) => CommandError::failed(
            "catalog_unavailable",
            message,
            "check --database or --data, and that the database runs",
        ),
        _ => CommandError::arguments(message, "see the command's --help"),
    }
}

/// Folders as URLs spell them.
pub(crate) fn folders(named: &[PathBuf]) -> Result<Vec<PathBuf>, CommandError> {
    let folder = |path: &PathBuf| {
        std::path::absolute(path).map_err(|error| {
            let message = format!("use --allow-files {}: {error}", path.display());
            CommandError::arguments(message, "name a folder of this machine")
        })
    };
    named.iter().map(folder).collect()
}

fn daemon_options(setting: &Setting, catalog: &Catalog, node: &str) -> driftless_syncd::Options {
    driftless_syncd::Options {
        settings: setting.wire.settings().clone(),
        state: setting.globals.state.clone(),
        ..driftless_syncd::Options::new(catalog.clone(), node)
    }
}

fn work_options(
    setting: &Setting,
    catalog: &Catalog,
    work: &Work,
) -> Result<driftless_syncd::Options, CommandError> {
    let node = work.node.clone().unwrap_or_else(host_name);
    Ok(driftless_syncd::Options {
        files: folders(&work.allow_files)?,
        secrets: work.secrets.clone(),
        passes: work.passes,
        transfers: work.transfers,
        bandwidth: work.bandwidth.clone().unwrap_or_default(),
        poll_least: work.poll,
        lease: work.lease,
        audit_kept: work.audit_kept,
        ..daemon_options(setting, catalog, &node)
    })
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "driftless".to_owned() } else { name.to_owned() }
}

/// The API, listening.
struct Listening {
    listener: TcpListener,
    options: catalogd::Options,
    url: String,
}

impl Listening {
    async fn new(
        catalog: &Catalog,
        args: &Api,
        stores: Arc<Stores>,
        (files, changed): (Vec<PathBuf>, Arc<Notify>),
    ) -> Result<Self, CommandError> {
        if args.no_auth && !args.listen.ip().is_loopback() {
            return Err(CommandError::arguments(
                format!("use --no-auth at {}: others than this machine reach it", args.listen),
                "listen at 127.0.0.1, or make tokens with `driftless token create`",
            ));
        }
        let listener = TcpListener::bind(args.listen).await.map_err(|error| {
            let message = format!("listen at {}: {error}", args.listen);
            CommandError::failed("address_in_use", message, "choose another one with --listen")
        })?;
        let address = listener.local_addr().map_or(args.listen, |address| address);
        let auth = if args.no_auth { catalogd::Auth::Open } else { catalogd::Auth::Tokens };
        let opening = Arc::new(Opening::new(stores));
        let options = catalogd::Options {
            catalog: catalog.clone(),
            auth,
            inspector: Some(opening.clone()),
            secrets: Some(opening),
            metrics: None,
            metrics_open: args.open_metrics,
            now_ms: Arc::new(now_ms),
            changed: Some(Arc::new(move || changed.notify_one())),
            wake: None,
            page_key: page_key(catalog).await?,
            allow_files: Arc::new(move |path: &Path| is_below(path, &files)),
            limits: catalogd::Limits::default(),
        };
        Ok(Self { listener, options, url: format!("http://{address}") })
    }

    /// Where people reach it.
    fn external_url(&self, args: &Api) -> String {
        args.external_url.clone().unwrap_or_else(|| self.url.clone())
    }

    /// Adds metrics, with what this process does itself.
    fn measure(&mut self, setting: &Setting, counters: Option<Arc<Counters>>) {
        let tables = setting.wire.config().metrics_tables.clone();
        let metrics = Measured::new(self.options.catalog.clone(), tables, counters);
        self.options.metrics = Some(Arc::new(metrics));
    }

    /// Tells where it listens.
    fn say(&self, setting: &Setting) -> Result<(), Ended> {
        let document = serde_json::json!({ "listening": self.url });
        let text = format!("listening at {}, console at {}/\n", self.url, self.url);
        setting.output.print_line(&document, text)?;
        Ok(())
    }

    async fn run(self, stop: impl Future<Output = ()>) {
        catalogd::serve(self.listener, catalogd::router(self.options), stop).await;
    }
}

/// Signs page tokens: one for all processes of a catalog.
async fn page_key(catalog: &Catalog) -> Result<[u8; 32], CommandError> {
    let fresh = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let kept = catalog.setting("page_key", &fresh).await.map_err(catalog_error)?;
    Ok(table_sync_core::Sha256Digest::of(kept.as_bytes()).0)
}

/// Now, ms since the epoch.
pub(crate) fn now_ms() -> i64 {
    SystemClock.now_ms()
}
