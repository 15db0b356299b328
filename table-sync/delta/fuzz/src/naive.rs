//! A naive reading of JSON logs: whole values, no limits, no borrowing, nothing skipped.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// One `add` as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NaiveAdd {
    pub(crate) path: String,
    pub(crate) size: Option<i64>,
    /// Storage type, value, offset.
    pub(crate) vector: Option<(String, String, Option<i64>)>,
}

/// The objects of a log, or `None` unless the bytes are JSON objects and nothing else. A name
/// that comes twice in one object has no agreed meaning, so it counts as no JSON.
pub(crate) fn objects(bytes: &[u8]) -> Option<Vec<Map<String, Value>>> {
    let stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Strict>();
    let mut objects = Vec::new();
    for value in stream {
        match value.ok()?.0 {
            Value::Object(object) => objects.push(object),
            _ => return None,
        }
    }
    Some(objects)
}

/// The adds of the objects, or `None` when one is not of the form that the protocol gives.
pub(crate) fn adds(objects: &[Map<String, Value>]) -> Option<Vec<NaiveAdd>> {
    let bodies = objects.iter().filter_map(|object| object.get("add"));
    bodies.filter(|body| !body.is_null()).map(add).collect()
}

fn add(body: &Value) -> Option<NaiveAdd> {
    body.as_object()?;
    let vector = match &body["deletionVector"] {
        Value::Null => None,
        vector => {
            vector.as_object()?;
            let text = |field: &str| vector[field].as_str().map(str::to_owned);
            Some((text("storageType")?, text("pathOrInlineDv")?, integer(&vector["offset"])?))
        }
    };
    let path = body["path"].as_str()?.to_owned();
    Some(NaiveAdd { path, size: integer(&body["size"])?, vector })
}

/// `Some(None)` for null or nothing, `None` for anything that is no 64 bit integer.
fn integer(value: &Value) -> Option<Option<i64>> {
    match value {
        Value::Null => Some(None),
        value => value.as_i64().map(Some),
    }
}

/// Deepest nesting of the values.
pub(crate) fn depth(value: &Value) -> usize {
    let below = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => return 0,
    };
    1 + below.unwrap_or(0)
}

/// A value in which no object has a name twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = fields.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name comes twice"));
            }
        }
        Ok(object.into())
    }
}
