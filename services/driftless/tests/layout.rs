//! The arrows between the crates: who may depend on whom, and which libraries stay out where.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Our own crates, and the crates of ours that each may name as a dependency. Test dependencies
/// are free.
const ARROWS: [(&str, &[&str]); 14] = [
    ("table-sync-core", &[]),
    ("table-sync-store", &["table-sync-core"]),
    ("table-sync-delta", &["table-sync-core"]),
    ("table-sync-hudi", &["table-sync-core"]),
    ("table-sync-engine", &["table-sync-core", "table-sync-store"]),
    ("table-sync-rows", &["table-sync-core", "table-sync-store"]),
    ("driftless-catalog", &["table-sync-core"]),
    ("driftless-alerts", &["table-sync-core", "driftless-catalog"]),
    ("driftless-catalogd", &["table-sync-core", "driftless-catalog"]),
    ("driftless-metastored", &["table-sync-core", "driftless-catalog", "driftless-wire"]),
    (
        "driftless-syncd",
        &[
            "table-sync-core",
            "table-sync-store",
            "table-sync-engine",
            "driftless-catalog",
            "driftless-wire",
        ],
    ),
    (
        "driftless-wire",
        &[
            "table-sync-core",
            "table-sync-store",
            "table-sync-delta",
            "table-sync-hudi",
            "table-sync-engine",
        ],
    ),
    (
        "driftless",
        &[
            "table-sync-core",
            "table-sync-store",
            "table-sync-delta",
            "table-sync-hudi",
            "table-sync-engine",
            "driftless-wire",
            "driftless-catalog",
            "driftless-catalogd",
            "driftless-metastored",
            "driftless-syncd",
            "driftless-alerts",
        ],
    ),
    ("driftless-testdata", &[]),
];

/// The readers of logs, and the only crates that may know them: what opens tables, and the command
/// line, which also shows what only one format has.
const FORMATS: [&str; 2] = ["table-sync-delta", "table-sync-hudi"];
const KNOW_FORMATS: [&str; 2] = ["driftless-wire", "driftless"];

/// Libraries that must not be reachable from a crate, however deep.
const ABSENT: [(&str, &[&str]); 7] = [
    ("table-sync-core", &["tokio", "object_store", "arrow-array", "parquet", "chrono", "reqwest"]),
    ("table-sync-store", &["arrow-array", "parquet", "datafusion", "deltalake", "openssl-sys"]),
    ("table-sync-delta", &["datafusion", "deltalake", "apache-avro"]),
    ("table-sync-hudi", &["datafusion", "deltalake", "hudi-core"]),
    ("table-sync-engine", &["arrow-array", "parquet", "datafusion", "deltalake"]),
    ("driftless-wire", &["clap", "axum", "sqlx", "datafusion", "deltalake", "hudi-core"]),
    ("driftless", &["datafusion", "deltalake", "hudi-core", "openssl-sys"]),
];

/// The platform that this is built on.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

/// What `cargo metadata` says about this workspace.
fn metadata() -> Value {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        // Packages of other platforms need not be here.
        .args(["--filter-platform", &host()])
        .args(["--manifest-path", manifest])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Normal and build dependencies of every package, by name, as `cargo metadata` resolves them.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    graph_of(&metadata())
}

fn graph_of(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let shipped = list(&node["deps"]).into_iter().filter(|dependency| {
            list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev")
        });
        let shipped = shipped.map(|dependency| names[&text(&dependency["pkg"])].clone());
        graph.entry(names[&text(&node["id"])].clone()).or_default().extend(shipped);
    }
    graph
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn reachable(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut queue = vec![from.to_owned()];
    while let Some(next) = queue.pop() {
        for dependency in graph.get(&next).into_iter().flatten() {
            if found.insert(dependency.clone()) {
                queue.push(dependency.clone());
            }
        }
    }
    found
}

#[test]
fn crates_depend_along_the_arrows_only() {
    let graph = graph();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in ARROWS {
        let found = graph.get(name).unwrap_or_else(|| panic!("{name} is a crate of ours"));
        let inner: BTreeSet<&str> =
            found.iter().map(String::as_str).filter(|name| ours.contains(name)).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let stray: Vec<_> = inner.difference(&allowed).collect();
        assert!(stray.is_empty(), "{name} must not depend on {stray:?}");
    }
}

#[test]
fn every_crate_of_ours_has_arrows() {
    let metadata = metadata();
    let members: BTreeSet<String> = list(&metadata["workspace_members"]).iter().map(text).collect();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for package in list(&metadata["packages"]) {
        let name = text(&package["name"]);
        let ours = members.contains(&text(&package["id"]));
        assert!(!ours || known.contains(name.as_str()), "add the arrows of {name}");
    }
}

#[test]
fn few_crates_know_table_formats() {
    for (name, found) in graph() {
        let knows: Vec<_> = FORMATS.iter().filter(|format| found.contains(**format)).collect();
        let may = KNOW_FORMATS.contains(&name.as_str());
        assert!(may || knows.is_empty(), "{name} must not know {knows:?}");
    }
}

#[test]
fn heavy_and_foreign_libraries_stay_where_they_belong() {
    let graph = graph();
    for (name, absent) in ABSENT {
        let found = reachable(&graph, name);
        let stray: Vec<_> = absent.iter().filter(|library| found.contains(**library)).collect();
        assert!(stray.is_empty(), "{name} must not reach {stray:?}");
    }
    // The judge shares no log reader with what it judges.
    let judge = reachable(&graph, "table-sync-rows");
    assert!(judge.contains("deltalake") && !judge.contains("table-sync-delta"));
}
