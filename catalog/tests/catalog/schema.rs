//! The schema: what releases made stays readable, and what they did not know is refused.

use driftless_catalog::{Catalog, CatalogError, SCHEMA};
use sqlx::Row as _;

use crate::databases::{Postgres, Sqlite};

/// Released migrations never change: a database that ran one would be refused.
#[test]
fn migrations_are_what_was_released() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let digest = table_sync_core::Sha256Digest::of(&std::fs::read(&path).unwrap());
            format!("{} {digest}\n", path.file_name().unwrap().to_string_lossy())
        })
        .collect();
    found.sort();
    expect_test::expect_file!["../migrations.txt"].assert_eq(&found.concat());
    assert!(found.last().unwrap().starts_with(&format!("{SCHEMA:04}_")));
}

async fn pool(url: &str) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    sqlx::AnyPool::connect(url).await.unwrap()
}

async fn later_release_is_refused(url: &str) {
    Catalog::open(url).await.unwrap().close().await;
    // Opened again: nothing is to be done.
    Catalog::open(url).await.unwrap().close().await;
    let pool = pool(url).await;
    let sql = "INSERT INTO _sqlx_migrations SELECT 9999, 'later', installed_on, success, checksum, \
               execution_time FROM _sqlx_migrations";
    sqlx::query(sql).execute(&pool).await.unwrap();
    let error = Catalog::open(url).await.unwrap_err();
    assert!(matches!(error, CatalogError::Newer { found: 9999, .. }), "{error}");
    assert!(error.to_string().contains("later release"), "{error}");
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 9999").execute(&pool).await.unwrap();
    Catalog::open(url).await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_of_a_later_release_is_refused() {
    later_release_is_refused(&Sqlite::new().url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_of_a_later_release_is_refused() {
    let Some(database) = Postgres::new().await else { return };
    later_release_is_refused(database.url()).await;
}

/// The columns that both databases have, side by side.
#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_the_same_columns() {
    let sqlite = Sqlite::new();
    sqlite.open().await.close().await;
    let sql = "SELECT m.name || '.' || p.name AS name FROM sqlite_master m, \
               pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\' \
               AND m.name NOT LIKE 'sqlite%' ORDER BY 1";
    let of = async |url: &str, sql: &'static str| {
        let rows = sqlx::query(sql).fetch_all(&pool(url).await).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("name")).collect::<Vec<_>>()
    };
    let ours = of(&sqlite.url(), sql).await;
    assert!(ours.contains(&"replicas.oldest_pending_ms".to_owned()));
    let Some(postgres) = Postgres::new().await else { return };
    postgres.open().await.close().await;
    let sql = "SELECT CAST(table_name || '.' || column_name AS TEXT) AS name \
               FROM information_schema.columns WHERE table_schema = 'public' \
               AND table_name NOT LIKE '\\_%' ORDER BY 1";
    let mut theirs = of(postgres.url(), sql).await;
    theirs.sort();
    let mut ours = ours;
    ours.sort();
    assert_eq!(ours, theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_up_is_a_catalog() {
    let database = Sqlite::new();
    let catalog = database.open().await;
    catalog.put_project(("lake", None, 3), None, 1).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    catalog.back_up(&file).await.unwrap();
    let error = catalog.back_up(&file).await.unwrap_err();
    assert!(matches!(error, CatalogError::Exists { .. }), "{error}");
    let copy = Catalog::open(&driftless_catalog::database_url(&file)).await.unwrap();
    assert_eq!(copy.projects().await.unwrap(), catalog.projects().await.unwrap());
}
