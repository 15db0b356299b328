//! Checkpoint files: actions as rows of Parquet, with the protocol's schema.
//!
//! Every column of the schema exists whether or not a row uses it, as Spark writes it. Values
//! come from the JSON actions, so a field that the schema does not name is dropped.
//!
//! Source: Delta protocol, "Checkpoint Schema", "Sidecar Files", "Checkpoint Metadata".

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

/// Which top-level columns a checkpoint file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A whole classic checkpoint or one part of it.
    Classic,
    /// The top file of a V2 checkpoint.
    Manifest,
    /// A file of adds and removes that a V2 checkpoint names.
    Sidecar,
}

/// The rows `actions` (each `{"name": body}`) as a Parquet file.
pub(super) fn parquet_file(layout: Layout, actions: &[Value]) -> Bytes {
    let schema = schema(layout);
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut file, schema, writer_options(None))
        .expect("the checkpoint schema fits parquet");
    writer.write(&batch(layout, actions)).expect("a vector takes every write");
    writer.close().expect("a vector takes every write");
    file.into()
}

/// Snappy, at most `group_rows` rows in a row group, and without the Arrow schema that no Delta
/// writer leaves in its files.
pub(crate) fn writer_options(group_rows: Option<usize>) -> ArrowWriterOptions {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(group_rows)
        .build();
    ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true)
}

/// The rows `actions` as one batch of [`schema`].
pub(crate) fn batch(layout: Layout, actions: &[Value]) -> RecordBatch {
    let schema = schema(layout);
    let rows: Vec<Option<&Value>> = actions.iter().map(Some).collect();
    let columns = schema.fields().iter().map(|field| child(field, &rows)).collect();
    RecordBatch::try_new(schema, columns).expect("columns follow the schema")
}

/// The column `field` of `rows`, which are JSON objects.
fn child(field: &Field, rows: &[Option<&Value>]) -> ArrayRef {
    let values: Vec<Option<&Value>> =
        rows.iter().map(|row| row.and_then(|row| row.get(field.name()))).collect();
    column(field.data_type(), &values)
}

fn column(data_type: &DataType, values: &[Option<&Value>]) -> ArrayRef {
    let values = values.iter().map(|value| value.filter(|value| !value.is_null()));
    match data_type {
        DataType::Utf8 => {
            Arc::new(StringArray::from_iter(values.map(|value| value.and_then(Value::as_str))))
        }
        DataType::Int64 => {
            Arc::new(Int64Array::from_iter(values.map(|value| value.and_then(Value::as_i64))))
        }
        DataType::Int32 => Arc::new(Int32Array::from_iter(values.map(|value| {
            value.and_then(Value::as_i64).and_then(|value| i32::try_from(value).ok())
        }))),
        DataType::Boolean => {
            Arc::new(BooleanArray::from_iter(values.map(|value| value.and_then(Value::as_bool))))
        }
        DataType::List(_) => strings(values),
        DataType::Map(..) => string_maps(values),
        DataType::Struct(fields) => {
            let values: Vec<Option<&Value>> = values.collect();
            let children = fields.iter().map(|field| child(field, &values)).collect();
            let valid: Vec<bool> = values.iter().map(Option::is_some).collect();
            Arc::new(StructArray::new(fields.clone(), children, Some(valid.into())))
        }
        other => unreachable!("a checkpoint has no column of type {other}"),
    }
}

fn strings<'a>(values: impl Iterator<Item = Option<&'a Value>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Field::new(
        "element",
        DataType::Utf8,
        true,
    ));
    for value in values {
        let list = value.and_then(Value::as_array);
        for item in list.into_iter().flatten() {
            builder.values().append_option(item.as_str());
        }
        builder.append(list.is_some());
    }
    Arc::new(builder.finish())
}

fn string_maps<'a>(values: impl Iterator<Item = Option<&'a Value>>) -> ArrayRef {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for value in values {
        let map = value.and_then(Value::as_object);
        for (key, item) in map.into_iter().flatten() {
            builder.keys().append_value(key);
            builder.values().append_option(item.as_str());
        }
        builder.append(map.is_some()).expect("each key has a value");
    }
    Arc::new(builder.finish())
}

