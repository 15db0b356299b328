//! One commit: the lines of `N.json` and the objects that they name.
//!
//! Source: Delta protocol, "Actions".

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use serde_json::{Value, json};

use super::deletion_vector::{self, DeletionVector};
use super::file::DataFile;
use super::path::log_path;
use super::replay::State;
use super::stats::write_stats;
use super::{VERSION_MS, random, version_ms};
use crate::Objects;

/// Rows that the statistics of every file claim.
const FILE_RECORDS: u64 = 1_000;

/// The commit that is being made. [`TableBuilder::commit`](super::TableBuilder::commit) lends it.
#[derive(Debug)]
pub struct Commit {
    version: u64,
    seed: u64,
    rng: Rng,
    /// The table before this commit.
    base: State,
    info: Value,
    lines: Vec<Line>,
    pub(super) objects: Objects,
    /// Deletion vector files of this commit by prefix and number: key, z85 name and bytes.
    vector_files: BTreeMap<(String, u32), VectorFile>,
}

#[derive(Debug)]
enum Line {
    Action(Value),
    Raw(String),
}

#[derive(Debug)]
struct VectorFile {
    key: String,
    path: String,
    bytes: Vec<u8>,
}

/// What a finished commit leaves.
pub(super) struct Finished {
    pub(super) log: Bytes,
    /// The lines that are JSON objects, for replay.
    pub(super) actions: Vec<Value>,
    pub(super) objects: Objects,
    /// `pathOrInlineDv` of each new vector file, and its key.
    pub(super) vector_keys: Vec<(String, String)>,
}

impl Commit {
    pub(super) fn new(version: u64, seed: u64, mut rng: Rng, base: State) -> Self {
        let info = json!({
            "timestamp": version_ms(version),
            "operation": "WRITE",
            "operationParameters": {"mode": "Append"},
            "isolationLevel": "Serializable",
            "isBlindAppend": true,
            "engineInfo": "driftless-testdata",
            "txnId": random::uuid(&mut rng).to_string(),
        });
        Self {
            version,
            seed,
            rng,
            base,
            info,
            lines: Vec::new(),
            objects: Objects::new(),
            vector_files: BTreeMap::new(),
        }
    }

    /// The version that this commit makes.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Adds a file: an object `key` (raw) of `size` random bytes.
    pub fn add(&mut self, key: &str, size: u64) -> &mut Self {
        self.add_file(DataFile::new(key, size))
    }

    /// Adds a file with a deletion vector.
    pub fn add_dv(&mut self, key: &str, size: u64, vector: DeletionVector) -> &mut Self {
        self.add_file(DataFile::new(key, size).vector(vector))
    }

    /// Adds a file `name` in the directories of `values`, escaped and encoded as Spark would.
    pub fn add_partitioned(&mut self, values: &[(&str, &str)], name: &str, size: u64) -> &mut Self {
        let values: Vec<(&str, Option<&str>)> =
            values.iter().map(|&(column, value)| (column, Some(value))).collect();
        self.add_file(DataFile::partitioned(&values, name, size))
    }

    /// Adds the file at the URL or absolute path `path`, as a clone does. No object is made.
    pub fn add_absolute(&mut self, path: &str, size: u64) -> &mut Self {
        self.add_file(DataFile::at_path(path, size))
    }

    /// Adds any kind of file.
    pub fn add_file(&mut self, file: DataFile) -> &mut Self {
        if let Some(key) = &file.key {
            let content = random::content(self.seed, key, file.size);
            self.objects.insert(key.clone(), content);
        }
        let size = file.logged_size.map_or_else(|| json!(file.size), |size| json!(size));
        let values = file.partition_values.into_iter();
        let values: serde_json::Map<String, Value> =
            values.map(|(column, value)| (column, json!(value))).collect();
        let mut body = json!({
            "path": file.path,
            "partitionValues": values,
            "size": size,
            "modificationTime": version_ms(self.version) - VERSION_MS / 2,
            "dataChange": file.data_change,
        });
        if let Some(columns) = file.stats_columns {
            let mut stats = String::new();
            write_stats(&mut stats, &mut self.rng, columns, FILE_RECORDS);
            body["stats"] = stats.into();
        }
        if let Some(vector) = file.vector {
            body["deletionVector"] = self.vector(&vector);
        }
        if let Some((base, version)) = file.row_tracking {
            body["baseRowId"] = base.into();
            body["defaultRowCommitVersion"] = version.into();
        }
        self.action(json!({ "add": body }))
    }

