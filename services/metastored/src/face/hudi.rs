//! Rows of Hudi tables, as Hudi's own hive sync writes them.
//!
//! Trino takes columns, partition columns and the root from the row, and tells the type of the
//! table by its input format. Spark reads any row without the provider as plain Parquet: more rows
//! than there are, and no error.

use serde_json::{Value, json};
use table_sync_core::Position;

use crate::face::{SPARK_SCHEMA, Subject, View, map, put_schema, row, seconds, storage};
use crate::hive;
use crate::snapshot::{Column, Snapshot};

const COPY_ON_WRITE: &str = "org.apache.hudi.hadoop.HoodieParquetInputFormat";
const MERGE_ON_READ: &str = "org.apache.hudi.hadoop.realtime.HoodieParquetRealtimeInputFormat";
const OUTPUT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";
const SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";

/// The row of a Hudi table, or of a view of it.
pub(super) fn table(subject: Subject<'_>, snapshot: &Snapshot) -> hive::Table {
    let mut parameters = map([("EXTERNAL", "TRUE"), ("spark.sql.sources.provider", "hudi")]);
    let created = seconds(subject.table.created_ms).to_string();
    parameters.insert("transient_lastDdlTime".to_owned(), created);
    if let Position::Instant { completed, requested } = snapshot.position {
        parameters.insert("last_commit_time_sync".to_owned(), requested.to_string());
        parameters.insert("last_commit_completion_time_sync".to_owned(), completed.to_string());
    }
    put_schema(&mut parameters, &spark_schema(snapshot));
    if !snapshot.partition_columns.is_empty() {
        let count = snapshot.partition_columns.len().to_string();
        parameters.insert(format!("{SPARK_SCHEMA}.numPartCols"), count);
        for (at, column) in snapshot.partition_columns.iter().enumerate() {
            parameters.insert(format!("{SPARK_SCHEMA}.partCol.{at}"), column.name.clone());
        }
    }
    hive::Table {
        sd: Some(descriptor(subject, snapshot, subject.location.to_owned())),
        partition_keys: Some(fields(&snapshot.partition_columns)),
        parameters: Some(parameters),
        ..row(subject)
    }
}

/// Storage of a table or of one of its partitions.
pub(super) fn descriptor(
    subject: Subject<'_>,
    snapshot: &Snapshot,
    location: String,
) -> hive::StorageDescriptor {
    let merges = snapshot.merges && subject.view != View::ReadOptimized;
    let read_optimized = if subject.view == View::ReadOptimized { "true" } else { "false" };
    let input = if merges { MERGE_ON_READ } else { COPY_ON_WRITE };
    let mut parameters = map([("serialization.format", "1"), ("path", subject.location)]);
    // It decides what Spark answers, whatever the input format.
    parameters.insert("hoodie.query.as.ro.table".to_owned(), read_optimized.to_owned());
    hive::StorageDescriptor {
        input_format: Some(input.to_owned()),
        output_format: Some(OUTPUT.to_owned()),
        num_buckets: Some(0),
        serde_info: Some(hive::SerDeInfo {
            name: None,
            serialization_lib: Some(SERDE.to_owned()),
            parameters: Some(parameters),
        }),
        ..storage(fields(&snapshot.columns), location)
    }
}

/// Columns as rows have them.
pub(super) fn fields(columns: &[Column]) -> Vec<hive::FieldSchema> {
    let field = |column: &Column| hive::FieldSchema {
        name: Some(column.name.to_lowercase()),
        type_: Some(column.hive.clone()),
        comment: Some(String::new()),
    };
    columns.iter().map(field).collect()
}

/// All columns, partition columns last, as Spark writes a schema.
fn spark_schema(snapshot: &Snapshot) -> String {
    let columns = snapshot.columns.iter().chain(&snapshot.partition_columns);
    let field = |column: &Column| {
        json!({
            "name": column.name,
            "type": column.spark,
            "nullable": column.nullable,
            "metadata": {},
        })
    };
    let fields: Vec<Value> = columns.map(field).collect();
    json!({ "type": "struct", "fields": fields }).to_string()
}
