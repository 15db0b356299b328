//! The metastores of the service: one listener for each pair of a project and a site.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use driftless_catalog::{Catalog, Table};
use driftless_metastored::{self as metastored, Opens, Replicas, Tls};
use driftless_syncd::Stores;
use driftless_wire::TableLog;
use futures::future::join_all;
use table_sync_core::{BoxError, with_causes};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{daemon_options, folders, open_catalog};
use crate::args::{Engines, Metastore, Metastored};
use crate::exit::{CommandError, Exit};
use crate::run::{Ended, Setting};

/// `driftless metastored`: metastores and nothing else.
pub(crate) async fn metastored(
    setting: &Setting,
    args: &Metastored,
    stop: impl Future<Output = ()>,
) -> Result<Exit, Ended> {
    if args.engines.metastores.is_empty() {
        let hint = "for example --metastore lake@east=127.0.0.1:9083";
        return Err(CommandError::arguments("serve no metastore: name one", hint).into());
    }
    let catalog = open_catalog(&args.database).await?;
    let mut options = daemon_options(setting, &catalog, "metastored");
    options.files = folders(&args.allow_files)?;
    options.secrets.clone_from(&args.secrets);
    let stores = Arc::new(Stores::new(&options));
    let metastores = Metastores::listen(&catalog, &args.engines, stores).await?;
    metastores.say(setting)?;
    metastores.start().stop_after(stop).await;
    catalog.close().await;
    Ok(Exit::Done)
}

/// Metastores, listening.
pub(crate) struct Metastores(Vec<(Metastore, TcpListener, metastored::Options)>);

impl Metastores {
    pub(crate) async fn listen(
        catalog: &Catalog,
        args: &Engines,
        stores: Arc<Stores>,
    ) -> Result<Self, CommandError> {
        let opens = Arc::new(Opening(stores));
        let replicas = Replicas::new(opens, args.metastore_fresh, args.metastore_grace);
        let snapshots = Arc::new(replicas);
        let tls = tls(args)?;
        let mut listening = Vec::new();
        for named in &args.metastores {
            let listener = metastored::listen(named.address).map_err(|error| {
                let message = format!("listen at {} for {named}: {error}", named.address);
                CommandError::failed("address_in_use", message, "name another one")
            })?;
            let options = metastored::Options {
                catalog: catalog.clone(),
                project: named.project.clone(),
                site: named.site.clone(),
                trino_catalog: args.metastore_trino_catalog.clone(),
                snapshots: Arc::clone(&snapshots) as _,
                tls: tls.clone(),
                limits: metastored::Limits::default(),
            };
            listening.push((named.clone(), listener, options));
        }
        Ok(Self(listening))
    }

    /// Tells where they listen.
    pub(crate) fn say(&self, setting: &Setting) -> Result<(), Ended> {
        for (named, listener, _) in &self.0 {
            let address = listener.local_addr().unwrap_or(named.address);
            let document = serde_json::json!({
                "metastore": format!("thrift://{address}"),
                "project": named.project,
                "site": named.site,
            });
            let text =
                format!("metastore of {} at {}: thrift://{address}\n", named.project, named.site);
            setting.output.print_line(&document, text)?;
        }
        Ok(())
    }

    pub(crate) fn start(self) -> Running {
        let (over, receiver) = watch::channel(());
        let serve = |(_, listener, options)| {
            let mut over = receiver.clone();
            // The sender goes when all are to end.
            let shutdown = async move { while over.changed().await.is_ok() {} };
            tokio::spawn(metastored::serve(listener, options, shutdown))
        };
        let tasks = self.0.into_iter().map(serve).collect();
        Running { over, tasks }
    }
}

fn tls(args: &Engines) -> Result<Option<Tls>, CommandError> {
    let (Some(certificates), Some(key)) = (&args.metastore_cert, &args.metastore_key) else {
        return Ok(None);
    };
    let loaded = Tls::load(certificates, key, args.metastore_client_ca.as_deref());
    loaded.map(Some).map_err(|error| {
        CommandError::configuration(with_causes(&error), "name PEM files with --metastore-cert")
    })
}

/// Metastores that answer.
pub(crate) struct Running {
    over: watch::Sender<()>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        drop(self.over);
        join_all(self.tasks).await;
    }

    async fn stop_after(self, stop: impl Future<Output = ()>) {
        stop.await;
        self.stop().await;
    }
}

/// Replicas, opened as the daemon opens them.
struct Opening(Arc<Stores>);

#[async_trait]
impl Opens for Opening {
    async fn open(&self, table: &Table, place: &str) -> Result<Arc<TableLog>, BoxError> {
        Ok(self.0.table(place, &[], &table.policy).await?.log)
    }
}

/// Reads `PROJECT@SITE=ADDRESS`.
pub(crate) fn parse_metastore(text: &str) -> Result<Metastore, String> {
    let form = || "use PROJECT@SITE=ADDRESS, for example lake@east=127.0.0.1:9083".to_owned();
    let (names, address) = text.split_once('=').ok_or_else(form)?;
    let (project, site) = names.split_once('@').ok_or_else(form)?;
    if project.is_empty() || site.is_empty() {
        return Err(form());
    }
    let address: SocketAddr = address.parse().map_err(|_| form())?;
    Ok(Metastore { project: project.to_owned(), site: site.to_owned(), address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metastore_is_named_by_project_site_and_address() {
        let parsed = parse_metastore("lake@east=127.0.0.1:9083").unwrap();
        assert_eq!((parsed.project.as_str(), parsed.site.as_str()), ("lake", "east"));
        assert_eq!(parsed.to_string(), "lake@east=127.0.0.1:9083");
        for wrong in ["", "lake@east", "lake=127.0.0.1:9083", "@east=127.0.0.1:1", "lake@e=9083"] {
            assert!(parse_metastore(wrong).is_err(), "{wrong}");
        }
    }
}
