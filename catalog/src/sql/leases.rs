//! Who works on what: nodes, their heartbeats, and the tables that they own.
//!
//! A lease is good as long as its node's heartbeat goes on: one row is renewed for all tables of
//! a node. It saves work and is never the safety argument: what an owner does is fenced by the
//! table's epoch, which grows with each lease.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Catalog, database_now, placeholders, signed, unsigned};
use crate::transition::Desired;
use crate::{Lease, Node, Result, TableId};

impl Catalog {
    /// Says that a node is alive, for this long. Makes it known where it is not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn beat(&self, (id, name, version): (&str, &str, &str), for_ms: i64) -> Result<()> {
        let now = self.dialect.now_ms();
        let sql = format!(
            "INSERT INTO nodes (id, name, version, started_ms, beat_ms, expires_ms) \
             VALUES ($1, $2, $3, {now}, {now}, {now} + $4) ON CONFLICT (id) DO UPDATE SET \
             beat_ms = excluded.beat_ms, expires_ms = excluded.expires_ms"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(name)
            .bind(version)
            .bind(for_ms)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Lets go of everything that a node owns, and of the node. Those dead for a day go too.
    ///
    /// # Errors
    /// What the database says.
    pub async fn leave(&self, node: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE tables SET lease_node = NULL WHERE lease_node = $1";
        sqlx::query(sql).bind(node).execute(&mut *tx).await?;
        let now_ms = database_now(&mut tx, self.dialect).await?;
        let sql = "DELETE FROM nodes WHERE id = $1 OR expires_ms < $2";
        let day_ago = now_ms - 24 * 60 * 60 * 1_000;
        sqlx::query(sql).bind(node).bind(day_ago).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// All nodes that are known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        let sql = format!(
            "SELECT n.*, CASE WHEN n.expires_ms > {} THEN 1 ELSE 0 END AS alive, \
             (SELECT count(*) FROM tables t WHERE t.lease_node = n.id) AS tables \
             FROM nodes n ORDER BY n.started_ms, n.id",
            self.dialect.now_ms()
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.read).await?;
        let node = |row: &AnyRow| -> Result<_> {
            Ok(Node {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                version: row.try_get("version")?,
                started_ms: row.try_get("started_ms")?,
                beat_ms: row.try_get("beat_ms")?,
                tables: row.try_get("tables")?,
                alive: row.try_get::<i64, _>("alive")? == 1,
            })
        };
        rows.iter().map(node).collect()
    }

    /// Takes tables that nobody owns, at most `limit`; each gets its next epoch.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim(&self, node: &str, limit: usize) -> Result<Vec<Lease>> {
        let sql = format!(
            "UPDATE tables SET lease_node = $1, epoch = epoch + 1 WHERE id IN (\
             SELECT t.id FROM tables t WHERE t.lease_node IS NULL OR NOT EXISTS (\
             SELECT 1 FROM nodes n WHERE n.id = t.lease_node AND n.expires_ms > {}) \
             ORDER BY t.id LIMIT {limit}{}) RETURNING id, epoch",
            self.dialect.now_ms(),
            self.dialect.skip_locked(),
        );
        let mut tx = self.begin().await?;
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(node).fetch_all(&mut *tx).await?;
        let lease = |row: &AnyRow| -> Result<_> {
            Ok(Lease { table: row.try_get("id")?, epoch: unsigned(row.try_get("epoch")?) })
        };
        let leases = rows.iter().map(lease).collect::<Result<_>>()?;
        tx.commit().await?;
        Ok(leases)
    }

    /// Lets go of tables.
    ///
    /// # Errors
    /// What the database says.
    pub async fn release(&self, node: &str, tables: &[TableId]) -> Result<()> {
        for chunk in tables.chunks(500) {
            let sql = format!(
                "UPDATE tables SET lease_node = NULL WHERE lease_node = $1 AND id IN ({})",
                placeholders(2, chunk.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(node);
            for id in chunk {
                query = query.bind(id);
            }
            query.execute(&self.write).await?;
        }
        Ok(())
    }

    /// How many tables there are, and how many nodes are alive: what a fair share is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn census(&self) -> Result<(i64, i64)> {
        let sql = format!(
            "SELECT (SELECT count(*) FROM tables) AS tables, \
             (SELECT count(*) FROM nodes n WHERE n.expires_ms > {}) AS nodes",
            self.dialect.now_ms()
        );
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&self.read).await?;
        Ok((row.try_get("tables")?, row.try_get("nodes")?))
    }

    /// The leases that a node still holds.
    ///
    /// # Errors
    /// What the database says.
    pub async fn leases(&self, node: &str) -> Result<Vec<Lease>> {
        let sql = "SELECT id, epoch FROM tables WHERE lease_node = $1";
        let rows = sqlx::query(sql).bind(node).fetch_all(&self.read).await?;
        let lease = |row: &AnyRow| -> Result<_> {
            Ok(Lease { table: row.try_get("id")?, epoch: unsigned(row.try_get("epoch")?) })
        };
        rows.iter().map(lease).collect()
    }

    /// Makes a table's next epoch larger than `epoch`, which a replica was seen to hold: after
    /// the catalog was restored to an older point. The lease ends.
    ///
    /// # Errors
    /// What the database says.
    pub async fn raise_epoch(&self, table: &str, epoch: u64) -> Result<()> {
        let sql = "UPDATE tables SET epoch = $1, lease_node = NULL WHERE id = $2 AND epoch < $1";
        sqlx::query(sql).bind(signed(epoch)).bind(table).execute(&self.write).await?;
        Ok(())
    }

    /// The node's tables that changed after `wake`: ids, what is wanted of them, and the newest
    /// change.
    ///
    /// # Errors
    /// What the database says.
    pub async fn woken(&self, node: &str, wake: i64) -> Result<Vec<(TableId, Desired, i64)>> {
        let sql = "SELECT id, desired, wake FROM tables WHERE wake > $1 AND lease_node = $2 \
                   ORDER BY wake";
        let rows = sqlx::query(sql).bind(wake).bind(node).fetch_all(&self.read).await?;
        let woken = |row: &AnyRow| -> Result<_> {
            let desired = super::word(row, "desired", Desired::parse)?;
            Ok((row.try_get("id")?, desired, row.try_get("wake")?))
        };
        rows.iter().map(woken).collect()
    }

    /// The newest change of any table.
    ///
    /// # Errors
    /// What the database says.
    pub async fn newest_wake(&self) -> Result<i64> {
        let sql = "SELECT value FROM counters WHERE name = 'wakes'";
        Ok(sqlx::query(sql).fetch_one(&self.read).await?.try_get("value")?)
    }
}
