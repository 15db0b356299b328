//! Projects, namespaces, stores, sites.

use std::collections::BTreeMap;

use driftless_catalog::{
    Catalog, CatalogError, FromEnv, NewProject, OptionValue, Site, StoreRecord, TableName,
};

use crate::databases::NOW;
use crate::on_both;
use crate::rules::spec;
use crate::tables::{new_table, seeded};

on_both!(
    projects_are_made_changed_and_removed,
    stores_keep_where_secrets_are,
    what_is_in_use_stays,
    two_writers_do_not_overwrite_each_other,
    nobody_removes_what_was_changed_meanwhile,
    a_store_is_used_by_its_projects,
    readers_keep_their_store_and_their_site,
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
        projects: Vec::new(),
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
    let error = catalog.remove_project("lake", None).await.unwrap_err();
    assert!(matches!(error, CatalogError::InUse { .. }), "{error}");
    catalog.remove_namespace("lake", "sales").await.unwrap();
    catalog.remove_project("lake", None).await.unwrap();
    assert!(catalog.projects().await.unwrap().is_empty());
    for error in [
        catalog.remove_project("lake", None).await.unwrap_err(),
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
    let wanted = StoreRecord { projects: vec!["mart".to_owned()], ..store("lake", "s3://bucket") };
    let written = catalog.put_store(&wanted, None, NOW).await.unwrap();
    assert_eq!(written, StoreRecord { revision: 1, created_ms: NOW, ..wanted.clone() });
    assert_eq!(catalog.stores().await.unwrap(), [written]);
    catalog.remove_store("lake", None).await.unwrap();
    assert!(catalog.stores().await.unwrap().is_empty());
}

async fn what_is_in_use_stays(catalog: Catalog) {
    seeded(&catalog).await;
    catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    for error in [
        catalog.remove_site("east", None).await.unwrap_err(),
        catalog.remove_store("source", None).await.unwrap_err(),
        catalog.remove_store("vast", None).await.unwrap_err(),
        catalog.remove_namespace("lake", "sales").await.unwrap_err(),
        catalog.put_site(&site("east", "vast:elsewhere"), None, NOW).await.unwrap_err(),
    ] {
        assert!(matches!(error, CatalogError::InUse { .. }), "{error}");
    }
    // `so_rce` matches `source` as a pattern, and is another store.
    catalog.put_store(&store("so_rce", "s3://other"), None, NOW).await.unwrap();
    catalog.remove_store("so_rce", None).await.unwrap();
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

/// Each kind of thing is found by its name, and removed in the revision that is meant only.
async fn nobody_removes_what_was_changed_meanwhile(catalog: Catalog) {
    for _ in 0..2 {
        catalog.put_project(("lake", None, 1), None, NOW).await.unwrap();
        catalog.put_store(&store("lake", "s3://bucket"), None, NOW).await.unwrap();
        catalog.put_site(&site("lake", "s3://east"), None, NOW).await.unwrap();
        catalog.put_rule("lake", &spec(), None, NOW).await.unwrap();
    }
    let revisions = async || {
        [
            catalog.project("lake").await.unwrap().map(|one| one.revision),
            catalog.store("lake").await.unwrap().map(|one| one.revision),
            catalog.site("lake").await.unwrap().map(|one| one.revision),
            catalog.rule("lake").await.unwrap().map(|one| one.revision),
        ]
    };
    let remove = async |expect| {
        [
            catalog.remove_project("lake", expect).await,
            catalog.remove_store("lake", expect).await,
            catalog.remove_site("lake", expect).await,
            catalog.remove_rule("lake", expect).await,
        ]
    };
    assert_eq!(revisions().await, [Some(2); 4]);
    for done in remove(Some(1)).await {
        assert!(matches!(done, Err(CatalogError::Changed { .. })), "{done:?}");
    }
    assert_eq!(revisions().await, [Some(2); 4]);
    assert!(remove(Some(2)).await.iter().all(Result::is_ok));
    assert_eq!(revisions().await, [None; 4]);
    for done in remove(Some(2)).await {
        assert!(matches!(done, Err(CatalogError::NotFound { .. })), "{done:?}");
    }
}

async fn a_store_is_used_by_its_projects(catalog: Catalog) {
    seeded(&catalog).await;
    let of_mart = |name: &str, url: &str| StoreRecord {
        projects: vec!["mart".to_owned()],
        ..store(name, url)
    };
    catalog.put_store(&of_mart("closed", "s3://closed"), None, NOW).await.unwrap();
    catalog.put_site(&site("shut", "closed:site"), None, NOW).await.unwrap();
    let with = |name: &str, source: &str, sites: &[&str], root: &str| {
        let mut new = new_table(name);
        new.source = source.to_owned();
        new.sites = sites.iter().map(|site| (*site).to_owned()).collect();
        new.policy.alias_roots = vec![root.to_owned()];
        new
    };
    let open = "s3://other/root";
    for (source, sites, root) in [
        ("closed:t", &["east"][..], open),
        ("s3://closed/t", &["east"], open),
        ("source:t", &["east", "shut"], open),
        ("source:t", &["east"], "s3a://closed/root"),
    ] {
        let new = with("lake.sales.t", source, sites, root);
        let error = catalog.register(&new, NOW).await.unwrap_err();
        assert!(error.to_string().contains("lake may not use the store closed"), "{error}");
        assert!(matches!(error, CatalogError::Invalid(_)), "{error}");
    }
    let whole = with("mart.sales.t", "closed:t", &["shut"], "s3a://closed/root");
    catalog.register(&whole, NOW).await.unwrap();
    // Nor by way of a policy that comes later.
    let new = with("lake.sales.t", "source:t", &["east"], open);
    let table = catalog.register(&new, NOW).await.unwrap();
    let closed = with("lake.sales.t", "source:t", &["east"], "s3a://closed/root").policy;
    let error = catalog.set_policy(&table.name, &closed, None, NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Invalid(_)), "{error}");
    // A table that is there stays when the list changes.
    let narrowed =
        StoreRecord { projects: vec!["mart".to_owned()], ..store("source", "gs://lake") };
    catalog.put_store(&narrowed, None, NOW).await.unwrap();
    catalog.set_policy(&table.name, &new.policy, None, NOW).await.unwrap();
}

fn with_readers<'a>(name: &'a str, readers: &[(&str, &str)]) -> NewProject<'a> {
    let pair = |(site, store): &(&str, &str)| ((*site).to_owned(), (*store).to_owned());
    let readers = readers.iter().map(pair).collect();
    NewProject { name, organisation: None, share: 1, readers }
}

