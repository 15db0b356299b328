//! Actions of commits and JSON checkpoints.
//!
//! # Invariants
//! - Unknown actions and fields are skipped; several actions in one object all count.
//! - Between two objects any white space and any run of `x` is tolerated: some releases leave a
//!   stray `x` after each object, and one writer pretty-prints.
//! - A known action with a field of the wrong type is an error, never a guess.
//!
//! Source: Delta protocol, "Actions"; `docs/delta.md`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Protocol;

/// Identity of a file in replay: path and unique id of the deletion vector.
pub(super) type FileId = (String, Option<String>);

/// The actions that decide a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Add {
        id: FileId,
        size: i64,
    },
    Remove {
        id: FileId,
    },
    Protocol(Protocol),
    /// Usable means that `schemaString` is a JSON object.
    Metadata {
        id: String,
        usable: bool,
    },
    /// Key of a change data file, percent-decoded.
    Cdc(String),
    /// File name of a sidecar, percent-decoded.
    Sidecar(String),
}

/// Parses a stream of JSON objects.
pub(super) fn parse_json(bytes: &[u8]) -> Result<Vec<Action>, String> {
    let mut actions = Vec::new();
    let mut rest = bytes;
    loop {
        let start = rest.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(rest.len());
        rest = &rest[start..];
        if rest.is_empty() {
            return Ok(actions);
        }
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        let value = match stream.next() {
            Some(Ok(Value::Object(object))) => object,
            Some(Ok(other)) => return Err(format!("{other} is not an object")),
            Some(Err(error)) => return Err(error.to_string()),
            None => return Ok(actions),
        };
        rest = &rest[stream.byte_offset()..];
        while let Some((b'x', tail)) = rest.split_first() {
            rest = tail;
        }
        parse_object(&value, &mut actions)?;
    }
}

fn parse_object(object: &Map<String, Value>, actions: &mut Vec<Action>) -> Result<(), String> {
    for (name, body) in object {
        if body.is_null() {
            continue;
        }
        match name.as_str() {
            "add" => {
                let size = match body.get("size") {
                    None | Some(Value::Null) => -1,
                    Some(size) => size.as_i64().ok_or("add.size is not a whole number")?,
                };
                actions.push(Action::Add { id: file_id(body, "add")?, size });
            }
            "remove" => actions.push(Action::Remove { id: file_id(body, "remove")? }),
            "protocol" => actions.push(Action::Protocol(protocol(body)?)),
            "metaData" => {
                let id = text(body, "id")?.unwrap_or_default();
                let schema = text(body, "schemaString")?;
                actions.push(metadata(id, schema));
            }
            "cdc" => actions.push(Action::Cdc(file_id(body, "cdc")?.0)),
            "sidecar" => {
                let path = text(body, "path")?.ok_or("sidecar.path is missing")?;
                actions.push(Action::Sidecar(decode_path(path)?));
            }
            "checkpoint" => return Err("checkpoint action: adaptive metadata".to_owned()),
            _ => {}
        }
    }
    Ok(())
}

/// Builds the metadata action and notes whether its schema can be used.
pub(super) fn metadata(id: &str, schema: Option<&str>) -> Action {
    let schema = schema.map(serde_json::from_str::<Value>);
    Action::Metadata { id: id.to_owned(), usable: matches!(schema, Some(Ok(Value::Object(_)))) }
}

fn protocol(body: &Value) -> Result<Protocol, String> {
    let number = |name: &str| {
        body.get(name).and_then(Value::as_i64).ok_or_else(|| format!("protocol.{name} is missing"))
    };
    let features = |name: &str| -> Result<BTreeSet<String>, String> {
        match body.get(name) {
            None | Some(Value::Null) => Ok(BTreeSet::new()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| format!("protocol.{name} holds something else than text")),
            Some(_) => Err(format!("protocol.{name} is not a list")),
        }
    };
    Ok(Protocol {
        min_reader: number("minReaderVersion")?,
        min_writer: number("minWriterVersion")?,
        reader_features: features("readerFeatures")?,
        writer_features: features("writerFeatures")?,
    })
}

fn file_id(body: &Value, action: &str) -> Result<FileId, String> {
    let path = text(body, "path")?.ok_or_else(|| format!("{action}.path is missing"))?;
    let dv = match body.get("deletionVector") {
        None | Some(Value::Null) => None,
        Some(dv) => {
            let storage = text(dv, "storageType")?.ok_or("deletionVector.storageType missing")?;
            let place =
                text(dv, "pathOrInlineDv")?.ok_or("deletionVector.pathOrInlineDv missing")?;
            Some(dv_unique_id(storage, place, dv.get("offset").and_then(Value::as_i64)))
        }
    };
    Ok((decode_path(path)?, dv))
}

fn text<'a>(body: &'a Value, name: &str) -> Result<Option<&'a str>, String> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is not text")),
    }
}

/// Unique id of a deletion vector.
///
/// Source: Delta protocol, "Derived Fields" of the deletion vector descriptor.
pub(super) fn dv_unique_id(storage: &str, place: &str, offset: Option<i64>) -> String {
    match offset {
        Some(offset) => format!("{storage}{place}@{offset}"),
        None => format!("{storage}{place}"),
    }
}

/// Percent-decodes a relative path once; leaves an absolute one as it is.
pub(super) fn decode_path(path: &str) -> Result<String, String> {
    if is_absolute(path) {
        return Ok(path.to_owned());
    }
    percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| format!("path {path} is not UTF-8 after decoding"))
}

/// Where a reader finds what a decoded path names: an absolute reference is decoded once, too, and
/// `s3a` and `s3n` mean `s3`. Such keys stand for objects of other tables: see [`crate::Objects`].
pub(super) fn object_key(path: &str) -> String {
    if !is_absolute(path) {
        return path.to_owned();
    }
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
    let url = decoded.map_or_else(|_| path.to_owned(), std::borrow::Cow::into_owned);
    match url.split_once("://") {
        Some(("s3a" | "s3n", rest)) => format!("s3://{rest}"),
        _ => url,
    }
}

/// Whether a reference in the log leaves the table root: a scheme, or a leading slash.
pub(super) fn is_absolute(path: &str) -> bool {
    let scheme = path.split_once(":/").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    path.starts_with('/') || scheme
}
