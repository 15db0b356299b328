//! Tables as they were: databases `NAMESPACE@PIN`, whose tables are views of one version each.
//!
//! They are there for whoever names them, and in no list of databases. Only Delta tables are in
//! them: engines cannot be told an instant of a Hudi table.

use std::collections::HashMap;

use driftless_catalog::{CatalogError, Table, TableFilter, TableId, TableName};
use table_sync_core::Position;

use super::tables::{TABLES_MAX, place};
use super::{Failure, Metastore, matches};
use crate::call::TableOf;
use crate::face::{self, AtVersion};
use crate::hive;
use crate::pin::{self, Found, Pin, Pinned};
use crate::schema::view_columns;

/// What is said of tables that are not there as they were: why.
type Reason = String;

impl Metastore {
    /// The database that shows tables as they were, by its name in small letters; `None` where that
    /// is a database as it is.
    pub(super) async fn pinned(&self, database: &str) -> Result<Option<Pinned>, Failure> {
        let Some(pinned) = pin::pinned(database) else { return Ok(None) };
        let pinned = pinned.map_err(Failure::Missing)?;
        let missing = |why: &str| {
            Failure::Missing(format!("database {database} does not exist: there is no {why}"))
        };
        let namespaces = self.catalog.namespaces(&self.project).await?;
        if !namespaces.iter().any(|namespace| namespace.name == pinned.namespace) {
            return Err(missing("such namespace"));
        }
        if let Pin::Name(_) = &pinned.pin
            && self.pins(&pinned).await?.is_empty()
        {
            return Err(missing("table with a pin of this name"));
        }
        Ok(Some(pinned))
    }

    async fn pins(&self, pinned: &Pinned) -> Result<HashMap<TableId, Position>, Failure> {
        let Pin::Name(name) = &pinned.pin else { return Ok(HashMap::new()) };
        Ok(self.catalog.pinned(&self.project, &pinned.namespace, name).await?)
    }

    /// Names of the tables that a database shows as they were.
    pub(super) async fn pinned_names(
        &self,
        pinned: &Pinned,
        pattern: &str,
    ) -> Result<Vec<String>, Failure> {
        let filter = TableFilter {
            project: Some(self.project.clone()),
            namespace: Some(pinned.namespace.clone()),
            ..TableFilter::default()
        };
        let mut tables = self.catalog.tables(&filter, TABLES_MAX).await?;
        tables.retain(|table| is_delta(table) && matches(pattern, table.name.table()));
        let versions = self.versions(&tables, pinned).await?;
        let shown = tables.iter().zip(versions).filter(|(_, version)| version.is_ok());
        Ok(shown.map(|(table, _)| table.name.table().to_owned()).collect())
    }

    /// The version of a table that a database shows.
    pub(super) async fn pinned_table(
        &self,
        pinned: &Pinned,
        of: &TableOf,
    ) -> Result<(Table, u64), Failure> {
        let TableOf { database, table: name } = of;
        let missing = || Failure::Missing(format!("table {database}.{name} does not exist"));
        let full = TableName::new(&self.project, &pinned.namespace, &name.to_lowercase());
        let table = match self.catalog.table(&full.map_err(|_| missing())?).await {
            Ok(table) if is_delta(&table) => table,
            Ok(_) | Err(CatalogError::NotFound { .. }) => return Err(missing()),
            Err(error) => return Err(error.into()),
        };
        let versions = self.versions(std::slice::from_ref(&table), pinned).await?;
        match versions.into_iter().next().ok_or_else(missing)? {
            Ok(version) => Ok((table, version)),
            Err(reason) => {
                Err(Failure::Missing(format!("table {database}.{name} does not exist: {reason}")))
            }
        }
    }

    /// The row of a table as it was.
    pub(super) async fn pinned_row(
        &self,
        pinned: &Pinned,
        of: &TableOf,
    ) -> Result<hive::Table, Failure> {
        let (mut table, version) = self.pinned_table(pinned, of).await?;
        table.replicas.retain(|replica| replica.site == self.site);
        let at = place(&table).unwrap_or_default();
        let missing = |why: &str| {
            let TableOf { database, table } = of;
            Failure::Missing(format!("table {database}.{table} does not exist: {why}"))
        };
        let schema = self.snapshots.schema(&table, &at, version).await?;
        let schema = schema.ok_or_else(|| {
            missing(&format!("version {version} cannot be read at {} any more", self.site))
        })?;
        let columns = view_columns(&schema).map_err(|why| missing(&why))?;
        Ok(face::delta_view(AtVersion {
            table: &table,
            version,
            columns: &columns,
            database: &of.database.to_lowercase(),
            trino_catalog: &self.trino_catalog,
        }))
    }

    /// The version of each table that a database shows, or why it shows none.
    async fn versions(
        &self,
        tables: &[Table],
        pinned: &Pinned,
    ) -> Result<Vec<Result<u64, Reason>>, Failure> {
        let positions: Vec<Result<Position, Reason>> = match &pinned.pin {
            Pin::Version(version) => {
                tables.iter().map(|_| Ok(Position::Version(*version))).collect()
            }
            Pin::Name(name) => {
                let pins = self.pins(pinned).await?;
                let none = || format!("it has no pin {name}");
                tables.iter().map(|one| pins.get(&one.id).copied().ok_or_else(none)).collect()
            }
            Pin::Moment(at) => self.positions_at(tables, *at).await?,
        };
        let readable = |(table, position): (&Table, Result<Position, Reason>)| {
            position.and_then(|position| pin::readable(table, &self.site, position))
        };
        Ok(tables.iter().zip(positions).map(readable).collect())
    }

    async fn positions_at(
        &self,
        tables: &[Table],
        at: i64,
    ) -> Result<Vec<Result<Position, Reason>>, Failure> {
        let found: Vec<_> =
            tables.iter().map(|table| pin::at_moment(table, &self.site, at)).collect();
        let past = tables.iter().zip(&found).filter(|(_, found)| **found == Ok(Found::InReceipts));
        let past: Vec<_> = past.map(|(table, _)| table.id.as_str()).collect();
        let receipts = self.catalog.newest_until(&past, &self.site, at).await?;
        let in_receipts = |table: &Table| {
            let receipt = receipts.get(&table.id).ok_or_else(|| {
                format!("no version of that time is known at {} any more", self.site)
            })?;
            match receipt.committed_ms {
                Some(_) => Ok(receipt.position),
                None => {
                    Err(format!("when version {} was committed is not known", receipt.position))
                }
            }
        };
        let position = |(table, found): (&Table, Result<Found, Reason>)| match found? {
            Found::At(position) => Ok(position),
            Found::InReceipts => in_receipts(table),
        };
        Ok(tables.iter().zip(found).map(position).collect())
    }
}

fn is_delta(table: &Table) -> bool {
    table.format.as_deref() == Some("delta")
}
