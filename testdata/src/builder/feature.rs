//! Table features that a replicator must notice. Each takes effect with the next commit.
//!
//! Source: Delta protocol, "Catalog-managed tables"; delta-io/delta `TableFeature.scala`,
//! `RedirectFeature.scala`, `protocol_rfcs/iceberg-v4-metadata.md`.

use serde_json::json;

use super::{Commit, TableBuilder, random};

impl TableBuilder {
    /// Requires the reader-writer feature `name`, known or not.
    pub fn feature(mut self, name: &str) -> Self {
        self.protocol.require(name);
        self.protocol_changed = true;
        self
    }

    /// Requires the writer-only feature `name`, known or not.
    pub fn writer_feature(mut self, name: &str) -> Self {
        self.protocol.require_writer(name);
        self.protocol_changed = true;
        self
    }

    /// Requires a reader-writer feature that no client knows.
    pub fn unknown_reader_feature(self, name: &str) -> Self {
        self.feature(name)
    }

    /// Turns in-commit timestamps on: every later `commitInfo` starts with its own time.
    pub fn in_commit_timestamps(self) -> Self {
        self.writer_feature("inCommitTimestamp")
            .metadata(|metadata| metadata.property("delta.enableInCommitTimestamps", "true"))
    }

    /// Hands the table to a catalog: its commits are staged and ratified.
    pub fn catalog_managed(self) -> Self {
        self.in_commit_timestamps().feature("vacuumProtocolCheck").feature("catalogManaged")
    }

    /// Writes a commit of the next version to `_staged_commits/` and does not ratify it: the
    /// table's version stays. A later [`TableBuilder::commit`] may take the same version.
    pub fn staged_commit(mut self, fill: impl FnOnce(&mut Commit) -> &mut Commit) -> Self {
        let pending = (self.protocol_changed, self.metadata_changed, self.extra.clone());
        let version = self.next_version();
        let finished = self.prepared(fill);
        (self.protocol_changed, self.metadata_changed, self.extra) = pending;
        let uuid = random::uuid(&mut self.rng);
        self.add_objects(finished.objects, finished.vector_keys);
        let key = format!("_delta_log/_staged_commits/{version:020}.{uuid}.json");
        self.objects.insert(key, finished.log);
        self
    }

    /// Sends readers to another table.
    pub fn redirect(self) -> Self {
        const FEATURE: &str = "redirectReaderWriter-preview";
        let target = json!({
            "type": "PathBasedRedirect",
            "state": "REDIRECT-READY",
            "spec": {"redirectSrc": "gs://source/table", "redirectDest": "gs://elsewhere/table"},
        });
        let property = format!("delta.{FEATURE}");
        self.feature(FEATURE).metadata(|metadata| metadata.property(&property, &target.to_string()))
    }

    /// Moves the list of files into a tree of manifests: the next commit carries a `checkpoint`
    /// action that names the root. The manifests are not made.
    pub fn adaptive_metadata(mut self) -> Self {
        const FEATURE: &str = "adaptiveMetadata-preview";
        self = self.in_commit_timestamps();
        for feature in ["columnMapping", "deletionVectors", FEATURE] {
            self = self.feature(feature);
        }
        for feature in ["rowTracking", "domainMetadata"] {
            self = self.writer_feature(feature);
        }
        let version = self.next_version();
        let uuid = random::uuid(&mut self.rng);
        let root = json!({
            "path": format!("metadata/{uuid}-v{version}.parquet"),
            "sizeInBytes": 1_024,
            "version": version,
            "tags": {},
        });
        self.extra.push(json!({"checkpoint": [
            {"checkpointMetadata": {"version": version}},
            {"contentRoot": root},
            self.protocol.line(),
        ]}));
        self
    }
}
