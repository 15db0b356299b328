//! Where replicas are: begun anew at another place, found again, and left behind.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use table_sync_core::Position;
use uuid::Uuid;

use super::events::{Subject, insert_event};
use super::inventory::put_namespace;
use super::tables::{insert_replica, lock, replica, site};
use super::{Catalog, next, signed, to_json};
use crate::transition::Desired;
use crate::{
    CatalogError, Millis, NewEvent, Policy, Replica, Result, Serving, Table, TableId, TableName,
};

/// What a site's descriptors say of a table: of the replica that was begun last.
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
    pub head: Option<Position>,
    /// Replicas that were begun before, and are still there.
    pub former: Vec<Former>,
}

/// A replica whose place another one takes, or took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// How often it was begun anew.
    pub incarnation: u32,
    /// Its head.
    pub head: Option<Position>,
}

impl Catalog {
    /// Registers again what a site holds, after the catalog was lost: the table, paused, where it
    /// is not registered; its replica there; and an epoch above the one that the replica has seen.
    /// As long as a replica has no head, readers are shown the newest that was begun before and has
    /// one. Former replicas stay where they are. `true` where something was missing.
    ///
    /// # Errors
    /// No such site or project; the table is registered with another source.
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
            if replica(&row)?.incarnation >= held.incarnation {
                tx.commit().await?;
                return Ok(false);
            }
            // The catalog is older than what the site holds.
            delete_replica(&mut tx, (&table, &held.site)).await?;
        }
        let place = (table.as_str(), &held.name);
        insert_replica(&mut tx, place, &held.site, held.incarnation, now_ms).await?;
        let serving = note_former(&mut tx, held, now_ms).await?;
        let sql = "UPDATE replicas SET head = $1, serving = $2 WHERE table_id = $3 AND site = $4";
        sqlx::query(sql)
            .bind(held.head.map(|head| head.to_string()))
            .bind(serving.as_ref().map(to_json))
            .bind(&table)
            .bind(&held.site)
            .execute(&mut *tx)
            .await?;
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

    /// Gives a replica a new location, where it is begun anew. Readers are shown the old one until
    /// the new one holds all that the source has; from then on it stays for `keep_ms`, so that
    /// queries which run there end. `None` = for good.
    ///
    /// # Errors
    /// There is none, or somebody else was faster.
    pub async fn new_incarnation(
        &self,
        name: &TableName,
        site: &str,
        (from, keep_ms): (u32, Option<Millis>),
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
        delete_replica(&mut tx, (&table.id, site)).await?;
        let served = old.served();
        let serving = served.head.is_some().then_some(Serving { keep_ms, ..served });
        let is_served = serving.as_ref().is_some_and(|one| one.location == old.location);
        let after = keep_ms.filter(|_| !is_served).map(|keep_ms| now_ms + keep_ms);
        leave(&mut tx, (name, site, &old.location), after, now_ms).await?;
        let location = insert_replica(&mut tx, (&table.id, name), site, from + 1, now_ms).await?;
        let sql = "UPDATE replicas SET serving = $1 WHERE table_id = $2 AND site = $3";
        let serving = serving.as_ref().map(to_json);
        sqlx::query(sql).bind(serving).bind(&table.id).bind(site).execute(&mut *tx).await?;
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
                for location in old.locations() {
                    let place = (name, old.site.as_str(), location);
                    leave(&mut tx, place, delete_after_ms, now_ms).await?;
                }
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

/// Shows readers a replica that is whole, in place of the one that it was begun for.
pub(super) async fn switch(
    connection: &mut AnyConnection,
    (name, table): (&TableName, &str),
    replica: &Replica,
    now_ms: Millis,
) -> Result<()> {
    let Some(old) = &replica.serving else { return Ok(()) };
    let sql = "UPDATE replicas SET serving = NULL WHERE table_id = $1 AND site = $2";
    sqlx::query(sql).bind(table).bind(&replica.site).execute(&mut *connection).await?;
    let after = old.keep_ms.map(|keep_ms| now_ms + keep_ms);
    leave(connection, (name, &replica.site, &old.location), after, now_ms).await?;
    let body = serde_json::json!({
        "from": old.location,
        "to": replica.location,
        "delete_after_ms": after,
    });
    let event = NewEvent { kind: "replica.switched", body };
    insert_event(connection, &Subject::of_table(name, Some(&replica.site)), &event, now_ms).await?;
    Ok(())
}

async fn delete_replica(connection: &mut AnyConnection, (table, site): (&str, &str)) -> Result<()> {
    let sql = "DELETE FROM replicas WHERE table_id = $1 AND site = $2";
    sqlx::query(sql).bind(table).bind(site).execute(connection).await?;
    Ok(())
}

/// Notes that former replicas are there. What readers are shown of them, as long as the last one
/// has no head.
async fn note_former(
    connection: &mut AnyConnection,
    held: &Held,
    now_ms: Millis,
) -> Result<Option<Serving>> {
    let site = site(connection, &held.site).await?;
    let mut shown: Option<Serving> = None;
    for former in &held.former {
        let location = site.place(&held.name.folder(former.incarnation));
        leave(connection, (&held.name, &held.site, &location), None, now_ms).await?;
        let newer = shown.as_ref().is_none_or(|shown| shown.incarnation < former.incarnation);
        if former.head.is_some() && newer {
            shown = Some(Serving {
                location,
                incarnation: former.incarnation,
                head: former.head,
                head_committed_ms: None,
                published_ms: None,
                earliest_readable: None,
                keep_ms: None,
            });
        }
    }
    Ok(shown.filter(|_| held.head.is_none()))
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
