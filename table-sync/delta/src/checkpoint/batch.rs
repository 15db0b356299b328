//! Actions in Parquet batches of a checkpoint.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray,
    StructArray,
};

use crate::action::{Action, Add, Format, Metadata, Protocol, Sidecar, Vector};

/// A column is not of the type that the protocol gives.
type Mismatch = &'static str;

const MISMATCH: Mismatch = "a column is not of the type that the protocol gives";

/// The `add` rows of a batch.
///
/// Writers may declare the fields of a nullable group as required. A row without the group then
/// has values in their columns all the same, so the group is what says whether a row is there.
pub(super) struct Adds<'a> {
    add: Option<&'a StructArray>,
    vector: Option<&'a StructArray>,
    path: Option<&'a StringArray>,
    size: Option<Integers<'a>>,
    storage_type: Option<&'a StringArray>,
    value: Option<&'a StringArray>,
    offset: Option<Integers<'a>>,
}

impl<'a> Adds<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> Result<Self, Mismatch> {
        let add = structure(batch.column_by_name("add"))?;
        let vector = structure(child(add, "deletionVector"))?;
        Ok(Self {
            add,
            vector,
            path: strings(child(add, "path"))?,
            size: Integers::of(child(add, "size"))?,
            storage_type: strings(child(vector, "storageType"))?,
            value: strings(child(vector, "pathOrInlineDv"))?,
            offset: Integers::of(child(vector, "offset"))?,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Add<'a>> + '_ {
        let rows = self.path.map_or(0, Array::len);
        (0..rows).filter(|row| is_set(self.add, *row)).filter_map(|row| {
            let path = text(self.path, row)?;
            let size = self.size.as_ref().and_then(|size| size.get(row));
            let deletion_vector = self.vector(row);
            Some(Add { path: Cow::Borrowed(path), size, deletion_vector })
        })
    }

    fn vector(&self, row: usize) -> Option<Vector<'a>> {
        if !is_set(self.vector, row) {
            return None;
        }
        let storage_type = Cow::Borrowed(text(self.storage_type, row)?);
        let value = Cow::Borrowed(text(self.value, row)?);
        let offset = self.offset.as_ref().and_then(|offset| offset.get(row));
        Some(Vector { storage_type, value, offset })
    }
}

/// The actions of a batch that are not about data files.
pub(super) fn head_actions(batch: &RecordBatch) -> Result<Vec<Action<'_>>, Mismatch> {
    let mut actions = Vec::new();
    let protocol = structure(batch.column_by_name("protocol"))?;
    let reader = Integers::of(child(protocol, "minReaderVersion"))?;
    let writer = Integers::of(child(protocol, "minWriterVersion"))?;
    let metadata = structure(batch.column_by_name("metaData"))?;
    let id = strings(child(metadata, "id"))?;
    let sidecar = structure(batch.column_by_name("sidecar"))?;
    let sidecar_path = strings(child(sidecar, "path"))?;
    let sidecar_size = Integers::of(child(sidecar, "sizeInBytes"))?;
    for row in 0..batch.num_rows() {
        let reader = reader.as_ref().filter(|_| is_set(protocol, row));
        if let Some(reader) = reader.and_then(|reader| reader.get(row)) {
            actions.push(Action::Protocol(Protocol {
                reader,
                writer: writer.as_ref().and_then(|writer| writer.get(row)).unwrap_or_default(),
                reader_features: list(child(protocol, "readerFeatures"), row)?,
                writer_features: list(child(protocol, "writerFeatures"), row)?,
            }));
        }
        if let Some(id) = text(id.filter(|_| is_set(metadata, row)), row) {
            actions.push(Action::Metadata(Box::new(metadata_row(metadata, id, row)?)));
        }
        if let Some(path) = text(sidecar_path.filter(|_| is_set(sidecar, row)), row) {
            let size = sidecar_size.as_ref().and_then(|size| size.get(row));
            actions.push(Action::Sidecar(Sidecar { path: Cow::Borrowed(path), size }));
        }
    }
    Ok(actions)
}

