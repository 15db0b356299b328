//! Names: of projects, namespaces, tables, stores and sites.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name of one level, in bytes: what a Hive Metastore takes.
const NAME_BYTES_MAX: usize = 128;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name of a {of}: {rule}")]
pub struct NameError {
    text: String,
    of: &'static str,
    rule: &'static str,
}

/// Where a table stands: `project.namespace.table`.
///
/// Namespaces and tables are databases and tables of a Hive Metastore, so that their names have
/// lower-case letters, digits and underscores only. Project names may have hyphens besides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    project: String,
    namespace: String,
    table: String,
}

impl TableName {
    /// From its levels.
    ///
    /// # Errors
    /// A level that is no name.
    pub fn new(project: &str, namespace: &str, table: &str) -> Result<Self, NameError> {
        check_label("project", project)?;
        check_identifier("namespace", namespace)?;
        check_identifier("table", table)?;
        let [project, namespace, table] = [project, namespace, table].map(str::to_owned);
        Ok(Self { project, namespace, table })
    }

    /// Reads `project.namespace.table`.
    ///
    /// # Errors
    /// Another number of levels, or a level that is no name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut levels = text.split('.');
        match (levels.next(), levels.next(), levels.next(), levels.next()) {
            (Some(project), Some(namespace), Some(table), None) => {
                Self::new(project, namespace, table)
            }
            _ => Err(NameError {
                text: text.to_owned(),
                of: "table",
                rule: "write project.namespace.table",
            }),
        }
    }

    /// The project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The table's own name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Where its replica lies below a site's URL. The incarnations of a table lie side by side: no
    /// name has a hyphen, so that none of them is another table's first.
    pub fn folder(&self, incarnation: u32) -> String {
        let Self { project, namespace, table } = self;
        match incarnation {
            0 | 1 => format!("{project}/{namespace}/{table}"),
            later => format!("{project}/{namespace}/{table}-{later}"),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.project, self.namespace, self.table)
    }
}

impl Serialize for TableName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TableName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for TableName {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[a-z0-9][a-z0-9_-]*\\.[a-z0-9_]+\\.[a-z0-9_]+$"))
            .description(Some("project.namespace.table"))
            .into()
    }
}

impl utoipa::ToSchema for TableName {}

/// Checks a name that stands in front of others: of an organisation, a project, a store, a site.
///
/// # Errors
/// Anything but lower-case letters, digits, hyphens and underscores, beginning with a letter or a
/// digit, 2 to 128 of them (one letter before a colon would be read as a drive).
pub fn check_label(of: &'static str, text: &str) -> Result<(), NameError> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = text.bytes().next().is_some_and(known);
    let rest = text.bytes().all(|byte| known(byte) || matches!(byte, b'-' | b'_'));
    if first && rest && (2..=NAME_BYTES_MAX).contains(&text.len()) && text != "file" {
        return Ok(());
    }
    let rule = "use 2 to 128 lower-case letters, digits, - and _, beginning with a letter or digit";
    Err(NameError { text: text.to_owned(), of, rule })
}

/// Checks a name that engines see: of a namespace, a table.
///
/// # Errors
/// Anything but lower-case letters, digits and underscores, 1 to 128 of them.
pub fn check_identifier(of: &'static str, text: &str) -> Result<(), NameError> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if text.bytes().all(known) && (1..=NAME_BYTES_MAX).contains(&text.len()) {
        return Ok(());
    }
    let rule = "use 1 to 128 lower-case letters, digits and _, as a Hive Metastore does";
    Err(NameError { text: text.to_owned(), of, rule })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_three_levels() {
        let name = TableName::parse("lake-eu.sales.orders_2024").unwrap();
        assert_eq!(name.to_string(), "lake-eu.sales.orders_2024");
        assert_eq!(name.folder(1), "lake-eu/sales/orders_2024");
        assert_eq!(name.folder(3), "lake-eu/sales/orders_2024-3");
        for text in [
            "",
            "a",
            "pp.b",
            "pp.b.c.d",
            "pp..c",
            "PP.b.c",
            "pp.b-c.d",
            "pp.b.c-2",
            "pp.b.c/d",
            "..",
            "pp.b.\u{e9}",
        ] {
            assert!(TableName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_no_drives_and_no_schemes() {
        assert!(check_label("store", "vast1").is_ok());
        for text in ["", "x", "file", "-a", "_a", "a.b", "a b", "A1"] {
            assert!(check_label("store", text).is_err(), "{text}");
        }
        assert!(check_label("store", &"a".repeat(129)).is_err());
    }
}
