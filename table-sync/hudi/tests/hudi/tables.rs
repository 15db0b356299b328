//! Tables to read: the public corpus beside the repository, and the histories that this project
//! recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Objects of one table: key below its root, and bytes.
pub(crate) type Objects = BTreeMap<String, Vec<u8>>;

/// A table's root below `name`, with everything below it.
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) objects: Objects,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every table of the public corpus, packed or not, metadata tables among them.
///
/// A corpus that is not there, or cannot be unpacked, is said and left out.
#[allow(clippy::print_stderr, reason = "a skipped corpus must be visible in the test output")]
pub(crate) fn corpus() -> Vec<Table> {
    let corpus = repository().join("../shared/corpus/hudi");
    if !corpus.is_dir() {
        eprintln!("SKIPPED: corpus not found beside the repository");
        return Vec::new();
    }
    let mut files = Vec::new();
    walk(&corpus, &mut files);
    let unpacked = tempfile::tempdir().unwrap();
    for zip in files.iter().filter(|file| has_extension(file, "zip")) {
        let target = unpacked.path().join(key(&corpus, zip));
        std::fs::create_dir_all(&target).unwrap();
        let done = Command::new("unzip").arg("-q").arg(zip).arg("-d").arg(target).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: unzip failed for {}", zip.display());
        }
    }
    let mut tables = below(&corpus);
    tables.extend(below(unpacked.path()));
    tables
}

/// Every table below a folder.
fn below(folder: &Path) -> Vec<Table> {
    let mut files = Vec::new();
    walk(folder, &mut files);
    let is_properties = |file: &&PathBuf| file.ends_with(".hoodie/hoodie.properties");
    let roots = files.iter().filter(is_properties);
    let roots = roots.map(|file| file.parent().and_then(Path::parent).unwrap());
    let table = |root: &Path| {
        let own = files.iter().filter(|file| file.starts_with(root));
        let key = |file: &PathBuf| key(root, file);
        let objects = own.map(|file| (key(file), std::fs::read(file).unwrap())).collect();
        Table { name: self::key(folder, root), objects }
    };
    roots.map(table).collect()
}

fn key(root: &Path, file: &Path) -> String {
    let parts = file.strip_prefix(root).unwrap().iter();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

/// Files below a folder, without what an archiver of another system left.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("._") || name == "__MACOSX" {
            continue;
        }
        if entry.is_dir() {
            walk(&entry, files);
        } else {
            files.push(entry);
        }
    }
}

/// One table as its store saw it: every event in order.
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) events: Vec<Event>,
}

pub(crate) enum Event {
    Put(String, Vec<u8>),
    Delete(String),
}

#[derive(Deserialize)]
struct History {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    events: Vec<EventRecord>,
}

#[derive(Deserialize)]
struct EventRecord {
    put: Option<String>,
    delete: Option<String>,
    object: Option<String>,
}

/// The histories of `testdata/hudi`.
pub(crate) fn recorded() -> Vec<Recorded> {
    let mut files = Vec::new();
    walk(&repository().join("testdata/hudi"), &mut files);
    let histories = files.iter().filter(|file| file.ends_with("history.json"));
    let read = |file: &PathBuf| {
        let folder = file.parent().unwrap();
        let history: History = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let event = |event: EventRecord| match (event.put, event.object, event.delete) {
            (Some(key), Some(object), None) => {
                Event::Put(key, std::fs::read(folder.join("objects").join(object)).unwrap())
            }
            (None, _, Some(key)) => Event::Delete(key),
            _ => panic!("event of another kind in {}", file.display()),
        };
        let events = history.steps.into_iter().flat_map(|step| step.events);
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        Recorded { name, events: events.map(event).collect() }
    };
    histories.map(read).collect()
}
