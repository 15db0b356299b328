//! Operations: actions that take longer than a request.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::{Catalog, json, next, to_json, word};
use crate::transition::OperationState;
use crate::{CatalogError, Millis, Operation, OperationKind, Result, TableId};

/// An operation to be begun.
#[derive(Debug, Clone)]
pub struct NewOperation {
    /// What it does.
    pub kind: OperationKind,
    /// The table's id, where it is about one.
    pub table_id: Option<TableId>,
    /// The name of what it is about.
    pub resource: String,
    /// What is asked for.
    pub request: serde_json::Value,
    /// Who asks.
    pub actor: String,
}

impl Catalog {
    /// Begins an operation; the table's owner is woken. One of the same kind that has not begun
    /// on the same table is answered instead.
    ///
    /// # Errors
    /// What the database says.
    pub async fn begin_operation(&self, new: &NewOperation, now_ms: Millis) -> Result<Operation> {
        let mut tx = self.begin().await?;
        let sql = "SELECT * FROM operations WHERE kind = $1 AND resource = $2 AND request = $3 \
                   AND state = 'pending'";
        let request = to_json(&new.request);
        let same = sqlx::query(sql)
            .bind(new.kind.as_str())
            .bind(&new.resource)
            .bind(&request)
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(row) = same {
            return operation(&row);
        }
        let sql = "INSERT INTO operations (id, kind, table_id, resource, state, request, progress, \
                   actor, cancel, created_ms, updated_ms) \
                   VALUES ($1, $2, $3, $4, 'pending', $5, '{}', $6, 0, $7, $7) RETURNING *";
        let row = sqlx::query(sql)
            .bind(Uuid::now_v7().to_string())
            .bind(new.kind.as_str())
            .bind(&new.table_id)
            .bind(&new.resource)
            .bind(&request)
            .bind(&new.actor)
            .bind(now_ms)
            .fetch_one(&mut *tx)
            .await?;
        if let Some(id) = &new.table_id {
            let wake = next(&mut tx, "wakes", 1).await?;
            let sql = "UPDATE tables SET wake = $1 WHERE id = $2";
            sqlx::query(sql).bind(wake).bind(id).execute(&mut *tx).await?;
        }
        let begun = operation(&row)?;
        tx.commit().await?;
        Ok(begun)
    }

    /// One operation.
    ///
    /// # Errors
    /// There is none.
    pub async fn operation(&self, id: &str) -> Result<Operation> {
        let sql = "SELECT * FROM operations WHERE id = $1";
        let row = sqlx::query(sql).bind(id).fetch_optional(&self.read).await?;
        operation(&row.ok_or_else(|| CatalogError::not_found("operation", id))?)
    }

    /// Operations, the newest first. `before`: those that were begun before this one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn operations(&self, before: Option<&str>, limit: usize) -> Result<Vec<Operation>> {
        let sql = format!(
            "SELECT * FROM operations WHERE ($1 = '' OR id < $1) ORDER BY id DESC LIMIT {limit}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(before.unwrap_or_default());
        query.fetch_all(&self.read).await?.iter().map(operation).collect()
    }

    /// Operations of a table that have not ended, the oldest first; `None` = of no table.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_operations(&self, table: Option<&str>) -> Result<Vec<Operation>> {
        let sql = "SELECT * FROM operations WHERE state IN ('pending', 'running') \
                   AND COALESCE(table_id, '') = $1 ORDER BY id";
        let query = sqlx::query(sql).bind(table.unwrap_or_default());
        query.fetch_all(&self.read).await?.iter().map(operation).collect()
    }

    /// Moves an operation on. `false` where it may not: it ended meanwhile.
    ///
    /// # Errors
    /// There is none.
    pub async fn advance(
        &self,
        id: &str,
        state: OperationState,
        (progress, error): (Option<&serde_json::Value>, Option<&str>),
        now_ms: Millis,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE operations SET updated_ms = updated_ms WHERE id = $1 RETURNING *";
        let row = sqlx::query(sql).bind(id).fetch_optional(&mut *tx).await?;
        let found = operation(&row.ok_or_else(|| CatalogError::not_found("operation", id))?)?;
        if !found.state.may_become(state) {
            return Ok(false);
        }
        let sql = "UPDATE operations SET state = $1, progress = COALESCE($2, progress), \
                   error = COALESCE($3, error), updated_ms = $4 WHERE id = $5";
        sqlx::query(sql)
            .bind(state.as_str())
            .bind(progress.map(to_json))
            .bind(error)
            .bind(now_ms)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Asks for an operation to be cancelled. One that nobody works on yet ends at once.
    ///
    /// # Errors
    /// There is none.
    pub async fn cancel(&self, id: &str, now_ms: Millis) -> Result<Operation> {
        let sql = "UPDATE operations SET cancel = 1, updated_ms = $1, \
                   state = CASE WHEN state = 'pending' THEN 'cancelled' ELSE state END \
                   WHERE id = $2 AND state IN ('pending', 'running')";
        sqlx::query(sql).bind(now_ms).bind(id).execute(&self.write).await?;
        self.operation(id).await
    }
}

fn operation(row: &AnyRow) -> Result<Operation> {
    Ok(Operation {
        id: row.try_get("id")?,
        kind: word(row, "kind", OperationKind::parse)?,
        table_id: row.try_get("table_id")?,
        resource: row.try_get("resource")?,
        state: word(row, "state", OperationState::parse)?,
        request: json(row, "request")?,
        progress: json(row, "progress")?,
        error: row.try_get("error")?,
        actor: row.try_get("actor")?,
        cancel: row.try_get::<i64, _>("cancel")? == 1,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
    })
}
