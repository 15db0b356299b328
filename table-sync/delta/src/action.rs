//! Actions: the fields of a log that replication looks at.
//!
//! Everything else is skipped unread, `stats` above all. Unknown actions and unknown fields are
//! not errors: the protocol lets a log hold them, and the gate for what must be understood is the
//! list of features.
//!
//! Source: Delta protocol, "Actions", "Protocol Evolution".

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// One action of a commit or a checkpoint.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Action<'a> {
    /// A data file joins the table.
    Add(Add<'a>),
    /// A data file leaves the table.
    Remove(Remove<'a>),
    /// A file of the change feed.
    Cdc(Cdc<'a>),
    /// Table metadata.
    Metadata(Box<Metadata>),
    /// Protocol versions and features.
    Protocol(Protocol),
    /// Provenance.
    CommitInfo(CommitInfo),
    /// Application transaction id.
    Txn,
    /// Metadata of a domain.
    DomainMetadata,
    /// Adaptive metadata: the state lies in manifests that are not part of this log.
    Adaptive,
    /// A sidecar of a checkpoint.
    Sidecar(Sidecar<'a>),
    /// Marks a checkpoint of the second version.
    CheckpointMetadata,
    /// An action that the protocol does not name.
    Unknown(Cow<'a, str>),
}

/// `add`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Add<'a> {
    /// URI reference.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Bytes; hand-made logs leave it out.
    pub size: Option<i64>,
    /// Deletion vector.
    #[serde(borrow, rename = "deletionVector")]
    pub deletion_vector: Option<Vector<'a>>,
}

/// `remove`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Remove<'a> {
    /// URI reference.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Deletion vector that the file had.
    #[serde(borrow, rename = "deletionVector")]
    pub deletion_vector: Option<Vector<'a>>,
}

/// `cdc`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Cdc<'a> {
    /// URI reference.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Bytes.
    pub size: Option<i64>,
}

/// A deletion vector descriptor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Vector<'a> {
    /// `i`, `u` or `p`.
    #[serde(borrow, rename = "storageType")]
    pub storage_type: Cow<'a, str>,
    /// Bytes, encoded id or absolute path.
    #[serde(borrow, rename = "pathOrInlineDv")]
    pub value: Cow<'a, str>,
    /// Offset inside the file.
    pub offset: Option<i64>,
}

/// `sidecar`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sidecar<'a> {
    /// URI reference, normally a bare file name.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Bytes.
    #[serde(rename = "sizeInBytes")]
    pub size: Option<i64>,
}

/// `metaData`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// The table's own id.
    pub id: String,
    /// Name, where the table has one.
    pub name: Option<String>,
    /// Format of data files.
    pub format: Option<Format>,
    /// The columns, as Spark writes a schema in JSON.
    #[serde(rename = "schemaString")]
    pub schema: Option<String>,
    /// Columns by which the table is partitioned.
    #[serde(default, rename = "partitionColumns", deserialize_with = "or_default")]
    pub partition_columns: Vec<String>,
    /// Table properties.
    #[serde(default, deserialize_with = "or_default")]
    pub configuration: BTreeMap<String, Option<String>>,
}

/// Format of data files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Format {
    /// `parquet`.
    pub provider: Option<String>,
}

/// `protocol`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Protocol {
    /// Lowest version that a reader must implement.
    #[serde(rename = "minReaderVersion")]
    pub reader: i64,
    /// Lowest version that a writer must implement.
    #[serde(rename = "minWriterVersion")]
    pub writer: i64,
    /// Features that readers must know.
    #[serde(rename = "readerFeatures")]
    pub reader_features: Option<Vec<String>>,
    /// Features that writers must know.
    #[serde(rename = "writerFeatures")]
    pub writer_features: Option<Vec<String>>,
}

/// `commitInfo`: free form, except for one field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitInfo {
    /// In-commit timestamp, ms since the epoch.
    pub in_commit_ms: Option<i64>,
}

/// The actions of one JSON object: one, by the protocol; more, in real logs.
#[derive(Debug, Default)]
pub(crate) struct Record<'a> {
    add: Option<Add<'a>>,
    remove: Option<Remove<'a>>,
    cdc: Option<Cdc<'a>>,
    metadata: Option<Box<Metadata>>,
    protocol: Option<Protocol>,
    commit_info: Option<CommitInfo>,
    sidecar: Option<Sidecar<'a>>,
    others: Vec<Action<'a>>,
}

impl<'a> Record<'a> {
    /// Hands on each action, table-wide ones first.
    pub(crate) fn try_for_each<E>(
        self,
        visit: &mut dyn FnMut(Action<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let actions = [
            self.commit_info.map(Action::CommitInfo),
            self.protocol.map(Action::Protocol),
            self.metadata.map(Action::Metadata),
            self.add.map(Action::Add),
            self.remove.map(Action::Remove),
            self.cdc.map(Action::Cdc),
            self.sidecar.map(Action::Sidecar),
        ];
        actions.into_iter().flatten().chain(self.others).try_for_each(visit)
    }
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of actions")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut record = Record::default();
        while let Some(Text(key)) = map.next_key()? {
            let other = match key.as_ref() {
                "add" => {
                    set(&mut record.add, map.next_value()?)?;
                    continue;
                }
                "remove" => {
                    set(&mut record.remove, map.next_value()?)?;
                    continue;
                }
                "cdc" => {
                    set(&mut record.cdc, map.next_value()?)?;
                    continue;
                }
                "metaData" => {
                    set(&mut record.metadata, map.next_value()?)?;
                    continue;
                }
                "protocol" => {
                    set(&mut record.protocol, map.next_value()?)?;
                    continue;
                }
                "commitInfo" => {
                    set(&mut record.commit_info, map.next_value()?)?;
                    continue;
                }
                "sidecar" => {
                    set(&mut record.sidecar, map.next_value()?)?;
                    continue;
                }
                "txn" => Action::Txn,
                "domainMetadata" => Action::DomainMetadata,
                "checkpoint" => Action::Adaptive,
                "checkpointMetadata" => Action::CheckpointMetadata,
                _ => Action::Unknown(key),
            };
            if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                record.others.push(other);
            }
        }
        Ok(record)
    }
}

/// Takes an action. Of a key that comes twice, readers take the first, the last or neither, so it
/// is refused.
fn set<T, E: serde::de::Error>(field: &mut Option<T>, value: Option<T>) -> Result<(), E> {
    if field.is_some() {
        return Err(E::custom("an action comes twice in one object"));
    }
    *field = value;
    Ok(())
}

/// A string that borrows where it holds no escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Takes `null` for the default, as readers do.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl<'de> Deserialize<'de> for CommitInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CommitInfoVisitor)
    }
}

struct CommitInfoVisitor;

impl<'de> Visitor<'de> for CommitInfoVisitor {
    type Value = CommitInfo;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("commit provenance")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<CommitInfo, M::Error> {
        let mut info = CommitInfo::default();
        while let Some(Text(key)) = map.next_key()? {
            if key == "inCommitTimestamp" {
                info.in_commit_ms = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(info)
    }
}
