//! The methods, and where each result declares `MetaException` and `NoSuchObjectException`.

use super::{Call, Method, Nothing, Read, Service, Statistics, read};
use crate::answer::Throws;

const NEITHER: Throws = Throws { meta: None, missing: None };
const META_1: Throws = Throws { meta: Some(1), missing: None };
const META_2: Throws = Throws { meta: Some(2), missing: None };
const META_3: Throws = Throws { meta: Some(3), missing: None };
const META_1_MISSING_2: Throws = Throws { meta: Some(1), missing: Some(2) };
const META_1_MISSING_3: Throws = Throws { meta: Some(1), missing: Some(3) };
const MISSING_1_META_2: Throws = Throws { meta: Some(2), missing: Some(1) };

const fn of(name: &'static str, throws: Throws, read: Read) -> Method {
    Method { name, throws, read }
}

/// The method of a name.
pub(crate) fn method(name: &str) -> Option<&'static Method> {
    let of_name = |methods: &'static [Method]| methods.iter().find(|method| method.name == name);
    of_name(READS).or_else(|| of_name(WRITES))
}

/// Names of all methods that write.
pub fn writes() -> impl Iterator<Item = &'static str> {
    WRITES.iter().map(|method| method.name)
}

/// Names of all methods that read.
pub fn reads() -> impl Iterator<Item = &'static str> {
    READS.iter().map(|method| method.name)
}

