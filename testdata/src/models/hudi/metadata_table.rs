//! The reader that lists files through the metadata table.
//!
//! # Invariants
//! - A log block of the metadata table counts only if its instant is valid for the data timeline:
//!   the metadata table is written before the data instant completes.
//!
//! Source: Hudi's `HoodieTableMetadataUtil.getValidInstantTimestamps`, `HoodieBackedTableMetadata`,
//! `HoodieMetadataPayload`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use apache_avro::Schema;
use serde_json::Value;

use super::names::split_key;
use super::table::Table;
use super::timeline::{State, Timeline, content};
use super::view::{Facts, Listed, Slicing, View};
use super::{HudiObjects, Loud, hfile, json};

const ROOT: &str = ".hoodie/metadata/";
/// Key of the record that lists the partitions.
const PARTITIONS: &str = "__all_partitions__";
/// Prefix of instants that initialise the metadata table.
const SOLO: &str = "00000000000000";
const SLICING: Slicing = Slicing::Completion { ignore_late: false };

/// The files that the metadata table names; `None` if it is named and not there, for which readers
/// list storage.
///
/// # Errors
/// [`Loud::NoMetadataTable`] if the properties do not name it, and what cannot be read.
pub(super) fn listing(objects: &HudiObjects, table: &Table) -> Result<Option<Vec<Listed>>, Loud> {
    if !table.files_partition {
        return Err(Loud::NoMetadataTable);
    }
    let Ok(metadata) = Table::open(objects, ROOT) else { return Ok(None) };
    let folder = format!("{ROOT}files/");
    let keys = objects.keys().filter(|key| key.starts_with(&folder));
    let file =
        |key: &String| Listed { partition: "files".to_owned(), name: split_key(key).1.to_owned() };
    let files: Vec<Listed> = keys.map(file).collect();
    let valid = valid_instants(objects, table, &metadata)?;
    let facts = Rc::new(Facts::load(objects, &metadata)?);
    let view = View::new(objects, metadata, facts, ROOT, &files).only(valid);
    let mut records = Records::default();
    for (slice, blocks) in view.contents(SLICING) {
        let base = slice.base.iter().map(|path| (path.clone(), view.bytes(path)));
        for (path, bytes) in base.chain(blocks) {
            let unreadable = |reason| Loud::Unreadable { key: format!("{ROOT}{path}"), reason };
            records.apply(&bytes).map_err(unreadable)?;
        }
    }
    let live = records.live;
    let partitions = live.get(PARTITIONS).cloned().unwrap_or_default();
    let mut listed = Vec::new();
    for partition in partitions {
        let names = live.get(&partition).cloned().unwrap_or_default();
        let partition = if partition == "." { String::new() } else { partition };
        listed.extend(names.into_iter().map(|name| Listed { partition: partition.clone(), name }));
    }
    Ok(Some(listed))
}

/// Live names by key of the metadata table.
#[derive(Default)]
struct Records {
    live: BTreeMap<String, BTreeSet<String>>,
    /// The schema of the last file; parsing it takes longer than reading the file.
    schema: Option<(String, Schema)>,
}

impl Records {
    /// Merges the records of one HFile.
    fn apply(&mut self, bytes: &[u8]) -> Result<(), String> {
        let file = hfile::read(bytes)?;
        if file.entries.is_empty() {
            return Ok(());
        }
        let text = file.schema.ok_or("the file names no schema")?;
        let (_, schema) = match self.schema.take().filter(|(known, _)| *known == text) {
            Some(known) => self.schema.insert(known),
            None => {
                let schema = Schema::parse_str(&text).map_err(|e| e.to_string())?;
                self.schema.insert((text, schema))
            }
        };
        for (key, value) in file.entries {
            if value.is_empty() {
                self.live.remove(&key);
                continue;
            }
            let record = apache_avro::from_avro_datum(schema, &mut value.as_slice(), None);
            let record = json::plain(record.map_err(|e| e.to_string())?);
            let names = self.live.entry(key).or_default();
            let changes = record.get("filesystemMetadata").and_then(Value::as_object);
            for (name, info) in changes.into_iter().flatten() {
                if info.get("isDeleted").and_then(Value::as_bool) == Some(true) {
                    names.remove(name);
                } else {
                    names.insert(name.clone());
                }
            }
        }
        Ok(())
    }
}

/// Instants whose blocks in the metadata table count.
fn valid_instants(
    objects: &HudiObjects,
    table: &Table,
    metadata: &Table,
) -> Result<BTreeSet<String>, Loud> {
    let data = Timeline::load(objects, table)?;
    let own = Timeline::load(objects, metadata)?;
    let done = |timeline: &Timeline| -> Vec<_> {
        let instants = timeline.instants.iter().filter(|i| i.state == State::Completed);
        instants.cloned().collect()
    };
    let mut valid: BTreeSet<String> = done(&data).into_iter().map(|i| i.time).collect();
    let pending = data.instants.iter().filter(|i| i.state != State::Completed);
    let pending: BTreeSet<&str> = pending.map(|i| i.time.as_str()).collect();
    // An instant of the metadata table itself carries that of the data table, perhaps with a
    // suffix, and waits for it.
    let waits = |time: &str| pending.contains(time.get(..17).unwrap_or(time));
    valid.extend(done(&own).into_iter().map(|i| i.time).filter(|time| !waits(time)));
    let earliest = valid.first().cloned().unwrap_or_else(|| SOLO.to_owned());
    for instant in done(&data).iter().chain(&done(&own)) {
        let undoes = instant.action == "rollback" || instant.action == "restore";
        if undoes && (instant.time > earliest || instant.time.starts_with(SOLO)) {
            let undone = content(objects, &instant.key)?;
            collect_undone(&undone, &mut valid);
        }
    }
    Ok(valid)
}

/// The instants that a rollback, or the rollbacks of a restore, undid.
fn collect_undone(metadata: &Value, found: &mut BTreeSet<String>) {
    match metadata {
        Value::Array(items) => items.iter().for_each(|item| collect_undone(item, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if matches!(key.as_str(), "commitsRollback" | "instantsToRollback") {
                    let times = value.as_array().into_iter().flatten();
                    found.extend(times.filter_map(Value::as_str).map(str::to_owned));
                }
                collect_undone(value, found);
            }
        }
        _ => {}
    }
}
