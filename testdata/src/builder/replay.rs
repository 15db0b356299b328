//! Replay: the state of a table after some commits, from their actions alone.
//!
//! This is the builder's own truth. It shares no code with the crates under test, and it reads
//! the actions as they were meant, not the objects, which a test may have damaged since.
//!
//! Source: Delta protocol, "Action Reconciliation".

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Identity of a logical file: log path and unique id of its deletion vector (empty if none).
pub(super) type FileKey = (String, String);

/// Reconciled actions. Values are the bodies of the actions, without their names.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) protocol: Option<Value>,
    pub(super) metadata: Option<Value>,
    pub(super) adds: BTreeMap<FileKey, Value>,
    /// Tombstones of files that are not live.
    pub(super) removes: BTreeMap<FileKey, Value>,
    pub(super) txns: BTreeMap<String, Value>,
    /// With `removed` ones, which only a compacted log keeps.
    pub(super) domains: BTreeMap<String, Value>,
}

impl State {
    /// The state after `commits`, in order.
    pub(super) fn of<'a>(commits: impl IntoIterator<Item = &'a Vec<Value>>) -> Self {
        let mut state = Self::default();
        for action in commits.into_iter().flatten() {
            state.apply(action);
        }
        state
    }

    /// Applies one line. A line may hold several actions; unknown ones have no effect.
    pub(super) fn apply(&mut self, line: &Value) {
        for (name, body) in line.as_object().into_iter().flatten() {
            match name.as_str() {
                "protocol" => self.protocol = Some(body.clone()),
                "metaData" => self.metadata = Some(body.clone()),
                "add" => {
                    let key = file_key(body);
                    self.removes.remove(&key);
                    self.adds.insert(key, body.clone());
                }
                "remove" => {
                    let key = file_key(body);
                    self.adds.remove(&key);
                    self.removes.insert(key, body.clone());
                }
                "txn" => {
                    self.txns.insert(text(body, "appId"), body.clone());
                }
                "domainMetadata" => {
                    self.domains.insert(text(body, "domain"), body.clone());
                }
                _ => {}
            }
        }
    }

    /// Lines for everything but files. `removed` domains are left out, as in a checkpoint.
    pub(super) fn table_lines(&self) -> Vec<Value> {
        let named = |name: &str, body: &Value| json!({ name: body });
        let kept = |domain: &&Value| domain["removed"] != true;
        let protocol = self.protocol.iter().map(|body| named("protocol", body));
        let metadata = self.metadata.iter().map(|body| named("metaData", body));
        let txns = self.txns.values().map(|body| named("txn", body));
        let domains = self.domains.values().filter(kept);
        let domains = domains.map(|body| named("domainMetadata", body));
        protocol.chain(metadata).chain(txns).chain(domains).collect()
    }

    /// Lines for live files and tombstones, with `dataChange` off as checkpoints have it.
    pub(super) fn file_lines(&self) -> Vec<Value> {
        let line = |name: &str, body: &Value| {
            let mut body = body.clone();
            body["dataChange"] = false.into();
            json!({ name: body })
        };
        let adds = self.adds.values().map(|body| line("add", body));
        let removes = self.removes.values().map(|body| line("remove", body));
        adds.chain(removes).collect()
    }

    /// Lines of a compacted log: nothing is dropped but `commitInfo` and what was overridden.
    pub(super) fn compacted_lines(&self) -> Vec<Value> {
        let mut lines = self.table_lines();
        let removed = self.domains.values().filter(|domain| domain["removed"] == true);
        lines.extend(removed.map(|body| json!({ "domainMetadata": body })));
        lines.extend(self.adds.values().map(|body| json!({ "add": body })));
        lines.extend(self.removes.values().map(|body| json!({ "remove": body })));
        lines
    }

    /// The live file of log path `path`, with whatever deletion vector.
    pub(super) fn live(&self, path: &str) -> Option<&Value> {
        let from = (path.to_owned(), String::new());
        let (key, body) = self.adds.range(from..).next()?;
        (key.0 == path).then_some(body)
    }
}

fn file_key(body: &Value) -> FileKey {
    let vector = &body["deletionVector"];
    let unique_id = match (vector["storageType"].as_str(), vector["pathOrInlineDv"].as_str()) {
        (Some(kind), Some(path)) => match vector["offset"].as_i64() {
            Some(offset) => format!("{kind}{path}@{offset}"),
            None => format!("{kind}{path}"),
        },
        _ => String::new(),
    };
    (text(body, "path"), unique_id)
}

fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_default().to_owned()
}