static READS: &[Method] = &[
    of("set_ugi", META_1, read::set_user),
    of("get_all_databases", META_1, |_| Ok(Call::Databases { pattern: None })),
    of("get_databases", META_1, read::databases),
    of("get_database", MISSING_1_META_2, read::database),
    of("get_database_req", MISSING_1_META_2, read::database_req),
    of("get_all_tables", META_1, read::all_tables),
    of("get_tables", META_1, read::tables),
    of("get_tables_by_type", META_1, read::tables_by_type),
    of("get_table_meta", META_1, read::table_metas),
    of("get_table_names_by_filter", META_1, read::tables_by_filter),
    of("get_table", META_1_MISSING_2, read::one_table),
    of("get_table_req", META_1_MISSING_2, read::table_req),
    of("get_table_objects_by_name", META_1_MISSING_3, read::tables_by_name),
    of("get_table_objects_by_name_req", META_1_MISSING_3, read::tables_by_name_req),
    of("get_fields", META_1_MISSING_2, read::fields),
    of("get_fields_with_environment_context", META_1_MISSING_2, read::fields),
    of("get_schema", META_1_MISSING_2, read::schema),
    of("get_schema_with_environment_context", META_1_MISSING_2, read::schema),
    of("get_partition_names", MISSING_1_META_2, read::partition_names),
    of("get_partition_names_ps", META_1_MISSING_2, read::partition_names_ps),
    of("get_partition_names_req", MISSING_1_META_2, read::partition_names_req),
    of("get_partition_names_ps_req", META_1_MISSING_2, read::partition_names_ps_req),
    of("get_partition", META_1_MISSING_2, read::partition),
    of("get_partition_with_auth", META_1_MISSING_2, read::partition),
    of("get_partition_req", META_1_MISSING_2, read::partition_req),
    of("get_partition_by_name", META_1_MISSING_2, read::partition_by_name),
    of("get_partitions", MISSING_1_META_2, read::partitions),
    of("get_partitions_with_auth", MISSING_1_META_2, read::partitions),
    of("get_partitions_req", MISSING_1_META_2, read::partitions_req),
    of("get_partitions_ps", META_1_MISSING_2, read::partitions_ps),
    of("get_partitions_ps_with_auth", MISSING_1_META_2, read::partitions_ps),
    of("get_partitions_ps_with_auth_req", MISSING_1_META_2, read::partitions_ps_req),
    of("get_partitions_by_names", META_1_MISSING_2, read::partitions_by_name),
    of("get_partitions_by_names_req", META_1_MISSING_2, read::partitions_by_name_req),
    of("get_partitions_by_expr", META_1_MISSING_2, read::partitions_by_expr),
    of("get_partitions_by_filter", META_1_MISSING_2, read::partitions_by_filter),
    of("get_num_partitions_by_filter", META_1_MISSING_2, read::partitions_counted),
    of("partition_name_to_vals", META_1, read::name_to_values),
    of("partition_name_to_spec", META_1, read::name_to_spec),
    of("get_table_column_statistics", MISSING_1_META_2, read::column_statistics),
    of("get_partition_column_statistics", MISSING_1_META_2, read::column_statistics),
    of("get_table_statistics_req", MISSING_1_META_2, table_statistics),
    of("get_partitions_statistics_req", MISSING_1_META_2, partition_statistics),
    of("get_aggr_stats_for", MISSING_1_META_2, aggregate_statistics),
    of("get_functions", META_1, no_list),
    of("get_function", META_1_MISSING_2, read::function),
    of("get_all_functions", META_1, no_struct),
    of("get_primary_keys", META_1_MISSING_2, no_struct),
    of("get_foreign_keys", META_1_MISSING_2, no_struct),
    of("get_unique_constraints", META_1_MISSING_2, no_struct),
    of("get_not_null_constraints", META_1_MISSING_2, no_struct),
    of("get_default_constraints", META_1_MISSING_2, no_struct),
    of("get_check_constraints", META_1_MISSING_2, no_struct),
    of("get_all_table_constraints", META_1_MISSING_2, no_fields),
    of("get_materialized_views_for_rewriting", META_1, no_list),
    of("get_all_materialized_view_objects_for_rewriting", META_1, no_list),
    of("get_role_names", META_1, no_list),
    of("list_roles", META_1, no_list),
    of("list_privileges", META_1, no_list),
    of("get_privilege_set", META_1, no_fields),
    of("get_role_grants_for_principal", META_1, no_struct),
    of("get_principals_in_role", META_1, no_struct),
    of("get_next_notification", NEITHER, no_struct),
    of("get_current_notificationEventId", NEITHER, |_| Ok(Call::Nothing(Nothing::EventId))),
    of("flushCache", NEITHER, |_| Ok(Call::Nothing(Nothing::Void))),
    of("get_config_value", NEITHER, read::setting),
    of("getMetaConf", META_1, |_| Ok(Call::Setting { default: String::new() })),
    of("get_catalogs", META_1, |_| Ok(Call::Catalogs)),
    of("get_catalog", MISSING_1_META_2, read::catalog),
    of("get_metastore_db_uuid", META_1, |_| Ok(Call::Service(Service::Identity))),
    of("get_delegation_token", META_1, |_| Ok(Call::Token)),
    of("getName", NEITHER, |_| Ok(Call::Service(Service::Name))),
    of("getVersion", NEITHER, |_| Ok(Call::Service(Service::Version))),
    of("getStatus", NEITHER, |_| Ok(Call::Service(Service::Status))),
    of("getStatusDetails", NEITHER, |_| Ok(Call::Service(Service::StatusDetails))),
    of("aliveSince", NEITHER, |_| Ok(Call::Service(Service::AliveSince))),
];

fn table_statistics(arguments: &[u8]) -> thrift::Result<Call> {
    read::statistics_req(arguments, Statistics::Table)
}

fn partition_statistics(arguments: &[u8]) -> thrift::Result<Call> {
    read::statistics_req(arguments, Statistics::Partitions)
}

fn aggregate_statistics(arguments: &[u8]) -> thrift::Result<Call> {
    read::statistics_req(arguments, Statistics::Aggregate)
}

fn no_list(_: &[u8]) -> thrift::Result<Call> {
    Ok(Call::Nothing(Nothing::List))
}

