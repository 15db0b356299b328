//! Registered tables and their replicas.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::events::{Subject, insert_event};
use super::inventory::{check_places, check_revision, put_namespace};
use super::{Catalog, decode, json, next, placeholders, refused, signed, to_json, unsigned, word};
use crate::model::{Progress, Replica, Serving, Table};
use crate::status::Condition;
use crate::transition::{Desired, Wish, desire};
use crate::{CatalogError, Millis, NewEvent, Policy, Result, Site, TableId, TableName};

/// A table to be registered.
#[derive(Debug, Clone)]
pub struct NewTable {
    /// Its name. Project and namespace: the namespace is made where it is missing.
    pub name: TableName,
    /// Where it is: a URL, or `STORE:path`.
    pub source: String,
    /// How it is to be kept in step.
    pub policy: Policy,
    /// Names of the sites that publish it.
    pub sites: Vec<String>,
    /// The discovery rule that found it.
    pub rule: Option<String>,
    /// To be left alone at first.
    pub paused: bool,
}

/// Which tables are wanted. What is left out does not matter.
#[derive(Debug, Clone, Default)]
pub struct TableFilter {
    /// Of this project.
    pub project: Option<String>,
    /// Of this namespace.
    pub namespace: Option<String>,
    /// Published at this site.
    pub site: Option<String>,
    /// Of this discovery rule.
    pub rule: Option<String>,
    /// Those after this one, by name.
    pub after: Option<TableName>,
}

/// A table's columns, and whether its owner is alive.
const TABLE: &str = "SELECT t.*, CASE WHEN n.expires_ms > {now} THEN 1 ELSE 0 END AS owned \
                     FROM tables t LEFT JOIN nodes n ON n.id = t.lease_node";

/// Tables whose replicas are read with one statement.
pub(super) const BATCH: usize = 500;

impl Site {
    /// Where a folder of this site is: a URL, or `STORE:path`.
    pub fn place(&self, folder: &str) -> String {
        match self.url.ends_with([':', '/']) {
            true => format!("{}{folder}", self.url),
            false => format!("{}/{folder}", self.url),
        }
    }
}

impl Catalog {
    pub(super) fn table_sql(&self) -> String {
        TABLE.replace("{now}", self.dialect.now_ms())
    }

    /// Registers a table.
    ///
    /// # Errors
    /// There is one of this name; no such project or site; a store that the project may not use;
    /// another table is published at one of its locations.
    pub async fn register(&self, new: &NewTable, now_ms: Millis) -> Result<Table> {
        new.policy.check().map_err(CatalogError::Invalid)?;
        if new.sites.is_empty() {
            return Err(CatalogError::Invalid("sites: name one at least".to_owned()));
        }
        let mut tx = self.begin().await?;
        put_namespace(&mut tx, new.name.project(), new.name.namespace(), now_ms).await?;
        let places = new.policy.places(&new.source);
        check_places(&mut tx, new.name.project(), &places, &new.sites).await?;
        let id = Uuid::now_v7().to_string();
        let wake = next(&mut tx, "wakes", 1).await?;
        let desired = if new.paused { Desired::Paused } else { Desired::Active };
        let sql = "INSERT INTO tables (id, project, namespace, name, source, policy, priority, \
                   consistency_group, desired, rule, wake, epoch, revision, created_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 1, $12)";
        let done = sqlx::query(sql)
            .bind(&id)
            .bind(new.name.project())
            .bind(new.name.namespace())
            .bind(new.name.table())
            .bind(&new.source)
            .bind(to_json(&new.policy))
            .bind(new.policy.priority.as_str())
            .bind(&new.policy.group)
            .bind(desired.as_str())
            .bind(&new.rule)
            .bind(wake)
            .bind(now_ms)
            .execute(&mut *tx)
            .await;
        let exists = || CatalogError::exists("table", &new.name);
        done.map_err(|error| refused(error, exists(), exists()))?;
        for site in &new.sites {
            insert_replica(&mut tx, (&id, &new.name), site, 1, now_ms).await?;
        }
        let body = serde_json::json!({ "source": new.source, "sites": new.sites });
        let event = NewEvent { kind: "table.registered", body };
        let subject = Subject::of_table(&new.name, None);
        insert_event(&mut tx, &subject, &event, now_ms).await?;
        tx.commit().await?;
        self.table(&new.name).await
    }

