//! Why a table was not judged, kept apart from "the rows differ".

use deltalake::DeltaTableError;
use deltalake::datafusion::error::DataFusionError;
use deltalake::kernel::transaction::TransactionError;
use hudi_core::config::error::ConfigError;
use hudi_core::error::CoreError;
use hudi_core::storage::error::StorageError;

use crate::hash::UnknownType;

/// A cause whose type belongs to a library that is no part of this crate's interface.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the judge has no answer for a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowsError {
    /// The table may be fine: this judge lacks a feature that it needs.
    #[error("read a table that needs {feature}: the judge's reader lacks it, use another engine")]
    Unsupported {
        /// Table features, or the reader's own words.
        feature: String,
    },
    /// There is no log, so there is no table (yet).
    #[error("open {url}: no table is there")]
    NotATable {
        /// The table's root, without credentials.
        url: String,
    },
    /// The table may be fine: its history no longer holds what it was at this position.
    #[error("read {url} as of {position}: its active timeline does not hold that instant")]
    Gone {
        /// The table's root, without credentials.
        url: String,
        /// What was asked for.
        position: String,
    },
    /// The log does not give a snapshot: a hole, a broken checkpoint, a version that is gone.
    #[error("replay the log of {url}")]
    Log {
        /// The table's root, without credentials.
        url: String,
        /// What the log reader found.
        source: BoxError,
    },
    /// An object that the snapshot needs is not there: the version is not whole.
    #[error("read {path}: the log names it and it is not there")]
    Missing {
        /// The object, as the store names it.
        path: String,
    },
    /// The snapshot is there, and a file of it cannot be decoded.
    #[error("read the rows of {url}")]
    Rows {
        /// The table's root, without credentials.
        url: String,
        /// What the reader found.
        source: BoxError,
    },
    /// The store did not answer, or refused. Says nothing about the table.
    #[error("ask the store of {url}")]
    Store {
        /// The table's root, without credentials.
        url: String,
        /// What the store's client says.
        source: BoxError,
    },
}

impl RowsError {
    /// A short, stable name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "unsupported",
            Self::NotATable { .. } => "not_a_table",
            Self::Gone { .. } => "gone",
            Self::Log { .. } => "log",
            Self::Missing { .. } => "missing",
            Self::Rows { .. } => "rows",
            Self::Store { .. } => "store",
        }
    }

    /// The message and those of all causes, for people who see nothing but one line.
    pub fn with_causes(&self) -> String {
        table_sync_core::with_causes(self)
    }

    /// Sorts an error from opening a snapshot.
    pub(crate) fn from_log(url: &str, error: DeltaTableError) -> Self {
        let url = url.to_owned();
        if matches!(error, DeltaTableError::NotATable(_)) {
            return Self::NotATable { url };
        }
        match Cause::of(&error) {
            Some(cause) => Self::from_cause(cause, url, Box::new(error)),
            None => Self::Log { url, source: Box::new(error) },
        }
    }

    /// Sorts an error from reading the rows of a snapshot.
    pub(crate) fn from_rows(url: &str, error: DataFusionError) -> Self {
        let url = url.to_owned();
        match Cause::of(&error) {
            Some(cause) => Self::from_cause(cause, url, Box::new(error)),
            None => Self::Rows { url, source: Box::new(error) },
        }
    }

    /// Sorts an error from opening a Hudi table.
    pub(crate) fn from_hudi_open(url: &str, error: CoreError) -> Self {
        match Self::from_hudi(url, error) {
            Self::Missing { path } if path.ends_with(PROPERTIES) => {
                Self::NotATable { url: url.to_owned() }
            }
            error => error,
        }
    }

    /// Sorts an error from reading the timeline or the rows of a Hudi table.
    pub(crate) fn from_hudi(url: &str, error: CoreError) -> Self {
        let url = url.to_owned();
        match Cause::of(&error) {
            Some(cause) => Self::from_cause(cause, url, Box::new(error)),
            None => match error {
                CoreError::Timeline(_)
                | CoreError::CommitMetadata(_)
                | CoreError::TimelineNoCommit
                | CoreError::TimestampParsingError(_)
                | CoreError::Config(_) => Self::Log { url, source: Box::new(error) },
                _ => Self::Rows { url, source: Box::new(error) },
            },
        }
    }

    fn from_cause(cause: Cause, url: String, source: BoxError) -> Self {
        match cause {
            Cause::Unsupported(feature) => Self::Unsupported { feature },
            Cause::Missing(path) => Self::Missing { path },
            Cause::Store => Self::Store { url, source },
        }
    }

    pub(crate) fn from_type(error: UnknownType) -> Self {
        Self::Unsupported { feature: format!("type {}", error.data_type) }
    }
}

