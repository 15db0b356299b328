//! Calls that real Trino and Spark made, against tables like those that they were made against.
//!
//! The answers have to say what the recorded ones say, where engines look: `hms-calls.md` tells
//! what that is. The recordings are no part of the project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use driftless_metastored::{Column, Snapshot, hive};
use table_sync_core::Position;
use thrift::protocol::TType;

use crate::client::{Answer, Client, parse};
use crate::place::Place;

/// Engines whose recordings are replayed.
const ENGINES: [&str; 8] = [
    "spark-3.5.9-delta-3.3.2",
    "spark-3.5.9-hudi-0.15.0",
    "spark-3.5.9-hudi-1.2.0",
    "spark-3.5.9-hudi-1.2.0-writes-refused",
    "spark-4.0.5-delta-4.0.1",
    "trino-476",
    "trino-476-unknown-method",
    "trino-476-writes-refused",
];

/// One recorded call.
struct Recorded {
    stem: String,
    request: Vec<u8>,
    answer: Answer,
}

impl Recorded {
    /// Texts of the arguments, the first two of which name a database and a table.
    fn names(&self) -> (String, String) {
        let mut texts = strings(&self.request).into_iter().skip(1);
        (texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
    }

    fn table(&self) -> Option<hive::Table> {
        let table = match (self.answer.name.as_str(), self.answer.field?) {
            ("get_table", (0, _)) => self.answer.read::<hive::Table>(),
            ("get_table_req", (0, _)) => self.answer.read::<hive::TableResult>().table,
            _ => return None,
        };
        Some(table).filter(|table| table.table_type.as_deref() != Some("VIRTUAL_VIEW"))
    }
}

/// Everything in a message that looks like a text of the protocol: a length and as many bytes.
fn strings(message: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 4 <= message.len() {
        let length = u32::from_be_bytes(message[at..at + 4].try_into().unwrap()) as usize;
        let text =
            message.get(at + 4..at + 4 + length).and_then(|bytes| str::from_utf8(bytes).ok());
        match text.filter(|text| !text.is_empty() && text.chars().all(|char| !char.is_control())) {
            Some(text) => {
                found.push(text.to_owned());
                at += 4 + length;
            }
            None => at += 1,
        }
    }
    found
}

/// Recorded calls, for whoever needs real ones. None where the recordings are not there.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let folders = recordings().into_iter().flat_map(|folder| ENGINES.map(|e| folder.join(e)));
    folders.flat_map(|folder| recorded(&folder)).map(|call| call.request).collect()
}

fn recordings() -> Option<PathBuf> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/hms-recordings");
    if !folder.exists() {
        eprintln!("SKIPPED: no recordings at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn recorded(folder: &Path) -> Vec<Recorded> {
    let mut calls = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "req") {
            let request = std::fs::read(&path).unwrap();
            let answer = std::fs::read(path.with_extension("res")).unwrap();
            let (answer, bytes) = parse(&answer).unwrap();
            assert!(bytes > 0);
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            calls.push(Recorded { stem, request, answer });
        }
    }
    calls.sort_by(|a, b| a.stem.cmp(&b.stem));
    calls
}

/// Registers the tables that the recorded answers show, with the partitions that they show.
async fn tables(place: &Place, calls: &[Recorded]) -> BTreeSet<String> {
    let mut rows: BTreeMap<String, hive::Table> = BTreeMap::new();
    let mut partitions: BTreeMap<String, BTreeMap<Vec<String>, String>> = BTreeMap::new();
    for call in calls {
        if let Some(table) = call.table() {
            let name = full_name(table.db_name.as_ref(), table.table_name.as_ref());
            rows.insert(name, table);
        }
        if call.answer.name == "get_partition" && call.answer.field == Some((0, TType::Struct)) {
            let partition: hive::Partition = call.answer.read();
            let name = full_name(partition.db_name.as_ref(), partition.table_name.as_ref());
            let location = partition.sd.unwrap().location.unwrap();
            partitions.entry(name).or_default().insert(partition.values.unwrap(), location);
        }
    }
    let (mut registered, mut places) = (BTreeSet::new(), BTreeSet::new());
    for (name, row) in &rows {
        // The views of a merge-on-read table are there with it.
        let base = name.strip_suffix("_ro").or_else(|| name.strip_suffix("_rt")).unwrap_or(name);
        registered.insert(name.clone());
        if name != base && rows.contains_key(base) || name.ends_with("_rt") {
            continue;
        }
        let name = &base.to_owned();
        let parameters = row.parameters.clone().unwrap();
        let sd = row.sd.clone().unwrap();
        let serde = sd.serde_info.as_ref().and_then(|serde| serde.parameters.clone());
        let path = serde.unwrap_or_default().remove("path").or(sd.location.clone()).unwrap();
        let path = path.replace("s3a://", "s3://");
        // Some rows were tried over one table. A place is one replica's, so that they are spelled
        // differently here.
        let mut place_of = path.clone();
        while !places.insert(place_of.clone()) {
            place_of.push('/');
        }
        match parameters.get("spark.sql.sources.provider").map(|p| p.to_lowercase()).as_deref() {
            Some("delta") => place.publish(name, "delta", Some(&place_of)).await,
            Some("hudi") => {
                let listed = partitions.remove(name).unwrap_or_default();
                place.snapshots.tell(name, snapshot(row, &path, &listed));
                place.publish(name, "hudi", Some(&place_of)).await;
            }
            // Rows that were made wrong on purpose, and tables of other formats.
            _ => {
                registered.remove(name);
            }
        }
    }
    registered
}

