//! Consistency groups, and what they show.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Row as _};

use super::progress::version;
use super::tables::{BATCH, table};
use super::{Catalog, placeholders};
use crate::group::{self, Group, Snapshot};
use crate::transition::Desired;
use crate::{Millis, Result, TableId, Version};

impl Catalog {
    /// Groups by project and name, with their tables. `project`, `name`: only of this project, only
    /// of this name. Tables that are being forgotten are left out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn groups(&self, project: Option<&str>, name: Option<&str>) -> Result<Vec<Group>> {
        let sql = format!(
            "{} WHERE t.consistency_group > '' AND ($1 = '' OR t.consistency_group = $1) \
             AND ($2 = '' OR t.project = $2) AND t.desired <> '{}' \
             ORDER BY t.project, t.consistency_group, t.namespace, t.name",
            self.table_sql(),
            Desired::Unregistering,
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(name.unwrap_or_default())
            .bind(project.unwrap_or_default())
            .fetch_all(&self.read)
            .await?;
        let tables = rows.iter().map(table).collect::<Result<_>>()?;
        let mut groups: Vec<Group> = Vec::new();
        for table in self.with_replicas(tables, None).await? {
            let project = table.name.project();
            let name = table.policy.group.as_deref().unwrap_or_default();
            match groups.last_mut().filter(|one| one.project == project && one.name == name) {
                Some(group) => group.tables.push(table),
                None => {
                    let (project, name) = (project.to_owned(), name.to_owned());
                    groups.push(Group { project, name, tables: vec![table] });
                }
            }
        }
        Ok(groups)
    }

    /// What a group shows at a site.
    ///
    /// # Errors
    /// What the database says.
    pub async fn snapshot(&self, group: &Group, site: &str) -> Result<Snapshot> {
        let cut = match group::cut(group, site) {
            Ok(cut) => cut,
            Err(waits_for) => return Ok(Snapshot::waits(waits_for)),
        };
        let receipts = self.newest_until(&group::past(group, site, cut), site, cut).await?;
        Ok(group::snapshot(group, site, cut, &receipts))
    }

    /// Of each table, the version that a site published last of those that were committed until a
    /// moment, or at a time that is not known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn newest_until(
        &self,
        tables: &[&str],
        site: &str,
        until_ms: Millis,
    ) -> Result<HashMap<TableId, Version>> {
        let mut newest = HashMap::new();
        for chunk in tables.chunks(BATCH) {
            let sql = format!(
                "SELECT v.* FROM replicas r JOIN versions v ON v.table_id = r.table_id \
                 AND v.site = r.site AND v.incarnation = r.incarnation AND v.ordinal = \
                 (SELECT o.ordinal FROM versions o WHERE o.table_id = r.table_id \
                 AND o.site = r.site AND o.incarnation = r.incarnation \
                 AND (o.committed_ms IS NULL OR o.committed_ms <= $1) \
                 ORDER BY o.ordinal DESC LIMIT 1) \
                 WHERE r.site = $2 AND r.table_id IN ({})",
                placeholders(3, chunk.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(until_ms).bind(site);
            for id in chunk {
                query = query.bind(*id);
            }
            for row in query.fetch_all(&self.read).await? {
                newest.insert(row.try_get("table_id")?, version(&row)?);
            }
        }
        Ok(newest)
    }
}
