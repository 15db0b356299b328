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

use std::collections::BTreeMap;

use driftless_catalog::Table;

use crate::hive;
use crate::snapshot::Snapshot;
pub(crate) use partition::{columns, name, partition, unescape, values_in};

/// Type of every row: Driftless owns the files, the metastore does not.
pub(crate) const EXTERNAL_TABLE: &str = "EXTERNAL_TABLE";

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

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Seconds since the epoch, as rows have them.
fn seconds(ms: i64) -> i32 {
    i32::try_from(ms / 1_000).unwrap_or(0)
}
