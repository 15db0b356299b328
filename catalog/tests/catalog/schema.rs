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
               execution_time FROM _sqlx_migrations WHERE version = 1";
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

/// A catalog as the first schema left it: one table, published at one site.
const FIRST: &str = "
INSERT INTO organisations VALUES ('default', 1) ON CONFLICT DO NOTHING;
INSERT INTO projects VALUES ('lake', 'default', 1, 1, 1);
INSERT INTO namespaces VALUES ('lake', 'sales', 1, 1);
INSERT INTO stores VALUES ('vast', 's3://vast', NULL, '{}', 1, 1);
INSERT INTO sites VALUES ('east', 'vast:east', 'eu-1', 1, 1);
INSERT INTO tables (id, project, namespace, name, source, format, policy, priority, desired, wake,
    epoch, revision, created_ms)
VALUES ('018f0000-0000-7000-8000-000000000000', 'lake', 'sales', 'orders', 'gs://lake/orders',
    'delta', '{}', 'standard', 'active', 0, 3, 1, 1);
INSERT INTO replicas (table_id, site, location, incarnation, epoch, condition,
    condition_since_ms, head, revision)
VALUES ('018f0000-0000-7000-8000-000000000000', 'east', 'vast:east/lake/sales/orders', 1, 3,
    'well', 1, '7', 1);";

async fn earlier_schemas_are_brought_up(url: &str) {
    {
        let pool = pool(url).await;
        let migrations = sqlx::migrate!("./migrations");
        migrations.run_to(1, &pool).await.unwrap();
        sqlx::raw_sql(FIRST).execute(&pool).await.unwrap();
        pool.close().await;
    }
    let catalog = Catalog::open(url).await.unwrap();
    let table = catalog.table(&crate::tables::name("lake.sales.orders")).await.unwrap();
    assert_eq!((table.epoch, table.format.as_deref()), (3, Some("delta")));
    let replica = &table.replicas[0];
    assert_eq!(replica.progress.head, Some(table_sync_core::Position::Version(7)));
    assert_eq!(replica.serving, None);
    let store = catalog.stores().await.unwrap().remove(0);
    assert_eq!((store.name.as_str(), store.url.as_str()), ("vast", "s3://vast"));
    assert!(catalog.project("lake").await.unwrap().unwrap().readers.is_empty());
    // It is used as any other.
    let versions = [crate::progress::version(8, "append", 1)];
    let report = crate::progress::report(&table, "east", 4, &versions);
    assert_eq!(catalog.record(&[report], 2).await.unwrap(), [true]);
    let moved = catalog.new_incarnation(&table.name, "east", (1, None), 3).await.unwrap();
    assert_eq!(moved.replicas[0].served().location, "vast:east/lake/sales/orders");
    catalog.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_of_an_earlier_release_is_brought_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.db");
    // An empty file is an empty database.
    std::fs::write(&file, []).unwrap();
    earlier_schemas_are_brought_up(&driftless_catalog::database_url(&file)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_of_an_earlier_release_is_brought_up() {
    let Some(database) = Postgres::new().await else { return };
    earlier_schemas_are_brought_up(database.url()).await;
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
