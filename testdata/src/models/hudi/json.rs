//! Commit metadata and plans as JSON, whatever their encoding.
//!
//! Source: Hudi's `CommitMetadataSerDeV1` (JSON) and `CommitMetadataSerDeV2` (Avro container).

use apache_avro::types::Value as Avro;
use serde_json::{Map, Value};

/// Decodes the content of a timeline object: an Avro container, JSON, or nothing.
///
/// An empty object is an empty record: writers leave such instants behind.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, String> {
    if bytes.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    if !bytes.starts_with(b"Obj\x01") {
        return serde_json::from_slice(bytes).map_err(|e| e.to_string());
    }
    let mut reader = apache_avro::Reader::new(bytes).map_err(|e| e.to_string())?;
    let first = reader.next().ok_or("the container holds no record")?;
    Ok(plain(first.map_err(|e| e.to_string())?))
}

/// A generic Avro value as JSON; bytes become text, losing what is not UTF-8.
pub(super) fn plain(value: Avro) -> Value {
    match value {
        Avro::Union(_, inner) => plain(*inner),
        Avro::Boolean(b) => b.into(),
        Avro::Int(n) => n.into(),
        Avro::Long(n) => n.into(),
        Avro::Float(n) => n.into(),
        Avro::Double(n) => n.into(),
        Avro::String(s) | Avro::Enum(_, s) => s.into(),
        Avro::Bytes(b) | Avro::Fixed(_, b) => String::from_utf8_lossy(&b).into_owned().into(),
        Avro::Array(items) => items.into_iter().map(plain).collect(),
        Avro::Map(entries) => {
            Value::Object(entries.into_iter().map(|(k, v)| (k, plain(v))).collect())
        }
        Avro::Record(fields) => {
            Value::Object(fields.into_iter().map(|(k, v)| (k, plain(v))).collect())
        }
        _ => Value::Null,
    }
}

/// Text below a key, empty if there is none.
pub(super) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
