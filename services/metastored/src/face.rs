//! Rows of a metastore: how engines are told of tables, databases and partitions.
//!
//! Pure functions of the catalog's record and of what a replica holds. What an engine reads of a row
//! was found by leaving out fields, with Trino 476 and Spark 3.5 and 4.0.
//!
//! # Invariants
//! - `partitionKeys` and a partition's `parameters` are always there: Trino fails without.
//! - Locations are `s3a://`, which Trino and Spark both open.

mod delta;
mod hudi;
mod partition;
mod view;

use std::collections::BTreeMap;

use driftless_catalog::Table;

use crate::hive;
use crate::schema::ViewColumn;
use crate::snapshot::Snapshot;
pub(crate) use partition::{columns, name, partition, unescape, values_in};

/// Type of every row: Driftless owns the files, the metastore does not.
pub(crate) const EXTERNAL_TABLE: &str = "EXTERNAL_TABLE";

/// Type of the rows of tables at one version.
pub(crate) const VIRTUAL_VIEW: &str = "VIRTUAL_VIEW";

/// What Trino tells its views by.
pub(crate) const TRINO_VIEW: &str = "Presto View";

/// Longest value of a parameter: what the columns of metastores hold.
const PARAMETER_CHARS_MAX: usize = 4_000;

/// Where rows keep a schema of Spark.
const SPARK_SCHEMA: &str = "spark.sql.sources.schema";

/// Name of the only catalog, as Hive has it.
pub(crate) const CATALOG: &str = "hive";

/// Owner of what is served.
const OWNER: &str = "driftless";

/// How a merge-on-read table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Under its own name: as it is.
    Plain,
    /// `_ro`: its base files only.
    ReadOptimized,
    /// `_rt`: with its logs merged.
    RealTime,
}

impl View {
    /// The views of a merge-on-read table.
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::ReadOptimized, Self::RealTime];

    /// What is appended to the table's name.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::ReadOptimized => "_ro",
            Self::RealTime => "_rt",
        }
    }
}

/// What all rows of a table share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) table: &'a Table,
    /// The name that engines use: with the suffix of a view.
    pub(crate) view: View,
    /// The table's root, as engines write it.
    pub(crate) location: &'a str,
}

impl Subject<'_> {
    fn name(&self) -> String {
        format!("{}{}", self.table.name.table(), self.view.suffix())
    }

    fn database(&self) -> String {
        self.table.name.namespace().to_owned()
    }
}

/// A location as engines write it: S3 by the name of Hadoop's client.
pub(crate) fn engine_url(url: &str) -> String {
    let url = url.trim_end_matches('/');
    match url.strip_prefix("s3://") {
        Some(rest) => format!("s3a://{rest}"),
        None => url.to_owned(),
    }
}

/// The row of a Delta table.
pub(crate) fn delta_table(subject: Subject<'_>) -> hive::Table {
    delta::table(subject)
}

/// The row of a Hudi table, or of a view of it.
pub(crate) fn hudi_table(subject: Subject<'_>, snapshot: &Snapshot) -> hive::Table {
    hudi::table(subject, snapshot)
}

/// A Delta table at one version, as a view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AtVersion<'a> {
    pub(crate) table: &'a Table,
    pub(crate) version: u64,
    /// The columns that it has in that version.
    pub(crate) columns: &'a [ViewColumn],
    /// The database that shows it so.
    pub(crate) database: &'a str,
    /// How Trino calls its catalog of Delta tables.
    pub(crate) trino_catalog: &'a str,
}

/// The row of a Delta table at one version.
pub(crate) fn delta_view(at: AtVersion<'_>) -> hive::Table {
    view::table(at)
}

/// The row of a database.
pub(crate) fn database(name: &str, location: String) -> hive::Database {
    hive::Database {
        name: Some(name.to_owned()),
        description: Some(String::new()),
        // Spark describes no database without one.
        location_uri: Some(location),
        parameters: Some(BTreeMap::new()),
        owner_name: Some(OWNER.to_owned()),
        owner_type: Some(hive::PrincipalType::USER),
        catalog_name: Some(CATALOG.to_owned()),
    }
}

/// A row without columns, storage and parameters.
fn row(subject: Subject<'_>) -> hive::Table {
    hive::Table {
        table_name: Some(subject.name()),
        db_name: Some(subject.database()),
        owner: Some(OWNER.to_owned()),
        create_time: Some(seconds(subject.table.created_ms)),
        last_access_time: Some(0),
        retention: Some(0),
        sd: None,
        partition_keys: Some(Vec::new()),
        parameters: None,
        view_original_text: None,
        view_expanded_text: None,
        table_type: Some(EXTERNAL_TABLE.to_owned()),
        temporary: Some(false),
        cat_name: Some(CATALOG.to_owned()),
        owner_type: Some(hive::PrincipalType::USER),
    }
}

/// Storage of a table or a partition, without what its format says of it.
fn storage(columns: Vec<hive::FieldSchema>, location: String) -> hive::StorageDescriptor {
    hive::StorageDescriptor {
        cols: Some(columns),
        location: Some(location),
        input_format: None,
        output_format: None,
        compressed: Some(false),
        num_buckets: Some(-1),
        serde_info: None,
        bucket_cols: Some(Vec::new()),
        sort_cols: Some(Vec::new()),
        parameters: Some(BTreeMap::new()),
        skewed_info: Some(hive::SkewedInfo {
            skewed_col_names: Some(Vec::new()),
            skewed_col_values: Some(Vec::new()),
            skewed_col_value_location_maps: Some(BTreeMap::new()),
        }),
        stored_as_sub_directories: Some(false),
    }
}

/// Puts a schema of Spark into parameters, in pieces that metastores hold.
fn put_schema(parameters: &mut BTreeMap<String, String>, schema: &str) {
    let mut parts = vec![String::new()];
    for (at, char) in schema.chars().enumerate() {
        if at > 0 && at % PARAMETER_CHARS_MAX == 0 {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(char);
        }
    }
    parameters.insert(format!("{SPARK_SCHEMA}.numParts"), parts.len().to_string());
    for (at, part) in parts.into_iter().enumerate() {
        parameters.insert(format!("{SPARK_SCHEMA}.part.{at}"), part);
    }
}

/// A column that stands where columns are known from elsewhere, as Spark and Trino write it.
fn placeholder() -> hive::FieldSchema {
    hive::FieldSchema {
        name: Some("col".to_owned()),
        type_: Some("array<string>".to_owned()),
        comment: Some("from deserializer".to_owned()),
    }
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Seconds since the epoch, as rows have them.
fn seconds(ms: i64) -> i32 {
    i32::try_from(ms / 1_000).unwrap_or(0)
}
