//! Tokens, the audit, and answers that are remembered for requests that are sent again.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::{Catalog, word};
use crate::{AuditRecord, CatalogError, Millis, Result, Role, Token};

/// A token to be made. The secret is the caller's; only its digest is kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its name.
    pub name: String,
    /// SHA-256 of the secret, in hexadecimal.
    pub sha256: String,
    /// What it allows.
    pub role: Role,
    /// The only project that it is good for.
    pub project: Option<String>,
    /// When it ends.
    pub expires_ms: Millis,
}

/// What is remembered of a request with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// It is new; its answer is to be remembered.
    New,
    /// It is being carried out, or its process ended in the middle.
    Unfinished,
    /// Another request had this key.
    Other,
    /// Its answer: HTTP status and body.
    Answer(i64, String),
}

impl Catalog {
    /// A value that all processes of this catalog share. Where there is none yet, it is `fresh`
    /// from now on.
    ///
    /// # Errors
    /// What the database says.
    pub async fn setting(&self, name: &str, fresh: &str) -> Result<String> {
        let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET value = settings.value RETURNING value";
        let row = sqlx::query(sql).bind(name).bind(fresh).fetch_one(&self.write).await?;
        Ok(row.try_get("value")?)
    }

    /// Makes a token.
    ///
    /// # Errors
    /// What the database says.
    pub async fn add_token(&self, new: &NewToken, now_ms: Millis) -> Result<Token> {
        let sql = "INSERT INTO tokens (id, name, sha256, role, project, created_ms, expires_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *";
        let row = sqlx::query(sql)
            .bind(Uuid::now_v7().to_string())
            .bind(&new.name)
            .bind(&new.sha256)
            .bind(new.role.as_str())
            .bind(&new.project)
            .bind(now_ms)
            .bind(new.expires_ms)
            .fetch_one(&self.write)
            .await?;
        token(&row)
    }

