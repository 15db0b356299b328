//! Tables on disk: the public corpus and the tables that this project generates.
//!
//! # Invariants
//! - A missing corpus is visible: the list is empty and a line says that tests skip it.
//! - Tables are sorted by name, and loaded only when asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use crate::Objects;
use crate::models::{files_present, log_versions, snapshot_of_source};

/// One table of the public corpus.
#[derive(Debug, Clone)]
pub struct CorpusTable {
    /// Path below the corpus, with `/`, for example `delta/golden/v2-checkpoint-json`.
    pub name: String,
    /// Table root.
    pub root: PathBuf,
}

impl CorpusTable {
    /// Reads every file of the table.
    ///
    /// # Panics
    /// If a file cannot be read.
    pub fn objects(&self) -> Objects {
        load(&self.root)
    }
}

/// One generated table of this project, with what Spark answers at each version.
#[derive(Debug, Clone)]
pub struct ProjectTable {
    /// Folder name.
    pub name: String,
    /// Table root.
    pub root: PathBuf,
    /// Content of `expected.json`.
    pub expected: Expected,
}

impl ProjectTable {
    /// Reads every file of the table.
    ///
    /// # Panics
    /// If a file cannot be read.
    pub fn objects(&self) -> Objects {
        load(&self.root)
    }
}

/// Content of `expected.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Version of Spark that wrote and read the table.
    pub spark: String,
    /// Version of Delta in that Spark.
    pub delta: String,
    /// Table features at the latest version.
    pub features: BTreeSet<String>,
    /// Rows at each version that can be read.
    pub versions: BTreeMap<u64, RowExpectation>,
    /// Versions that cannot be read, with the reason.
    pub unreadable: BTreeMap<u64, String>,
}

/// Rows of one version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowExpectation {
    /// Number of rows.
    pub count: u64,
    /// Sum of the row hashes modulo 2^128, 32 hexadecimal digits.
    pub hash: String,
}

/// Which versions of a table can be replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayable {
    /// Versions whose commit is there and whose live files are all there.
    pub versions: BTreeSet<u64>,
    /// The other committed versions, with the reason.
    pub unusable: BTreeMap<u64, String>,
}

/// Every Delta table of the public corpus, which lies beside the repository.
#[allow(clippy::print_stderr, reason = "a skipped corpus must be visible in the test output")]
pub fn delta_tables() -> Vec<CorpusTable> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/delta");
    if !corpus.is_dir() {
        eprintln!("SKIPPED: corpus not found beside the repository");
        return Vec::new();
    }
    let mut roots = Vec::new();
    find_tables(&corpus, &mut roots);
    let table = |root: PathBuf| CorpusTable { name: relative(&corpus, &root), root };
    let mut tables: Vec<CorpusTable> = roots.into_iter().map(table).collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    tables
}

/// The generated tables of this project; one without `expected.json` is not finished and left out.
///
/// # Panics
/// If `expected.json` cannot be parsed.
pub fn project_tables() -> Vec<ProjectTable> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("delta");
    let mut tables = Vec::new();
    for (name, path) in entries(&folder) {
        let Ok(text) = std::fs::read_to_string(path.join("expected.json")) else { continue };
        let expected = serde_json::from_str(&text);
        let expected = expected.unwrap_or_else(|e| panic!("parse expected.json of {name}: {e}"));
        tables.push(ProjectTable { name, root: path.join("table"), expected });
    }
    tables
}

/// Reads every file below a table root.
///
/// # Panics
/// If a file cannot be read.
pub fn load(root: &Path) -> Objects {
    let mut objects = Objects::new();
    load_folder(root, root, &mut objects);
    objects
}

/// Classifies the committed versions of a table.
pub fn replayable_versions(objects: &Objects) -> Replayable {
    let mut result = Replayable::default();
    for version in log_versions(objects) {
        match snapshot_of_source(objects, version) {
            Ok(opened) => match files_present(&opened, objects).first() {
                None => {
                    result.versions.insert(version);
                }
                Some(missing) => {
                    let reason = format!("{}: {}", missing.key, missing.reason);
                    result.unusable.insert(version, reason);
                }
            },
            Err(error) => {
                result.unusable.insert(version, error.to_string());
            }
        }
    }
    result
}

fn find_tables(folder: &Path, roots: &mut Vec<PathBuf>) {
    for (name, path) in entries(folder) {
        if name == "_delta_log" {
            roots.push(folder.to_owned());
        } else if path.is_dir() {
            find_tables(&path, roots);
        }
    }
}

fn load_folder(root: &Path, folder: &Path, objects: &mut Objects) {
    for (_, path) in entries(folder) {
        if path.is_dir() {
            load_folder(root, &path, objects);
        } else {
            let bytes = std::fs::read(&path);
            let bytes = bytes.unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
            objects.insert(relative(root, &path), Bytes::from(bytes));
        }
    }
}

/// Name and path of what is in a folder, sorted; a folder that is absent is empty.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(found) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = found
        .map(|entry| entry.expect("list a folder of tables").path())
        .map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path))
        .collect();
    found.sort();
    found
}

fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).expect("path is below its root");
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
