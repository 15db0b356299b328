//! Columns of a Delta table, from the schema in its log, for a view of it.
//!
//! Source: Delta protocol, "Schema Serialization Format"; Trino `DeltaLakeSchemaSupport`.

use serde_json::{Value, json};

/// How deep types may be nested.
const DEPTH_MAX: usize = 32;

/// A column of a view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ViewColumn {
    /// Its name.
    pub(crate) name: String,
    /// Its type, as Spark writes it in JSON.
    pub(crate) spark: Value,
    /// Its type, as Trino writes it.
    pub(crate) trino: String,
}

/// A type in the words of Spark and of Trino.
struct Type {
    spark: Value,
    trino: String,
}

/// The columns of a schema in JSON. What its fields say beside name and type is left out: of a view
/// it means nothing.
///
/// # Errors
/// What is wrong with the schema, or is not known of it.
pub(crate) fn view_columns(schema: &str) -> Result<Vec<ViewColumn>, String> {
    let schema: Value =
        serde_json::from_str(schema).map_err(|error| format!("its schema: {error}"))?;
    let column = |(name, of): (&str, &Value)| {
        let Type { spark, trino } =
            type_of(of, 0).map_err(|error| format!("its column {name}: {error}"))?;
        Ok(ViewColumn { name: name.to_owned(), spark, trino })
    };
    let columns: Vec<_> =
        fields(&schema)?.into_iter().map(column).collect::<Result<_, String>>()?;
    match columns.is_empty() {
        true => Err("it has no columns".to_owned()),
        false => Ok(columns),
    }
}

/// Names and types of a struct's fields.
fn fields(of: &Value) -> Result<Vec<(&str, &Value)>, String> {
    let fields = of.get("fields").and_then(Value::as_array).ok_or("a struct without fields")?;
    let found: Option<Vec<_>> = fields.iter().map(field).collect();
    found.ok_or_else(|| "a field without a name or a type".to_owned())
}

fn field(field: &Value) -> Option<(&str, &Value)> {
    Some((field.get("name")?.as_str()?, field.get("type")?))
}

fn type_of(of: &Value, depth: usize) -> Result<Type, String> {
    if depth > DEPTH_MAX {
        return Err(format!("types are nested deeper than {DEPTH_MAX}"));
    }
    if let Some(name) = of.as_str() {
        return Ok(Type { spark: json!(name), trino: primitive(name)? });
    }
    let part = |name: &str| {
        let part = of.get(name).ok_or_else(|| format!("a type without {name}"))?;
        type_of(part, depth + 1)
    };
    match of.get("type").and_then(Value::as_str) {
        Some("array") => {
            let Type { spark, trino } = part("elementType")?;
            let spark = json!({ "type": "array", "elementType": spark, "containsNull": true });
            Ok(Type { spark, trino: format!("array({trino})") })
        }
        Some("map") => {
            let (key, value) = (part("keyType")?, part("valueType")?);
            let spark = json!({
                "type": "map",
                "keyType": key.spark,
                "valueType": value.spark,
                "valueContainsNull": true,
            });
            Ok(Type { spark, trino: format!("map({},{})", key.trino, value.trino) })
        }
        Some("struct") => {
            let (mut spark, mut trino) = (Vec::new(), Vec::new());
            for (name, of) in fields(of)? {
                let inner = type_of(of, depth + 1)?;
                spark.push(json!({
                    "name": name,
                    "type": inner.spark,
                    "nullable": true,
                    "metadata": {},
                }));
                trino.push(format!("\"{}\" {}", name.replace('"', "\"\""), inner.trino));
            }
            let spark = json!({ "type": "struct", "fields": spark });
            Ok(Type { spark, trino: format!("row({})", trino.join(",")) })
        }
        _ => Err("a type that is not known".to_owned()),
    }
}

fn primitive(name: &str) -> Result<String, String> {
    Ok(match name {
        "string" => "varchar",
        "long" => "bigint",
        "integer" => "integer",
        "short" => "smallint",
        "byte" => "tinyint",
        "float" => "real",
        "double" => "double",
        "boolean" => "boolean",
        "binary" => "varbinary",
        "date" => "date",
        "timestamp" => "timestamp(3) with time zone",
        "timestamp_ntz" => "timestamp(6)",
        decimal if decimal.starts_with("decimal(") => decimal,
        other => return Err(format!("a view in Trino cannot say the type {other}")),
    }
    .to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(of: Value, trino: &str) {
        let fields = json!([{ "name": "A b", "type": of, "nullable": false, "metadata": {} }]);
        let schema = json!({ "type": "struct", "fields": fields }).to_string();
        let columns = view_columns(&schema).unwrap();
        assert_eq!(columns[0].name, "A b");
        assert_eq!(columns[0].trino, trino);
    }

    #[test]
    fn types_are_those_that_trino_reads_from_the_log() {
        for (spark, trino) in [
            ("string", "varchar"),
            ("long", "bigint"),
            ("byte", "tinyint"),
            ("float", "real"),
            ("timestamp", "timestamp(3) with time zone"),
            ("timestamp_ntz", "timestamp(6)"),
            ("decimal(10,2)", "decimal(10,2)"),
        ] {
            check(json!(spark), trino);
        }
        let field = |name: &str, of: Value| json!({ "name": name, "type": of, "nullable": true, "metadata": { "x": 1 } });
        let inner = json!({ "type": "struct", "fields": [
            field("q\"q", json!("long")), field("b", json!("date")),
        ] });
        check(inner.clone(), r#"row("q""q" bigint,"b" date)"#);
        let map = json!({ "type": "map", "keyType": "string", "valueType": inner,
            "valueContainsNull": false });
        let array = json!({ "type": "array", "elementType": map, "containsNull": false });
        check(array, r#"array(map(varchar,row("q""q" bigint,"b" date)))"#);
    }

    #[test]
    fn what_a_view_cannot_say_is_refused() {
        let column = |of: &str| {
            let fields = json!([{ "name": "v", "type": of }]);
            json!({ "type": "struct", "fields": fields }).to_string()
        };
        let deep = format!(
            "{}\"long\"{}",
            "{\"type\":\"array\",\"elementType\":".repeat(40),
            "}".repeat(40)
        );
        let deep = format!(r#"{{"type":"struct","fields":[{{"name":"v","type":{deep}}}]}}"#);
        for (schema, expect) in [
            (
                column("variant").as_str(),
                "its column v: a view in Trino cannot say the type variant",
            ),
            (deep.as_str(), "nested deeper"),
            ("{", "its schema"),
            ("{}", "without fields"),
            (r#"{"fields":[]}"#, "no columns"),
            (r#"{"fields":[{"name":1,"type":"long"}]}"#, "without a name"),
            (r#"{"fields":[{"name":"v","type":{"type":"map","keyType":"long"}}]}"#, "valueType"),
            (r#"{"fields":[{"name":"v","type":7}]}"#, "not known"),
        ] {
            let error = view_columns(schema).unwrap_err();
            assert!(error.contains(expect), "{schema}: {error}");
        }
    }
}
