//! Arguments of methods that read, by shape.

use super::{Call, Counted, PartitionBy, Statistics, TableOf, Wrap, decode};
use crate::hive::{
    ByExprRequestArgs, ByNamesRequestArgs, DatabaseRequestArgs, PartitionRequestArgs,
    PartitionsPsRequestArgs, PartitionsRequestArgs, TableRequestArgs, TablesRequestArgs,
    TextAndList, Texts1, Texts2, Texts2AndCount, Texts2AndList, Texts2ListAndCount, Texts3,
};

type Read = thrift::Result<Call>;

fn table(database: Option<String>, table: Option<String>) -> TableOf {
    TableOf { database: plain(database), table: table.unwrap_or_default() }
}

/// A database, or a pattern of some, without the catalog that clients of Hive 3 and later put in
/// front of it: `@catalog#database`. No database at all is `!`.
fn plain(database: Option<String>) -> String {
    let database = database.unwrap_or_default();
    match database.strip_prefix('@').and_then(|rest| rest.split_once('#')) {
        Some((_, "!")) => String::new(),
        Some((_, plain)) => plain.to_owned(),
        None => database,
    }
}

/// How many are wanted; below zero = all.
fn most(max: Option<i16>) -> Option<usize> {
    usize::try_from(max?).ok()
}

pub(super) fn text(arguments: &[u8]) -> thrift::Result<String> {
    Ok(decode::<Texts1>(arguments)?.first.unwrap_or_default())
}

pub(super) fn set_user(arguments: &[u8]) -> Read {
    let read: TextAndList = decode(arguments)?;
    Ok(Call::SetUser { groups: read.items.unwrap_or_default() })
}

pub(super) fn databases(arguments: &[u8]) -> Read {
    let pattern = decode::<Texts1>(arguments)?.first;
    let all = |pattern: &String| pattern.starts_with('@') && pattern.ends_with('#');
    Ok(Call::Databases { pattern: pattern.filter(|one| !all(one)).map(|one| plain(Some(one))) })
}

pub(super) fn database(arguments: &[u8]) -> Read {
    Ok(Call::Database { name: plain(Some(text(arguments)?)) })
}

pub(super) fn database_req(arguments: &[u8]) -> Read {
    let req = decode::<DatabaseRequestArgs>(arguments)?.req.unwrap_or_default();
    Ok(Call::Database { name: plain(req.name) })
}

pub(super) fn all_tables(arguments: &[u8]) -> Read {
    let database = plain(Some(text(arguments)?));
    Ok(Call::Tables { database, pattern: "*".to_owned(), kind: None })
}

pub(super) fn tables(arguments: &[u8]) -> Read {
    let Texts2 { first, second } = decode(arguments)?;
    let (database, pattern) = (plain(first), second.unwrap_or_default());
    Ok(Call::Tables { database, pattern, kind: None })
}

pub(super) fn tables_by_type(arguments: &[u8]) -> Read {
    let Texts3 { first, second, third } = decode(arguments)?;
    let (database, pattern) = (plain(first), second.unwrap_or_default());
    Ok(Call::Tables { database, pattern, kind: third })
}

pub(super) fn table_metas(arguments: &[u8]) -> Read {
    let Texts2AndList { first, second, items } = decode(arguments)?;
    let (databases, tables) = (plain(first), second.unwrap_or_default());
    Ok(Call::TableMetas { databases, tables, kinds: items.unwrap_or_default() })
}

pub(super) fn tables_by_filter(arguments: &[u8]) -> Read {
    let Texts2AndCount { first, second, max } = decode(arguments)?;
    let (database, filter) = (plain(first), second.unwrap_or_default());
    Ok(Call::TablesByFilter { database, filter, max: most(max) })
}

fn of(arguments: &[u8]) -> thrift::Result<TableOf> {
    let Texts2 { first, second } = decode(arguments)?;
    Ok(table(first, second))
}

pub(super) fn one_table(arguments: &[u8]) -> Read {
    Ok(Call::Table { of: of(arguments)?, answer: Wrap::Bare })
}