    /// Removes the file `key` with its present deletion vector. A key that is not live gives a
    /// bare tombstone. The object stays, until a vacuum.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.remove_path(&log_path(key))
    }

    /// As [`Commit::remove`], by the path that the log has.
    pub fn remove_path(&mut self, path: &str) -> &mut Self {
        let mut body = json!({
            "path": path,
            "deletionTimestamp": version_ms(self.version),
            "dataChange": true,
        });
        if let Some(add) = self.base.live(path) {
            body["extendedFileMetadata"] = true.into();
            let fields = [
                "partitionValues",
                "size",
                "deletionVector",
                "baseRowId",
                "defaultRowCommitVersion",
            ];
            for field in fields.into_iter().filter(|field| !add[*field].is_null()) {
                body[field] = add[field].clone();
            }
        }
        self.action(json!({ "remove": body }))
    }

    /// Deletes rows of the live file `key`: removes it and adds it with a new deletion vector.
    ///
    /// # Panics
    /// If no file `key` is live before this commit.
    pub fn delete_rows(&mut self, key: &str, vector: DeletionVector) -> &mut Self {
        let path = log_path(key);
        let live = self.base.live(&path);
        let mut add = live.unwrap_or_else(|| panic!("{key} is not live")).clone();
        self.remove_path(&path);
        add["deletionVector"] = self.vector(&vector);
        self.action(json!({ "add": add }))
    }

    /// Adds a change data file `_change_data/<name>` of `size` random bytes.
    pub fn cdc(&mut self, name: &str, size: u64) -> &mut Self {
        let key = format!("_change_data/{name}");
        let body = json!({
            "path": log_path(&key),
            "partitionValues": {},
            "size": size,
            "dataChange": false,
        });
        let content = random::content(self.seed, &key, size);
        self.objects.insert(key, content);
        self.action(json!({ "cdc": body }))
    }

    /// Sets the version of an application's transactions.
    pub fn txn(&mut self, app_id: &str, version: u64) -> &mut Self {
        let updated_ms = version_ms(self.version);
        self.action(json!({"txn": {
            "appId": app_id, "version": version, "lastUpdated": updated_ms,
        }}))
    }

    /// Sets the configuration of a metadata domain.
    pub fn domain(&mut self, domain: &str, configuration: &str) -> &mut Self {
        self.action(json!({"domainMetadata": {
            "domain": domain, "configuration": configuration, "removed": false,
        }}))
    }

    /// Removes a metadata domain.
    pub fn remove_domain(&mut self, domain: &str) -> &mut Self {
        self.action(json!({"domainMetadata": {
            "domain": domain, "configuration": "", "removed": true,
        }}))
    }

    /// Names the operation in `commitInfo`; `WRITE` by default.
    pub fn operation(&mut self, operation: &str) -> &mut Self {
        self.info["operation"] = operation.into();
        self
    }

    /// Sets one field of `commitInfo`.
    pub fn info(&mut self, field: &str, value: Value) -> &mut Self {
        self.info[field] = value;
        self
    }

    /// Adds any action, `{"name": body}`. It takes part in replay.
    pub fn action(&mut self, action: Value) -> &mut Self {
        self.lines.push(Line::Action(action));
        self
    }

    /// Adds a line as it stands. It takes part in replay if it is a JSON object.
    pub fn raw_line(&mut self, line: &str) -> &mut Self {
        self.lines.push(Line::Raw(line.to_owned()));
        self
    }

    /// Writes an object with the commit, anywhere below the table root.
    pub fn object(&mut self, key: &str, bytes: impl Into<Bytes>) -> &mut Self {
        self.objects.insert(key.to_owned(), bytes.into());
        self
    }

    pub(super) fn finish(self) -> Finished {
        let mut objects = self.objects;
        let mut vector_keys = Vec::new();
        for file in self.vector_files.into_values() {
            objects.insert(file.key.clone(), file.bytes.into());
            vector_keys.push((file.path, file.key));
        }
        let mut actions = vec![json!({ "commitInfo": self.info })];
        let mut log = format!("{}\n", actions[0]);
        for line in self.lines {
            let (text, action) = match line {
                Line::Action(action) => (action.to_string(), Some(action)),
                Line::Raw(text) => {
                    let action = serde_json::from_str(&text).ok();
                    (text, action)
                }
            };
            log.push_str(&text);
            log.push('\n');
            actions.extend(action);
        }
        Finished { log: log.into(), actions, objects, vector_keys }
    }

    fn vector(&mut self, vector: &DeletionVector) -> Value {
        match vector {
            DeletionVector::Inline { cardinality } => {
                let bitmap = deletion_vector::bitmap(*cardinality);
                let text = deletion_vector::z85(&bitmap);
                deletion_vector::descriptor("i", &text, None, bitmap.len(), *cardinality)
            }
            DeletionVector::Absolute { url, cardinality } => {
                let size_bytes = deletion_vector::bitmap(*cardinality).len();
                deletion_vector::descriptor("p", url, Some(1), size_bytes, *cardinality)
            }
            DeletionVector::Relative { prefix, file, cardinality } => {
                let bitmap = deletion_vector::bitmap(*cardinality);
                let rng = &mut self.rng;
                let file = self
                    .vector_files
                    .entry((prefix.clone(), *file))
                    .or_insert_with(|| VectorFile::new(prefix, rng));
                let offset = deletion_vector::append(&mut file.bytes, &bitmap);
                let path = &file.path;
                deletion_vector::descriptor("u", path, Some(offset), bitmap.len(), *cardinality)
            }
        }
    }
}

impl VectorFile {
    fn new(prefix: &str, rng: &mut Rng) -> Self {
        let uuid = random::uuid(rng);
        let slash = if prefix.is_empty() { "" } else { "/" };
        Self {
            key: format!("{prefix}{slash}deletion_vector_{uuid}.bin"),
            path: format!("{prefix}{}", deletion_vector::z85(uuid.as_bytes())),
            bytes: Vec::new(),
        }
    }
}
