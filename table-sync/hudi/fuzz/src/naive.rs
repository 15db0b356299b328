//! A naive reading of timeline metadata: the whole record as one JSON value, then looked up by
//! paths.
//!
//! Avro goes through its own library, which the crate under test does not use for data.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use apache_avro::Reader;
use apache_avro::types::Value as Avro;
use serde_json::Value;

/// Largest Avro container that is judged, in bytes.
const AVRO_BYTES_MAX: usize = 64 << 10;

/// The record of a completed or requested file; `None` where this reading cannot tell.
pub(crate) fn record(bytes: &[u8]) -> Option<Value> {
    if bytes.is_empty() {
        return Some(Value::Object(serde_json::Map::new()));
    }
    if !bytes.starts_with(b"Obj\x01") {
        return serde_json::from_slice(bytes).ok();
    }
    if bytes.len() > AVRO_BYTES_MAX {
        return None;
    }
    // The library trusts counts up to its limit, and that many entries of a map fill the memory.
    apache_avro::util::max_allocation_bytes(AVRO_BYTES_MAX);
    let first = || Reader::new(bytes).ok()?.next()?.ok();
    let value = catch_unwind(AssertUnwindSafe(first)).ok().flatten()?;
    Some(json(value))
}

fn json(value: Avro) -> Value {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_or(Value::Null, Value::String);
    match value {
        Avro::Boolean(flag) => Value::Bool(flag),
        Avro::Int(number) => number.into(),
        Avro::Long(number) => number.into(),
        Avro::Float(number) => number.into(),
        Avro::Double(number) => number.into(),
        Avro::String(text) | Avro::Enum(_, text) => Value::String(text),
        Avro::Bytes(bytes) | Avro::Fixed(_, bytes) => text(bytes),
        Avro::Union(_, inner) => json(*inner),
        Avro::Array(items) => items.into_iter().map(json).collect(),
        Avro::Map(entries) => entries.into_iter().map(|(key, value)| (key, json(value))).collect(),
        Avro::Record(fields) => fields.into_iter().map(|(key, value)| (key, json(value))).collect(),
        _ => Value::Null,
    }
}

/// What a path leads to: the keys of the maps on its way, and the value there.
pub(crate) type Found<'a> = (Vec<&'a str>, &'a Value);

/// Follows a path of field names, `*` (each entry of a map) and `#` (each item of an array).
/// Absent and null values lead nowhere. `None` where a value has another shape: readers may take
/// an array for a record by position.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> Option<Vec<Found<'a>>> {
    let mut found: Vec<Found<'a>> = vec![(Vec::new(), value)];
    for step in path.split('.') {
        let mut next = Vec::new();
        for (keys, value) in found {
            match (step, value) {
                (_, Value::Null) => {}
                ("#", Value::Array(items)) => {
                    next.extend(items.iter().map(|item| (keys.clone(), item)));
                }
                ("*", Value::Object(entries)) => next.extend(entries.iter().map(|(key, value)| {
                    let keys = keys.iter().copied().chain([key.as_str()]);
                    (keys.collect(), value)
                })),
                (field, Value::Object(entries)) if !matches!(field, "#" | "*") => {
                    next.extend(entries.get(field).map(|value| (keys, value)));
                }
                _ => return None,
            }
        }
        found = next;
    }
    found.retain(|(_, value)| !value.is_null());
    Some(found)
}

/// The texts that a path leads to, each with the keys on its way.
pub(crate) fn texts<'a>(value: &'a Value, path: &str) -> Option<Vec<(Vec<&'a str>, &'a str)>> {
    let found = at(value, path)?.into_iter();
    found.map(|(keys, value)| Some((keys, value.as_str()?))).collect()
}

/// The set of texts that a path leads to.
pub(crate) fn text_set(value: &Value, path: &str) -> Option<BTreeSet<String>> {
    Some(texts(value, path)?.into_iter().map(|(_, text)| text.to_owned()).collect())
}

/// Keys of the files that a path names: the last segment, in the partition that is the first key
/// on its way.
pub(crate) fn files(value: &Value, path: &str) -> Option<BTreeSet<String>> {
    let of = |(keys, text): (Vec<&str>, &str)| in_partition(keys.first().unwrap_or(&""), text);
    Some(texts(value, path)?.into_iter().map(of).collect())
}

/// As [`files`], of the keys of the map at a path.
pub(crate) fn key_files(value: &Value, path: &str) -> Option<BTreeSet<String>> {
    // Values of the map may be null, so its entries are not followed.
    let maps = at(value, path)?.into_iter();
    let mut files = BTreeSet::new();
    for (keys, map) in maps {
        let partition = keys.first().copied().unwrap_or_default();
        files.extend(map.as_object()?.keys().map(|file| in_partition(partition, file)));
    }
    Some(files)
}

/// The key of a file in a partition.
pub(crate) fn in_partition(partition: &str, file: &str) -> String {
    let name = &file[file.rfind('/').map_or(0, |at| at + 1)..];
    if partition.is_empty() { name.to_owned() } else { [partition, name].join("/") }
}