fn no_struct(_: &[u8]) -> thrift::Result<Call> {
    Ok(Call::Nothing(Nothing::Struct))
}

fn no_fields(_: &[u8]) -> thrift::Result<Call> {
    Ok(Call::Nothing(Nothing::Empty))
}

/// What is written is never looked at.
fn write(_: &[u8]) -> thrift::Result<Call> {
    Ok(Call::Write)
}

static WRITES: &[Method] = &[
    of("alter_database", META_1, write),
    of("truncate_table", META_1, write),
    of("truncate_table_req", META_1, write),
    of("exchange_partition", META_1, write),
    of("exchange_partitions", META_1, write),
    of("create_role", META_1, write),
    of("drop_role", META_1, write),
    of("grant_role", META_1, write),
    of("revoke_role", META_1, write),
    of("grant_privileges", META_1, write),
    of("revoke_privileges", META_1, write),
    of("grant_revoke_role", META_1, write),
    of("grant_revoke_privileges", META_1, write),
    of("refresh_privileges", META_1, write),
    of("setMetaConf", META_1, write),
    of("markPartitionForEvent", META_1, write),
    of("renew_delegation_token", META_1, write),
    of("cancel_delegation_token", META_1, write),
    of("drop_table", META_2, write),
    of("drop_table_with_environment_context", META_2, write),
    of("drop_table_req", META_2, write),
    of("alter_table", META_2, write),
    of("alter_table_with_environment_context", META_2, write),
    of("alter_table_with_cascade", META_2, write),
    of("alter_table_req", META_2, write),
    of("drop_partition", META_2, write),
    of("drop_partition_with_environment_context", META_2, write),
    of("drop_partition_by_name", META_2, write),
    of("drop_partition_by_name_with_environment_context", META_2, write),
    of("drop_partition_req", META_2, write),
    of("drop_partitions_req", META_2, write),
    of("alter_partition", META_2, write),
    of("alter_partition_with_environment_context", META_2, write),
    of("alter_partitions", META_2, write),
    of("alter_partitions_with_environment_context", META_2, write),
    of("alter_partitions_req", META_2, write),
    of("rename_partition", META_2, write),
    of("rename_partition_req", META_2, write),
    of("drop_constraint", META_2, write),
    of("add_primary_key", META_2, write),
    of("add_foreign_key", META_2, write),
    of("add_unique_constraint", META_2, write),
    of("add_not_null_constraint", META_2, write),
    of("add_default_constraint", META_2, write),
    of("add_check_constraint", META_2, write),
    of("delete_table_column_statistics", META_2, write),
    of("delete_partition_column_statistics", META_2, write),
    of("drop_function", META_2, write),
    of("alter_function", META_2, write),
    of("create_catalog", META_3, write),
    of("drop_catalog", META_3, write),
    of("alter_catalog", META_3, write),
    of("create_database", META_3, write),
    of("create_database_req", META_3, write),
    of("drop_database", META_3, write),
    of("drop_database_req", META_3, write),
    of("create_table", META_3, write),
    of("create_table_with_environment_context", META_3, write),
    of("create_table_with_constraints", META_3, write),
    of("create_table_req", META_3, write),
    of("add_partition", META_3, write),
    of("add_partition_with_environment_context", META_3, write),
    of("add_partitions", META_3, write),
    of("add_partitions_pspec", META_3, write),
    of("add_partitions_req", META_3, write),
    of("append_partition", META_3, write),
    of("append_partition_with_environment_context", META_3, write),
    of("append_partition_by_name", META_3, write),
    of("append_partition_by_name_with_environment_context", META_3, write),
    of("append_partition_req", META_3, write),
    of("update_table_column_statistics", META_3, write),
    of("update_table_column_statistics_req", META_3, write),
    of("update_partition_column_statistics", META_3, write),
    of("update_partition_column_statistics_req", META_3, write),
    of("set_aggr_stats_for", META_3, write),
    of("create_function", META_3, write),
];
