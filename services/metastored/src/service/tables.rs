//! Databases and tables.

use std::collections::{BTreeSet, HashMap};

use driftless_catalog::{CatalogError, Shown, StoreRecord, Table, TableId, TableName};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Answer, Failure, Metastore, checked, matches};
use crate::answer::Value;
use crate::call::TableOf;
use crate::face::{self, EXTERNAL_TABLE, Subject, TRINO_VIEW, VIRTUAL_VIEW, View};
use crate::hive;
use crate::pin::Pinned;

/// Tables that one listing reads.
pub(super) const TABLES_MAX: usize = 1_000_000;

/// Tables that one call may name.
const NAMES_MAX: usize = 10_000;

/// Replicas that one call looks at, at once.
const LOOKS_AT_ONCE: usize = 32;

/// The format of tables that engines may see under three names.
const HUDI: &str = "hudi";

/// Names of all other tables.
const PLAIN: &[View] = &[View::Plain];

/// The database that every client expects.
const DEFAULT: &str = "default";

/// A table that is published here.
pub(super) struct Published {
    pub(super) table: Table,
    pub(super) view: View,
    /// Where its replica is, as the catalog says it.
    pub(super) place: String,
    /// The same, as engines say it.
    pub(super) location: String,
}

impl Published {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { table: &self.table, view: self.view, location: &self.location }
    }
}

/// A name in a listing.
struct Listed {
    database: String,
    table: String,
    /// Its type.
    kind: &'static str,
}

impl Metastore {
    async fn database_names(&self) -> Result<BTreeSet<String>, Failure> {
        let namespaces = self.catalog.namespaces(&self.project).await?;
        let names = namespaces.into_iter().map(|namespace| namespace.name);
        Ok(names.chain([DEFAULT.to_owned()]).collect())
    }

    pub(super) async fn databases(&self, pattern: Option<&str>) -> Answer {
        let pattern = checked(pattern.unwrap_or("*"))?;
        let names = self.database_names().await?.into_iter();
        let names: Vec<_> = names.filter(|name| matches(pattern, name)).collect();
        Ok(Value::texts(&names)?)
    }

    pub(super) async fn database(&self, name: &str) -> Answer {
        let name = name.to_lowercase();
        let pinned = self.known_database(&name).await?;
        let sites = self.catalog.sites().await?;
        let site = sites.into_iter().find(|site| site.name == self.site);
        let site = site.ok_or_else(|| Failure::Missing(format!("site {}", self.site)))?;
        let stores = self.catalog.stores().await?;
        let namespace = pinned.map_or_else(|| name.clone(), |pinned| pinned.namespace);
        let folder = site.place(&format!("{}/{namespace}", self.project));
        let location = engine_url(&folder, &stores);
        Ok(Value::structure(&face::database(&name, location))?)
    }

    /// What a database shows, by its name in small letters: see [`Self::pinned`].
    async fn known_database(&self, name: &str) -> Result<Option<Pinned>, Failure> {
        let pinned = self.pinned(name).await?;
        if pinned.is_none() && !self.database_names().await?.contains(name) {
            return Err(Failure::Missing(format!("database {name} does not exist")));
        }
        Ok(pinned)
    }

    pub(super) async fn table_names(
        &self,
        database: &str,
        pattern: &str,
        kind: Option<&str>,
    ) -> Answer {
        let mut listed = self.listed(database, pattern).await?;
        listed.retain(|listed| kind.is_none_or(|kind| kind == listed.kind));
        let names: Vec<_> = listed.into_iter().map(|listed| listed.table).collect();
        Ok(Value::texts(&names)?)
    }

    pub(super) async fn table_metas(
        &self,
        databases: &str,
        tables: &str,
        kinds: &[String],
    ) -> Answer {
        let mut listed = self.listed(databases, tables).await?;
        listed.retain(|listed| kinds.is_empty() || kinds.iter().any(|kind| kind == listed.kind));
        let meta = |listed: Listed| hive::TableMeta {
            db_name: Some(listed.database),
            table_name: Some(listed.table),
            table_type: Some(listed.kind.to_owned()),
            comments: (listed.kind == VIRTUAL_VIEW).then(|| TRINO_VIEW.to_owned()),
            cat_name: Some(face::CATALOG.to_owned()),
        };
        let metas: Vec<_> = listed.into_iter().map(meta).collect();
        Ok(Value::structures(&metas)?)
    }

