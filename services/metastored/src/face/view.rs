//! Rows of Delta tables at one version: one view, in the words of Trino and in those of Spark.
//!
//! Trino takes what is in the comment of `viewOriginalText`, and only where the parameters say that
//! the view is its own. Spark takes `viewExpandedText`. Both were seen to read such a row: Trino
//! 476, Spark 3.5 and 4.0.
//!
//! Source: Trino `ConnectorViewDefinition`, `ViewReaderUtil`; Spark `CatalogTable`,
//! `HiveExternalCatalog`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::face::{
    AtVersion, Subject, TRINO_VIEW, VIRTUAL_VIEW, View, map, placeholder, put_schema, row, seconds,
    storage,
};
use crate::hive;
use crate::schema::ViewColumn;

/// How Spark calls the catalog that is this metastore.
const SPARK_CATALOG: &str = "spark_catalog";

/// The row of a Delta table at one version.
pub(super) fn table(at: AtVersion<'_>) -> hive::Table {
    let AtVersion { table, columns, database, .. } = at;
    let namespace = table.name.namespace();
    let created = seconds(table.created_ms).to_string();
    let mut parameters = map([
        ("presto_view", "true"),
        // Without it Trino lists the row as a table.
        ("comment", TRINO_VIEW),
        ("transient_lastDdlTime", &created),
        ("view.catalogAndNamespace.numParts", "2"),
        ("view.catalogAndNamespace.part.0", SPARK_CATALOG),
        ("view.catalogAndNamespace.part.1", namespace),
        ("view.query.out.numCols", &columns.len().to_string()),
        ("view.referredTempViewNames", "[]"),
        ("view.referredTempFunctionsNames", "[]"),
    ]);
    for (at, column) in columns.iter().enumerate() {
        parameters.insert(format!("view.query.out.col.{at}"), column.name.clone());
    }
    put_schema(&mut parameters, &spark_schema(columns));
    let subject = Subject { table, view: View::Plain, location: "" };
    hive::Table {
        db_name: Some(database.to_owned()),
        sd: Some(hive::StorageDescriptor {
            location: None,
            serde_info: Some(hive::SerDeInfo {
                name: None,
                serialization_lib: None,
                parameters: Some(map([])),
            }),
            ..storage(vec![placeholder()], String::new())
        }),
        parameters: Some(parameters),
        view_original_text: Some(trino(at)),
        view_expanded_text: Some(spark(at)),
        table_type: Some(VIRTUAL_VIEW.to_owned()),
        ..row(subject)
    }
}

/// The view as Trino keeps its own.
fn trino(at: AtVersion<'_>) -> String {
    let AtVersion { table, version, columns, trino_catalog, .. } = at;
    let names: Vec<_> = columns.iter().map(|column| quoted(&column.name, '"')).collect();
    let sql = format!(
        "SELECT {} FROM {} FOR VERSION AS OF {version}",
        names.join(", "),
        quoted(table.name.table(), '"'),
    );
    let column = |column: &ViewColumn| {
        // As Trino names columns.
        json!({ "name": column.name.to_lowercase(), "type": column.trino })
    };
    let definition = json!({
        "originalSql": sql,
        "catalog": trino_catalog,
        "schema": table.name.namespace(),
        "columns": columns.iter().map(column).collect::<Vec<_>>(),
        "runAsInvoker": true,
        "path": [],
    });
    format!("/* {TRINO_VIEW}: {} */", STANDARD.encode(definition.to_string()))
}

/// The view as Spark has it.
fn spark(at: AtVersion<'_>) -> String {
    let AtVersion { table, version, columns, .. } = at;
    let names: Vec<_> = columns.iter().map(|column| quoted(&column.name, '`')).collect();
    format!(
        "SELECT {} FROM {}.{} VERSION AS OF {version}",
        names.join(", "),
        quoted(table.name.namespace(), '`'),
        quoted(table.name.table(), '`'),
    )
}

fn spark_schema(columns: &[ViewColumn]) -> String {
    let field = |column: &ViewColumn| json!({ "name": column.name, "type": column.spark, "nullable": true, "metadata": {} });
    let fields: Vec<Value> = columns.iter().map(field).collect();
    json!({ "type": "struct", "fields": fields }).to_string()
}

fn quoted(name: &str, quote: char) -> String {
    let doubled = String::from_iter([quote, quote]);
    format!("{quote}{}{quote}", name.replace(quote, &doubled))
}
