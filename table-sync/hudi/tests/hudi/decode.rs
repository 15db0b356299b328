//! Every reader on every object that real writers left.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use table_sync_core::InstantTime;
use table_sync_hudi::DecodeError;
use table_sync_hudi::file_name::FileName;
use table_sync_hudi::instant::{Action, InstantName, Layout, State};
use table_sync_hudi::metadata::{
    CleanMetadata, CleanPlan, CommitMetadata, CompactionPlan, IndexingMetadata, ReplacePlan,
    RestoreMetadata, RestorePlan, RollbackMetadata, RollbackPlan, SavepointMetadata,
};
use table_sync_hudi::properties::{Checksum, FILE_NAME, Properties};
use table_sync_hudi::{archive, history};

use crate::tables::{Event, Objects, Table, corpus, recorded};

/// What was read, by kind.
#[derive(Default)]
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn add(&mut self, kind: &str) {
        *self.0.entry(kind.to_owned()).or_default() += 1;
    }

    fn of(&self, kind: &str) -> usize {
        self.0.get(kind).copied().unwrap_or_default()
    }
}

/// Decodes a timeline file as what its name says; what it wrote, for a completed commit.
fn decode(name: &InstantName, bytes: &[u8]) -> Result<CommitMetadata, DecodeError> {
    let object = name.to_string();
    let object = object.as_str();
    let mut metadata = CommitMetadata::default();
    match (&name.action, name.state) {
        (Action::Commit | Action::DeltaCommit | Action::ReplaceCommit, State::Completed) => {
            metadata = CommitMetadata::decode(object, bytes)?;
        }
        (Action::Commit | Action::DeltaCommit, State::Requested) => {}
        (Action::Commit | Action::DeltaCommit | Action::ReplaceCommit, State::Inflight) => {
            CommitMetadata::decode(object, bytes)?;
        }
        (Action::Compaction | Action::LogCompaction, _) => {
            CompactionPlan::decode(object, bytes)?;
        }
        (Action::ReplaceCommit | Action::Clustering, _) => {
            ReplacePlan::decode(object, bytes)?;
        }
        (Action::Clean, State::Completed) => {
            CleanMetadata::decode(object, bytes)?;
        }
        (Action::Clean, _) => {
            CleanPlan::decode(object, bytes)?;
        }
        (Action::Rollback, State::Completed) => {
            let rollback = RollbackMetadata::decode(object, bytes)?;
            assert!(!rollback.rolled_back.is_empty(), "{object}");
        }
        (Action::Rollback, _) => {
            RollbackPlan::decode(object, bytes)?;
        }
        (Action::Restore, State::Completed) => {
            let restore = RestoreMetadata::decode(object, bytes)?;
            assert!(!restore.rollback.rolled_back.is_empty(), "{object}");
        }
        (Action::Restore, State::Requested) => {
            let plan = RestorePlan::decode(object, bytes)?;
            assert!(!plan.instants.is_empty(), "{object}");
        }
        (Action::Restore, State::Inflight) => {}
        (Action::Savepoint, State::Completed) => {
            let savepoint = SavepointMetadata::decode(object, bytes)?;
            assert!(!savepoint.files.is_empty(), "{object}");
        }
        (Action::Savepoint, _) => {}
        (Action::Indexing, _) => {
            IndexingMetadata::decode(object, bytes)?;
        }
        (other, _) => panic!("action {other} does not occur in the corpus"),
    }
    Ok(metadata)
}

/// The name below a timeline's folder.
fn name_below<'a>(folder: &str, key: &'a str) -> Option<&'a str> {
    let name = key.strip_prefix(folder)?.strip_prefix('/')?;
    (!name.contains('/')).then_some(name)
}

fn properties_of(objects: &Objects) -> Properties {
    let bytes = objects.get(".hoodie/hoodie.properties").unwrap();
    Properties::parse(FILE_NAME, &Bytes::copy_from_slice(bytes)).unwrap()
}

fn check_properties(table: &Table, counts: &mut Counts) -> Properties {
    let properties = properties_of(&table.objects);
    if properties.checksum() == Checksum::Invalid {
        // Made by hand, to test how properties are read.
        assert!(table.name.contains("/table_props_"), "{}", table.name);
        counts.add("invalid checksum");
    }
    assert_eq!(properties.edit(&["absent"], &[]), *properties.bytes());
    let dropped = properties.edit(
        &["hoodie.table.metadata.partitions", "hoodie.table.metadata.partitions.inflight"],
        &[("hoodie.timeline.path", "another")],
    );
    let dropped = Properties::parse(FILE_NAME, &dropped).unwrap();
    assert_eq!(dropped.meaning(), properties.meaning(), "{}", table.name);
    assert_eq!(dropped.checksum(), properties.checksum(), "{}", table.name);
    let version = properties.table().version().unwrap();
    counts.add(&format!("table version {version}"));
    properties
}

