//! The LSM history of a version 8 timeline: completion times of archived instants.
//!
//! Source: Hudi's `LSMTimeline`, `ArchivedTimelineLoaderV2`.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::table::Table;
use super::{HudiObjects, Loud};

/// Request time to completion time of every archived instant of the newest manifest.
pub(super) fn completions(
    objects: &HudiObjects,
    table: &Table,
) -> Result<BTreeMap<String, String>, Loud> {
    let mut found = BTreeMap::new();
    let Some((key, manifest)) = newest_manifest(objects, &table.history) else {
        return Ok(found);
    };
    let unreadable = |reason: String| Loud::Unreadable { key: key.clone(), reason };
    let parsed: serde_json::Value =
        serde_json::from_slice(manifest).map_err(|e| unreadable(e.to_string()))?;
    for file in parsed.get("files").and_then(|f| f.as_array()).into_iter().flatten() {
        let name = super::json::text(file, "fileName");
        let key = format!("{}/{name}", table.history);
        let object = objects.get(&key).ok_or_else(|| Loud::ObjectMissing { key: key.clone() })?;
        read(&object.bytes, &mut found)
            .map_err(|reason| Loud::Unreadable { key: key.clone(), reason })?;
    }
    Ok(found)
}

/// The manifest that `_version_` names, else the one with the highest number.
fn newest_manifest<'a>(objects: &'a HudiObjects, history: &str) -> Option<(String, &'a Bytes)> {
    let numbered = |number: u64| {
        let key = format!("{history}/manifest_{number}");
        objects.get(&key).map(|object| (key, &object.bytes))
    };
    let version = objects.get(&format!("{history}/_version_"));
    let version = version.and_then(|object| String::from_utf8(object.bytes.to_vec()).ok());
    if let Some(found) = version.and_then(|text| text.trim().parse().ok()).and_then(numbered) {
        return Some(found);
    }
    let prefix = format!("{history}/manifest_");
    let listed = objects.range(prefix.clone()..);
    let listed = listed.map_while(|(key, _)| key.strip_prefix(&prefix));
    numbered(listed.filter_map(|number| number.parse().ok()).max()?)
}

fn read(bytes: &Bytes, found: &mut BTreeMap<String, String>) -> Result<(), String> {
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(|e| e.to_string())?;
    for batch in builder.build().map_err(|e| e.to_string())? {
        let batch = batch.map_err(|e| e.to_string())?;
        let times = strings(&batch, "instantTime")?;
        let completions = strings(&batch, "completionTime")?;
        for row in 0..batch.num_rows() {
            if !times.is_null(row) && !completions.is_null(row) {
                let completion = completions.value(row).to_owned();
                found.entry(times.value(row).to_owned()).or_insert(completion);
            }
        }
    }
    Ok(())
}

fn strings<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("no column {name}"))?;
    column.as_string_opt().ok_or_else(|| format!("column {name} is no text"))
}
