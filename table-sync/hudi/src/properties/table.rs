//! The properties that replication looks at, typed.
//!
//! Source: Hudi `HoodieTableConfig`, `TimelinePathProviderV1`, `TimelinePathProviderV2`.

use table_sync_core::{PathError, RelPath};

use super::{METADATA_FOLDER, Properties, key};
use crate::instant::Layout;

/// First table version whose timeline has layout 2.
const LAYOUT_2_VERSION_MIN: u32 = 8;

/// A typed view of [`Properties`]. A missing key has the default of Hudi.
#[derive(Debug, Clone, Copy)]
pub struct TableConfig<'a> {
    properties: &'a Properties,
}

/// How a table keeps its updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableType {
    /// In new base files.
    CopyOnWrite,
    /// In log files beside base files.
    MergeOnRead,
}

impl<'a> TableConfig<'a> {
    pub(super) fn new(properties: &'a Properties) -> Self {
        Self { properties }
    }

    /// Table version; 0 where none is stated, `None` where it is no number.
    pub fn version(&self) -> Option<u32> {
        match self.properties.get(key::VERSION) {
            None => Some(0),
            Some(text) => text.trim().parse().ok(),
        }
    }

    /// Table type; copy-on-write where none is stated, `None` for an unknown one.
    pub fn table_type(&self) -> Option<TableType> {
        match self.properties.get(key::TYPE) {
            None | Some("COPY_ON_WRITE") => Some(TableType::CopyOnWrite),
            Some("MERGE_ON_READ") => Some(TableType::MergeOnRead),
            Some(_) => None,
        }
    }

    /// Layout of the timeline; that of the table's version where none is stated, `None` for an
    /// unknown one.
    pub fn layout(&self) -> Option<Layout> {
        match self.properties.get(key::LAYOUT_VERSION).map(str::trim) {
            Some("1") => Some(Layout::V1),
            Some("2") => Some(Layout::V2),
            Some(_) => None,
            None if self.version()? >= LAYOUT_2_VERSION_MIN => Some(Layout::V2),
            None => Some(Layout::V1),
        }
    }

    /// Folder of the active timeline below the table's root.
    ///
    /// # Errors
    /// [`PathError`] when `hoodie.timeline.path` leaves the metadata folder.
    pub fn timeline_folder(&self, layout: Layout) -> Result<RelPath, PathError> {
        match layout {
            Layout::V1 => RelPath::parse(METADATA_FOLDER),
            Layout::V2 => below(METADATA_FOLDER, self.or(key::TIMELINE_PATH, "timeline")),
        }
    }

    /// Folder of archived instants below the table's root: the archive of layout 1, the history
    /// of layout 2.
    ///
    /// # Errors
    /// [`PathError`] when a property leaves the metadata folder.
    pub fn archive_folder(&self, layout: Layout) -> Result<RelPath, PathError> {
        match layout {
            Layout::V1 => below(METADATA_FOLDER, self.or(key::ARCHIVE_FOLDER, "archived")),
            Layout::V2 => {
                let timeline = self.timeline_folder(layout)?;
                below(timeline.as_str(), self.or(key::HISTORY_PATH, "history"))
            }
        }
    }

    /// Name of the table.
    pub fn name(&self) -> Option<&'a str> {
        self.properties.get(key::NAME)
    }

    /// Partitions of the metadata table that readers may use; empty when there is none.
    pub fn metadata_partitions(&self) -> Vec<&'a str> {
        self.list(key::METADATA_PARTITIONS)
    }

    /// Partitions of the metadata table that are being built.
    pub fn metadata_partitions_inflight(&self) -> Vec<&'a str> {
        self.list(key::METADATA_PARTITIONS_INFLIGHT)
    }

    /// Columns by which the table is partitioned, without the `:TYPE` of custom key generators.
    pub fn partition_fields(&self) -> Vec<&'a str> {
        let fields = self.list(key::PARTITION_FIELDS).into_iter();
        fields.map(|field| field.split(':').next().unwrap_or(field)).collect()
    }

    /// Columns that make the record key.
    pub fn record_key_fields(&self) -> Vec<&'a str> {
        self.list(key::RECORD_KEY_FIELDS)
    }

    /// Key generator: its type, else its class.
    pub fn key_generator(&self) -> Option<&'a str> {
        let of = |key| self.properties.get(key).filter(|value| !value.is_empty());
        of(key::KEY_GENERATOR_TYPE).or_else(|| of(key::KEY_GENERATOR_CLASS))
    }

    /// How records of one key merge, as writers state it: `EVENT_TIME_ORDERING`, ...
    pub fn merge_mode(&self) -> Option<&'a str> {
        self.properties.get(key::MERGE_MODE)
    }

    /// Class that merges records of one key.
    pub fn payload_class(&self) -> Option<&'a str> {
        self.properties.get(key::PAYLOAD_CLASS)
    }

    /// Columns that order records of one key.
    pub fn ordering_fields(&self) -> Vec<&'a str> {
        let fields = self.list(key::ORDERING_FIELDS);
        if fields.is_empty() { self.list(key::PRECOMBINE_FIELD) } else { fields }
    }

    /// Where the rows of a bootstrap table lie: such a table is more than its own files.
    pub fn bootstrap_base_path(&self) -> Option<&'a str> {
        self.properties.get(key::BOOTSTRAP_BASE_PATH).filter(|path| !path.is_empty())
    }

    /// Whether data files leave out the partition columns.
    pub fn drops_partition_columns(&self) -> bool {
        self.flag(key::DROP_PARTITION_COLUMNS)
    }

    /// Whether partition folders are `column=value`.
    pub fn is_hive_style(&self) -> bool {
        self.flag(key::HIVE_STYLE)
    }

    /// Whether partition folders are percent-encoded values.
    pub fn encodes_partitions(&self) -> bool {
        self.flag(key::URL_ENCODE)
    }

    /// Whether writers keep a change feed.
    pub fn keeps_changes(&self) -> bool {
        self.flag(key::CDC_ENABLED)
    }

    /// Whether instants are in the writer's own time zone rather than UTC: the default.
    pub fn is_local_time(&self) -> bool {
        !self.or(key::TIMEZONE, "LOCAL").eq_ignore_ascii_case("UTC")
    }

    /// Format of base files, in upper case as writers state it.
    pub fn base_file_format(&self) -> &'a str {
        self.or(key::BASE_FILE_FORMAT, "PARQUET")
    }

    fn or(&self, key: &str, default: &'a str) -> &'a str {
        self.properties.get(key).unwrap_or(default)
    }

    fn flag(&self, key: &str) -> bool {
        self.properties.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    fn list(&self, key: &str) -> Vec<&'a str> {
        let items = self.properties.get(key).unwrap_or_default().split(',');
        items.map(str::trim).filter(|item| !item.is_empty()).collect()
    }
}

/// A folder below another; an empty name is the other itself, as in Hudi.
fn below(folder: &str, name: &str) -> Result<RelPath, PathError> {
    if name.is_empty() {
        RelPath::parse(folder)
    } else {
        RelPath::parse(&format!("{folder}/{name}"))
    }
}