    /// One table, by its name.
    ///
    /// # Errors
    /// There is none.
    pub async fn table(&self, name: &TableName) -> Result<Table> {
        let by = "WHERE t.project = $1 AND t.namespace = $2 AND t.name = $3";
        let sql = format!("{} {by}", self.table_sql());
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(name.project())
            .bind(name.namespace())
            .bind(name.table())
            .fetch_optional(&self.read)
            .await?;
        let row = row.ok_or_else(|| CatalogError::not_found("table", name))?;
        self.with_replicas(vec![table(&row)?], None)
            .await?
            .pop()
            .ok_or_else(|| CatalogError::not_found("table", name))
    }

    /// One table, by its id.
    ///
    /// # Errors
    /// There is none.
    pub async fn table_by_id(&self, id: &str) -> Result<Table> {
        let sql = format!("{} WHERE t.id = $1", self.table_sql());
        let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(&self.read).await?;
        let row = row.ok_or_else(|| CatalogError::not_found("table", id))?;
        self.with_replicas(vec![table(&row)?], None)
            .await?
            .pop()
            .ok_or_else(|| CatalogError::not_found("table", id))
    }

    /// Tables by name, at most `limit` of them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tables(&self, filter: &TableFilter, limit: usize) -> Result<Vec<Table>> {
        let mut sql = self.table_sql();
        let mut values: Vec<&str> = Vec::new();
        let also = |sql: &mut String, text: &str| {
            sql.push_str(if sql.contains(" WHERE ") { " AND " } else { " WHERE " });
            sql.push_str(text);
        };
        for (column, value) in [
            ("t.project", &filter.project),
            ("t.namespace", &filter.namespace),
            ("t.rule", &filter.rule),
        ] {
            let Some(value) = value else { continue };
            values.push(value);
            also(&mut sql, &format!("{column} = ${}", values.len()));
        }
        if let Some(site) = &filter.site {
            values.push(site);
            let at = values.len();
            let text = format!(
                "EXISTS (SELECT 1 FROM replicas r WHERE r.table_id = t.id AND r.site = ${at})"
            );
            also(&mut sql, &text);
        }
        if let Some(after) = &filter.after {
            let at = values.len() + 1;
            values.extend([after.project(), after.namespace(), after.table()]);
            let text = format!("(t.project, t.namespace, t.name) > ({})", placeholders(at, 3));
            also(&mut sql, &text);
        }
        sql.push_str(&format!(" ORDER BY t.project, t.namespace, t.name LIMIT {limit}"));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in values {
            query = query.bind(value);
        }
        let rows = query.fetch_all(&self.read).await?;
        let tables = rows.iter().map(table).collect::<Result<_>>()?;
        self.with_replicas(tables, filter.site.as_deref()).await
    }

    /// Tables by their ids; those that are gone are left out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tables_by_id(&self, ids: &[&str]) -> Result<Vec<Table>> {
        let mut tables = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(BATCH) {
            let names = placeholders(1, chunk.len());
            let sql = format!("{} WHERE t.id IN ({names})", self.table_sql());
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for id in chunk {
                query = query.bind(*id);
            }
            for row in query.fetch_all(&self.read).await? {
                tables.push(table(&row)?);
            }
        }
        self.with_replicas(tables, None).await
    }

    /// Where all tables are: their ids, projects and sources.
    ///
    /// # Errors
    /// What the database says.
    pub async fn sources(&self) -> Result<Vec<(TableId, String, String)>> {
        let rows = sqlx::query("SELECT id, project, source FROM tables");
        let place = |row: &AnyRow| -> Result<_> {
            Ok((row.try_get("id")?, row.try_get("project")?, row.try_get("source")?))
        };
        rows.fetch_all(&self.read).await?.iter().map(place).collect()
    }

    pub(super) async fn with_replicas(
        &self,
        mut tables: Vec<Table>,
        site: Option<&str>,
    ) -> Result<Vec<Table>> {
        for chunk in tables.chunks_mut(BATCH) {
            let names = placeholders(1, chunk.len());
            let sql = format!("SELECT * FROM replicas WHERE table_id IN ({names}) ORDER BY site");
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for table in chunk.iter() {
                query = query.bind(table.id.clone());
            }
            let rows = query.fetch_all(&self.read).await?;
            let mut of: std::collections::HashMap<String, Vec<Replica>> = Default::default();
            for row in &rows {
                of.entry(row.try_get("table_id")?).or_default().push(replica(row)?);
            }
            for table in chunk {
                table.replicas = of.remove(&table.id).unwrap_or_default();
                table.replicas.retain(|replica| site.is_none_or(|site| replica.site == site));
                // Nodes keep thousands of tables, most of them with one replica or two.
                table.replicas.shrink_to_fit();
            }
        }
        Ok(tables)
    }

    /// Changes a table's policy.
    ///
    /// # Errors
    /// There is none; a revision that is no longer there; a policy that makes no sense, or names a
    /// store that the project may not use.
    pub async fn set_policy(
        &self,
        name: &TableName,
        policy: &Policy,
        expect: Option<i64>,
        now_ms: Millis,
    ) -> Result<Table> {
        policy.check().map_err(CatalogError::Invalid)?;
        let mut tx = self.begin().await?;
        let table = lock(&mut tx, name).await?;
        check_revision("table", &name.to_string(), table.revision + 1, expect)?;
        let roots: Vec<_> = policy.alias_roots.iter().map(String::as_str).collect();
        check_places(&mut tx, name.project(), &roots, &[]).await?;
        let wake = next(&mut tx, "wakes", 1).await?;
        let sql = "UPDATE tables SET policy = $1, priority = $2, consistency_group = $3, \
                   wake = $4, revision = revision + 1 WHERE id = $5";
        sqlx::query(sql)
            .bind(to_json(policy))
            .bind(policy.priority.as_str())
            .bind(&policy.group)
            .bind(wake)
            .bind(&table.id)
            .execute(&mut *tx)
            .await?;
        let body = serde_json::to_value(policy).unwrap_or_default();
        let event = NewEvent { kind: "table.policy_changed", body };
        insert_event(&mut tx, &Subject::of_table(name, None), &event, now_ms).await?;
        tx.commit().await?;
        self.table(name).await
    }

    /// Pauses, resumes, or begins to forget a table.
    ///
    /// # Errors
    /// There is none; a revision that is no longer there; not in its state.
    pub async fn wish(
        &self,
        name: &TableName,
        wish: Wish,
        expect: Option<i64>,
        now_ms: Millis,
    ) -> Result<Table> {
        let mut tx = self.begin().await?;
        let table = lock(&mut tx, name).await?;
        check_revision("table", &name.to_string(), table.revision + 1, expect)?;
        let desired = desire(table.desired, wish)?;
        if desired != table.desired {
            let wake = next(&mut tx, "wakes", 1).await?;
            let sql = "UPDATE tables SET desired = $1, wake = $2, revision = revision + 1 \
                       WHERE id = $3";
            let query = sqlx::query(sql).bind(desired.as_str()).bind(wake).bind(&table.id);
            query.execute(&mut *tx).await?;
            let kind = match wish {
                Wish::Pause => "table.paused",
                Wish::Resume => "table.resumed",
                Wish::Unregister => "table.unregistering",
            };
            let event = NewEvent { kind, body: serde_json::json!({}) };
            insert_event(&mut tx, &Subject::of_table(name, None), &event, now_ms).await?;
        }
        tx.commit().await?;
        self.table(name).await
    }

    /// Lets the owners of these tables look at them now: a hint, or a wish of a person.
    ///
    /// # Errors
    /// What the database says.
    pub async fn wake(&self, ids: &[TableId]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let wake = next(&mut tx, "wakes", 1).await?;
        for chunk in ids.chunks(BATCH) {
            let sql = format!(
                "UPDATE tables SET wake = $1 WHERE id IN ({})",
                placeholders(2, chunk.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(wake);
            for id in chunk {
                query = query.bind(id);
            }
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Where a table stands, read within a transaction that will change it.
pub(super) struct Locked {
    pub(super) id: TableId,
    pub(super) desired: Desired,
    pub(super) revision: i64,
}

pub(super) async fn lock(connection: &mut AnyConnection, name: &TableName) -> Result<Locked> {
    // The row is written, so that two changes of one table follow each other.
    let sql = "UPDATE tables SET revision = revision WHERE project = $1 AND namespace = $2 \
               AND name = $3 RETURNING id, desired, revision";
    let row = sqlx::query(sql)
        .bind(name.project())
        .bind(name.namespace())
        .bind(name.table())
        .fetch_optional(connection)
        .await?;
    let row = row.ok_or_else(|| CatalogError::not_found("table", name))?;
    Ok(Locked {
        id: row.try_get("id")?,
        desired: word(&row, "desired", Desired::parse)?,
        revision: row.try_get("revision")?,
    })
}

/// Adds a replica. Its location is never one that was used before.
pub(super) async fn insert_replica(
    connection: &mut AnyConnection,
    (id, name): (&str, &TableName),
    site: &str,
    mut incarnation: u32,
    now_ms: Millis,
) -> Result<String> {
    let site = self::site(connection, site).await?;
    let location = loop {
        let location = site.place(&name.folder(incarnation));
        let sql = "SELECT 1 AS there FROM former_locations WHERE location = $1";
        let former = sqlx::query(sql).bind(&location).fetch_optional(&mut *connection).await?;
        if former.is_none() {
            break location;
        }
        incarnation += 1;
    };
    let sql = "INSERT INTO replicas (table_id, site, location, incarnation, epoch, condition, \
               condition_since_ms, revision) VALUES ($1, $2, $3, $4, 0, 'new', $5, 1)";
    let done = sqlx::query(sql)
        .bind(id)
        .bind(&site.name)
        .bind(&location)
        .bind(i64::from(incarnation))
        .bind(now_ms)
        .execute(connection)
        .await;
    let exists = || CatalogError::exists("replica at", &location);
    done.map_err(|error| refused(error, exists(), exists()))?;
    Ok(location)
}

/// A site, as far as replicas need to know it.
pub(super) async fn site(connection: &mut AnyConnection, name: &str) -> Result<Site> {
    let row = sqlx::query("SELECT * FROM sites WHERE name = $1").bind(name);
    let row = row.fetch_optional(connection).await?;
    let row = row.ok_or_else(|| CatalogError::not_found("site", name))?;
    let url: String = row.try_get("url")?;
    let region = row.try_get("region")?;
    Ok(Site { name: name.to_owned(), url, region, revision: 0, created_ms: 0 })
}

pub(super) fn table(row: &AnyRow) -> Result<Table> {
    let [project, namespace, name]: [String; 3] =
        [row.try_get("project")?, row.try_get("namespace")?, row.try_get("name")?];
    Ok(Table {
        id: row.try_get("id")?,
        name: TableName::new(&project, &namespace, &name)?,
        source: row.try_get("source")?,
        format: row.try_get("format")?,
        policy: json(row, "policy")?,
        desired: word(row, "desired", Desired::parse)?,
        rule: row.try_get("rule")?,
        lease_node: row.try_get("lease_node")?,
        owned: row.try_get::<i64, _>("owned")? == 1,
        epoch: unsigned(row.try_get("epoch")?),
        revision: row.try_get("revision")?,
        created_ms: row.try_get("created_ms")?,
        replicas: Vec::new(),
    })
}

pub(super) fn replica(row: &AnyRow) -> Result<Replica> {
    let incarnation: i64 = row.try_get("incarnation")?;
    Ok(Replica {
        site: row.try_get("site")?,
        location: row.try_get("location")?,
        incarnation: u32::try_from(incarnation).unwrap_or(u32::MAX),
        progress: Progress {
            condition: word(row, "condition", Condition::parse)?,
            reason_code: row.try_get("reason_code")?,
            reason: row.try_get("reason")?,
            reason_position: row.try_get("reason_position")?,
            since_ms: row.try_get("condition_since_ms")?,
            source_head: position(row, "source_head")?,
            source_head_ms: row.try_get("source_head_ms")?,
            checked_ms: row.try_get("checked_ms")?,
            listed_ms: row.try_get("listed_ms")?,
            head: position(row, "head")?,
            head_committed_ms: row.try_get("head_committed_ms")?,
            published_ms: row.try_get("published_ms")?,
            earliest_readable: position(row, "earliest_readable")?,
            pending_versions: row.try_get("pending_versions")?,
            pending_bytes: row.try_get("pending_bytes")?,
            oldest_pending_ms: row.try_get("oldest_pending_ms")?,
            moved_ms: row.try_get("moved_ms")?,
            deadline_ms: row.try_get("deadline_ms")?,
        },
        serving: serving(row)?,
        revision: row.try_get("revision")?,
    })
}

pub(super) fn serving(row: &AnyRow) -> Result<Option<Serving>> {
    let text: Option<String> = row.try_get("serving")?;
    let parse = |text: &str| serde_json::from_str(text).map_err(|error| decode("serving", error));
    text.as_deref().map(parse).transpose()
}

pub(super) fn position(row: &AnyRow, column: &str) -> Result<Option<table_sync_core::Position>> {
    let text: Option<String> = row.try_get(column)?;
    let Some(text) = text else { return Ok(None) };
    let parsed = table_sync_core::Position::parse(&text);
    parsed.map(Some).ok_or_else(|| decode(column, super::Unknown(text)))
}

/// Epochs beyond what the database can hold do not occur.
pub(super) fn epoch(value: u64) -> i64 {
    signed(value)
}
