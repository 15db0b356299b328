//! `_last_checkpoint`: the hint that names a checkpoint.
//!
//! Trino follows it blindly, and readers built on kernel fail when it dangles, so at a replica it
//! is written last and only forward.
//!
//! Source: Delta protocol, "Last Checkpoint File"; Trino `TableSnapshot.getCheckpointPartPaths`
//! for `v2Checkpoint`, which the protocol does not list.

use serde::{Deserialize, Serialize};

/// The fields that name a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct LastCheckpoint {
    /// Version of the checkpoint.
    pub version: u64,
    /// Actions in the checkpoint.
    #[serde(default)]
    pub size: i64,
    /// Parts of a multi-part checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// A checkpoint named by an id.
    #[serde(rename = "v2Checkpoint", skip_serializing_if = "Option::is_none")]
    pub v2: Option<V2Checkpoint>,
}

/// A checkpoint named by an id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct V2Checkpoint {
    /// File name of the manifest.
    pub path: String,
    /// Bytes of the manifest.
    #[serde(default)]
    pub size_in_bytes: u64,
    /// When the manifest was written, ms since the epoch.
    #[serde(default)]
    pub modification_time: i64,
    /// Sidecars as some writers repeat them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar_files: Option<Vec<SidecarFile>>,
}

/// A sidecar that the hint repeats.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct SidecarFile {
    /// URI reference.
    pub path: String,
}

impl LastCheckpoint {
    /// Reads a body; `None` when it does not parse, which readers treat as if it were not there.
    pub fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Writes a body.
    ///
    /// # Errors
    /// Never in practice: every field has a JSON form.
    pub fn compose(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn real_bodies_parse() {
        let classic =
            br#"{"version":10,"size":13,"sizeInBytes":1,"numOfAddFiles":2,"checksum":"x"}"#;
        let expect = LastCheckpoint { version: 10, size: 13, parts: None, v2: None };
        assert_eq!(LastCheckpoint::parse(classic), Some(expect));
        let parts = LastCheckpoint::parse(br#"{"version":1,"size":7,"parts":2}"#).unwrap();
        assert_eq!(parts.parts, Some(2));
        let v2 = br#"{"version":2,"size":9,"v2Checkpoint":{"path":"a.json","sizeInBytes":5,
            "modificationTime":6,"nonFileActions":[{"protocol":{}}],
            "sidecarFiles":[{"path":"s.parquet","sizeInBytes":1,"modificationTime":2}]}}"#;
        let v2 = LastCheckpoint::parse(v2).unwrap().v2.unwrap();
        assert_eq!(v2.sidecar_files.unwrap(), [SidecarFile { path: "s.parquet".to_owned() }]);
        for broken in [b"".as_slice(), b"{", b"{}", br#"{"version":-1}"#, b"[]"] {
            assert_eq!(LastCheckpoint::parse(broken), None);
        }
    }

    #[test]
    fn composed_body_is_what_trino_reads() {
        let body = |last: LastCheckpoint| String::from_utf8(last.compose().unwrap()).unwrap();
        let mut last = LastCheckpoint { version: 10, size: 13, parts: None, v2: None };
        assert_eq!(body(last.clone()), r#"{"version":10,"size":13}"#);
        last.parts = Some(2);
        assert_eq!(body(last.clone()), r#"{"version":10,"size":13,"parts":2}"#);
        last.parts = None;
        last.v2 = Some(V2Checkpoint {
            path: "a.json".to_owned(),
            size_in_bytes: 5,
            modification_time: 6,
            sidecar_files: None,
        });
        let v2 = concat!(
            r#"{"version":10,"size":13,"v2Checkpoint":{"path":"a.json","sizeInBytes":5,"#,
            r#""modificationTime":6}}"#
        );
        assert_eq!(body(last), v2);
    }
}
