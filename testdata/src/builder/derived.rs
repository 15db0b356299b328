//! Objects derived from commits: checkpoints of every kind, checksums, compacted logs.
//!
//! Source: Delta protocol, "Checkpoints", "Version Checksum File", "Log Compaction Files",
//! "Last Checkpoint File".

use bytes::Bytes;
use serde_json::{Value, json};

use super::checkpoint::{Layout, parquet_file};
use super::{LAST_CHECKPOINT_KEY, TableBuilder, index, random, version_ms};
use crate::builder::replay::State;

/// One checkpoint that was written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) version: u64,
    pub(super) kind: Kind,
    /// Actions in it, for `_last_checkpoint.size`.
    pub(super) actions: usize,
    /// Keys of its files; the first is the one that reveals it.
    pub(super) keys: Vec<String>,
    /// Keys of its sidecars.
    pub(super) sidecars: Vec<String>,
}

/// How a checkpoint is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Classic,
    MultiPart,
    V2,
}

/// Encoding of the top file of a V2 checkpoint.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Json,
    Parquet,
}

impl TableBuilder {
    /// Writes the checkpoint of `version` as one file.
    pub fn checkpoint_classic(mut self, version: u64) -> Self {
        let actions = lines(&self.state(version));
        let key = format!("_delta_log/{version:020}.checkpoint.parquet");
        self.derive(&key, parquet_file(Layout::Classic, &actions));
        self.wrote(version, Kind::Classic, actions.len(), vec![key], Vec::new());
        self
    }

    /// Writes the checkpoint of `version` in `parts` files.
    pub fn checkpoint_multipart(mut self, version: u64, parts: usize) -> Self {
        let actions = lines(&self.state(version));
        let mut keys = Vec::new();
        for (part, actions) in split(&actions, parts).into_iter().enumerate() {
            let number = part + 1;
            let key =
                format!("_delta_log/{version:020}.checkpoint.{number:010}.{parts:010}.parquet");
            self.derive(&key, parquet_file(Layout::Classic, actions));
            keys.push(key);
        }
        self.wrote(version, Kind::MultiPart, actions.len(), keys, Vec::new());
        self
    }

    /// Writes a V2 checkpoint of `version` with a JSON top file and `sidecars` sidecars; with
    /// none, the top file holds the files of the table itself. The protocol should have the
    /// feature `v2Checkpoint`.
    pub fn checkpoint_v2_json(self, version: u64, sidecars: usize) -> Self {
        self.checkpoint_v2(version, sidecars, Encoding::Json)
    }

    /// As [`TableBuilder::checkpoint_v2_json`], with a Parquet top file.
    pub fn checkpoint_v2_parquet(self, version: u64, sidecars: usize) -> Self {
        self.checkpoint_v2(version, sidecars, Encoding::Parquet)
    }

    /// Writes a checkpoint of the V2 layout, with sidecars, under the classic name.
    pub fn checkpoint_v2_classic_name(mut self, version: u64, sidecars: usize) -> Self {
        let (top, names) = self.v2_lines(version, sidecars);
        let key = format!("_delta_log/{version:020}.checkpoint.parquet");
        self.derive(&key, parquet_file(Layout::Manifest, &top));
        self.wrote(version, Kind::Classic, top.len(), vec![key], names);
        self
    }

    /// Writes the checksum of `version`, `N.crc`.
    pub fn crc(mut self, version: u64) -> Self {
        let state = self.state(version);
        let bytes: i64 = state.adds.values().filter_map(|add| add["size"].as_i64()).sum();
        let domains = state.domains.values().filter(|domain| domain["removed"] != true);
        let body = json!({
            "tableSizeBytes": bytes,
            "numFiles": state.adds.len(),
            "numMetadata": 1,
            "numProtocol": 1,
            "metadata": state.metadata,
            "protocol": state.protocol,
            "setTransactions": state.txns.values().collect::<Vec<_>>(),
            "domainMetadata": domains.collect::<Vec<_>>(),
        });
        self.derive(&format!("_delta_log/{version:020}.crc"), body.to_string().into());
        self
    }

    /// Writes the compacted log of the versions `first` to `last`, both included.
    pub fn compacted(mut self, first: u64, last: u64) -> Self {
        assert!(first < last && last < self.next_version(), "compact committed versions");
        let state = State::of(&self.history[index(first)..=index(last)]);
        let key = format!("_delta_log/{first:020}.{last:020}.compacted.json");
        self.derive(&key, json_lines(&state.compacted_lines()));
        self
    }

