//! The Hudi models against real tables: recorded lives and public archives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use driftless_testdata::corpus;
use driftless_testdata::models::hudi::{
    HudiObjects, HudiOracle, LateLogs, Loud, Modified, Readers, Recorded, Snapshot, metadata_table,
    reader_0x, reader_1x, recorded_tables, stamped, trino,
};
use parquet::file::reader::{FileReader, SerializedFileReader};

/// Tables whose source un-publishes: states within a restore are not committed ones.
fn goes_back(table: &Recorded) -> bool {
    table.name.contains("restore") || table.name.contains("rollback")
}

#[track_caller]
fn check_paths(name: &str, snapshot: &Snapshot, objects: &HudiObjects) {
    for path in snapshot.slices.iter().flat_map(|slice| slice.paths()) {
        assert!(objects.contains_key(path), "{name}: {path} is not there");
    }
}

fn base_rows(snapshot: &Snapshot, objects: &HudiObjects) -> u64 {
    let bases = snapshot.slices.iter().filter_map(|slice| slice.base.as_ref());
    let rows = |path: &String| {
        let reader = SerializedFileReader::new(objects[path].bytes.clone()).unwrap();
        reader.metadata().file_metadata().num_rows() as u64
    };
    bases.map(rows).sum()
}

/// Whether an instant completed after the newest one had been requested: an asynchronous
/// compaction, for example, whose logs a strict 1.x reader ignores at the source too.
fn is_late(state: &HudiObjects, latest: &str) -> bool {
    let commits = state.iter().filter(|(key, _)| key.ends_with("commit"));
    let time = |ms| chrono::DateTime::from_timestamp_millis(ms).unwrap();
    let late = |ms| *time(ms).format("%Y%m%d%H%M%S%3f").to_string() >= *latest;
    let mut others = commits.filter(|(key, _)| !key.contains(latest));
    others.any(|(_, object)| late(object.modified_ms))
}

/// What the models see of every committed state agrees with what Spark read.
#[test]
fn recorded_states_agree_with_spark() {
    for table in recorded_tables() {
        let expected = table.rows();
        let mut hashes: BTreeMap<Snapshot, BTreeMap<String, String>> = BTreeMap::new();
        let mut states = 0;
        table.replay(|step, event, state| {
            if !event.completes() {
                return;
            }
            let name = format!("{} after {}", table.name, step.name);
            let mut listing = reader_1x(state, LateLogs::Kept).unwrap();
            let read_optimized = trino(state).unwrap();
            check_paths(&name, &listing, state);
            check_paths(&name, &read_optimized, state);
            if table.table_version == 6 {
                assert_eq!(reader_0x(state).unwrap(), listing, "{name}");
                if !is_late(state, listing.latest.as_deref().unwrap_or_default()) {
                    assert_eq!(reader_1x(state, LateLogs::Ignored).unwrap(), listing, "{name}");
                }
            }
            match metadata_table(state) {
                Ok(snapshot) => assert_eq!(snapshot, listing, "{name}"),
                Err(error) => assert_eq!(error, Loud::NoMetadataTable, "{name}"),
            }
            let instant = listing.latest.take().unwrap_or_default();
            let Some(expected) = expected.get(instant.as_str()) else { return };
            let merge_on_read = table.kind == "MERGE_ON_READ";
            let base = if merge_on_read { &expected.read_optimized } else { &expected.rows };
            if let Some(base) = base {
                assert_eq!(base_rows(&read_optimized, state), base.count, "{name} {instant}");
            }
            if let Some(rows) = &expected.rows {
                let seen = hashes.entry(listing).or_default();
                // A commit that only adds a column changes every row and no file.
                let evolves = table.name.starts_with("schema_evolution");
                let rows = if evolves { rows.count.to_string() } else { rows.hash.clone() };
                seen.insert(rows, instant);
                assert_eq!(seen.len(), 1, "{name}: equal slices with other rows: {seen:?}");
                states += 1;
            }
        });
        assert!(states > 0, "{}: no state was compared", table.name);
    }
}

/// Every state that a source passes through is a committed one: Hudi's own order is right, and
/// the models see no false alarm in it. Within a restore only the ends are committed states, and
/// while a table is upgraded no reader opens it right: its writer moves every instant by itself.
#[test]
fn recorded_lives_are_clean() {
    for table in recorded_tables().iter().filter(|table| !table.name.starts_with("upgrade")) {
        let oracle = HudiOracle::new("", Readers::Both, Modified::Millis);
        oracle.learn_recorded(table);
        let before = oracle.learned();
        let mut begun = false;
        table.replay(|_, event, state| {
            begun |= event.completes();
            if begun && (event.completes() || !goes_back(table)) {
                oracle.check(state);
            }
        });
        let found = oracle.violations();
        assert!(found.is_empty(), "{}: {found:#?}", table.name);
        oracle.assert_at_head();
        assert!(before > 1, "{}: {before} states", table.name);
    }
}

