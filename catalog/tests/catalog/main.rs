//! The catalog on SQLite and on PostgreSQL: one suite for both.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr)]

mod access;
mod alerts;
mod databases;
mod groups;
mod inventory;
mod leases;
mod operations;
mod progress;
mod rules;
mod schema;
mod tables;

/// Runs an `async fn(Catalog)` on each database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                let database = $crate::databases::Sqlite::new();
                super::$name(database.open().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                let Some(database) = $crate::databases::Postgres::new().await else { return };
                let catalog = database.open().await;
                super::$name(catalog.clone()).await;
                catalog.close().await;
            }
        }
    )+};
}
pub(crate) use on_both;