/// Reads a table's active timeline; returns what its commits wrote.
fn check_timeline(table: &Table, layout: Layout, folder: &str, counts: &mut Counts) -> Wrote {
    let mut wrote = Wrote::default();
    for (key, bytes) in &table.objects {
        let Some(name) = name_below(folder, key) else { continue };
        let Some(parsed) = InstantName::parse(name, layout) else {
            if name.starts_with(|first: char| first.is_ascii_digit()) {
                counts.add("name that is no instant");
                // Ids that are longer than a time, and have no suffix of a metadata table.
                let digits = name.split('.').next().unwrap().len();
                assert!(digits > 17, "{}: {name}", table.name);
            }
            continue;
        };
        assert_eq!(parsed.to_string(), name);
        counts.add(&format!("{} {:?}", parsed.action, parsed.state));
        let metadata = decode(&parsed, bytes).unwrap_or_else(|e| panic!("{}: {e}", table.name));
        wrote.files.extend(metadata.writes.iter().map(|w| (w.path.to_string(), w.size_bytes)));
        wrote.replaced.extend(metadata.replaced.into_iter().map(|(_, file_id)| file_id));
        if parsed.action == Action::Clean && parsed.state == State::Completed {
            let clean = CleanMetadata::decode(name, bytes).unwrap();
            wrote.cleaned.extend(clean.deleted.iter().map(ToString::to_string));
        }
    }
    wrote
}

#[derive(Default)]
struct Wrote {
    files: Vec<(String, Option<u64>)>,
    replaced: BTreeSet<String>,
    cleaned: BTreeSet<String>,
}

/// Files that no clean and no replacement explains, and that are not there.
fn unexplained<'a>(table: &Table, wrote: &'a Wrote, counts: &mut Counts) -> Vec<&'a str> {
    let mut missing = Vec::new();
    for (path, size_bytes) in &wrote.files {
        let name = FileName::parse(path.rsplit('/').next().unwrap());
        let replaced = name.file_id().is_some_and(|file_id| wrote.replaced.contains(file_id));
        match table.objects.get(path) {
            Some(bytes) => {
                counts.add("written file");
                let size = bytes.len() as u64;
                if size_bytes.is_some_and(|stated| stated != size) {
                    counts.add("written file of another size");
                }
            }
            None if wrote.cleaned.contains(path) => counts.add("cleaned file"),
            None if replaced => counts.add("replaced file"),
            None => missing.push(path.as_str()),
        }
    }
    missing
}

fn check_history(table: &Table, folder: &str, counts: &mut Counts) {
    let manifests = table.objects.iter().filter_map(|(key, bytes)| {
        Some((history::manifest_number(name_below(folder, key)?)?, bytes))
    });
    let Some((number, manifest)) = manifests.max_by_key(|(number, _)| *number) else { return };
    let version = &table.objects[&format!("{folder}/{}", history::VERSION_FILE)];
    assert_eq!(history::parse_version("_version_", version).unwrap(), number);
    for file in history::parse_manifest("manifest", manifest).unwrap() {
        let name = file.name.to_string();
        let bytes = Bytes::copy_from_slice(&table.objects[&format!("{folder}/{name}")]);
        assert_eq!(bytes.len() as u64, file.size_bytes);
        let mut found = BTreeSet::new();
        history::for_each(&name, &bytes, &mut |archived| {
            found.insert(archived.requested);
        })
        .unwrap();
        assert_eq!(found.first(), Some(&file.name.min), "{name}");
        assert_eq!(found.last(), Some(&file.name.max), "{name}");
        for files in history::files_of(&name, &bytes, &found).unwrap() {
            counts.add("archived instant of a history");
            let name = InstantName {
                requested: files.archived.requested,
                completion: files.archived.completion,
                action: files.archived.action,
                state: State::Completed,
                layout: Layout::V2,
            };
            let metadata = decode(&name, &files.metadata).unwrap();
            for written in metadata.writes {
                counts.add("file that an archived instant wrote");
                assert!(written.size_bytes.is_some());
            }
        }
    }
}

fn check_archive(name: &str, objects: &Objects, counts: &mut Counts) {
    for (key, bytes) in objects {
        let file = key.rsplit('/').next().unwrap();
        if archive::file_number(file).is_none() {
            continue;
        }
        let read = archive::parse(file, bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read.blocks_skipped, 0, "{name}");
        let times: BTreeSet<InstantTime> = read.instants.iter().map(|a| a.requested).collect();
        for archived in &read.instants {
            counts.add("archived instant of an archive");
            assert!(archived.completion.is_some(), "{name} {archived:?}");
        }
        for (_, metadata) in archive::commits_of(file, bytes, &times).unwrap() {
            metadata.writes.iter().for_each(|_| counts.add("file that an archived instant wrote"));
        }
    }
}

