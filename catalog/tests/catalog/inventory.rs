//! Projects, namespaces, stores, sites.

use std::collections::BTreeMap;

use driftless_catalog::{
    Catalog, CatalogError, FromEnv, OptionValue, Site, StoreRecord, TableName,
};

use crate::databases::NOW;
use crate::on_both;
use crate::tables::{new_table, seeded};

on_both!(
    projects_are_made_changed_and_removed,
    stores_keep_where_secrets_are,
    what_is_in_use_stays,
    two_writers_do_not_overwrite_each_other,
);

pub(crate) fn store(name: &str, url: &str) -> StoreRecord {
    let secret = OptionValue::Env(FromEnv { env: "DRIFTLESS_STORE_KEY".to_owned() });
    let plain = OptionValue::Text("eu-west-1".to_owned());
    StoreRecord {
        name: name.to_owned(),
        url: url.to_owned(),
        region: Some("eu".to_owned()),
        options: BTreeMap::from([
            ("aws_region".to_owned(), plain),
            ("aws_secret_access_key".to_owned(), secret),
        ]),
        revision: 0,
        created_ms: 0,
    }
}

pub(crate) fn site(name: &str, url: &str) -> Site {
    let (name, url) = (name.to_owned(), url.to_owned());
    Site { name, url, region: None, revision: 0, created_ms: 0 }
}

async fn projects_are_made_changed_and_removed(catalog: Catalog) {
    let made = catalog.put_project(("lake", None, 1), None, NOW).await.unwrap();
    assert_eq!((made.organisation.as_str(), made.share, made.revision), ("default", 1, 1));
    let changed = catalog.put_project(("lake", Some("acme"), 5), Some(1), NOW + 1).await.unwrap();
    assert_eq!((changed.organisation.as_str(), changed.share, changed.revision), ("acme", 5, 2));
    assert_eq!(changed.created_ms, NOW);
    catalog.put_namespace("lake", "sales", NOW).await.unwrap();
    catalog.put_namespace("lake", "sales", NOW).await.unwrap();
    let names: Vec<_> =
        catalog.namespaces("lake").await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["sales"]);
    let error = catalog.remove_project("lake").await.unwrap_err();
    assert!(matches!(error, CatalogError::InUse { .. }), "{error}");
    catalog.remove_namespace("lake", "sales").await.unwrap();
    catalog.remove_project("lake").await.unwrap();
    assert!(catalog.projects().await.unwrap().is_empty());
    for error in [
        catalog.remove_project("lake").await.unwrap_err(),
        catalog.namespaces("lake").await.unwrap_err(),
        catalog.put_namespace("lake", "sales", NOW).await.unwrap_err(),
        catalog.remove_namespace("lake", "sales").await.unwrap_err(),
    ] {
        assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
    }
    let error = catalog.put_project(("La ke", None, 1), None, NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Name(_)), "{error}");
}

async fn stores_keep_where_secrets_are(catalog: Catalog) {
    let wanted = store("lake", "s3://bucket");
    let written = catalog.put_store(&wanted, None, NOW).await.unwrap();
    assert_eq!(written, StoreRecord { revision: 1, created_ms: NOW, ..wanted.clone() });
    assert_eq!(catalog.stores().await.unwrap(), [written]);
    catalog.remove_store("lake").await.unwrap();
    assert!(catalog.stores().await.unwrap().is_empty());
}

async fn what_is_in_use_stays(catalog: Catalog) {
    seeded(&catalog).await;
    catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    for error in [
        catalog.remove_site("east").await.unwrap_err(),
        catalog.remove_store("source").await.unwrap_err(),
        catalog.remove_store("vast").await.unwrap_err(),
        catalog.remove_namespace("lake", "sales").await.unwrap_err(),
        catalog.put_site(&site("east", "vast:elsewhere"), None, NOW).await.unwrap_err(),
    ] {
        assert!(matches!(error, CatalogError::InUse { .. }), "{error}");
    }
    // `so_rce` matches `source` as a pattern, and is another store.
    catalog.put_store(&store("so_rce", "s3://other"), None, NOW).await.unwrap();
    catalog.remove_store("so_rce").await.unwrap();
    // What does not move anything may change.
    let mut east = site("east", "vast:east");
    east.region = Some("de".to_owned());
    assert_eq!(catalog.put_site(&east, None, NOW).await.unwrap().revision, 2);
    let name = TableName::parse("lake.sales.orders").unwrap();
    assert_eq!(
        catalog.table(&name).await.unwrap().replicas[0].location,
        "vast:east/lake/sales/orders"
    );
}

async fn two_writers_do_not_overwrite_each_other(catalog: Catalog) {
    catalog.put_site(&site("east", "vast:east"), None, NOW).await.unwrap();
    catalog.put_site(&site("east", "vast:first"), Some(1), NOW).await.unwrap();
    let error = catalog.put_site(&site("east", "vast:second"), Some(1), NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Changed { .. }), "{error}");
    assert_eq!(catalog.sites().await.unwrap()[0].url, "vast:first");
}