    /// The token with this digest, unless it ended or was revoked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn token(&self, sha256: &str, now_ms: Millis) -> Result<Option<Token>> {
        let sql = "SELECT * FROM tokens WHERE sha256 = $1 AND expires_ms > $2 \
                   AND revoked_ms IS NULL";
        let query = sqlx::query(sql).bind(sha256).bind(now_ms);
        let row = query.fetch_optional(&self.read).await?;
        row.as_ref().map(token).transpose()
    }

    /// All tokens, the newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tokens(&self) -> Result<Vec<Token>> {
        let sql = "SELECT * FROM tokens ORDER BY id DESC";
        let rows = sqlx::query(sql).fetch_all(&self.read).await?;
        rows.iter().map(token).collect()
    }

    /// Ends a token now.
    ///
    /// # Errors
    /// There is none.
    pub async fn revoke_token(&self, id: &str, now_ms: Millis) -> Result<()> {
        let sql = "UPDATE tokens SET revoked_ms = COALESCE(revoked_ms, $1) WHERE id = $2";
        let done = sqlx::query(sql).bind(now_ms).bind(id).execute(&self.write).await?;
        match done.rows_affected() {
            0 => Err(CatalogError::not_found("token", id)),
            _ => Ok(()),
        }
    }

    /// Notes that something is about to be changed. Without this note nothing is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn attempt(&self, record: &AuditRecord) -> Result<String> {
        let id = Uuid::now_v7().to_string();
        let sql = "INSERT INTO audit (id, at_ms, request_id, actor, role, action, resource) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(sql)
            .bind(&id)
            .bind(record.at_ms)
            .bind(&record.request_id)
            .bind(&record.actor)
            .bind(&record.role)
            .bind(&record.action)
            .bind(&record.resource)
            .execute(&self.write)
            .await?;
        Ok(id)
    }

    /// Notes how an attempt ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn outcome(
        &self,
        id: &str,
        (outcome, status): (&str, i64),
        now_ms: Millis,
    ) -> Result<()> {
        let sql = "UPDATE audit SET outcome = $1, status = $2, ended_ms = $3 WHERE id = $4";
        sqlx::query(sql)
            .bind(outcome)
            .bind(status)
            .bind(now_ms)
            .bind(id)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// The audit, the newest first. `before`: what was attempted before this record.
    ///
    /// # Errors
    /// What the database says.
    pub async fn audit(&self, before: Option<&str>, limit: usize) -> Result<Vec<AuditRecord>> {
        let sql = format!(
            "SELECT * FROM audit WHERE ($1 = '' OR id < $1) ORDER BY id DESC LIMIT {limit}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(before.unwrap_or_default());
        let rows = query.fetch_all(&self.read).await?;
        let record = |row: &AnyRow| -> Result<_> {
            Ok(AuditRecord {
                id: row.try_get("id")?,
                at_ms: row.try_get("at_ms")?,
                request_id: row.try_get("request_id")?,
                actor: row.try_get("actor")?,
                role: row.try_get("role")?,
                action: row.try_get("action")?,
                resource: row.try_get("resource")?,
                outcome: row.try_get("outcome")?,
                status: row.try_get("status")?,
                ended_ms: row.try_get("ended_ms")?,
            })
        };
        rows.iter().map(record).collect()
    }

    /// Removes the oldest records of the audit from before this time, `limit` of them at most, so
    /// that nobody waits long: how many there were.
    ///
    /// # Errors
    /// What the database says.
    pub async fn expire_audit(&self, before_ms: Millis, limit: u64) -> Result<u64> {
        let sql = format!(
            "DELETE FROM audit WHERE id IN \
             (SELECT id FROM audit WHERE at_ms < $1 ORDER BY at_ms, id LIMIT {limit})"
        );
        let done = sqlx::query(AssertSqlSafe(sql)).bind(before_ms).execute(&self.write).await?;
        Ok(done.rows_affected())
    }

    /// Takes an idempotency key for a request, or tells what became of the request that has it.
    /// Keys from before `expired_ms` are forgotten.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remember(
        &self,
        (actor, key, fingerprint): (&str, &str, &str),
        expired_ms: Millis,
        now_ms: Millis,
    ) -> Result<Remembered> {
        let mut tx = self.begin().await?;
        let sql = "DELETE FROM idempotency WHERE created_ms < $1";
        sqlx::query(sql).bind(expired_ms).execute(&mut *tx).await?;
        let sql = "INSERT INTO idempotency (actor, key, fingerprint, created_ms) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (actor, key) DO NOTHING";
        let done = sqlx::query(sql).bind(actor).bind(key).bind(fingerprint).bind(now_ms);
        if done.execute(&mut *tx).await?.rows_affected() == 1 {
            tx.commit().await?;
            return Ok(Remembered::New);
        }
        let sql = "SELECT * FROM idempotency WHERE actor = $1 AND key = $2";
        let row = sqlx::query(sql).bind(actor).bind(key).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        if row.try_get::<String, _>("fingerprint")? != fingerprint {
            return Ok(Remembered::Other);
        }
        let answer: (Option<i64>, Option<String>) = (row.try_get("status")?, row.try_get("body")?);
        Ok(match answer {
            (Some(status), Some(body)) => Remembered::Answer(status, body),
            _ => Remembered::Unfinished,
        })
    }

    /// Keeps the answer of a request, or, with `None`, lets it be sent again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn answered(
        &self,
        (actor, key): (&str, &str),
        answer: Option<(i64, &str)>,
    ) -> Result<()> {
        let query = match answer {
            Some((status, body)) => {
                let sql = "UPDATE idempotency SET status = $3, body = $4 \
                           WHERE actor = $1 AND key = $2";
                sqlx::query(sql).bind(actor).bind(key).bind(status).bind(body)
            }
            None => {
                let sql = "DELETE FROM idempotency WHERE actor = $1 AND key = $2";
                sqlx::query(sql).bind(actor).bind(key)
            }
        };
        query.execute(&self.write).await?;
        Ok(())
    }
}

fn token(row: &AnyRow) -> Result<Token> {
    Ok(Token {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: word(row, "role", Role::parse)?,
        project: row.try_get("project")?,
        created_ms: row.try_get("created_ms")?,
        expires_ms: row.try_get("expires_ms")?,
        revoked_ms: row.try_get("revoked_ms")?,
    })
}
