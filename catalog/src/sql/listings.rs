//! Listings for engines: the names of what is published at a site, and little else.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::Catalog;
use super::tables::serving;
use crate::{Result, TableId, TableName};

/// A table that readers can open at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub id: TableId,
    /// Its name.
    pub name: TableName,
    /// Its format.
    pub format: String,
}

impl Catalog {
    /// Tables of a project that readers can open at a site, by name, at most `limit` of them.
    /// `namespace`: only of this one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn shown(
        &self,
        project: &str,
        namespace: Option<&str>,
        site: &str,
        limit: usize,
    ) -> Result<Vec<Shown>> {
        let sql = format!(
            "SELECT t.id, t.namespace, t.name, t.format, r.serving FROM tables t \
             JOIN replicas r ON r.table_id = t.id AND r.site = $3 \
             WHERE t.project = $1 AND ($2 = '' OR t.namespace = $2) \
             AND (r.head IS NOT NULL OR r.serving IS NOT NULL) AND t.format IS NOT NULL \
             ORDER BY t.namespace, t.name LIMIT {limit}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(project)
            .bind(namespace.unwrap_or_default())
            .bind(site)
            .fetch_all(&self.read)
            .await?;
        let shown = |row: &AnyRow| -> Result<_> {
            // As `Replica::served` says.
            if serving(row)?.is_some_and(|serving| serving.head.is_none()) {
                return Ok(None);
            }
            let [namespace, name]: [String; 2] = [row.try_get("namespace")?, row.try_get("name")?];
            let name = TableName::new(project, &namespace, &name)?;
            Ok(Some(Shown { id: row.try_get("id")?, name, format: row.try_get("format")? }))
        };
        rows.iter().filter_map(|row| shown(row).transpose()).collect()
    }
}
