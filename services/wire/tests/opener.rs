//! Tables are opened by text; tables of one store share it; trouble says what to do.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;

use driftless_wire::{
    AbsolutePaths, ErrorKind, Format, OpenError, Opener, TableOptions, refuse_twins,
};
use table_sync_core::{SourceLog as _, with_causes};
use table_sync_store::{Settings, StoreConfig};

fn named(entries: &[(&str, &str)]) -> BTreeMap<String, StoreConfig> {
    let store = |url: &str| StoreConfig { url: url.to_owned(), options: BTreeMap::new() };
    entries.iter().map(|(name, url)| ((*name).to_owned(), store(url))).collect()
}

fn opener(stores: &[(&str, &str)]) -> Opener {
    Opener::new(Settings::default(), named(stores), None).unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A folder that is a table for whoever looks at folders only.
fn table_folder(root: &Path, table: &str, log: &str) {
    std::fs::create_dir_all(root.join(table).join(log)).unwrap();
}

#[tokio::test]
async fn tables_of_one_named_store_share_it_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let opener = opener(&[("lake", url), ("twin", url)]);
    let open = |text: &str| opener.table(text, &[], &TableOptions::default()).unwrap();
    let (first, second, other) = (open("lake:a"), open("lake:wh/b"), open("twin:a"));
    let asked = || [&first, &second, &other].map(|table| table.source.store.counters().requests());
    assert_eq!(asked(), [0, 0, 0]);
    // What one table asks is counted at the store that the other has.
    assert!(first.source.store.head("a/missing").await.unwrap().is_none());
    assert_eq!(asked(), [1, 1, 0]);
    let replica = opener.table("twin:a", &texts(&["lake:c"]), &TableOptions::default()).unwrap();
    assert_eq!(replica.targets[0].store.counters().requests(), 1);
    assert_eq!(replica.targets[0].state.counters().requests(), 1);
}

#[tokio::test]
async fn a_pattern_opens_every_table_below_each_target() {
    let folder = tempfile::tempdir().unwrap();
    table_folder(folder.path(), "wh/eu/orders", "_delta_log");
    table_folder(folder.path(), "wh/us/orders", ".hoodie");
    table_folder(folder.path(), "wh/us/notes", "text");
    let opener = opener(&[("lake", folder.path().to_str().unwrap()), ("vast", "s3://replicas")]);
    let targets = texts(&["vast:", "vast:copy/"]);
    let tables = opener.tables("lake:wh/*/*", &targets, &TableOptions::default()).await.unwrap();
    let paths: Vec<_> = tables
        .iter()
        .map(|table| (table.source.table.as_str(), table.targets[0].url.as_str()))
        .collect();
    assert_eq!(
        paths,
        [("wh/eu/orders", "s3://replicas/eu/orders"), ("wh/us/orders", "s3://replicas/us/orders")]
    );
    assert_eq!(tables[1].targets[1].table, "copy/us/orders");
    let found = opener.expand("lake:wh/*/*");
    // Whoever opens many tables does so on any thread.
    fn is_send<T: Send>(work: T) -> T {
        work
    }
    let found = is_send(found).await.unwrap();
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["eu/orders", "us/orders"]);
    let none = opener.tables("lake:wh/*/x*", &[], &TableOptions::default()).await.err().unwrap();
    assert_eq!(none.kind(), ErrorKind::NotATable, "{none}");
}

#[tokio::test]
async fn the_format_is_found_unless_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    table_folder(folder.path(), "orders", ".hoodie");
    std::fs::write(folder.path().join("orders/.hoodie/hoodie.properties"), "x=y\n").unwrap();
    let opener = opener(&[("lake", folder.path().to_str().unwrap())]);
    let table = opener.table("lake:orders", &[], &TableOptions::default()).unwrap();
    assert_eq!(table.log.known(), None);
    assert_eq!(table.log.format_of_source().await.unwrap(), Format::Hudi);
    assert_eq!(table.source.log.format(), "hudi");
    let options = TableOptions { format: Some(Format::Delta), ..TableOptions::default() };
    let table = opener.table("lake:orders", &[], &options).unwrap();
    assert_eq!(table.log.format(), "delta");
}

#[track_caller]
fn check(error: &OpenError, kind: ErrorKind, words: &str) {
    let text = with_causes(error);
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(words), "{text}");
    assert!(!error.hint().is_empty(), "{text}");
}

#[test]
fn trouble_has_a_kind_and_a_way_out() {
    let opener = opener(&[("lake", "s3://lake"), ("vast", "s3://replicas")]);
    let open = |source: &str, targets: &[&str], options: &TableOptions| {
        opener.table(source, &texts(targets), options).err().unwrap()
    };
    let plain = TableOptions::default();
    let refused = open("nope:a", &[], &plain);
    check(&refused, ErrorKind::Arguments, "find the store nope: known are lake, vast");
    let refused = open("lake:a", &["vast:*"], &plain);
    check(&refused, ErrorKind::Arguments, "use vast:* as a target: it has a *");
    let roots = |roots: &[&str], absolute_paths| TableOptions {
        alias_roots: texts(roots),
        absolute_paths,
        ..TableOptions::default()
    };
    let refused = open("lake:a", &[], &roots(&["s3://lake/base"], AbsolutePaths::Refuse));
    check(&refused, ErrorKind::Arguments, "absolute references are refused");
    let refused = open("lake:a", &[], &roots(&["s3://u:MARKER@x/base"], AbsolutePaths::Alias));
    check(&refused, ErrorKind::Arguments, "read --alias-root");
    assert!(!with_causes(&refused).contains("MARKER"));
    let refused = open("lake:a", &[], &roots(&["s3://other/base"], AbsolutePaths::Alias));
    check(&refused, ErrorKind::Arguments, "another bucket than s3://lake/a");
    let state = Some("nope:state".to_owned());
    let refused = Opener::new(Settings::default(), BTreeMap::new(), state).err().unwrap();
    check(&refused, ErrorKind::Arguments, "find the store nope");
    let options = BTreeMap::from([("no_such_option".to_owned(), "x".to_owned())]);
    let json = serde_json::json!({ "url": "s3://lake", "options": options });
    let stores = BTreeMap::from([("lake".to_owned(), serde_json::from_value(json).unwrap())]);
    let opener = Opener::new(Settings::default(), stores, None).unwrap();
    let refused = opener.table("lake:a", &[], &plain).err().unwrap();
    check(&refused, ErrorKind::Configuration, "unknown store option no_such_option");
}

#[test]
fn what_is_written_is_written_once_and_not_read() {
    let opener = opener(&[("lake", "s3://lake")]);
    let open = |source: &str, targets: &[&str]| {
        opener.table(source, &texts(targets), &TableOptions::default()).unwrap()
    };
    let check = |tables: &[_], expect: Option<&str>| {
        let refused = refuse_twins(tables).err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), expect);
    };
    check(&[open("lake:a", &["lake:b", "lake:c"]), open("lake:x", &["lake:y"])], None);
    let source = "use s3://lake/a/b as a target: it is a source, or inside one";
    check(&[open("lake:a", &["lake:a/b"])], Some(source));
    let twice = "use s3://lake/b as a target: it is given twice, or inside another target";
    check(&[open("lake:a", &["lake:b"]), open("lake:x", &["lake:b"])], Some(twice));
}