/// The object that makes a folder a Hudi table.
const PROPERTIES: &str = ".hoodie/hoodie.properties";

/// How the kernel, the parquet reader and hudi-core introduce a store's error that they pass on
/// as text.
const STORE_TEXTS: [&str; 3] =
    ["Error interacting with object store: ", "Object Store error: ", "ObjectStoreError("];

/// What an error of the libraries comes down to, wherever in their chain it says so.
enum Cause {
    Unsupported(String),
    Missing(String),
    Store,
}

impl Cause {
    fn of(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut link = Some(error);
        while let Some(error) = link {
            if let Some(cause) = Self::of_link(error) {
                return Some(cause);
            }
            link = error.source();
        }
        None
    }

    fn of_link(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(TransactionError::UnsupportedTableFeatures(features)) = error.downcast_ref() {
            let features: Vec<_> = features.iter().map(ToString::to_string).collect();
            return Some(Self::Unsupported(features.join(", ")));
        }
        if let Some(DataFusionError::NotImplemented(what)) = error.downcast_ref() {
            return Some(Self::Unsupported(what.clone()));
        }
        if let Some(cause) = Self::of_hudi(error) {
            return Some(cause);
        }
        if let Some(error) = error.downcast_ref::<object_store::Error>() {
            return Some(Self::of_store(error));
        }
        // The kernel's error type is private, and the others pass a store's error on as text:
        // only the text tells these apart.
        let text = error.to_string();
        let rest = |prefix| text.strip_prefix(prefix).map(str::to_owned);
        let between = |start, end| text.split_once(start)?.1.split_once(end);
        rest("Unsupported: ")
            .map(Self::Unsupported)
            .or_else(|| {
                let (column, _) = between("Cannot cast column '", "' from ")?;
                Some(Self::Unsupported(format!("files older than the type of column {column}")))
            })
            .or_else(|| {
                let (column, _) = between("reconcile: column '", "' type ")?;
                Some(Self::Unsupported(format!("files older than the type of column {column}")))
            })
            .or_else(|| rest("File not found: ").map(Self::Missing))
            .or_else(|| {
                let (path, _) = between("ObjectStoreError(NotFound { path: \"", "\"")?;
                Some(Self::Missing(path.to_owned()))
            })
            .or_else(|| {
                let (path, _) = between("Object at location ", " not found: ")?;
                Some(Self::Missing(path.to_owned()))
            })
            .or_else(|| STORE_TEXTS.iter().any(|it| text.contains(it)).then_some(Self::Store))
    }
}

