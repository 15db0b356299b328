//! Tables as the API looks at them: opened as the daemon would, and nothing is changed. And the
//! secrets that it hands to engines, read as the daemon reads them.

use std::sync::Arc;

use driftless_catalog::{Policy, Site, StoreRecord, Table};
use driftless_catalogd::{Finding, InspectError, Inspection, Inspector, NoSecret, Secrets};
use driftless_syncd::{NotOpened, Stores};
use serde_json::{Value, json};
use table_sync_core::{Position, SourceError, SourceLog, with_causes};
use table_sync_engine::{Options, Quiet, estimate};

use crate::output::json::PlanView;

/// See the module.
pub(crate) struct Opening {
    stores: Arc<Stores>,
}

impl Opening {
    pub(crate) fn new(stores: Arc<Stores>) -> Self {
        Self { stores }
    }
}

impl Secrets for Opening {
    fn option(&self, store: &StoreRecord, name: &str) -> Result<String, NoSecret> {
        self.stores.option(store, name).map_err(|error| NoSecret { message: error.message() })
    }
}

#[async_trait::async_trait]
impl Inspector for Opening {
    async fn inspect(
        &self,
        source: &str,
        sites: &[Site],
        policy: &Policy,
    ) -> Result<Inspection, InspectError> {
        let table = self.stores.table(source, &[], policy).await.map_err(not_opened)?;
        let mut findings = Vec::new();
        let view = match table.log.observe(None).await {
            Ok(view) => Some(view),
            Err(SourceError::Blocked(blocked)) => {
                let code = blocked.code.as_str().to_owned();
                findings.push(Finding { code, message: blocked.message, site: None });
                None
            }
            Err(error) => return Err(unavailable(&error)),
        };
        let head = view.as_ref().and_then(|view| view.head());
        if view.is_some() && head.is_none() {
            let message = format!("there is no Delta or Hudi table at {}", table.source.url);
            findings.push(Finding { code: "not_a_table".to_owned(), message, site: None });
        }
        for site in sites {
            let place = site.place("probe");
            if let Err(error) = self.stores.table(source, &[place], policy).await {
                let (code, message) = ("site_not_opened".to_owned(), error.message());
                findings.push(Finding { code, message, site: Some(site.name.clone()) });
            }
        }
        let commits = view.as_ref().map(|view| view.commits.len());
        Ok(Inspection {
            format: table.source.log.format().to_owned(),
            head,
            replicable: findings.is_empty(),
            findings,
            details: json!({ "url": table.source.url, "commits_listed": commits }),
        })
    }

    async fn live_digest(
        &self,
        table: &Table,
        site: &str,
        position: Position,
    ) -> Result<String, InspectError> {
        let replicas = table.replicas.iter().filter(|replica| replica.site == site);
        let places: Vec<_> = replicas.map(|replica| replica.location.clone()).collect();
        let opened = self.stores.table(&table.source, &places, &table.policy).await;
        let opened = opened.map_err(not_opened)?;
        let Some(target) = opened.targets.first() else {
            let message = format!("{} is not published at {site}", table.name);
            let code = "not_published".to_owned();
            return Err(InspectError { code, message, transient: false });
        };
        let view = target.reader.observe(None).await.map_err(|error| unavailable(&error))?;
        let digest = target.reader.live_digest(&view, view.same(position)).await;
        digest.map(|digest| digest.to_string()).map_err(|error| unavailable(&error))
    }

    async fn plan(&self, table: &Table) -> Result<Value, InspectError> {
        let targets: Vec<_> =
            table.replicas.iter().map(|replica| replica.location.clone()).collect();
        let opened = self.stores.table(&table.source, &targets, &table.policy).await;
        let opened = opened.map_err(not_opened)?;
        let options = Options::default();
        let quiet = Arc::new(Quiet);
        let estimates = estimate(&opened.source, &opened.targets, &options, quiet).await;
        let (url, format) = (&opened.source.url, opened.source.log.format());
        Ok(serde_json::to_value(PlanView::of(url, format, &estimates)).unwrap_or_default())
    }
}

fn not_opened(error: NotOpened) -> InspectError {
    let transient = matches!(&error, NotOpened::Catalog(error) if error.is_transient());
    InspectError { code: "not_opened".to_owned(), message: error.message(), transient }
}

fn unavailable(error: &SourceError) -> InspectError {
    let code = "source_unavailable".to_owned();
    InspectError { code, message: with_causes(error), transient: true }
}