/// Files that the authors of two tables left out of them.
const CUT_AWAY: [&str; 4] = [
    "hudi-rs/core-tests-data/timeline/commits_load_schema_from_base_file_mor/\
     city=chennai/84e82649-b1ee-4a25-a316-17cc6872616b-0_2-13-62_20250331030642808.parquet",
    "hudi-rs/core-tests-data/timeline/commits_load_schema_from_base_file_mor/\
     city=sao_paulo/061498b3-e8ef-42f9-9d17-a509b2779501-0_1-13-61_20250331030642808.parquet",
    "hudi/hudi-trino-plugin/hudi_non_part_mor.zip/hudi_non_part_mor/.hoodie/metadata/\
     record_index/.record-index-0000-0_20250728220641357.log.1_0-26-80",
    "hudi/hudi-trino-plugin/hudi_non_part_mor.zip/hudi_non_part_mor/.hoodie/metadata/\
     record_index/.record-index-0009-0_20250728220641357.log.1_1-26-81",
];

#[test]
#[allow(clippy::print_stderr, reason = "the counts tell how much was read")]
fn every_object_of_the_public_tables_decodes() {
    let mut counts = Counts::default();
    let mut missing = BTreeSet::new();
    for table in corpus() {
        let properties = check_properties(&table, &mut counts);
        let config = properties.table();
        counts.add("table");
        let layout = config.layout().unwrap();
        let folder = config.timeline_folder(layout).unwrap();
        let wrote = check_timeline(&table, layout, folder.as_str(), &mut counts);
        for path in unexplained(&table, &wrote, &mut counts) {
            missing.insert(format!("{}/{path}", table.name));
        }
        let archived = config.archive_folder(layout).unwrap();
        match layout {
            Layout::V2 => check_history(&table, archived.as_str(), &mut counts),
            Layout::V1 => check_archive(&table.name, &table.objects, &mut counts),
        }
    }
    eprintln!("{:#?}\nmissing: {missing:#?}", counts.0);
    if counts.of("table") == 0 {
        return;
    }
    assert!(counts.of("table") >= 90, "the corpus is not whole");
    assert_eq!(missing, CUT_AWAY.into_iter().map(str::to_owned).collect());
}

/// When a completed file appears, every file that it names is there, with the size that it says.
#[test]
#[allow(clippy::print_stderr, reason = "the counts tell how much was read")]
fn every_event_of_the_recorded_tables_decodes() {
    let mut counts = Counts::default();
    for table in recorded() {
        counts.add("table");
        let mut objects = Objects::new();
        for event in table.events {
            match event {
                Event::Delete(key) => {
                    objects.remove(&key);
                }
                Event::Put(key, bytes) => {
                    objects.insert(key.clone(), bytes);
                    check_event(&table.name, &key, &objects, &mut counts);
                }
            }
        }
        check_archive(&table.name, &objects, &mut counts);
        let table = Table { name: table.name, objects };
        check_properties(&table, &mut counts);
        check_history(&table, ".hoodie/timeline/history", &mut counts);
    }
    eprintln!("{:#?}", counts.0);
    assert!(counts.of("table") >= 25, "the recorded tables are not whole");
    let needed = [
        "restore Completed",
        "savepoint Completed",
        "rollback Completed",
        "clean Completed",
        "indexing Completed",
        "logcompaction Requested",
        "file of a change feed",
        "archived instant of an archive",
        "archived instant of a history",
    ];
    for kind in needed {
        assert!(counts.of(kind) > 0, "no {kind}");
    }
}

fn check_event(table: &str, key: &str, objects: &Objects, counts: &mut Counts) {
    let folders = [(".hoodie", Layout::V1), (".hoodie/timeline", Layout::V2)];
    for (folder, layout) in folders {
        let Some(name) = name_below(folder, key) else { continue };
        let Some(parsed) = InstantName::parse(name, layout) else { continue };
        counts.add(&format!("{} {:?}", parsed.action, parsed.state));
        let metadata = decode(&parsed, &objects[key]).unwrap_or_else(|e| panic!("{table}: {e}"));
        for written in metadata.writes {
            let found = objects.get(written.path.as_str());
            let found = found.unwrap_or_else(|| panic!("{table}: {name}: {}", written.path));
            let size_bytes = Some(found.len() as u64);
            assert_eq!(written.size_bytes, size_bytes, "{table}: {name}: {}", written.path);
            let file = FileName::parse(written.path.file_name());
            assert_eq!(file.is_cdc(), written.cdc, "{table}: {name}: {}", written.path);
            counts.add(if written.cdc { "file of a change feed" } else { "data file" });
        }
    }
}
