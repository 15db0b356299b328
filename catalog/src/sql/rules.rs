//! Discovery rules, and what they found.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::inventory::{check_revision, remove};
use super::{Catalog, json, to_json, word};
use crate::model::{FoundState, FoundTable, Rule};
use crate::{CatalogError, Millis, Result, RuleSpec, check_label};

impl Catalog {
    /// Makes a rule, or changes one that is there.
    ///
    /// # Errors
    /// A name that is none; a rule that makes no sense; a revision that is no longer there.
    pub async fn put_rule(
        &self,
        name: &str,
        spec: &RuleSpec,
        expect: Option<i64>,
        now_ms: Millis,
    ) -> Result<Rule> {
        check_label("rule", name)?;
        spec.check().map_err(CatalogError::Invalid)?;
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO rules (name, pattern, spec, revision, created_ms) \
                   VALUES ($1, $2, $3, 1, $4) ON CONFLICT (name) DO UPDATE SET \
                   pattern = excluded.pattern, spec = excluded.spec, last_run_ms = NULL, \
                   revision = rules.revision + 1 RETURNING *";
        let row = sqlx::query(sql)
            .bind(name)
            .bind(&spec.pattern)
            .bind(to_json(spec))
            .bind(now_ms)
            .fetch_one(&mut *tx)
            .await?;
        let written = rule(&row)?;
        check_revision("rule", name, written.revision, expect)?;
        tx.commit().await?;
        Ok(written)
    }

    /// All rules, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn rules(&self) -> Result<Vec<Rule>> {
        let rows = sqlx::query("SELECT * FROM rules ORDER BY name").fetch_all(&self.read).await?;
        rows.iter().map(rule).collect()
    }

    /// The rule of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn rule(&self, name: &str) -> Result<Option<Rule>> {
        self.named("rules", name).await?.as_ref().map(rule).transpose()
    }

    /// Removes a rule. Its tables stay. `expect`: the revision that is meant.
    ///
    /// # Errors
    /// There is none; a revision that is no longer there.
    pub async fn remove_rule(&self, name: &str, expect: Option<i64>) -> Result<()> {
        let mut tx = self.begin().await?;
        remove(&mut tx, ("rule", "rules"), name, expect, "tables").await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a rule's turn, so that one process looks: `false` where another one did since
    /// `before_ms`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take_rule(&self, name: &str, before_ms: Millis, now_ms: Millis) -> Result<bool> {
        let sql = "UPDATE rules SET last_run_ms = $1 WHERE name = $2 \
                   AND (last_run_ms IS NULL OR last_run_ms <= $3)";
        let done = sqlx::query(sql).bind(now_ms).bind(name).bind(before_ms);
        Ok(done.execute(&self.write).await?.rows_affected() == 1)
    }

    /// Notes what a rule found in one look. What it had found before and did not now has
    /// vanished. `error`: why it could not look; then nothing vanishes.
    ///
    /// # Errors
    /// What the database says.
    pub async fn found(
        &self,
        rule: &str,
        found: &[FoundTable],
        error: Option<&str>,
        now_ms: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE rules SET last_error = $1 WHERE name = $2";
        sqlx::query(sql).bind(error).bind(rule).execute(&mut *tx).await?;
        let sql = "INSERT INTO found_tables (rule, source, table_name, state, message, seen_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (rule, source) DO UPDATE SET \
                   table_name = excluded.table_name, state = excluded.state, \
                   message = excluded.message, seen_ms = excluded.seen_ms";
        for one in found {
            sqlx::query(sql)
                .bind(rule)
                .bind(&one.source)
                .bind(&one.table)
                .bind(one.state.as_str())
                .bind(&one.message)
                .bind(now_ms)
                .execute(&mut *tx)
                .await?;
        }
        if error.is_none() {
            let sql = "UPDATE found_tables SET state = 'vanished' WHERE rule = $1 AND seen_ms < $2 \
                       AND state = 'registered'";
            sqlx::query(sql).bind(rule).bind(now_ms).execute(&mut *tx).await?;
            let sql = "DELETE FROM found_tables WHERE rule = $1 AND seen_ms < $2 \
                       AND state NOT IN ('registered', 'vanished')";
            sqlx::query(sql).bind(rule).bind(now_ms).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// What a rule found, by source. `after`: those behind this one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn found_tables(
        &self,
        rule: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FoundTable>> {
        let sql = format!(
            "SELECT * FROM found_tables WHERE rule = $1 AND source > $2 \
             ORDER BY source LIMIT {limit}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(rule).bind(after.unwrap_or_default());
        let found = |row: &AnyRow| -> Result<_> {
            Ok(FoundTable {
                source: row.try_get("source")?,
                table: row.try_get("table_name")?,
                state: word(row, "state", FoundState::parse)?,
                message: row.try_get("message")?,
                seen_ms: row.try_get("seen_ms")?,
            })
        };
        query.fetch_all(&self.read).await?.iter().map(found).collect()
    }
}

fn rule(row: &AnyRow) -> Result<Rule> {
    Ok(Rule {
        name: row.try_get("name")?,
        spec: json(row, "spec")?,
        last_run_ms: row.try_get("last_run_ms")?,
        last_error: row.try_get("last_error")?,
        revision: row.try_get("revision")?,
        created_ms: row.try_get("created_ms")?,
    })
}
