//! Hostile and odd input: paths, lines and checkpoints that a replicator must refuse or bound.
//!
//! Source: the fault matrix, path attacks, unicode and bombs.

use serde_json::{Value, json};

use super::checkpoint::{Layout, parquet_file};
use super::{TableBuilder, random, version_ms};

/// Paths for `add.path` that no table root confines or no store can express. Each must be
/// refused before any request is made.
pub const HOSTILE_PATHS: &[&str] = &[
    "../other/part-0",
    "a/../../other/part-0",
    "%2e%2e/other/part-0",
    "a/%2E%2E/%2e%2e/part-0",
    "..%2Fother%2Fpart-0",
    "gs://other/part-0",
    "GS://other/part-0",
    "s3://user:pw@host/part-0",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "/etc/passwd",
    "//host/part-0",
    "%2Fetc%2Fpasswd",
    "a%00b",
    "a%0D%0Ab",
    ".",
    "./part-0",
    "a//b",
    "a/",
    "",
    "a%2",
    "a%zz",
    "%FF%FE",
];

/// Keys that are legal but easily changed on the way: each must arrive byte for byte.
/// Some differ from each other only in normal form or case.
pub const ODD_KEYS: &[&str] = &[
    "a b",
    "a+b",
    "a%20b",
    "a%2520b",
    "a%b",
    "p=50%25",
    "p=a%3Ab",
    "a#b?c&d",
    "a'b\"c",
    "a:b;c,d",
    "a~b*c[d]{e}^f`g|h\\i",
    "...",
    "..a",
    ".hidden",
    "_underscore",
    "nodot",
    "caf\u{e9}",
    "cafe\u{301}",
    "CAF\u{c9}",
    "emoji-\u{1f608}",
    "bidi-\u{202e}txt.exe",
    "case",
    "CASE",
];

/// A line of `depth` nested arrays in an unknown action.
pub fn nested_line(depth: usize) -> String {
    format!("{{\"deep\":{}{}}}", "[".repeat(depth), "]".repeat(depth))
}

impl TableBuilder {
    /// Writes a classic checkpoint of `version` with `files` more adds that all have the same
    /// statistics of `stats_bytes` bytes: a small file, since its dictionary has one entry, that
    /// unfolds to `files * stats_bytes`. Making it takes that much memory, once. Keep
    /// `stats_bytes` below 1 MiB, the limit of a dictionary.
    pub fn checkpoint_bomb(self, version: u64, files: usize, stats_bytes: usize) -> Self {
        let mut lines = self.state(version).table_lines();
        let stats = "x".repeat(stats_bytes);
        lines.extend((0..files).map(|n| {
            json!({"add": {
                "path": format!("bomb-{n}"),
                "partitionValues": {},
                "size": 1,
                "modificationTime": version_ms(version),
                "dataChange": false,
                "stats": stats,
            }})
        }));
        let key = format!("_delta_log/{version:020}.checkpoint.parquet");
        self.put_object(&key, parquet_file(Layout::Classic, &lines))
    }

    /// Writes a V2 checkpoint of `version` whose only sidecar names itself as a sidecar.
    pub fn sidecar_loop(mut self, version: u64) -> Self {
        let name = format!("{}.parquet", random::uuid(&mut self.rng));
        let sidecar = json!({"sidecar": {
            "path": name, "sizeInBytes": 1_000, "modificationTime": version_ms(version),
        }});
        let state = self.state(version);
        let mut inside: Vec<Value> = state.file_lines();
        inside.push(sidecar.clone());
        let mut top = vec![json!({"checkpointMetadata": {"version": version}})];
        top.extend(state.table_lines());
        top.push(sidecar);
        let uuid = random::uuid(&mut self.rng);
        let key = format!("_delta_log/{version:020}.checkpoint.{uuid}.parquet");
        self.put_object(
            &format!("_delta_log/_sidecars/{name}"),
            parquet_file(Layout::Manifest, &inside),
        )
        .put_object(&key, parquet_file(Layout::Manifest, &top))
    }
}
