//! Columns of a Hudi table, from the Avro schema that its commits state.
//!
//! Source: Hudi `HiveSchemaUtil`, `SparkSchemaUtils`; Spark `SchemaConverters`.

use apache_avro::Schema;
use apache_avro::schema::{Name, RecordSchema, ResolvedSchema, UnionSchema};
use serde_json::{Value, json};

use crate::snapshot::Column;

/// How deep types may be nested.
const DEPTH_MAX: usize = 32;

/// Columns that Hudi puts in front of a row.
const META_COLUMNS: [&str; 5] = [
    "_hoodie_commit_time",
    "_hoodie_commit_seqno",
    "_hoodie_record_key",
    "_hoodie_partition_path",
    "_hoodie_file_name",
];

/// A type in the words of Hive and of Spark.
struct Type {
    hive: String,
    spark: Value,
    nullable: bool,
}

/// The columns of a schema; with `meta`, Hudi's own are put in front.
///
/// # Errors
/// What is wrong with the schema, or is not known of it.
pub(crate) fn columns(schema: &str, meta: bool) -> Result<Vec<Column>, String> {
    let schema = Schema::parse_str(schema).map_err(|error| format!("its schema: {error}"))?;
    let resolved = ResolvedSchema::try_from(&schema).map_err(|error| error.to_string())?;
    let Schema::Record(record) = &schema else {
        return Err("its schema is no record".to_owned());
    };
    let text = |name: &str| Column {
        name: name.to_owned(),
        hive: "string".to_owned(),
        spark: json!("string"),
        nullable: true,
    };
    let mut columns: Vec<_> = if meta { META_COLUMNS.map(text).into() } else { Vec::new() };
    for field in &record.fields {
        if meta && META_COLUMNS.contains(&field.name.as_str()) {
            continue;
        }
        let Type { hive, spark, nullable } = of(&field.schema, &resolved, 0)
            .map_err(|error| format!("its column {}: {error}", field.name))?;
        columns.push(Column { name: field.name.clone(), hive, spark, nullable });
    }
    Ok(columns)
}

fn of(schema: &Schema, names: &ResolvedSchema<'_>, depth: usize) -> Result<Type, String> {
    if depth > DEPTH_MAX {
        return Err(format!("types are nested deeper than {DEPTH_MAX}"));
    }
    let depth = depth + 1;
    let plain = |hive: &str, spark: &str| {
        Ok(Type { hive: hive.to_owned(), spark: json!(spark), nullable: false })
    };
    match schema {
        Schema::Boolean => plain("boolean", "boolean"),
        Schema::Int => plain("int", "integer"),
        Schema::Long | Schema::TimeMicros => plain("bigint", "long"),
        Schema::TimeMillis => plain("int", "integer"),
        Schema::Float => plain("float", "float"),
        Schema::Double => plain("double", "double"),
        Schema::Bytes | Schema::Fixed(_) | Schema::Duration => plain("binary", "binary"),
        Schema::String | Schema::Enum(_) | Schema::Uuid => plain("string", "string"),
        Schema::Date => plain("date", "date"),
        Schema::TimestampMillis | Schema::TimestampMicros | Schema::TimestampNanos => {
            plain("timestamp", "timestamp")
        }
        Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => plain("timestamp", "timestamp_ntz"),
        Schema::Decimal(decimal) => {
            let name = format!("decimal({},{})", decimal.precision, decimal.scale);
            plain(&name, &name)
        }
        Schema::Array(array) => {
            let Type { hive, spark, nullable } = of(&array.items, names, depth)?;
            let spark = json!({ "type": "array", "elementType": spark, "containsNull": nullable });
            Ok(Type { hive: format!("array<{hive}>"), spark, nullable: false })
        }
        Schema::Map(map) => {
            let Type { hive, spark, nullable } = of(&map.types, names, depth)?;
            let spark = json!({
                "type": "map",
                "keyType": "string",
                "valueType": spark,
                "valueContainsNull": nullable,
            });
            Ok(Type { hive: format!("map<string,{hive}>"), spark, nullable: false })
        }
        Schema::Union(union) => of_union(union, names, depth),
        Schema::Record(record) => of_record(record, names, depth),
        Schema::Ref { name } => of(named(name, names)?, names, depth),
        Schema::Null | Schema::BigDecimal => Err("a type that no engine has".to_owned()),
    }
}

fn named<'s>(name: &Name, names: &ResolvedSchema<'s>) -> Result<&'s Schema, String> {
    names.get_names().get(name).copied().ok_or_else(|| format!("the type {name} is not there"))
}

