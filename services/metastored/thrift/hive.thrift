// The part of the Hive Metastore's interface that readers use.
//
// Field numbers and types are those of Hive 2.3 to 4.1 (standalone-metastore,
// hive_metastore.thrift); fields that no reader looks at are left out, which the protocol allows.
// There is no `service`: a call is its arguments as one of the structs below, and its result is
// field 0 or an exception, which `src/answer.rs` writes.
//
// After a change: ./generate.sh

// ---- Rows ----

enum PrincipalType { USER = 1, ROLE = 2, GROUP = 3 }

struct FieldSchema {
  1: string name,
  2: string type,
  3: string comment,
}

struct SerDeInfo {
  1: string name,
  2: string serializationLib,
  3: map<string, string> parameters,
}

struct Order { 1: string col, 2: i32 order }

struct SkewedInfo {
  1: list<string> skewedColNames,
  2: list<list<string>> skewedColValues,
  3: map<list<string>, string> skewedColValueLocationMaps,
}

struct StorageDescriptor {
  1: list<FieldSchema> cols,
  2: string location,
  3: string inputFormat,
  4: string outputFormat,
  5: bool compressed,
  6: i32 numBuckets,
  7: SerDeInfo serdeInfo,
  8: list<string> bucketCols,
  9: list<Order> sortCols,
  10: map<string, string> parameters,
  11: optional SkewedInfo skewedInfo,
  12: optional bool storedAsSubDirectories,
}

struct Table {
  1: string tableName,
  2: string dbName,
  3: string owner,
  4: i32 createTime,
  5: i32 lastAccessTime,
  6: i32 retention,
  7: StorageDescriptor sd,
  8: list<FieldSchema> partitionKeys,
  9: map<string, string> parameters,
  10: string viewOriginalText,
  11: string viewExpandedText,
  12: string tableType,
  14: optional bool temporary,
  17: optional string catName,
  18: optional PrincipalType ownerType,
}

struct Partition {
  1: list<string> values,
  2: string dbName,
  3: string tableName,
  4: i32 createTime,
  5: i32 lastAccessTime,
  6: StorageDescriptor sd,
  7: map<string, string> parameters,
  9: optional string catName,
}

struct Database {
  1: string name,
  2: string description,
  3: string locationUri,
  4: map<string, string> parameters,
  6: optional string ownerName,
  7: optional PrincipalType ownerType,
  8: optional string catalogName,
}

struct TableMeta {
  1: string dbName,
  2: string tableName,
  3: string tableType,
  4: optional string comments,
  5: optional string catName,
}

struct Catalog {
  1: string name,
  2: optional string description,
  3: string locationUri,
}

// MetaException, NoSuchObjectException and the others have this shape; a result's field number
// tells which one it is.
struct Message { 1: string message }

struct ApplicationException { 1: string message, 2: i32 type }

// ---- Results that are structs of their own ----

struct TableResult { 1: required Table table }
struct TablesResult { 1: required list<Table> tables }
struct DatabasesResult { 1: required list<Database> databases }
struct PartitionResult { 1: required Partition partition }
struct PartitionsResult { 1: required list<Partition> partitions }
struct PartitionsByExprResult {
  1: required list<Partition> partitions,
  2: required bool hasUnknownPartitions,
}
struct NamesResult { 1: required list<string> names }
struct CatalogResult { 1: required Catalog catalog }
// Statistics are never kept: no column has any.
struct TableStatisticsResult { 1: required list<Message> tableStats }
struct PartitionStatisticsResult { 1: required map<string, list<Message>> partStats }
struct AggregateStatistics {
  1: required list<Message> colStats,
  2: required i64 partsFound,
}
// Constraints, functions, events: structs whose first field is a list, always empty here.
struct EmptyList { 1: required list<Message> items }
struct EmptyStruct { }
struct EventId { 1: required i64 eventId }

// ---- Arguments, by shape ----

struct Texts1 { 1: optional string first }
struct Texts2 { 1: optional string first, 2: optional string second }
struct Texts3 { 1: optional string first, 2: optional string second, 3: optional string third }
struct TextAndList { 1: optional string text, 2: optional list<string> items }
struct Texts2AndList {
  1: optional string first,
  2: optional string second,
  3: optional list<string> items,
}
struct Texts2AndCount { 1: optional string first, 2: optional string second, 3: optional i16 max }
struct Texts3AndCount {
  1: optional string first,
  2: optional string second,
  3: optional string third,
  4: optional i16 max,
}
struct Texts2ListAndCount {
  1: optional string first,
  2: optional string second,
  3: optional list<string> items,
  4: optional i16 max,
}

// ---- Requests: arguments that are one struct ----

struct TableRequest { 1: optional string dbName, 2: optional string tblName }
struct TableRequestArgs { 1: optional TableRequest req }

struct TablesRequest { 1: optional string dbName, 2: optional list<string> tblNames }
struct TablesRequestArgs { 1: optional TablesRequest req }

struct DatabaseRequest { 1: optional string name, 2: optional string catalogName }
struct DatabaseRequestArgs { 1: optional DatabaseRequest req }

struct ByNamesRequest {
  1: optional string dbName,
  2: optional string tblName,
  3: optional list<string> names,
}
struct ByNamesRequestArgs { 1: optional ByNamesRequest req }

// PartitionsByExprRequest. The expression is Hive's own, in Kryo: it is never decoded.
struct ByExprRequest {
  1: optional string dbName,
  2: optional string tblName,
  3: optional binary expr,
  5: optional i16 maxParts,
}
struct ByExprRequestArgs { 1: optional ByExprRequest req }

// The requests of Hive 4 put the catalog's name in front.
struct PartitionRequest {
  1: optional string catName,
  2: optional string dbName,
  3: optional string tblName,
  4: optional list<string> partVals,
}
struct PartitionRequestArgs { 1: optional PartitionRequest req }

struct PartitionsRequest {
  1: optional string catName,
  2: optional string dbName,
  3: optional string tblName,
  4: optional i16 maxParts,
}
struct PartitionsRequestArgs { 1: optional PartitionsRequest req }

struct PartitionsPsRequest {
  1: optional string catName,
  2: optional string dbName,
  3: optional string tblName,
  4: optional list<string> partVals,
  5: optional i16 maxParts,
}
struct PartitionsPsRequestArgs { 1: optional PartitionsPsRequest req }