pub(super) fn table_req(arguments: &[u8]) -> Read {
    let req = decode::<TableRequestArgs>(arguments)?.req.unwrap_or_default();
    Ok(Call::Table { of: table(req.db_name, req.tbl_name), answer: Wrap::Struct })
}

pub(super) fn tables_by_name(arguments: &[u8]) -> Read {
    let TextAndList { text, items } = decode(arguments)?;
    let (database, names) = (plain(text), items.unwrap_or_default());
    Ok(Call::TablesByName { database, names, answer: Wrap::Bare })
}

pub(super) fn tables_by_name_req(arguments: &[u8]) -> Read {
    let req = decode::<TablesRequestArgs>(arguments)?.req.unwrap_or_default();
    let (database, names) = (plain(req.db_name), req.tbl_names.unwrap_or_default());
    Ok(Call::TablesByName { database, names, answer: Wrap::Struct })
}

pub(super) fn fields(arguments: &[u8]) -> Read {
    Ok(Call::Fields { of: of(arguments)?, all: false })
}

pub(super) fn schema(arguments: &[u8]) -> Read {
    Ok(Call::Fields { of: of(arguments)?, all: true })
}

pub(super) fn partition_names(arguments: &[u8]) -> Read {
    let Texts2AndCount { first, second, max } = decode(arguments)?;
    let (of, values, max) = (table(first, second), Vec::new(), most(max));
    Ok(Call::PartitionNames { of, values, max, answer: Wrap::Bare })
}

pub(super) fn partition_names_ps(arguments: &[u8]) -> Read {
    let Texts2ListAndCount { first, second, items, max } = decode(arguments)?;
    let (of, values, max) = (table(first, second), items.unwrap_or_default(), most(max));
    Ok(Call::PartitionNames { of, values, max, answer: Wrap::Bare })
}

pub(super) fn partition_names_req(arguments: &[u8]) -> Read {
    let req = decode::<ByExprRequestArgs>(arguments)?.req.unwrap_or_default();
    let (of, max) = (table(req.db_name, req.tbl_name), most(req.max_parts));
    Ok(Call::PartitionNames { of, values: Vec::new(), max, answer: Wrap::Bare })
}

pub(super) fn partition_names_ps_req(arguments: &[u8]) -> Read {
    let req = decode::<PartitionsPsRequestArgs>(arguments)?.req.unwrap_or_default();
    let (of, max) = (table(req.db_name, req.tbl_name), most(req.max_parts));
    let values = req.part_vals.unwrap_or_default();
    Ok(Call::PartitionNames { of, values, max, answer: Wrap::Struct })
}

pub(super) fn partition(arguments: &[u8]) -> Read {
    let Texts2AndList { first, second, items } = decode(arguments)?;
    let by = PartitionBy::Values(items.unwrap_or_default());
    Ok(Call::Partition { of: table(first, second), by, answer: Wrap::Bare })
}

pub(super) fn partition_req(arguments: &[u8]) -> Read {
    let req = decode::<PartitionRequestArgs>(arguments)?.req.unwrap_or_default();
    let by = PartitionBy::Values(req.part_vals.unwrap_or_default());
    Ok(Call::Partition { of: table(req.db_name, req.tbl_name), by, answer: Wrap::Struct })
}

pub(super) fn partition_by_name(arguments: &[u8]) -> Read {
    let Texts3 { first, second, third } = decode(arguments)?;
    let by = PartitionBy::Name(third.unwrap_or_default());
    Ok(Call::Partition { of: table(first, second), by, answer: Wrap::Bare })
}

pub(super) fn partitions(arguments: &[u8]) -> Read {
    let Texts2AndCount { first, second, max } = decode(arguments)?;
    let (of, values, max) = (table(first, second), Vec::new(), most(max));
    Ok(Call::Partitions { of, values, max, answer: Wrap::Bare })
}

