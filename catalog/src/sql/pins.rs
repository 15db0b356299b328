//! Pins: versions that are kept readable, by name.

use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::any::AnyRow;
use table_sync_core::Position;

use super::inventory::check_revision;
use super::tables::{lock, position};
use super::{Catalog, decode, next};
use crate::{CatalogError, Pin, Result, TableId, TableName};

impl Catalog {
    /// Keeps a version readable, by name; the same name is moved. `expect`: the revision of the
    /// table that is meant.
    ///
    /// # Errors
    /// No such table, or not in this revision; no site has published the position.
    pub async fn pin(&self, name: &TableName, pin: &Pin, expect: Option<i64>) -> Result<()> {
        let mut tx = self.begin().await?;
        let table = lock(&mut tx, name).await?;
        check_revision("table", &name.to_string(), table.revision + 1, expect)?;
        let position = pin.position.to_string();
        let sql = "SELECT 1 AS there FROM versions WHERE table_id = $1 AND position = $2";
        let there = sqlx::query(sql).bind(&table.id).bind(&position);
        if there.fetch_optional(&mut *tx).await?.is_none() {
            return Err(CatalogError::not_found("published version", position));
        }
        let sql = "INSERT INTO pins (table_id, name, position, created_ms) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (table_id, name) DO UPDATE SET position = excluded.position";
        sqlx::query(sql)
            .bind(&table.id)
            .bind(&pin.name)
            .bind(&position)
            .bind(pin.created_ms)
            .execute(&mut *tx)
            .await?;
        let wake = next(&mut tx, "wakes", 1).await?;
        let sql = "UPDATE tables SET wake = $1, revision = revision + 1 WHERE id = $2";
        sqlx::query(sql).bind(wake).bind(&table.id).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a pin away. `expect`: the revision of the table that is meant.
    ///
    /// # Errors
    /// There is none; the table is not in this revision.
    pub async fn unpin(&self, name: &TableName, pin: &str, expect: Option<i64>) -> Result<()> {
        let mut tx = self.begin().await?;
        let table = lock(&mut tx, name).await?;
        check_revision("table", &name.to_string(), table.revision + 1, expect)?;
        let sql = "DELETE FROM pins WHERE table_id = $1 AND name = $2";
        let done = sqlx::query(sql).bind(&table.id).bind(pin).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            return Err(CatalogError::not_found("pin", pin));
        }
        let sql = "UPDATE tables SET revision = revision + 1 WHERE id = $1";
        sqlx::query(sql).bind(&table.id).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The pins of a table, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn pins(&self, id: &str) -> Result<Vec<Pin>> {
        let sql = "SELECT * FROM pins WHERE table_id = $1 ORDER BY name";
        let rows = sqlx::query(sql).bind(id).fetch_all(&self.read).await?;
        let pin = |row: &AnyRow| -> Result<_> {
            Ok(Pin {
                name: row.try_get("name")?,
                position: position(row, "position")?.ok_or_else(|| decode("position", Gone))?,
                created_ms: row.try_get("created_ms")?,
            })
        };
        rows.iter().map(pin).collect()
    }

    /// The positions that a name pins in a namespace, by table.
    ///
    /// # Errors
    /// What the database says.
    pub async fn pinned(
        &self,
        project: &str,
        namespace: &str,
        pin: &str,
    ) -> Result<HashMap<TableId, Position>> {
        let sql = "SELECT p.table_id, p.position FROM pins p JOIN tables t ON t.id = p.table_id \
                   WHERE t.project = $1 AND t.namespace = $2 AND p.name = $3";
        let rows = sqlx::query(sql).bind(project).bind(namespace).bind(pin);
        let pair = |row: &AnyRow| -> Result<_> {
            let position = position(row, "position")?.ok_or_else(|| decode("position", Gone))?;
            Ok((row.try_get("table_id")?, position))
        };
        rows.fetch_all(&self.read).await?.iter().map(pair).collect()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no position")]
struct Gone;
