//! Progress: what owners report, and the versions that were published.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use table_sync_core::{ChainHash, Sha256Digest};

use super::events::{Subject, insert_event};
use super::places::switch;
use super::tables::{BATCH, epoch, position, replica};
use super::{Catalog, decode, placeholders};
use crate::status::Condition;
use crate::{Millis, NewEvent, Progress, Report, Result, Table, TableId, TableName, Version};

impl Catalog {
    /// Takes the reports of owners, all in one transaction. Answers for each whether it was taken:
    /// not where a later owner reported before, the replica was begun anew, or is gone.
    ///
    /// # Errors
    /// What the database says; then none was taken.
    pub async fn record(&self, reports: &[Report], now_ms: Millis) -> Result<Vec<bool>> {
        let mut tx = self.begin().await?;
        let mut taken = Vec::with_capacity(reports.len());
        for report in reports {
            taken.push(record(&mut tx, report, now_ms).await?);
        }
        tx.commit().await?;
        Ok(taken)
    }

    /// Notes that the sources of these tables were looked at and had nothing new. `listed_ms`: when
    /// the first of these looks began; `None` = it is only known that the sources answer.
    ///
    /// # Errors
    /// What the database says.
    pub async fn checked(
        &self,
        tables: &[TableId],
        listed_ms: Option<Millis>,
        at_ms: Millis,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        for chunk in tables.chunks(500) {
            // A pass that began later may have been told before.
            let sql = format!(
                "UPDATE replicas SET checked_ms = $1, listed_ms = CASE \
                 WHEN listed_ms IS NULL OR listed_ms < $2 THEN $2 ELSE listed_ms END \
                 WHERE table_id IN ({})",
                placeholders(3, chunk.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(at_ms).bind(listed_ms);
            for id in chunk {
                query = query.bind(id);
            }
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Published versions of a replica, the newest first. `before`: those that were published
    /// before this ordinal.
    ///
    /// # Errors
    /// What the database says.
    pub async fn versions(
        &self,
        (table, site): (&str, &str),
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Version>> {
        let sql = format!(
            "SELECT v.* FROM versions v JOIN replicas r ON r.table_id = v.table_id \
             AND r.site = v.site AND r.incarnation = v.incarnation \
             WHERE v.table_id = $1 AND v.site = $2 AND v.ordinal < $3 \
             ORDER BY v.ordinal DESC LIMIT {limit}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(table)
            .bind(site)
            .bind(before.unwrap_or(i64::MAX))
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(version).collect()
    }

    /// One version as each site published it: `(site, receipt)`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn version(&self, table: &str, at: &str) -> Result<Vec<(String, Version)>> {
        let sql = "SELECT v.* FROM versions v JOIN replicas r ON r.table_id = v.table_id \
                   AND r.site = v.site AND r.incarnation = v.incarnation \
                   WHERE v.table_id = $1 AND v.position = $2 ORDER BY v.site";
        let rows = sqlx::query(sql).bind(table).bind(at).fetch_all(&self.read).await?;
        rows.iter().map(|row| Ok((row.try_get("site")?, version(row)?))).collect()
    }

    /// Keeps the digest of a version's live files with its receipt.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_live_digest(
        &self,
        (table, site): (&str, &str),
        at: &str,
        digest: &str,
    ) -> Result<()> {
        let sql = "UPDATE versions SET live_digest = $1 WHERE table_id = $2 AND site = $3 \
                   AND position = $4 AND incarnation = (SELECT r.incarnation FROM replicas r \
                   WHERE r.table_id = $2 AND r.site = $3)";
        let query = sqlx::query(sql).bind(digest).bind(table).bind(site).bind(at);
        query.execute(&self.write).await?;
        Ok(())
    }

    /// The newest position that every site of a table has published.
    ///
    /// # Errors
    /// What the database says.
    pub async fn common_version(&self, table: &str) -> Result<Option<table_sync_core::Position>> {
        let sql = "SELECT v.position FROM versions v JOIN replicas r ON r.table_id = v.table_id \
                   AND r.site = v.site AND r.incarnation = v.incarnation WHERE v.table_id = $1 \
                   GROUP BY v.position HAVING count(*) = \
                   (SELECT count(*) FROM replicas WHERE table_id = $1) \
                   ORDER BY max(v.ordinal) DESC LIMIT 1";
        let row = sqlx::query(sql).bind(table).fetch_optional(&self.read).await?;
        row.as_ref().map_or(Ok(None), |row| position(row, "position"))
    }

    /// Tables and sites by lag, the longest first: pairs of a table and one replica.
    ///
    /// `after`: the last pair of the page before.
    ///
    /// # Errors
    /// What the database says.
    pub async fn by_lag(
        &self,
        project: Option<&str>,
        after: Option<(Option<Millis>, &str, &str)>,
        limit: usize,
    ) -> Result<Vec<Table>> {
        const NEVER: Millis = Millis::MAX;
        let key = format!("COALESCE(r.oldest_pending_ms, {NEVER})");
        let sql = format!(
            "SELECT r.table_id, r.site FROM replicas r JOIN tables t ON t.id = r.table_id \
             WHERE ($1 = '' OR t.project = $1) \
             AND ({key} > $2 OR ({key} = $2 AND (r.table_id, r.site) > ($3, $4))) \
             ORDER BY {key}, r.table_id, r.site LIMIT {limit}"
        );
        let (oldest, id, site) = after.unwrap_or((Some(Millis::MIN), "", ""));
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(project.unwrap_or_default())
            .bind(oldest.unwrap_or(NEVER))
            .bind(id)
            .bind(site)
            .fetch_all(&self.read)
            .await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            ids.push((row.try_get::<String, _>("table_id")?, row.try_get::<String, _>("site")?));
        }
        let mut found = std::collections::BTreeMap::new();
        let mut distinct: Vec<&str> = ids.iter().map(|(id, _)| id.as_str()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        for chunk in distinct.chunks(BATCH) {
            for table in self.tables_by_id(chunk).await? {
                found.insert(table.id.clone(), table);
            }
        }
        let pairs = ids.into_iter().filter_map(|(id, site)| {
            let mut table = found.get(&id)?.clone();
            table.replicas.retain(|replica| replica.site == site);
            Some(table)
        });
        Ok(pairs.collect())
    }

    /// Keeps the newest `keep` receipts of each replica, and those that are pinned.
    ///
    /// # Errors
    /// What the database says.
    pub async fn expire_versions(&self, keep: i64) -> Result<u64> {
        let sql = "DELETE FROM versions WHERE ordinal <= (SELECT max(o.ordinal) - $1 \
                   FROM versions o WHERE o.table_id = versions.table_id \
                   AND o.site = versions.site AND o.incarnation = versions.incarnation) \
                   AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.table_id = versions.table_id \
                   AND p.position = versions.position)";
        Ok(sqlx::query(sql).bind(keep).execute(&self.write).await?.rows_affected())
    }
}

async fn record(connection: &mut AnyConnection, report: &Report, now_ms: Millis) -> Result<bool> {
    // Taken first, so that what follows is about the row as it stays until the transaction ends.
    let sql = "UPDATE replicas SET epoch = $1, revision = revision + 1 WHERE table_id = $2 \
               AND site = $3 AND incarnation = $4 AND epoch <= $1 RETURNING *";
    let row = sqlx::query(sql)
        .bind(epoch(report.epoch))
        .bind(&report.table)
        .bind(&report.site)
        .bind(i64::from(report.incarnation))
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(false) };
    let replica = replica(&row)?;
    let before = replica.progress.clone();
    let sql = "SELECT project, namespace, name FROM tables WHERE id = $1";
    let row = sqlx::query(sql).bind(&report.table).fetch_one(&mut *connection).await?;
    let [project, namespace, name]: [String; 3] =
        [row.try_get("project")?, row.try_get("namespace")?, row.try_get("name")?];
    let name = TableName::new(&project, &namespace, &name)?;
    let subject = Subject::of_table(&name, Some(&report.site));
    if let Some(format) = report.format {
        let sql = "UPDATE tables SET format = $1 WHERE id = $2 AND format IS NULL";
        sqlx::query(sql).bind(format).bind(&report.table).execute(&mut *connection).await?;
    }
    // What was told before is not told again.
    for version in record_versions(connection, report).await? {
        let body = serde_json::json!({
            "position": version.position,
            "kind": version.kind,
            "committed_ms": version.committed_ms,
            "published_ms": version.published_ms,
            "files": version.files,
            "bytes": version.bytes,
        });
        let event = NewEvent { kind: "version.published", body };
        insert_event(connection, &subject, &event, now_ms).await?;
    }
    if let (None, Some(last)) = (&report.progress, report.versions.last()) {
        let progress = Progress {
            head: Some(last.position),
            head_committed_ms: last.committed_ms.or(before.head_committed_ms),
            published_ms: Some(last.published_ms),
            moved_ms: Some(now_ms),
            ..before.clone()
        };
        write(connection, report, &progress).await?;
    }
    if let Some(progress) = &report.progress {
        let progress = settled(&before, progress, now_ms);
        if let Some(event) = condition_event(&before, &progress) {
            insert_event(connection, &subject, &event, now_ms).await?;
        }
        write(connection, report, &progress).await?;
        if progress.head.is_some() && progress.head == progress.source_head {
            switch(connection, (&name, &report.table), &replica, now_ms).await?;
        }
    }
    for event in &report.events {
        insert_event(connection, &subject, event, now_ms).await?;
    }
    Ok(true)
}

/// A condition that stays keeps its beginning.
fn settled(before: &Progress, now: &Progress, now_ms: Millis) -> Progress {
    let same = before.condition == now.condition && before.reason_code == now.reason_code;
    let since_ms = if same { before.since_ms } else { now_ms };
    Progress { since_ms, ..now.clone() }
}

/// What to tell of a condition that changed.
fn condition_event(before: &Progress, now: &Progress) -> Option<NewEvent> {
    if before.condition == now.condition && before.reason_code == now.reason_code {
        return None;
    }
    let kind = match now.condition {
        Condition::New => return None,
        Condition::Well if before.condition == Condition::New => return None,
        Condition::Well => "table.recovered",
        Condition::Held => "table.held",
        Condition::Failed => "table.failed",
        Condition::Blocked => "table.blocked",
        Condition::Rewound => "table.rewound",
        Condition::Diverged => "table.diverged",
    };
    let body = serde_json::json!({
        "code": now.reason_code,
        "message": now.reason,
        "position": now.reason_position,
    });
    Some(NewEvent { kind, body })
}

async fn write(connection: &mut AnyConnection, report: &Report, now: &Progress) -> Result<()> {
    let sql = "UPDATE replicas SET condition = $1, reason_code = $2, reason = $3, \
               reason_position = $4, condition_since_ms = $5, source_head = $6, \
               source_head_ms = $7, checked_ms = $8, head = $9, head_committed_ms = $10, \
               published_ms = $11, earliest_readable = $12, pending_versions = $13, \
               pending_bytes = $14, oldest_pending_ms = $15, moved_ms = $16, deadline_ms = $17, \
               listed_ms = $18 WHERE table_id = $19 AND site = $20";
    let text = |at: &Option<table_sync_core::Position>| at.map(|at| at.to_string());
    sqlx::query(sql)
        .bind(now.condition.as_str())
        .bind(&now.reason_code)
        .bind(&now.reason)
        .bind(&now.reason_position)
        .bind(now.since_ms)
        .bind(text(&now.source_head))
        .bind(now.source_head_ms)
        .bind(now.checked_ms)
        .bind(text(&now.head))
        .bind(now.head_committed_ms)
        .bind(now.published_ms)
        .bind(text(&now.earliest_readable))
        .bind(now.pending_versions)
        .bind(now.pending_bytes)
        .bind(now.oldest_pending_ms)
        .bind(now.moved_ms)
        .bind(now.deadline_ms)
        .bind(now.listed_ms)
        .bind(&report.table)
        .bind(&report.site)
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds receipts behind those that are there, and answers them. One that is there stays as it is:
/// it is told when it is published, and again with its pass.
async fn record_versions<'a>(
    connection: &mut AnyConnection,
    report: &'a Report,
) -> Result<Vec<&'a Version>> {
    let mut added = Vec::new();
    if report.versions.is_empty() {
        return Ok(added);
    }
    let sql = "SELECT ordinal, chain_sha256 FROM versions WHERE table_id = $1 AND site = $2 \
               AND incarnation = $3 ORDER BY ordinal DESC LIMIT 1";
    let last = sqlx::query(sql)
        .bind(&report.table)
        .bind(&report.site)
        .bind(i64::from(report.incarnation))
        .fetch_optional(&mut *connection)
        .await?;
    let mut ordinal = 0;
    let mut chain = Some(ChainHash::default());
    if let Some(row) = last {
        ordinal = row.try_get("ordinal")?;
        let text: Option<String> = row.try_get("chain_sha256")?;
        chain = text.as_deref().and_then(ChainHash::parse);
    }
    let sql = "INSERT INTO versions (table_id, site, incarnation, position, ordinal, kind, \
               committed_ms, published_ms, files, bytes, commit_sha256, chain_sha256, live_digest) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
               ON CONFLICT (table_id, site, incarnation, position) DO NOTHING";
    for version in &report.versions {
        // After a jump, or without the commit's digest, the chain begins anew.
        let before = if version.kind == "jump" { Some(ChainHash::default()) } else { chain };
        let sha256 = version.commit_sha256.as_deref().and_then(Sha256Digest::parse);
        let next = before.zip(sha256).map(|(chain, sha256)| chain.then(sha256));
        let done = sqlx::query(sql)
            .bind(&report.table)
            .bind(&report.site)
            .bind(i64::from(report.incarnation))
            .bind(version.position.to_string())
            .bind(ordinal + 1)
            .bind(&version.kind)
            .bind(version.committed_ms)
            .bind(version.published_ms)
            .bind(version.files)
            .bind(version.bytes)
            .bind(&version.commit_sha256)
            .bind(next.map(|chain| chain.to_string()))
            .bind(&version.live_digest)
            .execute(&mut *connection)
            .await?;
        if done.rows_affected() == 1 {
            ordinal += 1;
            chain = next;
            added.push(version);
        }
    }
    Ok(added)
}

pub(super) fn version(row: &AnyRow) -> Result<Version> {
    let at = position(row, "position")?;
    Ok(Version {
        position: at.ok_or_else(|| decode("position", NoPosition))?,
        kind: row.try_get("kind")?,
        committed_ms: row.try_get("committed_ms")?,
        published_ms: row.try_get("published_ms")?,
        files: row.try_get("files")?,
        bytes: row.try_get("bytes")?,
        commit_sha256: row.try_get("commit_sha256")?,
        chain_sha256: row.try_get("chain_sha256")?,
        live_digest: row.try_get("live_digest")?,
        ordinal: row.try_get("ordinal")?,
    })
}

#[derive(Debug, thiserror::Error)]
#[error("a version has no position")]
struct NoPosition;

/// Reports that say the same about the same replica, folded into the last one of each.
///
/// Owners report more often than the database is written: what is published comes as it happens.
pub fn folded(reports: Vec<Report>) -> Vec<Report> {
    let mut at: HashMap<(TableId, String, u64, u32), usize> = HashMap::new();
    let mut folded: Vec<Report> = Vec::new();
    for report in reports {
        let key = (report.table.clone(), report.site.clone(), report.epoch, report.incarnation);
        match at.get(&key).and_then(|at| folded.get_mut(*at)) {
            Some(earlier) => {
                earlier.progress = report.progress.or(earlier.progress.take());
                earlier.format = report.format.or(earlier.format);
                earlier.versions.extend(report.versions);
                earlier.events.extend(report.events);
            }
            None => {
                at.insert(key, folded.len());
                folded.push(report);
            }
        }
    }
    folded
}
