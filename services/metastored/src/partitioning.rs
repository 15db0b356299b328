//! Partitions by the names of their folders: which values those say, and of which types they are.
//!
//! Source: Hudi `HoodieSparkUtils.parsePartitionColumnValues`; Spark `PartitioningUtils`.

use crate::face::unescape;
use crate::snapshot::Column;

/// What stands for no value, in a folder's name.
const NOTHING: &str = "__HIVE_DEFAULT_PARTITION__";

/// The values that a partition's folder says; `None` where it says others than there are columns.
///
/// Values are unescaped, as Spark does wherever it reads one from a path: its own writers escape
/// them also where the table's properties say that nobody does.
pub(crate) fn values(folder: &str, fields: &[String], hive_style: bool) -> Option<Vec<String>> {
    let value = |field: &String, text: &str| {
        let own = text.split_once('=').filter(|(name, _)| hive_style && name == field);
        unescape(own.map_or(text, |(_, value)| value))
    };
    let segments: Vec<_> = folder.split('/').collect();
    match fields {
        // A table that does not say by what it is partitioned is not one without partitions.
        [] => folder.is_empty().then(Vec::new),
        _ if fields.len() == segments.len() => {
            Some(fields.iter().zip(segments).map(|(field, text)| value(field, text)).collect())
        }
        // A date such as 2024/01/31 is one value.
        [field] => Some(vec![value(field, folder)]),
        _ => None,
    }
}

/// A column by which a table is partitioned: `own` of its schema, where that is what folders say.
///
/// Key generators may write something else, such as days since the epoch for a date. Trino fails
/// on a value that is none of the column's type, so that such a column is a text.
pub(crate) fn partition_column<'a>(
    name: &str,
    own: Option<Column>,
    generator: Option<&str>,
    mut values: impl Iterator<Item = &'a String>,
) -> Column {
    let generator = generator.unwrap_or_default().to_uppercase();
    let rewrites = generator.contains("TIMESTAMP") || generator.contains("CUSTOM");
    let own = own.filter(|own| !rewrites && values.all(|value| is_of(&own.hive, value)));
    own.unwrap_or_else(|| Column {
        name: name.to_owned(),
        hive: "string".to_owned(),
        spark: serde_json::json!("string"),
        nullable: true,
    })
}

/// Whether a text is a value of a type of Hive.
fn is_of(hive: &str, value: &str) -> bool {
    if value == NOTHING {
        return true;
    }
    match hive {
        "string" => true,
        "int" => value.parse::<i32>().is_ok(),
        "bigint" => value.parse::<i64>().is_ok(),
        "boolean" => matches!(value, "true" | "false"),
        "date" => has_shape(value, "0000-00-00"),
        "timestamp" => {
            let whole = value.split_once('.').filter(|(_, part)| is_digits(part));
            has_shape(whole.map_or(value, |(whole, _)| whole), "0000-00-00 00:00:00")
        }
        _ if hive.starts_with("decimal") => {
            let plain = value.strip_prefix('-').unwrap_or(value);
            let (whole, part) = plain.split_once('.').unwrap_or((plain, "0"));
            is_digits(whole) && is_digits(part)
        }
        _ => false,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text is a shape with other digits.
fn has_shape(text: &str, shape: &str) -> bool {
    let same = |(byte, of): (u8, u8)| if of == b'0' { byte.is_ascii_digit() } else { byte == of };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(folder: &str, fields: &[&str], hive_style: bool, expect: Option<&[&str]>) {
        let fields: Vec<_> = fields.iter().map(|&field| field.to_owned()).collect();
        let expect = expect.map(|values| values.iter().map(|&value| value.to_owned()).collect());
        assert_eq!(values(folder, &fields, hive_style), expect, "{folder}");
    }

    #[test]
    fn folders_say_values() {
        check("", &[], false, Some(&[]));
        check("eu", &["region"], false, Some(&["eu"]));
        check("region=eu", &["region"], true, Some(&["eu"]));
        // A value that looks like a name, where folders have none.
        check("a=b", &["region"], false, Some(&["a=b"]));
        check("a=b", &["region"], true, Some(&["a=b"]));
        check("region=x%2Fy", &["region"], true, Some(&["x/y"]));
        check("12%3A30", &["at"], false, Some(&["12:30"]));
        check("per%2520cent", &["region"], false, Some(&["per%20cent"]));
        check("100%", &["region"], false, Some(&["100%"]));
        check("region=eu/day=1", &["region", "day"], true, Some(&["eu", "1"]));
        check("2024/01/31", &["day"], false, Some(&["2024/01/31"]));
        check("day=2024/01/31", &["day"], true, Some(&["2024/01/31"]));
    }

    #[test]
    fn folders_without_columns_are_no_partitions() {
        check("eu", &[], false, None);
        check("eu", &["region", "day"], false, None);
        check("eu/1/2", &["region", "day"], false, None);
    }

    #[track_caller]
    fn check_type(hive: &str, generator: &str, values: &[&str], expect: &str) {
        let own = Column {
            name: "c".to_owned(),
            hive: hive.to_owned(),
            spark: serde_json::json!(hive),
            nullable: true,
        };
        let values: Vec<_> = values.iter().map(|&value| value.to_owned()).collect();
        let column = partition_column("c", Some(own), Some(generator), values.iter());
        assert_eq!(column.hive, expect, "{values:?}");
    }

    #[test]
    fn a_column_is_a_text_where_its_folders_say_something_else() {
        check_type("date", "SIMPLE", &["2024-01-31", NOTHING], "date");
        check_type("date", "SIMPLE", &["2024-01-31", "19753"], "string");
        check_type("date", "TIMESTAMP", &["2024-01-31"], "string");
        check_type("bigint", "org.apache.hudi.keygen.CustomKeyGenerator", &["1"], "string");
        check_type("int", "SIMPLE", &["-1", "2147483648"], "string");
        check_type("bigint", "SIMPLE", &["-1", "2147483648"], "bigint");
        check_type("boolean", "COMPLEX", &["true"], "boolean");
        check_type("boolean", "COMPLEX", &["1"], "string");
        check_type(
            "timestamp",
            "SIMPLE",
            &["2024-01-31 01:02:03", "2024-01-31 01:02:03.5"],
            "timestamp",
        );
        check_type("timestamp", "SIMPLE", &["1706659200000000"], "string");
        check_type("decimal(10,2)", "SIMPLE", &["100.00", "-5"], "decimal(10,2)");
        check_type("decimal(10,2)", "SIMPLE", &["1E2"], "string");
        check_type("double", "SIMPLE", &["1.5"], "string");
        check_type("int", "SIMPLE", &[], "int");
    }
}
