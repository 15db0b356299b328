//! Where replicas are: begun anew at another place, found again, and left behind.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use super::events::{Subject, insert_event};
use super::inventory::put_namespace;
use super::tables::{insert_replica, lock, replica};
use super::{Catalog, next, signed, to_json};
use crate::transition::Desired;
use crate::{CatalogError, Millis, NewEvent, Policy, Result, Table, TableId, TableName};

/// What a site's descriptor says of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The table.
    pub name: TableName,
    /// Where its source is.
    pub source: String,
    /// Its format.
    pub format: String,
    /// The site.
    pub site: String,
    /// How often it was begun anew there.
    pub incarnation: u32,
    /// The newest owner that it has seen.
    pub epoch: u64,
    /// Its head.
    pub head: Option<table_sync_core::Position>,
}

impl Catalog {
    /// Registers again what a site holds, after the catalog was lost: the table, paused, where it
    /// is not registered; its replica there; and an epoch above the one that the replica has seen.
    /// `true` where something was missing.
    ///
    /// # Errors
    /// No such site or project; the table is registered with another source, or its replica is at
    /// another place.
    pub async fn restore(&self, held: &Held, now_ms: Millis) -> Result<bool> {
        let mut tx = self.begin().await?;
        let table = match lock(&mut tx, &held.name).await {
            Ok(locked) => locked.id,
            Err(CatalogError::NotFound { .. }) => insert_restored(&mut tx, held, now_ms).await?,
            Err(error) => return Err(error),
        };
        let row = sqlx::query("SELECT source FROM tables WHERE id = $1").bind(&table);
        let source: String = row.fetch_one(&mut *tx).await?.try_get("source")?;
        if source != held.source {
            let message = format!("{} is registered with the source {source}", held.name);
            return Err(CatalogError::Invalid(message));
        }
        let sql = "UPDATE tables SET epoch = $1 WHERE id = $2 AND epoch < $1";
        sqlx::query(sql).bind(signed(held.epoch)).bind(&table).execute(&mut *tx).await?;
        let sql = "SELECT * FROM replicas WHERE table_id = $1 AND site = $2";
        let known = sqlx::query(sql).bind(&table).bind(&held.site);
        if let Some(row) = known.fetch_optional(&mut *tx).await? {
            let known = replica(&row)?;
            if known.incarnation != held.incarnation {
                let (name, site, number) = (&held.name, &held.site, known.incarnation);
                let message = format!("{name} is at {site} in its incarnation {number}");
                return Err(CatalogError::Invalid(message));
            }
            tx.commit().await?;
            return Ok(false);
        }
        let place = (table.as_str(), &held.name);
        insert_replica(&mut tx, place, &held.site, held.incarnation, now_ms).await?;
        let sql = "UPDATE replicas SET head = $1 WHERE table_id = $2 AND site = $3";
        let head = held.head.map(|head| head.to_string());
        sqlx::query(sql).bind(head).bind(&table).bind(&held.site).execute(&mut *tx).await?;
        let wake = next(&mut tx, "wakes", 1).await?;
        sqlx::query("UPDATE tables SET wake = $1 WHERE id = $2")
            .bind(wake)
            .bind(&table)
            .execute(&mut *tx)
            .await?;
        let body = serde_json::json!({ "source": held.source, "head": held.head });
        let event = NewEvent { kind: "replica.restored", body };
        let subject = Subject::of_table(&held.name, Some(&held.site));
        insert_event(&mut tx, &subject, &event, now_ms).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Gives a replica a new location, where it is begun anew; the old one stays for a while.
    ///
    /// # Errors
    /// There is none, or somebody else was faster.
    pub async fn new_incarnation(
        &self,
        name: &TableName,
        site: &str,
        (from, delete_after_ms): (u32, Option<Millis>),
        now_ms: Millis,
    ) -> Result<Table> {
        let mut tx = self.begin().await?;
        let table = lock(&mut tx, name).await?;
        let sql = "SELECT * FROM replicas WHERE table_id = $1 AND site = $2";
        let row = sqlx::query(sql).bind(&table.id).bind(site).fetch_optional(&mut *tx).await?;
        let row = row.ok_or_else(|| CatalogError::not_found("replica at site", site))?;
        let old = replica(&row)?;
        if old.incarnation != from {
            return Err(CatalogError::changed("table", name));
        }
        let sql = "DELETE FROM replicas WHERE table_id = $1 AND site = $2";
        sqlx::query(sql).bind(&table.id).bind(site).execute(&mut *tx).await?;
        leave(&mut tx, (name, site, &old.location), delete_after_ms, now_ms).await?;
        let location = insert_replica(&mut tx, (&table.id, name), site, from + 1, now_ms).await?;
        let wake = next(&mut tx, "wakes", 1).await?;
        let sql = "UPDATE tables SET wake = $1, revision = revision + 1 WHERE id = $2";
        sqlx::query(sql).bind(wake).bind(&table.id).execute(&mut *tx).await?;
        let body = serde_json::json!({ "from": old.location, "to": location });
        let event = NewEvent { kind: "replica.moved", body };
        insert_event(&mut tx, &Subject::of_table(name, Some(site)), &event, now_ms).await?;
        tx.commit().await?;
        self.table(name).await
    }

    /// Forgets a table whose owner has let go. With `delete_after_ms` its replicas are deleted
    /// then.
    ///
    /// # Errors
    /// There is none, or it is not being unregistered.
    pub async fn forget(
        &self,
        name: &TableName,
        delete_after_ms: Option<Millis>,
        now_ms: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let table = lock(&mut tx, name).await?;
        if table.desired != Desired::Unregistering {
            return Err(CatalogError::Invalid(format!("{name} is not being unregistered")));
        }
        if delete_after_ms.is_some() {
            let sql = "SELECT * FROM replicas WHERE table_id = $1";
            for row in sqlx::query(sql).bind(&table.id).fetch_all(&mut *tx).await? {
                let old = replica(&row)?;
                let place = (name, old.site.as_str(), old.location.as_str());
                leave(&mut tx, place, delete_after_ms, now_ms).await?;
            }
        }
        sqlx::query("DELETE FROM tables WHERE id = $1").bind(&table.id).execute(&mut *tx).await?;
        let body = serde_json::json!({ "replicas_deleted": delete_after_ms.is_some() });
        let event = NewEvent { kind: "table.unregistered", body };
        insert_event(&mut tx, &Subject::of_table(name, None), &event, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Locations whose time has come: `(location, site, table)`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn due_locations(&self, now_ms: Millis) -> Result<Vec<(String, String, String)>> {
        let sql = "SELECT * FROM former_locations WHERE delete_after_ms <= $1";
        let rows = sqlx::query(sql).bind(now_ms).fetch_all(&self.read).await?;
        let place = |row: &AnyRow| -> Result<_> {
            Ok((row.try_get("location")?, row.try_get("site")?, row.try_get("table_name")?))
        };
        rows.iter().map(place).collect()
    }

    /// Notes that nothing is left at a former location. It is never used again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn location_deleted(&self, location: &str) -> Result<()> {
        let sql = "UPDATE former_locations SET delete_after_ms = NULL WHERE location = $1";
        sqlx::query(sql).bind(location).execute(&self.write).await?;
        Ok(())
    }
}

async fn insert_restored(
    connection: &mut AnyConnection,
    held: &Held,
    now_ms: Millis,
) -> Result<TableId> {
    put_namespace(connection, held.name.project(), held.name.namespace(), now_ms).await?;
    let id = Uuid::now_v7().to_string();
    let policy = Policy::default();
    let sql = "INSERT INTO tables (id, project, namespace, name, source, format, policy, priority, \
               desired, wake, epoch, revision, created_ms) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'paused', 0, $9, 1, $10)";
    sqlx::query(sql)
        .bind(&id)
        .bind(held.name.project())
        .bind(held.name.namespace())
        .bind(held.name.table())
        .bind(&held.source)
        .bind(&held.format)
        .bind(to_json(&policy))
        .bind(policy.priority.as_str())
        .bind(signed(held.epoch))
        .bind(now_ms)
        .execute(connection)
        .await?;
    Ok(id)
}

async fn leave(
    connection: &mut AnyConnection,
    (name, site, location): (&TableName, &str, &str),
    delete_after_ms: Option<Millis>,
    now_ms: Millis,
) -> Result<()> {
    let sql = "INSERT INTO former_locations (location, table_name, site, delete_after_ms, left_ms) \
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (location) DO UPDATE SET \
               delete_after_ms = excluded.delete_after_ms";
    sqlx::query(sql)
        .bind(location)
        .bind(name.to_string())
        .bind(site)
        .bind(delete_after_ms)
        .bind(now_ms)
        .execute(connection)
        .await?;
    Ok(())
}