fn metadata_row(
    metadata: Option<&StructArray>,
    id: &str,
    row: usize,
) -> Result<Metadata, Mismatch> {
    let format = structure(child(metadata, "format"))?;
    let provider = strings(child(format, "provider"))?;
    Ok(Metadata {
        id: id.to_owned(),
        name: text(strings(child(metadata, "name"))?, row).map(str::to_owned),
        format: Some(Format { provider: text(provider, row).map(str::to_owned) }),
        schema: text(strings(child(metadata, "schemaString"))?, row).map(str::to_owned),
        partition_columns: list(child(metadata, "partitionColumns"), row)?.unwrap_or_default(),
        configuration: map(child(metadata, "configuration"), row)?,
    })
}

/// A column of 32 or 64 bit integers: writers differ.
enum Integers<'a> {
    Short(&'a Int32Array),
    Long(&'a Int64Array),
}

impl<'a> Integers<'a> {
    fn of(column: Option<&'a ArrayRef>) -> Result<Option<Self>, Mismatch> {
        let Some(column) = column else { return Ok(None) };
        let any = column.as_any();
        let short = any.downcast_ref().map(Self::Short);
        short.or_else(|| any.downcast_ref().map(Self::Long)).map(Some).ok_or(MISMATCH)
    }

    fn get(&self, row: usize) -> Option<i64> {
        match self {
            Self::Short(values) => {
                let valid = row < values.len() && values.is_valid(row);
                valid.then(|| i64::from(values.value(row)))
            }
            Self::Long(values) => {
                let valid = row < values.len() && values.is_valid(row);
                valid.then(|| values.value(row))
            }
        }
    }
}

fn child<'a>(parent: Option<&'a StructArray>, name: &str) -> Option<&'a ArrayRef> {
    parent.and_then(|parent| parent.column_by_name(name))
}

fn is_set(group: Option<&StructArray>, row: usize) -> bool {
    group.is_some_and(|group| row < group.len() && group.is_valid(row))
}

fn structure(column: Option<&ArrayRef>) -> Result<Option<&StructArray>, Mismatch> {
    column.map(|column| column.as_any().downcast_ref().ok_or(MISMATCH)).transpose()
}

fn strings(column: Option<&ArrayRef>) -> Result<Option<&StringArray>, Mismatch> {
    column.map(|column| column.as_any().downcast_ref().ok_or(MISMATCH)).transpose()
}

fn text(column: Option<&StringArray>, row: usize) -> Option<&str> {
    column.filter(|column| row < column.len() && column.is_valid(row)).map(|c| c.value(row))
}

fn list(column: Option<&ArrayRef>, row: usize) -> Result<Option<Vec<String>>, Mismatch> {
    let Some(column) = column else { return Ok(None) };
    let lists: &ListArray = column.as_any().downcast_ref().ok_or(MISMATCH)?;
    if !lists.is_valid(row) {
        return Ok(None);
    }
    let values = lists.value(row);
    let values: &StringArray = values.as_any().downcast_ref().ok_or(MISMATCH)?;
    Ok(Some(values.iter().flatten().map(str::to_owned).collect()))
}

fn map(
    column: Option<&ArrayRef>,
    row: usize,
) -> Result<BTreeMap<String, Option<String>>, Mismatch> {
    let Some(column) = column else { return Ok(BTreeMap::new()) };
    let maps: &MapArray = column.as_any().downcast_ref().ok_or(MISMATCH)?;
    if !maps.is_valid(row) {
        return Ok(BTreeMap::new());
    }
    let entries = maps.value(row);
    let [keys, values] = entries.columns() else { return Err(MISMATCH) };
    let keys: &StringArray = keys.as_any().downcast_ref().ok_or(MISMATCH)?;
    let values: &StringArray = values.as_any().downcast_ref().ok_or(MISMATCH)?;
    let pairs = keys.iter().zip(values.iter());
    Ok(pairs.filter_map(|(k, v)| Some((k?.to_owned(), v.map(str::to_owned)))).collect())
}