impl Cause {
    fn of_store(error: &object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => Self::Missing(path.clone()),
            _ => Self::Store,
        }
    }

    /// hudi-core hides a store's error behind its own, whose text and source are the store's.
    fn of_hudi(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(StorageError::ObjectStoreError(error)) = error.downcast_ref() {
            return Some(Self::of_store(error));
        }
        match error.downcast_ref()? {
            CoreError::Unsupported(what)
            | CoreError::Config(ConfigError::UnsupportedValue(what)) => {
                Some(Self::Unsupported(what.clone()))
            }
            // Its decoder knows fewer kinds of metadata tables than there are.
            CoreError::HFile(what) | CoreError::MetadataTable(what) => {
                Some(Self::Unsupported(format!("its metadata table ({what})")))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use deltalake::parquet::errors::ParquetError;

    use super::*;

    #[track_caller]
    fn check(error: DataFusionError, expect_code: &str, expect: &str) {
        let error = RowsError::from_rows("file:///t", error);
        assert_eq!(error.code(), expect_code);
        assert_eq!(error.with_causes(), expect);
    }

    fn parquet(text: &str) -> DataFusionError {
        DataFusionError::ParquetError(Box::new(ParquetError::General(text.to_owned())))
    }

    #[test]
    fn a_feature_of_the_table_is_unsupported() {
        let features = TransactionError::UnsupportedTableFeatures(Vec::new());
        let error = DeltaTableError::Transaction { source: features };
        let error = DataFusionError::External(Box::new(error));
        assert_eq!(RowsError::from_rows("file:///t", error).code(), "unsupported");
    }

    #[test]
    fn an_older_file_that_does_not_cast_is_unsupported() {
        let error = "Cannot cast column 'm' from 'Map' (physical data type) to 'Map2'";
        check(
            DataFusionError::Execution(error.to_owned()),
            "unsupported",
            "read a table that needs files older than the type of column m: \
             the judge's reader lacks it, use another engine",
        );
    }

    #[test]
    fn an_object_that_is_not_there_is_missing() {
        let expect = "read a/b: the log names it and it is not there";
        let source = "gone".into();
        let error = object_store::Error::NotFound { path: "a/b".to_owned(), source };
        check(DataFusionError::ObjectStore(Box::new(error)), "missing", expect);
        let error = "Object Store error: Object at location a/b not found: gone";
        check(parquet(error), "missing", expect);
    }

    #[test]
    fn a_store_that_refuses_says_nothing_about_the_table() {
        let error = parquet("Object Store error: Generic S3 error: 503");
        let expect = "ask the store of file:///t: Parquet error: \
                      Parquet error: Object Store error: Generic S3 error: 503";
        check(error, "store", expect);
    }

    #[test]
    fn a_file_that_does_not_decode_is_rows() {
        let expect = "read the rows of file:///t: Parquet error: Parquet error: Invalid footer";
        check(parquet("Invalid footer"), "rows", expect);
    }

    #[track_caller]
    fn check_hudi(error: CoreError, expect_code: &str, expect: &str) {
        let error = RowsError::from_hudi_open("file:///t", error);
        assert_eq!(error.code(), expect_code);
        assert!(error.with_causes().contains(expect), "{}", error.with_causes());
    }

    fn not_found(path: &str) -> CoreError {
        let source = "gone".into();
        let error = object_store::Error::NotFound { path: path.to_owned(), source };
        CoreError::Storage(StorageError::ObjectStoreError(error))
    }

    #[test]
    fn a_hudi_table_begins_with_its_properties() {
        check_hudi(not_found("t/.hoodie/hoodie.properties"), "not_a_table", "file:///t");
        check_hudi(not_found("t/p/a.parquet"), "missing", "read t/p/a.parquet");
        let text = "Failed to read: ObjectStoreError(NotFound { path: \"t/a\", source: Os })";
        check_hudi(CoreError::ReadFileSliceError(text.to_owned()), "missing", "read t/a:");
    }

    #[test]
    fn what_hudi_core_lacks_is_unsupported() {
        check_hudi(CoreError::Unsupported("version 5".to_owned()), "unsupported", "version 5");
        check_hudi(CoreError::HFile("GZIP".to_owned()), "unsupported", "metadata table (GZIP)");
        let text = "reconcile: column 'm' type Map(..) incompatible with target Map(..)";
        check_hudi(CoreError::ReadFileSliceError(text.to_owned()), "unsupported", "column m");
    }

    #[test]
    fn a_hudi_table_that_does_not_decode_says_where() {
        check_hudi(CoreError::Timeline("odd".to_owned()), "log", "replay the log of file:///t");
        let text = "odd magic".to_owned();
        check_hudi(CoreError::LogFormatError(text), "rows", "read the rows of file:///t");
    }

    #[test]
    fn a_store_that_refuses_hudi_core_says_nothing_about_the_table() {
        let source = "503".into();
        let error = object_store::Error::Generic { store: "S3", source };
        let error = CoreError::Storage(StorageError::ObjectStoreError(error));
        check_hudi(error, "store", "ask the store of file:///t");
    }
}
