//! One data file to add: its object, and what the log says of it.

use super::deletion_vector::DeletionVector;
use super::path::{log_path, partition_directory};

/// A data file of the next commit.
///
/// The object holds `size` random bytes, the same for the same table seed and key. An object that
/// exists already is left alone, as a table that adds a path again does.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Key of the object to make, below the table root.
    pub(super) key: Option<String>,
    pub(super) path: String,
    pub(super) size: u64,
    /// The log's `size` where it differs from the object's.
    pub(super) logged_size: Option<i64>,
    pub(super) partition_values: Vec<(String, Option<String>)>,
    pub(super) vector: Option<DeletionVector>,
    pub(super) stats_columns: Option<usize>,
    pub(super) row_tracking: Option<(u64, u64)>,
    pub(super) data_change: bool,
}

impl DataFile {
    /// An object `key` (raw, below the table root) of `size` bytes; the log has it URI-encoded.
    pub fn new(key: &str, size: u64) -> Self {
        Self {
            key: Some(key.to_owned()),
            path: log_path(key),
            size,
            logged_size: None,
            partition_values: Vec::new(),
            vector: None,
            stats_columns: None,
            row_tracking: None,
            data_change: true,
        }
    }

    /// A file `name` in the Hive directories of `values` (column, value; `None` is SQL null).
    pub fn partitioned(values: &[(&str, Option<&str>)], name: &str, size: u64) -> Self {
        let directories = values.iter().map(|&(column, value)| partition_directory(column, value));
        let mut parts: Vec<String> = directories.collect();
        parts.push(name.to_owned());
        let owned =
            |&(column, value): &(&str, Option<&str>)| (column.to_owned(), value.map(str::to_owned));
        let mut file = Self::new(&parts.join("/"), size);
        file.partition_values = values.iter().map(owned).collect();
        file
    }

    /// An `add` whose `path` is `path` as it stands: absolute, hostile or oddly encoded.
    /// No object is made.
    pub fn at_path(path: &str, size: u64) -> Self {
        let mut file = Self::new(path, size);
        file.path = path.to_owned();
        file.key = None;
        file
    }

    /// Gives the file a deletion vector.
    pub fn vector(mut self, vector: DeletionVector) -> Self {
        self.vector = Some(vector);
        self
    }

    /// Gives the file statistics over `columns` columns.
    pub fn stats(mut self, columns: usize) -> Self {
        self.stats_columns = Some(columns);
        self
    }

    /// Gives the file `baseRowId` and `defaultRowCommitVersion`.
    pub fn row_tracking(mut self, base_row_id: u64, commit_version: u64) -> Self {
        self.row_tracking = Some((base_row_id, commit_version));
        self
    }

    /// Makes no object: the log names a file that is not there.
    pub fn without_object(mut self) -> Self {
        self.key = None;
        self
    }

    /// Makes the log say `size` whatever the object's length is.
    pub fn logged_size(mut self, size: i64) -> Self {
        self.logged_size = Some(size);
        self
    }

    /// Marks the file as rearranged data: `dataChange` is false.
    pub fn rearranged(mut self) -> Self {
        self.data_change = false;
        self
    }
}