/// A union of one type and nothing: the type, which may be missing.
fn of_union(union: &UnionSchema, names: &ResolvedSchema<'_>, depth: usize) -> Result<Type, String> {
    let mut others = union.variants().iter().filter(|one| !matches!(one, Schema::Null));
    match (others.next(), others.next()) {
        (Some(one), None) => {
            let Type { hive, spark, nullable } = of(one, names, depth)?;
            let nullable = nullable || union.is_nullable();
            Ok(Type { hive, spark, nullable })
        }
        _ => Err("a union of several types".to_owned()),
    }
}

fn of_record(
    record: &RecordSchema,
    names: &ResolvedSchema<'_>,
    depth: usize,
) -> Result<Type, String> {
    let (mut hive, mut spark) = (Vec::new(), Vec::new());
    for field in &record.fields {
        let inner = of(&field.schema, names, depth)?;
        hive.push(format!("{}:{}", field.name.to_lowercase(), inner.hive));
        spark.push(json!({
            "name": field.name,
            "type": inner.spark,
            "nullable": inner.nullable,
            "metadata": {},
        }));
    }
    let hive = format!("struct<{}>", hive.join(","));
    Ok(Type { hive, spark: json!({ "type": "struct", "fields": spark }), nullable: false })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(avro: Value, hive: &str, spark: Value, nullable: bool) {
        let schema = json!({
            "type": "record",
            "name": "row",
            "fields": [{ "name": "c", "type": avro }],
        });
        let columns = columns(&schema.to_string(), false).unwrap();
        let Column { hive: found, spark: told, nullable: missing, .. } = &columns[0];
        assert_eq!((found.as_str(), told, *missing), (hive, &spark, nullable));
    }

    #[test]
    fn plain_types_have_the_names_of_hive_and_spark() {
        check(json!("long"), "bigint", json!("long"), false);
        check(json!(["null", "int"]), "int", json!("integer"), true);
        check(json!(["string", "null"]), "string", json!("string"), true);
        let date = json!({ "type": "int", "logicalType": "date" });
        check(date, "date", json!("date"), false);
        let micros = json!({ "type": "long", "logicalType": "timestamp-micros" });
        check(micros, "timestamp", json!("timestamp"), false);
        let local = json!({ "type": "long", "logicalType": "local-timestamp-micros" });
        check(local, "timestamp", json!("timestamp_ntz"), false);
        let decimal = json!({
            "type": "fixed", "name": "d", "size": 5,
            "logicalType": "decimal", "precision": 10, "scale": 2,
        });
        check(decimal, "decimal(10,2)", json!("decimal(10,2)"), false);
    }

    #[test]
    fn nested_types_keep_what_may_be_missing() {
        check(
            json!({ "type": "array", "items": ["null", "double"] }),
            "array<double>",
            json!({ "type": "array", "elementType": "double", "containsNull": true }),
            false,
        );
        let point = json!({
            "type": "record", "name": "point",
            "fields": [{ "name": "X", "type": "int" }, { "name": "y", "type": ["null", "int"] }],
        });
        let spark = json!({ "type": "struct", "fields": [
            { "name": "X", "type": "integer", "nullable": false, "metadata": {} },
            { "name": "y", "type": "integer", "nullable": true, "metadata": {} },
        ]});
        check(point.clone(), "struct<x:int,y:int>", spark.clone(), false);
        check(
            json!({ "type": "map", "values": point }),
            "map<string,struct<x:int,y:int>>",
            json!({
                "type": "map", "keyType": "string", "valueType": spark,
                "valueContainsNull": false,
            }),
            false,
        );
    }

    #[test]
    fn a_type_may_be_named_again_and_may_not_hold_itself() {
        let schema = json!({ "type": "record", "name": "row", "fields": [
            { "name": "a", "type": { "type": "enum", "name": "e", "symbols": ["x"] } },
            { "name": "b", "type": ["null", "e"] },
        ]});
        let found = columns(&schema.to_string(), true).unwrap();
        let names: Vec<_> = found.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names[..5], META_COLUMNS);
        assert_eq!(names[5..], ["a", "b"]);
        assert_eq!(found[6].hive, "string");
        let own = json!({ "type": "record", "name": "row", "fields": [
            { "name": "next", "type": ["null", "row"] },
        ]});
        assert!(columns(&own.to_string(), false).unwrap_err().contains("nested deeper"));
        assert!(columns("\"string\"", false).is_err());
        assert!(columns("{", false).is_err());
    }
}
