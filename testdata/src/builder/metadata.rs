//! The table-wide actions: `protocol` and `metaData`.
//!
//! Source: Delta protocol, "Protocol Evolution", "Change Metadata", "Table Features".

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// First versions that list features by name.
const READER_WITH_FEATURES: u32 = 3;
const WRITER_WITH_FEATURES: u32 = 7;

/// What a client must support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(super) reader: u32,
    pub(super) writer: u32,
    pub(super) reader_features: Vec<String>,
    pub(super) writer_features: Vec<String>,
}

impl Protocol {
    pub(crate) fn new(
        reader: u32,
        writer: u32,
        reader_features: &[&str],
        writer_features: &[&str],
    ) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            reader,
            writer,
            reader_features: owned(reader_features),
            writer_features: owned(writer_features),
        }
    }

    /// Adds a reader-writer feature; raises the versions to those that list features.
    pub(super) fn require(&mut self, feature: &str) {
        self.reader = self.reader.max(READER_WITH_FEATURES);
        if !self.reader_features.iter().any(|name| name == feature) {
            self.reader_features.push(feature.to_owned());
        }
        self.require_writer(feature);
    }

    /// Adds a writer-only feature.
    pub(super) fn require_writer(&mut self, feature: &str) {
        self.writer = self.writer.max(WRITER_WITH_FEATURES);
        if !self.writer_features.iter().any(|name| name == feature) {
            self.writer_features.push(feature.to_owned());
        }
    }

    pub(crate) fn line(&self) -> Value {
        let mut body = json!({
            "minReaderVersion": self.reader,
            "minWriterVersion": self.writer,
        });
        if self.reader >= READER_WITH_FEATURES {
            body["readerFeatures"] = json!(self.reader_features);
        }
        if self.writer >= WRITER_WITH_FEATURES {
            body["writerFeatures"] = json!(self.writer_features);
        }
        json!({ "protocol": body })
    }
}

/// Schema, partitioning and properties of a table: one `metaData` action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    id: String,
    name: Option<String>,
    columns: Vec<(String, String)>,
    partition_columns: Vec<String>,
    properties: BTreeMap<String, String>,
    provider: String,
}

impl Metadata {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            name: None,
            columns: vec![("c0".to_owned(), "long".to_owned())],
            partition_columns: Vec::new(),
            properties: BTreeMap::new(),
            provider: "parquet".to_owned(),
        }
    }

    /// The table id, normally a random uuid.
    pub fn id(&mut self, id: &str) -> &mut Self {
        self.id = id.to_owned();
        self
    }

    /// The table's name; absent by default.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The data columns: name and primitive type. Default: `c0 long`.
    pub fn columns(&mut self, columns: &[(&str, &str)]) -> &mut Self {
        let owned = |&(name, kind): &(&str, &str)| (name.to_owned(), kind.to_owned());
        self.columns = columns.iter().map(owned).collect();
        self
    }

    /// Partition columns, of type string. Default: none.
    pub fn partitioned_by(&mut self, columns: &[&str]) -> &mut Self {
        self.partition_columns = columns.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Sets one table property.
    pub fn property(&mut self, name: &str, value: &str) -> &mut Self {
        self.properties.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The format provider: `parquet`, unless a test wants a table that is refused.
    pub fn provider(&mut self, provider: &str) -> &mut Self {
        self.provider = provider.to_owned();
        self
    }

    pub(super) fn has(&self, property: &str, value: &str) -> bool {
        self.properties.get(property).is_some_and(|found| found == value)
    }

    pub(crate) fn line(&self, created_ms: u64) -> Value {
        let data = self.columns.iter().map(|(name, kind)| schema_field(name, kind));
        let partitions = self.partition_columns.iter().map(|name| schema_field(name, "string"));
        let fields: Vec<Value> = data.chain(partitions).collect();
        let schema = json!({"type": "struct", "fields": fields});
        let mut body = json!({
            "id": self.id,
            "format": {"provider": self.provider, "options": {}},
            "schemaString": schema.to_string(),
            "partitionColumns": self.partition_columns,
            "configuration": self.properties,
            "createdTime": created_ms,
        });
        if let Some(name) = &self.name {
            body["name"] = name.as_str().into();
        }
        json!({ "metaData": body })
    }
}

fn schema_field(name: &str, kind: &str) -> Value {
    json!({"name": name, "type": kind, "nullable": true, "metadata": {}})
}
