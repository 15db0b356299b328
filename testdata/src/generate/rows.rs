//! The checkpoint of a large table, batch by batch.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
    new_null_array,
};
use arrow_schema::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use super::{FileRow, Options, Vector};
use crate::builder::checkpoint::{Layout, batch, schema, writer_options};
use crate::builder::version_ms;

/// Files that are in memory as rows at a time.
const BATCH_FILES: u64 = 8_192;

/// Writes a classic checkpoint of `files` files after the lines `table`. Returns the sum of the
/// files' sizes in bytes.
pub(super) fn write_checkpoint(
    path: &Path,
    table: &[Value],
    files: u64,
    options: &Options,
) -> io::Result<u64> {
    let rows = files + table.len() as u64;
    let group_rows = rows.div_ceil(options.row_groups.max(1)).max(1);
    let writer_options = writer_options(usize::try_from(group_rows).ok());
    let file = File::create(path)?;
    let mut writer =
        ArrowWriter::try_new_with_options(file, schema(Layout::Classic), writer_options)?;
    writer.write(&batch(Layout::Classic, table))?;
    let mut table_bytes = 0;
    let mut first = 0;
    while first < files {
        let last = files.min(first + BATCH_FILES);
        let rows: Vec<FileRow> = (first..last).map(|n| FileRow::new(n, options)).collect();
        table_bytes += rows.iter().map(|row| row.size).sum::<u64>();
        writer.write(&add_batch(&rows, options))?;
        first = last;
    }
    writer.close()?;
    Ok(table_bytes)
}

/// `rows` as a batch in which `add` alone has values.
fn add_batch(rows: &[FileRow], options: &Options) -> RecordBatch {
    let schema = schema(Layout::Classic);
    let columns = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Struct(fields) if field.name() == "add" => add_column(fields, rows, options),
        other => new_null_array(other, rows.len()),
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).expect("columns follow the schema")
}

fn add_column(fields: &Fields, rows: &[FileRow], options: &Options) -> ArrayRef {
    let modified_ms = version_ms(options.checkpoint_version).cast_signed();
    let column = |field: &Arc<Field>| -> ArrayRef {
        match field.name().as_str() {
            "path" => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.path))),
            "partitionValues" => partition_values(rows),
            "size" => {
                let sizes = rows.iter().map(|row| row.size.cast_signed());
                Arc::new(Int64Array::from_iter_values(sizes))
            }
            "modificationTime" => Arc::new(Int64Array::from_value(modified_ms, rows.len())),
            "dataChange" => Arc::new(BooleanArray::from(vec![false; rows.len()])),
            "stats" => {
                let stats = rows.iter().map(|row| Some(&row.stats).filter(|text| !text.is_empty()));
                Arc::new(StringArray::from_iter(stats))
            }
            "deletionVector" => vectors(field.data_type(), rows),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    };
    Arc::new(StructArray::new(fields.clone(), fields.iter().map(column).collect(), None))
}

fn partition_values(rows: &[FileRow]) -> ArrayRef {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for row in rows {
        for (column, value) in [("month", &row.month), ("day", &row.day)] {
            builder.keys().append_value(column);
            builder.values().append_value(value);
        }
        builder.append(true).expect("each key has a value");
    }
    Arc::new(builder.finish())
}

fn vectors(data_type: &DataType, rows: &[FileRow]) -> ArrayRef {
    let DataType::Struct(fields) = data_type else {
        unreachable!("a deletion vector is a struct");
    };
    let vectors: Vec<Option<&Vector>> = rows.iter().map(|row| row.vector.as_ref()).collect();
    let column = |field: &Arc<Field>| -> ArrayRef {
        let each = vectors.iter();
        match field.name().as_str() {
            "storageType" => {
                Arc::new(StringArray::from_iter(each.map(|vector| vector.map(|_| "u"))))
            }
            "pathOrInlineDv" => {
                let paths = each.map(|vector| vector.map(|vector| vector.path.as_str()));
                Arc::new(StringArray::from_iter(paths))
            }
            "offset" => {
                let offsets = each.map(|vector| vector.map(|_| Vector::OFFSET));
                Arc::new(Int32Array::from_iter(offsets))
            }
            "sizeInBytes" => {
                let sizes = each.map(|vector| vector.map(|vector| vector.size_bytes));
                Arc::new(Int32Array::from_iter(sizes))
            }
            "cardinality" => {
                let counts = each.map(|vector| vector.map(|vector| vector.cardinality));
                Arc::new(Int64Array::from_iter(counts))
            }
            other => unreachable!("a deletion vector has no field {other}"),
        }
    };
    let valid: Vec<bool> = vectors.iter().map(Option::is_some).collect();
    let columns = fields.iter().map(column).collect();
    Arc::new(StructArray::new(fields.clone(), columns, Some(valid.into())))
}