    pub(super) async fn tables_by_filter(
        &self,
        database: &str,
        filter: &str,
        max: Option<usize>,
    ) -> Answer {
        // What older releases of Trino look for views with.
        let views = filter.contains("presto_view");
        if !views && !checked(filter)?.trim().is_empty() {
            let text = "filters on tables are not understood: ask for all of them";
            return Err(Failure::Meta(text.to_owned()));
        }
        let mut listed = self.listed(database, "*").await?;
        listed.retain(|listed| !views || listed.kind == VIRTUAL_VIEW);
        let names: Vec<_> = listed.into_iter().map(|listed| listed.table).collect();
        let names = names.get(..max.unwrap_or(names.len())).unwrap_or(&names);
        Ok(Value::texts(names)?)
    }

    /// What is published here, by pattern. A database that is not there has no tables.
    async fn listed(&self, databases: &str, tables: &str) -> Result<Vec<Listed>, Failure> {
        let (databases, tables) = (checked(databases)?, checked(tables)?);
        let plain = !databases.contains(['*', '|', '.']);
        if databases.contains('@') {
            return self.listed_pinned(&databases.to_lowercase(), tables).await;
        }
        let namespace = plain.then(|| databases.to_lowercase());
        let found = self.catalog.shown(&self.project, namespace.as_deref(), &self.site, TABLES_MAX);
        let mut found = found.await?;
        found.retain(|table| plain || matches(databases, table.name.namespace()));
        let names: BTreeSet<_> = found.iter().map(|table| table.name.to_string()).collect();
        let views = self.views_of(&found).await?;
        let mut listed = Vec::with_capacity(found.len());
        for table in &found {
            for view in views.get(&table.id).copied().unwrap_or(PLAIN) {
                let name = format!("{}{}", table.name.table(), view.suffix());
                let taken = *view != View::Plain
                    && names.contains(&format!("{}{}", table.name, view.suffix()));
                if !taken && matches(tables, &name) {
                    let database = table.name.namespace().to_owned();
                    listed.push(Listed { database, table: name, kind: EXTERNAL_TABLE });
                }
            }
        }
        Ok(listed)
    }

    async fn listed_pinned(&self, database: &str, tables: &str) -> Result<Vec<Listed>, Failure> {
        let pinned = match self.pinned(database).await {
            Ok(Some(pinned)) => pinned,
            Ok(None) | Err(Failure::Missing(_)) => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        };
        let names = self.pinned_names(&pinned, tables).await?;
        let listed = |table| Listed { database: database.to_owned(), table, kind: VIRTUAL_VIEW };
        Ok(names.into_iter().map(listed).collect())
    }

    /// The views under which Hudi tables are listed.
    async fn views_of(&self, found: &[Shown]) -> Result<HashMap<TableId, &[View]>, Failure> {
        let hudi = found.iter().filter(|table| table.format == HUDI);
        let ids: Vec<_> = hudi.map(|table| table.id.as_str()).collect();
        let mut tables = self.catalog.tables_by_id(&ids).await?;
        for table in &mut tables {
            table.replicas.retain(|replica| replica.site == self.site);
        }
        // Which tables have three names is asked of replicas once, so that it may take long then.
        let views: Vec<_> = tables.iter().map(|table| self.views(table)).collect();
        let views: Vec<_> = stream::iter(views).buffered(LOOKS_AT_ONCE).collect().await;
        Ok(tables.into_iter().map(|table| table.id).zip(views).collect())
    }

