//! Events: what happened, in one order, without gaps.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::{Catalog, json, next, to_json};
use crate::{Event, Millis, NewEvent, Result, TableName};

/// What an event is about.
pub(super) struct Subject {
    project: Option<String>,
    table: Option<String>,
    site: Option<String>,
}

impl Subject {
    pub(super) fn of_table(name: &TableName, site: Option<&str>) -> Self {
        Self {
            project: Some(name.project().to_owned()),
            table: Some(name.to_string()),
            site: site.map(str::to_owned),
        }
    }
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this project.
    pub project: Option<String>,
    /// About this table.
    pub table: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The first after this number, ascending.
    After(i64),
    /// The last before this number, descending.
    Before(i64),
}

pub(super) async fn insert_event(
    connection: &mut AnyConnection,
    subject: &Subject,
    event: &NewEvent,
    now_ms: Millis,
) -> Result<()> {
    let seq = next(connection, "events", 1).await?;
    let sql = "INSERT INTO events (seq, at_ms, kind, project, table_name, site, body) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(sql)
        .bind(seq)
        .bind(now_ms)
        .bind(event.kind)
        .bind(&subject.project)
        .bind(&subject.table)
        .bind(&subject.site)
        .bind(to_json(&event.body))
        .execute(connection)
        .await?;
    Ok(())
}

impl Catalog {
    /// Notes what happened to the service as a whole.
    ///
    /// # Errors
    /// What the database says.
    pub async fn note(&self, event: &NewEvent, now_ms: Millis) -> Result<()> {
        let subject = Subject { project: None, table: None, site: None };
        let mut tx = self.begin().await?;
        insert_event(&mut tx, &subject, event, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A part of the events.
    ///
    /// # Errors
    /// What the database says.
    pub async fn events(
        &self,
        filter: &EventFilter,
        page: Page,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let (bound, compare, order) = match page {
            Page::After(seq) => (seq, ">", "ASC"),
            Page::Before(seq) => (seq, "<", "DESC"),
        };
        let sql = format!(
            "SELECT * FROM events WHERE seq {compare} $1 AND ($2 = '' OR project = $2) \
             AND ($3 = '' OR table_name = $3) ORDER BY seq {order} LIMIT {limit}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(bound)
            .bind(filter.project.clone().unwrap_or_default())
            .bind(filter.table.clone().unwrap_or_default())
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(event).collect()
    }

    /// The number of the newest event; 0 when there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn newest_event(&self) -> Result<i64> {
        let sql = "SELECT value FROM counters WHERE name = 'events'";
        Ok(sqlx::query(sql).fetch_one(&self.read).await?.try_get("value")?)
    }

    /// The oldest event that is kept; `None` when there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn oldest_event(&self) -> Result<Option<i64>> {
        let row = sqlx::query("SELECT min(seq) AS seq FROM events").fetch_one(&self.read).await?;
        Ok(row.try_get("seq")?)
    }

    /// Removes events from before this time.
    ///
    /// # Errors
    /// What the database says.
    pub async fn expire_events(&self, before_ms: Millis) -> Result<u64> {
        let sql = "DELETE FROM events WHERE at_ms < $1";
        Ok(sqlx::query(sql).bind(before_ms).execute(&self.write).await?.rows_affected())
    }
}

fn event(row: &AnyRow) -> Result<Event> {
    Ok(Event {
        seq: row.try_get("seq")?,
        at_ms: row.try_get("at_ms")?,
        kind: row.try_get("kind")?,
        project: row.try_get("project")?,
        table: row.try_get("table_name")?,
        site: row.try_get("site")?,
        body: json(row, "body")?,
    })
}