/// The schema of one kind of checkpoint file.
pub(crate) fn schema(layout: Layout) -> SchemaRef {
    let table = || {
        [
            ("txn", txn()),
            ("metaData", metadata()),
            ("protocol", protocol()),
            ("domainMetadata", domain_metadata()),
        ]
    };
    let files = || [("add", add()), ("remove", remove())];
    let columns: Vec<(&str, DataType)> = match layout {
        Layout::Classic => table().into_iter().chain(files()).collect(),
        Layout::Sidecar => files().into_iter().collect(),
        Layout::Manifest => {
            let own = [("checkpointMetadata", checkpoint_metadata()), ("sidecar", sidecar())];
            table().into_iter().chain(files()).chain(own).collect()
        }
    };
    Arc::new(Schema::new(fields(&columns)))
}

fn fields(columns: &[(&str, DataType)]) -> Fields {
    columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect()
}

fn structure(columns: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields(columns))
}

fn map() -> DataType {
    let key = Field::new("key", DataType::Utf8, false);
    let value = Field::new("value", DataType::Utf8, true);
    let entry = DataType::Struct(Fields::from(vec![key, value]));
    DataType::Map(Arc::new(Field::new("key_value", entry, false)), false)
}

fn list() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))
}

fn txn() -> DataType {
    structure(&[
        ("appId", DataType::Utf8),
        ("version", DataType::Int64),
        ("lastUpdated", DataType::Int64),
    ])
}

fn metadata() -> DataType {
    let format = structure(&[("provider", DataType::Utf8), ("options", map())]);
    structure(&[
        ("id", DataType::Utf8),
        ("name", DataType::Utf8),
        ("description", DataType::Utf8),
        ("format", format),
        ("schemaString", DataType::Utf8),
        ("partitionColumns", list()),
        ("configuration", map()),
        ("createdTime", DataType::Int64),
    ])
}

fn protocol() -> DataType {
    structure(&[
        ("minReaderVersion", DataType::Int32),
        ("minWriterVersion", DataType::Int32),
        ("readerFeatures", list()),
        ("writerFeatures", list()),
    ])
}

fn domain_metadata() -> DataType {
    structure(&[
        ("domain", DataType::Utf8),
        ("configuration", DataType::Utf8),
        ("removed", DataType::Boolean),
    ])
}

/// The struct of `deletionVector`.
pub(crate) fn deletion_vector() -> DataType {
    structure(&[
        ("storageType", DataType::Utf8),
        ("pathOrInlineDv", DataType::Utf8),
        ("offset", DataType::Int32),
        ("sizeInBytes", DataType::Int32),
        ("cardinality", DataType::Int64),
    ])
}

fn add() -> DataType {
    structure(&[
        ("path", DataType::Utf8),
        ("partitionValues", map()),
        ("size", DataType::Int64),
        ("modificationTime", DataType::Int64),
        ("dataChange", DataType::Boolean),
        ("stats", DataType::Utf8),
        ("tags", map()),
        ("deletionVector", deletion_vector()),
        ("baseRowId", DataType::Int64),
        ("defaultRowCommitVersion", DataType::Int64),
        ("clusteringProvider", DataType::Utf8),
    ])
}

fn remove() -> DataType {
    structure(&[
        ("path", DataType::Utf8),
        ("deletionTimestamp", DataType::Int64),
        ("dataChange", DataType::Boolean),
        ("extendedFileMetadata", DataType::Boolean),
        ("partitionValues", map()),
        ("size", DataType::Int64),
        ("deletionVector", deletion_vector()),
        ("baseRowId", DataType::Int64),
        ("defaultRowCommitVersion", DataType::Int64),
    ])
}

fn checkpoint_metadata() -> DataType {
    structure(&[("version", DataType::Int64), ("tags", map())])
}

fn sidecar() -> DataType {
    structure(&[
        ("path", DataType::Utf8),
        ("sizeInBytes", DataType::Int64),
        ("modificationTime", DataType::Int64),
        ("tags", map()),
    ])
}