pub(super) fn partitions_req(arguments: &[u8]) -> Read {
    let req = decode::<PartitionsRequestArgs>(arguments)?.req.unwrap_or_default();
    let (of, max) = (table(req.db_name, req.tbl_name), most(req.max_parts));
    Ok(Call::Partitions { of, values: Vec::new(), max, answer: Wrap::Struct })
}

pub(super) fn partitions_ps(arguments: &[u8]) -> Read {
    let Texts2ListAndCount { first, second, items, max } = decode(arguments)?;
    let (of, values, max) = (table(first, second), items.unwrap_or_default(), most(max));
    Ok(Call::Partitions { of, values, max, answer: Wrap::Bare })
}

pub(super) fn partitions_ps_req(arguments: &[u8]) -> Read {
    let req = decode::<PartitionsPsRequestArgs>(arguments)?.req.unwrap_or_default();
    let (of, max) = (table(req.db_name, req.tbl_name), most(req.max_parts));
    let values = req.part_vals.unwrap_or_default();
    Ok(Call::Partitions { of, values, max, answer: Wrap::Struct })
}

pub(super) fn partitions_by_name(arguments: &[u8]) -> Read {
    let Texts2AndList { first, second, items } = decode(arguments)?;
    let names = items.unwrap_or_default();
    Ok(Call::PartitionsByName { of: table(first, second), names, answer: Wrap::Bare })
}

pub(super) fn partitions_by_name_req(arguments: &[u8]) -> Read {
    let req = decode::<ByNamesRequestArgs>(arguments)?.req.unwrap_or_default();
    let names = req.names.unwrap_or_default();
    let of = table(req.db_name, req.tbl_name);
    Ok(Call::PartitionsByName { of, names, answer: Wrap::Struct })
}

pub(super) fn partitions_by_expr(arguments: &[u8]) -> Read {
    let req = decode::<ByExprRequestArgs>(arguments)?.req.unwrap_or_default();
    let max = most(req.max_parts);
    Ok(Call::PartitionsByExpr { of: table(req.db_name, req.tbl_name), max })
}

fn by_filter(arguments: &[u8], max: Option<usize>, answer: Counted) -> Read {
    let Texts3 { first, second, third } = decode(arguments)?;
    let (of, filter) = (table(first, second), third.unwrap_or_default());
    Ok(Call::PartitionsByFilter { of, filter, max, answer })
}

pub(super) fn partitions_by_filter(arguments: &[u8]) -> Read {
    let max = decode::<crate::hive::Texts3AndCount>(arguments)?.max;
    by_filter(arguments, most(max), Counted::Rows)
}

pub(super) fn partitions_counted(arguments: &[u8]) -> Read {
    by_filter(arguments, None, Counted::Number)
}

pub(super) fn name_to_values(arguments: &[u8]) -> Read {
    Ok(Call::PartitionName { name: text(arguments)?, columns: false })
}

pub(super) fn name_to_spec(arguments: &[u8]) -> Read {
    Ok(Call::PartitionName { name: text(arguments)?, columns: true })
}

pub(super) fn column_statistics(arguments: &[u8]) -> Read {
    Ok(Call::Statistics { of: of(arguments)?, shape: Statistics::Column })
}

pub(super) fn statistics_req(arguments: &[u8], shape: Statistics) -> Read {
    let req = decode::<TableRequestArgs>(arguments)?.req.unwrap_or_default();
    Ok(Call::Statistics { of: table(req.db_name, req.tbl_name), shape })
}

pub(super) fn function(arguments: &[u8]) -> Read {
    let TableOf { database, table: name } = of(arguments)?;
    Ok(Call::Function { database, name })
}

pub(super) fn setting(arguments: &[u8]) -> Read {
    let Texts2 { second, .. } = decode(arguments)?;
    Ok(Call::Setting { default: second.unwrap_or_default() })
}

pub(super) fn catalog(arguments: &[u8]) -> Read {
    let req = decode::<DatabaseRequestArgs>(arguments)?.req.unwrap_or_default();
    Ok(Call::Catalog { name: req.name.unwrap_or_default() })
}
