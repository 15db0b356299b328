//! Partitions: their rows, and their names `column=value/column=value`.
//!
//! Source: Hive `FileUtils.escapePathName`, `Warehouse.makePartName`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::face::{CATALOG, Subject, hudi, seconds};
use crate::hive;
use crate::snapshot::{Column, Snapshot};

/// The row of a partition of a Hudi table. `folder`: where it lies below the table's root.
pub(crate) fn partition(
    subject: Subject<'_>,
    snapshot: &Snapshot,
    values: &[String],
    folder: &str,
) -> hive::Partition {
    let location = format!("{}/{folder}", subject.location);
    let created = seconds(subject.table.created_ms);
    hive::Partition {
        values: Some(values.to_vec()),
        db_name: Some(subject.database()),
        table_name: Some(subject.name()),
        create_time: Some(created),
        last_access_time: Some(0),
        sd: Some(hudi::descriptor(subject, snapshot, location)),
        // Trino makes no splits of a partition without this map.
        parameters: Some(BTreeMap::from([(
            "transient_lastDdlTime".to_owned(),
            created.to_string(),
        )])),
        cat_name: Some(CATALOG.to_owned()),
    }
}

/// The columns of a table as rows have them, those by which it is partitioned last where they are
/// asked for.
pub(crate) fn columns(snapshot: &Snapshot, all: bool) -> Vec<hive::FieldSchema> {
    let mut fields = hudi::fields(&snapshot.columns);
    if all {
        fields.extend(hudi::fields(&snapshot.partition_columns));
    }
    fields
}

/// The name of a partition.
pub(crate) fn name(columns: &[Column], values: &[String]) -> String {
    let pair = |(column, value): (&Column, &String)| {
        format!("{}={}", escape(&column.name.to_lowercase()), escape(value))
    };
    columns.iter().zip(values).map(pair).collect::<Vec<_>>().join("/")
}

/// Columns and values in the name of a partition.
pub(crate) fn values_in(name: &str) -> Vec<(String, String)> {
    let parts = name.split('/').filter(|part| !part.is_empty());
    let pair = |part: &str| match part.split_once('=') {
        Some((column, value)) => (unescape(column), unescape(value)),
        None => (String::new(), unescape(part)),
    };
    parts.map(pair).collect()
}

/// Escapes what may not stand in a folder's name.
fn escape(text: &str) -> String {
    // No value at all, and the empty text, have no name of their own.
    if text.is_empty() {
        return "__HIVE_DEFAULT_PARTITION__".to_owned();
    }
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\u{1}'..='\u{1f}'
            | '\u{7f}'
            | '"'
            | '#'
            | '%'
            | '\''
            | '*'
            | '/'
            | ':'
            | '='
            | '?'
            | '\\'
            | '{'
            | '['
            | ']'
            | '^' => {
                escaped.push_str(&format!("%{:02X}", u32::from(char)));
            }
            char => escaped.push(char),
        }
    }
    escaped
}

/// Undoes [`escape`]. What is no escape stays as it is.
pub(crate) fn unescape(text: &str) -> String {
    // An escape of half a character: as it was.
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_hive_does_and_read_back() {
        for (value, escaped) in [
            ("eu", "eu"),
            ("a b", "a b"),
            ("x/y", "x%2Fy"),
            ("50%", "50%25"),
            ("12:30", "12%3A30"),
            ("dq\"", "dq%22"),
            ("it's", "it%27s"),
            ("a=b", "a%3Db"),
            ("*?#", "%2A%3F%23"),
            ("{[^]}", "{%5B%5E%5D}".replace('{', "%7B").as_str()),
            ("tab\t", "tab%09"),
            ("a\\b", "a%5Cb"),
            ("caf\u{e9}+\u{65e5}", "caf\u{e9}+\u{65e5}"),
            ("__HIVE_DEFAULT_PARTITION__", "__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(escape(value), escaped);
            assert_eq!(unescape(escaped), value);
        }
        assert_eq!(escape(""), "__HIVE_DEFAULT_PARTITION__");
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in ["%", "%2", "%zz", "50%", "%c3"] {
            assert_eq!(unescape(text), text);
        }
        assert_eq!(
            values_in("A=x%2Fy/b=1"),
            [("A", "x/y"), ("b", "1")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }
}