async fn readers_keep_their_store_and_their_site(catalog: Catalog) {
    let of_lake = StoreRecord { projects: vec!["lake".to_owned()], ..store("keys", "s3://vast") };
    catalog.put_store(&store("vast", "s3://vast"), None, NOW).await.unwrap();
    catalog.put_store(&of_lake, None, NOW).await.unwrap();
    catalog.put_site(&site("east", "vast:east"), None, NOW).await.unwrap();
    let wanted = with_readers("lake", &[("east", "keys")]);
    let made = catalog.put_project(wanted.clone(), None, NOW).await.unwrap();
    assert_eq!(made.readers, wanted.readers);
    assert_eq!(catalog.project("lake").await.unwrap(), Some(made));
    for (refused, part) in [
        (with_readers("lake", &[("west", "keys")]), "there is no site west"),
        (with_readers("lake", &[("east", "gone")]), "there is no store gone"),
        (with_readers("mart", &[("east", "keys")]), "may not use the store keys"),
    ] {
        let error = catalog.put_project(refused, None, NOW).await.unwrap_err();
        assert!(matches!(error, CatalogError::Invalid(_)), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(catalog.project("mart").await.unwrap(), None, "nothing of it was made");
    for error in [
        catalog.remove_store("keys", None).await.unwrap_err(),
        catalog.remove_site("east", None).await.unwrap_err(),
    ] {
        assert!(error.to_string().ends_with("in use by readers of the project lake"), "{error}");
    }
    // A project that names none takes its hand off both.
    let without = catalog.put_project(("lake", None, 1), Some(1), NOW).await.unwrap();
    assert_eq!((without.readers, without.revision), (BTreeMap::new(), 2));
    catalog.remove_store("keys", None).await.unwrap();
    catalog.remove_site("east", None).await.unwrap();
}

async fn two_writers_do_not_overwrite_each_other(catalog: Catalog) {
    catalog.put_site(&site("east", "vast:east"), None, NOW).await.unwrap();
    catalog.put_site(&site("east", "vast:first"), Some(1), NOW).await.unwrap();
    let error = catalog.put_site(&site("east", "vast:second"), Some(1), NOW).await.unwrap_err();
    assert!(matches!(error, CatalogError::Changed { .. }), "{error}");
    assert_eq!(catalog.sites().await.unwrap()[0].url, "vast:first");
}