/// The oracle sees each single object of a commit that is withheld, on real tables.
#[test]
fn recorded_lives_without_one_data_file_are_not_clean() {
    for table in recorded_tables().iter().filter(|table| !goes_back(table)) {
        let oracle = HudiOracle::new("", Readers::Both, Modified::Millis);
        oracle.learn_recorded(table);
        let mut last = HudiObjects::new();
        table.replay(|_, _, state| last.clone_from(state));
        let live = reader_1x(&last, LateLogs::Kept).unwrap();
        let paths: BTreeSet<&str> = live.slices.iter().flat_map(|slice| slice.paths()).collect();
        for path in paths {
            let mut lacking = last.clone();
            lacking.remove(path);
            let before = oracle.violations().len();
            oracle.check(&lacking);
            let found = oracle.violations().split_off(before);
            let missed = found.iter().any(|text| text.contains("never showed"));
            assert!(missed, "{}: {path} is not missed: {found:?}", table.name);
        }
    }
}

/// X7: the data commit is there and the metadata table is one delta commit behind.
#[test]
fn metadata_table_behind_its_data_is_found() {
    let mut behind = 0;
    for table in recorded_tables() {
        let oracle = HudiOracle::new("", Readers::Both, Modified::Millis);
        oracle.learn_recorded(&table);
        let mut last = HudiObjects::new();
        // The last write: later instants clean or index, and the metadata table has theirs too.
        table.replay(|_, event, state| {
            let names = event.completed_key().is_some_and(|key| key.ends_with("commit"));
            if names && metadata_table(state).is_ok() {
                last.clone_from(state);
            }
        });
        let own = |key: &&String| {
            key.starts_with(".hoodie/metadata/.hoodie/") && key.ends_with(".deltacommit")
        };
        let Some(newest) = last.keys().rfind(own).cloned() else { continue };
        oracle.check(&last);
        oracle.assert_clean();
        last.remove(&newest);
        oracle.check(&last);
        let found = oracle.violations();
        let text = "MetadataTable sees what the source never showed";
        assert!(found.iter().any(|v| v.contains(text)), "{} {newest}: {found:#?}", table.name);
        assert!(found.iter().all(|v| v.contains("MetadataTable")), "{}: {found:#?}", table.name);
        behind += 1;
    }
    assert!(behind > 0, "no recorded table has a metadata table");
}

/// Archives of the public corpus that no modelled reader is expected to open.
const LANCE: &str = "lance";

#[test]
fn public_tables_open() {
    let (mut opened, mut listed_by_metadata) = (0, 0);
    for archive in archives() {
        let name = archive.file_stem().unwrap().to_string_lossy().into_owned();
        let folder = tempfile::tempdir().unwrap();
        let mut unzip = Command::new("unzip");
        let status = unzip.arg("-qo").arg(&archive).arg("-d").arg(folder.path()).status().unwrap();
        assert!(status.success(), "unzip {name}");
        for root in roots(folder.path()) {
            // Modification times are those of the archive: good enough, since nothing is late.
            let objects = stamped(&corpus::load(&root), 0);
            let snapshot = match reader_1x(&objects, LateLogs::Kept) {
                Ok(snapshot) => snapshot,
                Err(Loud::Unsupported { .. }) => continue,
                Err(error) => panic!("{name}: {error}"),
            };
            check_paths(&name, &snapshot, &objects);
            check_paths(&name, &trino(&objects).unwrap(), &objects);
            match metadata_table(&objects) {
                Ok(found) => {
                    assert_eq!(found, snapshot, "{name}");
                    listed_by_metadata += 1;
                }
                Err(error) => assert_eq!(error, Loud::NoMetadataTable, "{name}"),
            }
            if !name.contains(LANCE) {
                base_rows(&snapshot, &objects);
            }
            opened += 1;
        }
    }
    assert!((opened > 0 && listed_by_metadata > 0) || archives().is_empty());
}

#[allow(clippy::print_stderr, reason = "a skipped corpus must be visible in the test output")]
fn archives() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/hudi");
    if !corpus.is_dir() || Command::new("unzip").arg("-v").output().is_err() {
        eprintln!("SKIPPED: corpus beside the repository or unzip not found");
        return Vec::new();
    }
    let mut found = Vec::new();
    walk(&corpus, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "zip") {
            found.push(path.to_owned());
        }
    });
    found.sort();
    found
}

/// Table roots below a folder.
fn roots(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(folder, &mut |path| {
        let meta = path.parent().unwrap();
        let inner = meta.parent().unwrap();
        let metadata = inner.ends_with(".hoodie/metadata");
        if path.ends_with(".hoodie/hoodie.properties") && !metadata {
            found.push(inner.to_owned());
        }
    });
    found.sort();
    found
}

fn walk(folder: &Path, each: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, each) } else { each(&path) }
    }
}