    /// Writes `_last_checkpoint` for the newest checkpoint made of `version`. If there is none,
    /// the hint dangles: it names a classic checkpoint that does not exist.
    pub fn last_checkpoint(mut self, version: u64) -> Self {
        let written = self.written.iter().rev().find(|written| written.version == version);
        let actions = written.map_or(1, |written| written.actions);
        let mut body = json!({ "version": version, "size": actions });
        if let Some(written) = written {
            let size = |key: &String| self.objects.get(key).map_or(0, Bytes::len);
            body["sizeInBytes"] = written.keys.iter().map(size).sum::<usize>().into();
            match written.kind {
                Kind::Classic => {}
                Kind::MultiPart => body["parts"] = written.keys.len().into(),
                Kind::V2 => body["v2Checkpoint"] = self.v2_hint(written),
            }
        }
        self.objects.insert(LAST_CHECKPOINT_KEY.to_owned(), body.to_string().into());
        self
    }

    fn v2_hint(&self, written: &Written) -> Value {
        let size = |key: &String| self.objects.get(key).map_or(0, Bytes::len);
        let modified_ms = version_ms(written.version);
        let sidecars = written.sidecars.iter().map(|key| {
            json!({
                "path": file_name(key),
                "sizeInBytes": size(key),
                "modificationTime": modified_ms,
            })
        });
        let top = written.keys.first();
        json!({
            "path": top.map(|key| file_name(key)),
            "sizeInBytes": top.map_or(0, size),
            "modificationTime": modified_ms,
            "sidecarFiles": sidecars.collect::<Vec<_>>(),
        })
    }

    fn checkpoint_v2(mut self, version: u64, sidecars: usize, encoding: Encoding) -> Self {
        let (top, names) = self.v2_lines(version, sidecars);
        let (ending, bytes) = match encoding {
            Encoding::Json => ("json", json_lines(&top)),
            Encoding::Parquet => ("parquet", parquet_file(Layout::Manifest, &top)),
        };
        let uuid = random::uuid(&mut self.rng);
        let key = format!("_delta_log/{version:020}.checkpoint.{uuid}.{ending}");
        self.derive(&key, bytes);
        self.wrote(version, Kind::V2, top.len(), vec![key], names);
        self
    }

    /// Writes the sidecars of a V2 checkpoint. Returns the lines of its top file, and their keys.
    fn v2_lines(&mut self, version: u64, sidecars: usize) -> (Vec<Value>, Vec<String>) {
        let state = self.state(version);
        let mut top = vec![json!({"checkpointMetadata": {"version": version}})];
        top.extend(state.table_lines());
        let files = state.file_lines();
        if sidecars == 0 {
            top.extend(files);
            return (top, Vec::new());
        }
        let mut keys = Vec::new();
        for files in split(&files, sidecars) {
            let name = format!("{}.parquet", random::uuid(&mut self.rng));
            let key = format!("_delta_log/_sidecars/{name}");
            let bytes = parquet_file(Layout::Sidecar, files);
            top.push(json!({"sidecar": {
                "path": name,
                "sizeInBytes": bytes.len(),
                "modificationTime": version_ms(version),
            }}));
            self.derive(&key, bytes);
            keys.push(key);
        }
        (top, keys)
    }

    fn derive(&mut self, key: &str, bytes: Bytes) {
        self.objects.entry(key.to_owned()).or_insert(bytes);
    }

    fn wrote(
        &mut self,
        version: u64,
        kind: Kind,
        actions: usize,
        keys: Vec<String>,
        sidecars: Vec<String>,
    ) {
        self.written.push(Written { version, kind, actions, keys, sidecars });
    }
}

/// Every line of a checkpoint without sidecars.
fn lines(state: &State) -> Vec<Value> {
    let mut lines = state.table_lines();
    lines.extend(state.file_lines());
    lines
}

/// Exactly `parts` runs of `lines`, in order; the last ones may be empty.
fn split(lines: &[Value], parts: usize) -> Vec<&[Value]> {
    assert!(parts > 0, "a checkpoint has at least one part");
    let size = lines.len().div_ceil(parts);
    let at = |part: usize| lines.len().min(part * size);
    (0..parts).map(|part| &lines[at(part)..at(part + 1)]).collect()
}

fn json_lines(lines: &[Value]) -> Bytes {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into()
}

fn file_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}
