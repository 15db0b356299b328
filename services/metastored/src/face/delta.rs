//! Rows of Delta tables: a location, and that it is Delta. All else comes from the log.
//!
//! The columns are the placeholder that Spark and Trino write themselves.

use crate::face::{SPARK_SCHEMA, Subject, map, placeholder, row, seconds, storage};
use crate::hive;

/// The row of a Delta table.
pub(super) fn table(subject: Subject<'_>) -> hive::Table {
    let created = seconds(subject.table.created_ms).to_string();
    hive::Table {
        sd: Some(hive::StorageDescriptor {
            input_format: Some("org.apache.hadoop.mapred.SequenceFileInputFormat".to_owned()),
            output_format: Some(
                "org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat".to_owned(),
            ),
            serde_info: Some(hive::SerDeInfo {
                name: None,
                serialization_lib: Some(
                    "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe".to_owned(),
                ),
                // Both engines take the table's root from here.
                parameters: Some(map([("serialization.format", "1"), ("path", subject.location)])),
            }),
            ..storage(vec![placeholder()], subject.location.to_owned())
        }),
        // Without the provider Spark answers no rows, and no error.
        parameters: Some(map([
            ("EXTERNAL", "TRUE"),
            ("spark.sql.sources.provider", "delta"),
            (SPARK_SCHEMA, r#"{"type":"struct","fields":[]}"#),
            ("spark.sql.partitionProvider", "catalog"),
            ("transient_lastDdlTime", &created),
        ])),
        ..row(subject)
    }
}
