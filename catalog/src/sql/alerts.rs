//! Alerts, what receivers were told about them, and what alerts are made from.
//!
//! # Invariants
//! - A receiver is told of an alert's beginning and of its end once each, by whoever was first to
//!   claim it. Only where the one that claimed it ends before it says how it went, another tells
//!   it again: at least once, never not at all.
//! - An alert that was told to nobody ends in silence.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};
use utoipa::ToSchema;

use super::{Catalog, json, placeholders, to_json, word};
use crate::policy::words;
use crate::status::{Circumstances, Condition, Status, lag_ms, status};
use crate::transition::Desired;
use crate::{Millis, Policy, Progress, Result, TableId, TableName};

/// Alerts that one statement is about.
const BATCH: usize = 500;

/// Something that a person should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Identifies it: a digest of its labels.
    pub fingerprint: String,
    /// The rule's name.
    pub name: String,
    /// `page`, `ticket`, `info`.
    pub severity: String,
    /// The project that it is about.
    pub project: Option<String>,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// What it means, and what to do.
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    pub starts_ms: Millis,
    /// When it ended.
    pub ends_ms: Option<Millis>,
    /// When it was seen last.
    pub seen_ms: Millis,
}

words! {
    /// What a receiver is told about an alert.
    AlertState {
        /// It began, or goes on.
        Firing => "firing",
        /// It ended.
        Resolved => "resolved",
    }
}

/// Who is to be told, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audience<'a> {
    /// The receiver's name.
    pub receiver: &'a str,
    /// Severities that it wants.
    pub severities: &'a [&'a str],
    /// Projects that it wants; all where there is none. Alerts about no project go to everybody.
    pub projects: &'a [String],
    /// An alert that goes on is told again after this, ms.
    pub repeat_ms: i64,
    /// How long the caller may take to tell it, ms. Another one tells it after that.
    pub claim_ms: i64,
}

/// An alert that the caller, and nobody else, is to tell a receiver now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The alert.
    pub alert: Alert,
    /// What to tell.
    pub state: AlertState,
    /// Tries that failed since it was told something.
    pub tries: i64,
    /// The caller's claim.
    revision: i64,
}

/// A table at a site, with as much as statuses and alerts depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The table's id.
    pub table: TableId,
    /// Its name.
    pub name: TableName,
    /// The site.
    pub site: String,
    /// How it is to be kept in step.
    pub policy: Arc<Policy>,
    /// What is wanted.
    pub desired: Desired,
    /// Whether somebody works on it.
    pub owned: bool,
    /// Something is published.
    pub is_published: bool,
    /// How far it is, without positions and looks.
    pub progress: Progress,
}

impl Standing {
    /// What its status depends on beside its progress.
    pub fn at(&self, now_ms: Millis) -> Circumstances {
        let seconds = i64::try_from(self.policy.lag_target_seconds()).unwrap_or(i64::MAX);
        Circumstances {
            desired: self.desired,
            owned: self.owned,
            check_fresh_ms: self.policy.check_fresh_ms(),
            lag_target_ms: seconds.saturating_mul(1_000),
            now_ms,
        }
    }

    /// See [`status`].
    pub fn status(&self, now_ms: Millis) -> Status {
        status(&self.progress, &self.at(now_ms))
    }

    /// See [`lag_ms`].
    pub fn lag_ms(&self, now_ms: Millis) -> Option<i64> {
        lag_ms(&self.progress, &self.at(now_ms))
    }
}

/// Where a walk over all tables at all sites is.
#[derive(Debug, Default)]
pub struct StandingsPage {
    after: Option<(TableName, String)>,
    /// Most tables have one of a few policies.
    policies: HashMap<String, Arc<Policy>>,
}