fn full_name(database: Option<&String>, table: Option<&String>) -> String {
    format!("{}.{}", database.unwrap(), table.unwrap())
}

/// What a replica would have to hold for such a row.
fn snapshot(row: &hive::Table, root: &str, listed: &BTreeMap<Vec<String>, String>) -> Snapshot {
    let column = |field: &hive::FieldSchema| Column {
        name: field.name.clone().unwrap(),
        hive: field.type_.clone().unwrap(),
        spark: serde_json::Value::from(field.type_.clone().unwrap()),
        nullable: true,
    };
    let columns = |fields: &[hive::FieldSchema]| fields.iter().map(column).collect();
    let below = |location: &String| {
        let location = location.replace("s3a://", "s3://");
        location.strip_prefix(root).unwrap().trim_start_matches('/').to_owned()
    };
    let sd = row.sd.as_ref().unwrap();
    Snapshot {
        position: Position::parse("20240102030405000_20240102030400000").unwrap(),
        merges: sd.input_format.as_ref().unwrap().contains("realtime")
            || row.table_name.as_ref().unwrap().ends_with("_ro"),
        columns: columns(sd.cols.as_ref().unwrap()),
        partition_columns: columns(row.partition_keys.as_ref().unwrap()),
        partitions: listed.iter().map(|(values, at)| (values.clone(), below(at))).collect(),
        gone: BTreeMap::new(),
    }
}

/// What engines look at in the row of a table.
fn seen(table: &hive::Table) -> Vec<(String, String)> {
    let parameters = table.parameters.clone().unwrap_or_default();
    let sd = table.sd.clone().unwrap();
    let serde = sd.serde_info.clone().unwrap().parameters.unwrap_or_default();
    let provider = parameters.get("spark.sql.sources.provider").unwrap().to_lowercase();
    // Both engines open both, and a trailing slash says nothing.
    let url = |url: &String| url.replace("s3://", "s3a://").trim_end_matches('/').to_owned();
    let fields = |fields: &Option<Vec<hive::FieldSchema>>| {
        let fields = fields.iter().flatten();
        let text = |f: &hive::FieldSchema| format!("{:?} {:?}", f.name, f.type_);
        fields.map(text).collect::<Vec<_>>().join(", ")
    };
    let mut seen = vec![
        ("name", full_name(table.db_name.as_ref(), table.table_name.as_ref())),
        ("type", table.table_type.clone().unwrap()),
        ("path", serde.get("path").map(url).unwrap_or_default()),
        ("keys", fields(&table.partition_keys)),
        ("provider", provider.clone()),
    ];
    if provider == "hudi" {
        seen.push(("location", sd.location.as_ref().map(url).unwrap()));
        seen.push(("columns", fields(&sd.cols)));
        seen.push(("input", sd.input_format.clone().unwrap()));
        seen.push(("output", sd.output_format.clone().unwrap()));
        seen.push(("serde", sd.serde_info.unwrap().serialization_lib.unwrap()));
        // A row without the parameter is read as one with `false`.
        let view = serde.get("hoodie.query.as.ro.table").cloned();
        seen.push(("read-optimized", view.unwrap_or_else(|| "false".to_owned())));
    }
    seen.into_iter().map(|(what, value)| (what.to_owned(), value)).collect()
}

/// Compares an answer with the recorded one. What was looked at, for the count.
fn compare(call: &Recorded, ours: &Answer, registered: &BTreeSet<String>) -> &'static str {
    let stem = &call.stem;
    let theirs = &call.answer;
    assert_eq!((ours.name.as_str(), ours.sequence), (theirs.name.as_str(), theirs.sequence));
    let writes: BTreeSet<_> = driftless_metastored::writes().collect();
    if writes.contains(ours.name.as_str()) {
        let (field, text) = ours.failure().unwrap();
        assert_eq!(text, "read-only: register tables in Driftless", "{stem}");
        if let Some((refused, _)) = theirs.failure().filter(|_| !theirs.exception) {
            assert_eq!(field, refused, "{stem}");
        }
        return "refused";
    }
    assert!(!ours.exception, "{stem}: {ours:?}");
    // Where the recording service was told to know a method not.
    if theirs.exception {
        return "known here";
    }
    match ours.name.as_str() {
        "get_table" | "get_table_req" => {
            let (database, table) = call.names();
            compare_table(call, ours, registered.contains(&format!("{database}.{table}")))
        }
        _ => compare_others(call, ours, registered),
    }
}