    /// The views under which a Hudi table is listed. Where its replica does not answer, its own name.
    async fn views(&self, table: &Table) -> &'static [View] {
        let Some(place) = place(table) else { return PLAIN };
        match self.snapshots.merges(table, &place).await {
            Ok(true) => &View::ALL,
            Ok(false) => PLAIN,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, table = %table.name, "a replica was not looked at");
                PLAIN
            }
        }
    }

    /// A table by the name that engines use.
    pub(super) async fn published(&self, of: &TableOf) -> Result<Published, Failure> {
        let (database, name) = (of.database.to_lowercase(), of.table.to_lowercase());
        let missing = || Failure::Missing(format!("table {database}.{name} does not exist"));
        if let Some(table) = self.find(&database, &name).await? {
            return self.published_as(table, View::Plain).await;
        }
        let views = [View::ReadOptimized, View::RealTime];
        let view = views.into_iter().find(|view| name.ends_with(view.suffix()));
        let view = view.ok_or_else(missing)?;
        let base = name.strip_suffix(view.suffix()).unwrap_or_default();
        let table = self.find(&database, base).await?.filter(is_hudi).ok_or_else(missing)?;
        let at = place(&table).ok_or_else(missing)?;
        if !self.snapshots.merges(&table, &at).await? {
            return Err(missing());
        }
        self.published_as(table, view).await
    }

    async fn find(&self, database: &str, table: &str) -> Result<Option<Table>, Failure> {
        let Ok(name) = TableName::new(&self.project, database, table) else { return Ok(None) };
        match self.catalog.table(&name).await {
            Ok(mut table) => {
                table.replicas.retain(|replica| replica.site == self.site);
                Ok(Some(table).filter(is_published))
            }
            Err(CatalogError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn published_as(&self, table: Table, view: View) -> Result<Published, Failure> {
        let place = place(&table).unwrap_or_default();
        let location = match place.contains("://") {
            true => face::engine_url(&place),
            false => engine_url(&place, &self.catalog.stores().await?),
        };
        Ok(Published { table, view, place, location })
    }

    /// Whether a table is there.
    pub(super) async fn known_table(&self, of: &TableOf) -> Result<(), Failure> {
        match self.pinned(&of.database.to_lowercase()).await? {
            Some(pinned) => self.pinned_table(&pinned, of).await.map(drop),
            None => self.published(of).await.map(drop),
        }
    }

    /// The row of a table.
    pub(super) async fn row(&self, of: &TableOf) -> Result<hive::Table, Failure> {
        if let Some(pinned) = self.pinned(&of.database.to_lowercase()).await? {
            return self.pinned_row(&pinned, of).await;
        }
        let published = self.published(of).await?;
        if !is_hudi(&published.table) {
            return Ok(face::delta_table(published.subject()));
        }
        let snapshot = self.snapshots.snapshot(&published.table, &published.place).await?;
        Ok(face::hudi_table(published.subject(), &snapshot))
    }

    /// The rows of those tables that are there.
    pub(super) async fn rows(
        &self,
        database: &str,
        names: Vec<String>,
    ) -> Result<Vec<hive::Table>, Failure> {
        if names.len() > NAMES_MAX {
            let text = format!("{} tables at once: name {NAMES_MAX} at most", names.len());
            return Err(Failure::Meta(text));
        }
        self.known_database(&database.to_lowercase()).await?;
        let of = |table| TableOf { database: database.to_owned(), table };
        let rows: Vec<_> = names.into_iter().map(|name| self.row_if_there(of(name))).collect();
        let rows: Vec<_> = stream::iter(rows).buffered(LOOKS_AT_ONCE).try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn row_if_there(&self, of: TableOf) -> Result<Option<hive::Table>, Failure> {
        match self.row(&of).await {
            Ok(row) => Ok(Some(row)),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Whether readers can open the table here. Its replicas are those at this site: one.
fn is_published(table: &Table) -> bool {
    table.format.is_some()
        && table.replicas.first().is_some_and(|replica| replica.served().head.is_some())
}

/// Where readers of the table are sent to.
pub(super) fn place(table: &Table) -> Option<String> {
    table.replicas.first().map(|replica| replica.served().location)
}

pub(super) fn is_hudi(table: &Table) -> bool {
    table.format.as_deref() == Some(HUDI)
}

/// A place of the catalog, a URL or `STORE:path`, as engines write it.
fn engine_url(place: &str, stores: &[StoreRecord]) -> String {
    let named = place.split_once(':').filter(|(_, path)| !path.starts_with("//"));
    let store = named.and_then(|(name, path)| {
        let store = stores.iter().find(|store| store.name == name)?;
        Some(format!("{}/{}", store.url.trim_end_matches('/'), path.trim_start_matches('/')))
    });
    face::engine_url(store.as_deref().unwrap_or(place))
}