impl Catalog {
    /// The next tables at their sites, by name and site; none at the end. Tables that are being
    /// forgotten are left out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn standings(&self, page: &mut StandingsPage, limit: usize) -> Result<Vec<Standing>> {
        let sql = format!(
            "SELECT t.id, t.project, t.namespace, t.name, t.policy, t.desired, \
             CASE WHEN n.expires_ms > {} THEN 1 ELSE 0 END AS owned, r.site, r.condition, \
             r.reason_code, r.reason, r.reason_position, r.condition_since_ms, \
             r.source_head_ms, r.checked_ms, r.head_committed_ms, r.published_ms, \
             CASE WHEN r.head IS NULL THEN 0 ELSE 1 END AS is_published, r.pending_versions, \
             r.pending_bytes, r.oldest_pending_ms, r.moved_ms, r.deadline_ms \
             FROM tables t JOIN replicas r ON r.table_id = t.id \
             LEFT JOIN nodes n ON n.id = t.lease_node WHERE t.desired <> '{}' \
             AND (t.project, t.namespace, t.name) >= ($1, $2, $3) \
             AND (t.project, t.namespace, t.name, r.site) > ($1, $2, $3, $4) \
             ORDER BY t.project, t.namespace, t.name, r.site LIMIT {limit}",
            self.dialect.now_ms(),
            Desired::Unregistering,
        );
        let (name, site) =
            page.after.as_ref().map_or((None, ""), |(name, site)| (Some(name), site));
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(name.map_or("", TableName::project))
            .bind(name.map_or("", TableName::namespace))
            .bind(name.map_or("", TableName::table))
            .bind(site)
            .fetch_all(&self.read)
            .await?;
        let policies = &mut page.policies;
        let standings: Vec<_> =
            rows.iter().map(|row| standing(row, policies)).collect::<Result<_>>()?;
        if let Some(last) = standings.last() {
            page.after = Some((last.name.clone(), last.site.clone()));
        }
        Ok(standings)
    }

    /// Notes that these alerts go on, or begin. One that ended before begins anew. Of several
    /// clocks, the one that is ahead says when an alert was seen.
    ///
    /// # Errors
    /// What the database says; then none was noted.
    pub async fn raise_alerts(&self, alerts: &[Alert]) -> Result<()> {
        let sql = "INSERT INTO alerts (fingerprint, name, severity, project, labels, annotations, \
                   starts_ms, seen_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                   ON CONFLICT (fingerprint) DO UPDATE SET annotations = excluded.annotations, \
                   starts_ms = CASE WHEN alerts.ends_ms IS NULL THEN alerts.starts_ms \
                   ELSE excluded.starts_ms END, ends_ms = NULL, \
                   seen_ms = CASE WHEN alerts.seen_ms < excluded.seen_ms THEN excluded.seen_ms \
                   ELSE alerts.seen_ms END";
        if alerts.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for alert in alerts {
            sqlx::query(sql)
                .bind(&alert.fingerprint)
                .bind(&alert.name)
                .bind(&alert.severity)
                .bind(alert.project.as_deref().unwrap_or_default())
                .bind(to_json(&alert.labels))
                .bind(to_json(&alert.annotations))
                .bind(alert.starts_ms)
                .bind(alert.seen_ms)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Notes that alerts which are there go on unchanged.
    ///
    /// # Errors
    /// What the database says.
    pub async fn see_alerts(&self, fingerprints: &[&str], now_ms: Millis) -> Result<()> {
        for chunk in fingerprints.chunks(BATCH) {
            let sql = format!(
                "UPDATE alerts SET seen_ms = CASE WHEN seen_ms < $1 THEN $1 ELSE seen_ms END \
                 WHERE ends_ms IS NULL AND fingerprint IN ({})",
                placeholders(2, chunk.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(now_ms);
            for fingerprint in chunk {
                query = query.bind(*fingerprint);
            }
            query.execute(&self.write).await?;
        }
        Ok(())
    }

    /// Ends the alerts that nobody has seen since then. Answers how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_alerts(&self, unseen_since_ms: Millis, now_ms: Millis) -> Result<u64> {
        let sql = "UPDATE alerts SET ends_ms = $1 WHERE ends_ms IS NULL AND seen_ms < $2";
        let query = sqlx::query(sql).bind(now_ms).bind(unseen_since_ms);
        Ok(query.execute(&self.write).await?.rows_affected())
    }

    /// Forgets alerts that ended before this time.
    ///
    /// # Errors
    /// What the database says.
    pub async fn expire_alerts(&self, before_ms: Millis) -> Result<u64> {
        let sql = "DELETE FROM alerts WHERE ends_ms < $1";
        Ok(sqlx::query(sql).bind(before_ms).execute(&self.write).await?.rows_affected())
    }

    /// The alerts that go on, the oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn active_alerts(&self) -> Result<Vec<Alert>> {
        let sql = "SELECT * FROM alerts WHERE ends_ms IS NULL ORDER BY starts_ms, fingerprint";
        let rows = sqlx::query(sql).fetch_all(&self.read).await?;
        rows.iter().map(alert).collect()
    }

    /// Claims what a receiver is to be told now, at most `limit` alerts. Each is the caller's
    /// until [`Self::notified`] or [`Self::not_notified`], or until the claim's time is over.
    ///
    /// # Errors
    /// What the database says; then nothing is claimed.
    pub async fn due_notifications(
        &self,
        audience: Audience<'_>,
        now_ms: Millis,
        limit: usize,
    ) -> Result<Vec<Due>> {
        let mut tx = self.begin().await?;
        let mut claimed = Vec::new();
        for due in due(&mut tx, &audience, now_ms, limit).await? {
            // Whoever claimed, told or failed since the row was read has changed its revision.
            let sql = "INSERT INTO notifications (fingerprint, receiver, tries, next_ms, revision) \
                       VALUES ($1, $2, 0, $3, 1) ON CONFLICT (fingerprint, receiver) \
                       DO UPDATE SET next_ms = excluded.next_ms, \
                       revision = notifications.revision + 1 WHERE notifications.revision = $4";
            let done = sqlx::query(sql)
                .bind(&due.alert.fingerprint)
                .bind(audience.receiver)
                .bind(now_ms.saturating_add(audience.claim_ms))
                .bind(due.revision)
                .execute(&mut *tx)
                .await?;
            if done.rows_affected() == 1 {
                claimed.push(Due { revision: due.revision + 1, ..due });
            }
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Notes that a receiver was told these.
    ///
    /// # Errors
    /// What the database says; then they are told again once the claim's time is over.
    pub async fn notified(&self, receiver: &str, dues: &[Due], now_ms: Millis) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE notifications SET told = $1, starts_ms = $2, told_ms = $3, tries = 0, \
                   next_ms = 0, revision = revision + 1 \
                   WHERE fingerprint = $4 AND receiver = $5 AND revision = $6";
        for due in dues {
            sqlx::query(sql)
                .bind(due.state.as_str())
                .bind(due.alert.starts_ms)
                .bind(now_ms)
                .bind(&due.alert.fingerprint)
                .bind(receiver)
                .bind(due.revision)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Notes that a receiver could not be told these, and when to try again.
    ///
    /// # Errors
    /// What the database says; then it is tried again once the claim's time is over.
    pub async fn not_notified(&self, receiver: &str, dues: &[Due], next_ms: Millis) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE notifications SET tries = tries + 1, next_ms = $1, \
                   revision = revision + 1 \
                   WHERE fingerprint = $2 AND receiver = $3 AND revision = $4";
        for due in dues {
            sqlx::query(sql)
                .bind(next_ms)
                .bind(&due.alert.fingerprint)
                .bind(receiver)
                .bind(due.revision)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// What is due for a receiver, with the revision that was read; 0 where there is no row yet.
async fn due(
    connection: &mut AnyConnection,
    audience: &Audience<'_>,
    now_ms: Millis,
    limit: usize,
) -> Result<Vec<Due>> {
    let severities = placeholders(4, audience.severities.len());
    let mut sql = format!(
        "SELECT a.*, COALESCE(n.tries, 0) AS tries, COALESCE(n.revision, 0) AS revision \
         FROM alerts a LEFT JOIN notifications n \
         ON n.fingerprint = a.fingerprint AND n.receiver = $1 \
         WHERE COALESCE(n.next_ms, 0) <= $2 AND ((a.ends_ms IS NULL AND (n.told IS NULL \
         OR n.told <> 'firing' OR n.starts_ms <> a.starts_ms OR n.told_ms <= $3)) \
         OR (a.ends_ms IS NOT NULL AND n.told = 'firing')) AND a.severity IN ({severities})"
    );
    if !audience.projects.is_empty() {
        let projects = placeholders(4 + audience.severities.len(), audience.projects.len());
        sql.push_str(&format!(" AND (a.project = '' OR a.project IN ({projects}))"));
    }
    sql.push_str(&format!(" ORDER BY a.name, a.project, a.starts_ms, a.fingerprint LIMIT {limit}"));
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(audience.receiver)
        .bind(now_ms)
        .bind(now_ms.saturating_sub(audience.repeat_ms));
    for severity in audience.severities {
        query = query.bind(*severity);
    }
    for project in audience.projects {
        query = query.bind(project);
    }
    let rows = query.fetch_all(connection).await?;
    let due = |row: &AnyRow| -> Result<_> {
        let alert = alert(row)?;
        let state = match alert.ends_ms {
            None => AlertState::Firing,
            Some(_) => AlertState::Resolved,
        };
        let (tries, revision) = (row.try_get("tries")?, row.try_get("revision")?);
        Ok(Due { alert, state, tries, revision })
    };
    rows.iter().map(due).collect()
}

fn alert(row: &AnyRow) -> Result<Alert> {
    let project: String = row.try_get("project")?;
    Ok(Alert {
        fingerprint: row.try_get("fingerprint")?,
        name: row.try_get("name")?,
        severity: row.try_get("severity")?,
        project: Some(project).filter(|project| !project.is_empty()),
        labels: json(row, "labels")?,
        annotations: json(row, "annotations")?,
        starts_ms: row.try_get("starts_ms")?,
        ends_ms: row.try_get("ends_ms")?,
        seen_ms: row.try_get("seen_ms")?,
    })
}

fn standing(row: &AnyRow, policies: &mut HashMap<String, Arc<Policy>>) -> Result<Standing> {
    let text: String = row.try_get("policy")?;
    let policy = match policies.get(&text) {
        Some(policy) => policy.clone(),
        None => {
            let policy: Arc<Policy> = Arc::new(json(row, "policy")?);
            policies.insert(text, policy.clone());
            policy
        }
    };
    let [project, namespace, name]: [&str; 3] =
        [row.try_get("project")?, row.try_get("namespace")?, row.try_get("name")?];
    Ok(Standing {
        table: row.try_get("id")?,
        name: TableName::new(project, namespace, name)?,
        site: row.try_get("site")?,
        policy,
        desired: word(row, "desired", Desired::parse)?,
        owned: row.try_get::<i64, _>("owned")? == 1,
        is_published: row.try_get::<i64, _>("is_published")? == 1,
        progress: Progress {
            condition: word(row, "condition", Condition::parse)?,
            reason_code: row.try_get("reason_code")?,
            reason: row.try_get("reason")?,
            reason_position: row.try_get("reason_position")?,
            since_ms: row.try_get("condition_since_ms")?,
            source_head: None,
            source_head_ms: row.try_get("source_head_ms")?,
            checked_ms: row.try_get("checked_ms")?,
            listed_ms: None,
            head: None,
            head_committed_ms: row.try_get("head_committed_ms")?,
            published_ms: row.try_get("published_ms")?,
            earliest_readable: None,
            pending_versions: row.try_get("pending_versions")?,
            pending_bytes: row.try_get("pending_bytes")?,
            oldest_pending_ms: row.try_get("oldest_pending_ms")?,
            moved_ms: row.try_get("moved_ms")?,
            deadline_ms: row.try_get("deadline_ms")?,
        },
    })
}