fn compare_others(call: &Recorded, ours: &Answer, registered: &BTreeSet<String>) -> &'static str {
    let (stem, theirs) = (&call.stem, &call.answer);
    match ours.name.as_str() {
        "get_partition" => {
            let seen = |row: hive::Partition| {
                let location = row.sd.unwrap().location.unwrap().replace("s3://", "s3a://");
                (row.values, location, row.parameters.is_some())
            };
            assert_eq!(seen(ours.read()), seen(theirs.read()), "{stem}");
            "partition"
        }
        "get_partition_names" | "get_partition_names_ps" => {
            // Partitions were added while it was recorded: what was there then is there now.
            let sorted = |answer: &Answer| answer.texts().into_iter().collect::<BTreeSet<_>>();
            let (ours, theirs) = (sorted(ours), sorted(theirs));
            assert!(theirs.is_subset(&ours), "{stem}: {theirs:?}, not {ours:?}");
            "partition names"
        }
        "get_tables" => {
            let (database, _) = call.names();
            let full = |answer: &Answer| {
                let names = answer.texts().into_iter();
                names.map(|table| format!("{database}.{table}")).collect()
            };
            compare_names(stem, full(ours), full(theirs), registered)
        }
        "get_table_meta" => {
            let full = |answer: &Answer| {
                let metas = answer.list::<hive::TableMeta>().into_iter();
                metas.map(|m| full_name(m.db_name.as_ref(), m.table_name.as_ref())).collect()
            };
            compare_names(stem, full(ours), full(theirs), registered)
        }
        "get_database" if theirs.failure().is_some() => {
            assert_eq!(ours.failure().map(|failure| failure.0), Some(1), "{stem}");
            "no database"
        }
        "get_database" => {
            let (ours, theirs): (hive::Database, hive::Database) = (ours.read(), theirs.read());
            assert_eq!(ours.name, theirs.name, "{stem}");
            assert!(ours.location_uri.is_some_and(|uri| uri.starts_with("s3a://")), "{stem}");
            "database"
        }
        "get_all_databases" | "get_databases" => {
            let ours: BTreeSet<_> = ours.texts().into_iter().collect();
            assert!(theirs.texts().iter().all(|name| ours.contains(name)), "{stem}: {ours:?}");
            "databases"
        }
        "get_function" => {
            let (field, text) = ours.failure().unwrap();
            assert_eq!(field, 2, "{stem}");
            assert!(text.contains("does not exist"), "{text}");
            "no function"
        }
        // Partitions that hive sync wrote: their answers are compared by shape.
        _ => {
            assert_eq!(ours.field, theirs.field, "{stem}");
            "shape"
        }
    }
}

fn compare_table(call: &Recorded, ours: &Answer, registered: bool) -> &'static str {
    let (stem, theirs) = (&call.stem, &call.answer);
    if !registered {
        // Views, foreign tables, and what is not there at all.
        assert_eq!(ours.failure().map(|failure| failure.0), Some(2), "{stem}");
        return "no table";
    }
    if call.table().is_none() {
        // It was made later in the recording.
        assert_eq!(ours.field.map(|field| field.0), Some(0), "{stem}");
        return "table of later";
    }
    let row = |answer: &Answer| match answer.name.as_str() {
        "get_table" => answer.read::<hive::Table>(),
        _ => answer.read::<hive::TableResult>().table,
    };
    assert_eq!(ours.field, theirs.field, "{stem}: {ours:?}");
    assert_eq!(seen(&row(ours)), seen(&row(theirs)), "{stem}");
    "table"
}

/// Names of tables, with their databases: all that are registered and were listed then.
fn compare_names(
    stem: &str,
    ours: BTreeSet<String>,
    theirs: BTreeSet<String>,
    registered: &BTreeSet<String>,
) -> &'static str {
    let missing: Vec<_> = theirs.intersection(registered).filter(|n| !ours.contains(*n)).collect();
    assert!(missing.is_empty(), "{stem}: {missing:?}");
    "table names"
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_calls_of_trino_and_spark_are_answered_as_a_metastore_did() {
    let Some(folder) = recordings() else { return };
    for engine in ENGINES {
        let calls = recorded(&folder.join(engine));
        let place = Place::new().await;
        let registered = tables(&place, &calls).await;
        // Databases that are there without a table that was asked for.
        for database in ["sales", "sales40", "hudi"] {
            place.catalog.put_namespace("lake", database, crate::place::NOW).await.unwrap();
        }
        let service = place.serve().await;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut client = Client::new(service.address).await;
        for call in &calls {
            let answer = client.call(&call.request).await;
            *counts.entry(compare(call, &answer, &registered)).or_default() += 1;
        }
        eprintln!("{engine}: {} calls, {} tables: {counts:?}", calls.len(), registered.len());
        assert!(counts.contains_key("table"), "{engine}: nothing was compared");
        drop(client);
        service.stop().await;
    }
}
