//! Checkpoint content: classic, multi-part and V2, with sidecars.
//!
//! # Invariants
//! - Columns are found by name; an absent column means that no row has the action.
//! - Only the leaves that a snapshot needs are decoded, so exotic statistics columns do not matter.
//!
//! Source: Delta protocol, "Checkpoints", "Sidecar Files", "Checkpoint Schema".

use arrow_array::{
    Array, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow_array::{ArrayRef, StructArray};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::action::{self, Action, decode_path, dv_unique_id};
use super::log::{CheckpointFiles, SIDECAR_DIR};
use super::{OpenError, Protocol, parsed};
use crate::Objects;

/// Reads every action of one complete checkpoint, sidecars included.
pub(super) fn read(objects: &Objects, files: &CheckpointFiles) -> Result<Vec<Action>, OpenError> {
    let mut actions = Vec::new();
    for key in &files.keys {
        for action in parsed::actions(objects, key)?.iter() {
            if let Action::Sidecar(name) = action {
                let sidecar = parsed::actions(objects, &format!("{SIDECAR_DIR}{name}"))?;
                actions.extend(sidecar.iter().cloned());
            } else {
                actions.push(action.clone());
            }
        }
    }
    Ok(actions)
}

/// Leaves to decode, as dotted column paths; a prefix stands for everything below it.
const LEAVES: [&str; 13] = [
    "add.path",
    "add.size",
    "add.deletionVector.storageType",
    "add.deletionVector.pathOrInlineDv",
    "add.deletionVector.offset",
    "metaData.id",
    "metaData.schemaString",
    "protocol.minReaderVersion",
    "protocol.minWriterVersion",
    "protocol.readerFeatures.",
    "protocol.writerFeatures.",
    "sidecar.path",
    "checkpoint.",
];

/// Parses one Parquet file of a checkpoint.
pub(super) fn parse(bytes: &Bytes) -> Result<Vec<Action>, String> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options)
        .map_err(|e| e.to_string())?;
    let schema = builder.parquet_schema();
    let wanted = schema.columns().iter().enumerate().filter(|(_, column)| {
        let path = column.path().string();
        LEAVES.iter().any(|leaf| path == *leaf || (leaf.ends_with('.') && path.starts_with(leaf)))
    });
    let leaves: Vec<usize> = wanted.map(|(index, _)| index).collect();
    let mask = ProjectionMask::leaves(schema, leaves);
    let reader = builder.with_projection(mask).build().map_err(|e| e.to_string())?;
    let mut actions = Vec::new();
    for batch in reader {
        parse_batch(&batch.map_err(|e| e.to_string())?, &mut actions)?;
    }
    Ok(actions)
}

fn parse_batch(batch: &RecordBatch, actions: &mut Vec<Action>) -> Result<(), String> {
    if batch.column_by_name("checkpoint").is_some() {
        return Err("checkpoint action: adaptive metadata".to_owned());
    }
    let column = |name| batch.column_by_name(name).map(as_struct).transpose();
    let (add, sidecar) = (column("add")?, column("sidecar")?);
    let (protocol, metadata) = (column("protocol")?, column("metaData")?);
    for row in 0..batch.num_rows() {
        if let Some(add) = present(add, row) {
            let path = text(add, "path", row)?.ok_or("add.path is missing")?;
            let id = (decode_path(&path)?, deletion_vector(add, row)?);
            actions.push(Action::Add { id, size: int(add, "size", row)?.unwrap_or(-1) });
        }
        if let Some(protocol) = present(protocol, row) {
            actions.push(Action::Protocol(read_protocol(protocol, row)?));
        }
        if let Some(metadata) = present(metadata, row) {
            let id = text(metadata, "id", row)?.unwrap_or_default();
            let schema = text(metadata, "schemaString", row)?;
            actions.push(action::metadata(&id, schema.as_deref()));
        }
        if let Some(sidecar) = present(sidecar, row) {
            let path = text(sidecar, "path", row)?.ok_or("sidecar.path is missing")?;
            actions.push(Action::Sidecar(decode_path(&path)?));
        }
    }
    Ok(())
}

fn read_protocol(protocol: &StructArray, row: usize) -> Result<Protocol, String> {
    let version = |name| int(protocol, name, row)?.ok_or_else(|| format!("{name} is missing"));
    Ok(Protocol {
        min_reader: version("minReaderVersion")?,
        min_writer: version("minWriterVersion")?,
        reader_features: texts(protocol, "readerFeatures", row)?.into_iter().collect(),
        writer_features: texts(protocol, "writerFeatures", row)?.into_iter().collect(),
    })
}

fn deletion_vector(add: &StructArray, row: usize) -> Result<Option<String>, String> {
    let Some(column) = add.column_by_name("deletionVector") else { return Ok(None) };
    let dv = as_struct(column)?;
    if dv.is_null(row) {
        return Ok(None);
    }
    // Some writers mark the struct present and leave its fields null.
    let Some(storage) = text(dv, "storageType", row)? else { return Ok(None) };
    let place = text(dv, "pathOrInlineDv", row)?.ok_or("deletionVector.pathOrInlineDv missing")?;
    Ok(Some(dv_unique_id(&storage, &place, int(dv, "offset", row)?)))
}

fn present(column: Option<&StructArray>, row: usize) -> Option<&StructArray> {
    column.filter(|array| array.is_valid(row))
}

fn as_struct(array: &ArrayRef) -> Result<&StructArray, String> {
    let found = array.as_any().downcast_ref();
    found.ok_or_else(|| format!("expected a struct, found {}", array.data_type()))
}

fn text(parent: &StructArray, name: &str, row: usize) -> Result<Option<String>, String> {
    let Some(column) = parent.column_by_name(name) else { return Ok(None) };
    text_at(column, row)
}

fn text_at(column: &ArrayRef, row: usize) -> Result<Option<String>, String> {
    if column.is_null(row) {
        return Ok(None);
    }
    if let Some(array) = column.as_any().downcast_ref::<StringArray>() {
        return Ok(Some(array.value(row).to_owned()));
    }
    if let Some(array) = column.as_any().downcast_ref::<BinaryArray>() {
        return String::from_utf8(array.value(row).to_vec()).map(Some).map_err(|e| e.to_string());
    }
    Err(format!("expected text, found {}", column.data_type()))
}

fn int(parent: &StructArray, name: &str, row: usize) -> Result<Option<i64>, String> {
    let Some(column) = parent.column_by_name(name) else { return Ok(None) };
    if column.is_null(row) {
        return Ok(None);
    }
    if let Some(array) = column.as_any().downcast_ref::<Int64Array>() {
        return Ok(Some(array.value(row)));
    }
    if let Some(array) = column.as_any().downcast_ref::<Int32Array>() {
        return Ok(Some(i64::from(array.value(row))));
    }
    Err(format!("{name}: expected a whole number, found {}", column.data_type()))
}

fn texts(parent: &StructArray, name: &str, row: usize) -> Result<Vec<String>, String> {
    let Some(column) = parent.column_by_name(name) else { return Ok(Vec::new()) };
    if column.is_null(row) {
        return Ok(Vec::new());
    }
    let list = column.as_any().downcast_ref::<ListArray>();
    let items = list.ok_or_else(|| format!("{name}: expected a list"))?.value(row);
    (0..items.len()).filter_map(|item| text_at(&items, item).transpose()).collect()
}
