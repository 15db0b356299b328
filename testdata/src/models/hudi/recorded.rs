//! Recorded lives of real tables: every object version in the order in which it appeared.
//!
//! # Invariants
//! - A fixture without `expected.json` is not finished and is left out.
//!
//! Source: the Hudi section of `testdata/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use super::names::split_key;
use super::{HudiObjects, Object};
use crate::corpus::RowExpectation;

/// The life of one table.
#[derive(Debug, Clone, Deserialize)]
pub struct Recorded {
    /// Folder name.
    #[serde(skip)]
    pub name: String,
    /// Version of Hudi that wrote it.
    pub hudi: String,
    /// Table version at the end.
    pub table_version: u32,
    /// `COPY_ON_WRITE` or `MERGE_ON_READ`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One step per call of the writer.
    pub steps: Vec<Step>,
    /// What Spark read after each instant.
    #[serde(skip)]
    pub expected: Instants,
    #[serde(skip)]
    objects: PathBuf,
}

/// One call of a writer.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// What it did.
    pub name: String,
    /// Changes of objects, in order.
    pub events: Vec<Event>,
}

/// One change of one object.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// An object appeared or got other bytes.
    Put {
        /// Key relative to the table root.
        put: String,
        /// File of the content below `objects/`.
        object: String,
        /// When, milliseconds since 1970 in UTC.
        modified_ms: i64,
    },
    /// An object was removed.
    Delete {
        /// Key relative to the table root.
        delete: String,
    },
}

impl Event {
    /// Whether it completes an instant of the data timeline.
    pub fn completes(&self) -> bool {
        self.completed_key().is_some()
    }

    /// Key of the instant that it completes.
    pub fn completed_key(&self) -> Option<&str> {
        let Self::Put { put, .. } = self else { return None };
        completes(put).then_some(put)
    }
}

/// Whether a key is a completed object of the data timeline, by its name.
pub(super) fn completes(key: &str) -> bool {
    let (folder, name) = split_key(key);
    let Some((times, action)) = name.split_once('.') else { return false };
    let digits = times.bytes().all(|b| b.is_ascii_digit() || b == b'_') && !times.is_empty();
    let timeline = folder == ".hoodie" || (folder.starts_with(".hoodie/") && folder.len() > 8);
    let other = folder.starts_with(".hoodie/metadata") || folder.contains("/history");
    timeline && !other && digits && !action.contains('.') && action != "inflight"
}

/// Content of `expected.json`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Instants {
    /// Instants in completion order.
    pub instants: Vec<Expected>,
}

/// What Spark read once an instant had completed.
#[derive(Debug, Clone, Deserialize)]
pub struct Expected {
    /// Request time.
    pub instant: String,
    /// Action of the completed instant.
    pub action: String,
    /// Rows of a snapshot query; absent if the state cannot be read any more.
    pub rows: Option<RowExpectation>,
    /// Rows of a read-optimized query of a merge-on-read table.
    pub read_optimized: Option<RowExpectation>,
}

impl Recorded {
    /// Applies one event to a state.
    ///
    /// # Panics
    /// If the content is not there.
    pub fn apply(&self, event: &Event, state: &mut HudiObjects) {
        match event {
            Event::Put { put, object, modified_ms } => {
                let path = self.objects.join(object);
                let bytes = std::fs::read(&path);
                let bytes = bytes.unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
                let object = Object { bytes: Bytes::from(bytes), modified_ms: *modified_ms };
                state.insert(put.clone(), object);
            }
            Event::Delete { delete } => {
                state.remove(delete);
            }
        }
    }

    /// Calls `each` with every event and the state after it.
    pub fn replay(&self, mut each: impl FnMut(&Step, &Event, &HudiObjects)) {
        let mut state = HudiObjects::new();
        for step in &self.steps {
            for event in &step.events {
                self.apply(event, &mut state);
                each(step, event, &state);
            }
        }
    }

    /// Rows by instant.
    pub fn rows(&self) -> BTreeMap<&str, &Expected> {
        self.expected.instants.iter().map(|e| (e.instant.as_str(), e)).collect()
    }
}

/// The recorded tables of this project, sorted by name.
///
/// # Panics
/// If a description cannot be parsed.
pub fn recorded_tables() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hudi");
    let found = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = found.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| recorded(path)).collect()
}

fn recorded(path: &Path) -> Option<Recorded> {
    let expected = std::fs::read_to_string(path.join("expected.json")).ok()?;
    let history = std::fs::read_to_string(path.join("history.json")).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let parsed = serde_json::from_str(&history);
    let mut table: Recorded = parsed.unwrap_or_else(|e| panic!("parse history of {name}: {e}"));
    let parsed = serde_json::from_str(&expected);
    table.expected = parsed.unwrap_or_else(|e| panic!("parse expected.json of {name}: {e}"));
    table.name = name;
    table.objects = path.join("objects");
    Some(table)
}
