//! Calls: which methods there are, what their arguments mean, and where their results declare
//! exceptions.
//!
//! # Invariants
//! - Every method that readers call is here, under its old and its new name: Trino asks for an
//!   unknown one ten times, for 18 seconds.
//! - Every method that writes is here too, so that its refusal reaches the person who asked.
//!
//! Source: Hive `hive_metastore.thrift` of 2.3, 3.1 and 4.1; `fb303.thrift`.

mod methods;
mod read;

use thrift::TConfiguration;
use thrift::protocol::{TBinaryInputProtocol, TSerializable};

use crate::answer::Throws;
pub(crate) use methods::method;
pub use methods::{reads, writes};

/// Values of one list of names.
const ITEMS_MAX: usize = 1 << 20;

/// What is asked for. Names are as the client sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// Who the client says it is. Nothing rests on it.
    SetUser { groups: Vec<String> },
    /// Names of databases.
    Databases { pattern: Option<String> },
    /// One database.
    Database { name: String },
    /// Names of tables; of one type, where it is given.
    Tables { database: String, pattern: String, kind: Option<String> },
    /// Names and types of tables.
    TableMetas { databases: String, tables: String, kinds: Vec<String> },
    /// Names of tables that have a parameter.
    TablesByFilter { database: String, filter: String, max: Option<usize> },
    /// One table.
    Table { of: TableOf, answer: Wrap },
    /// Several tables; those that are not there are left out.
    TablesByName { database: String, names: Vec<String>, answer: Wrap },
    /// Columns of a table, and those by which it is partitioned, where that is asked for.
    Fields { of: TableOf, all: bool },
    /// Names of partitions.
    PartitionNames { of: TableOf, values: Vec<String>, max: Option<usize>, answer: Wrap },
    /// One partition.
    Partition { of: TableOf, by: PartitionBy, answer: Wrap },
    /// Partitions with some values; all, where there are none.
    Partitions { of: TableOf, values: Vec<String>, max: Option<usize>, answer: Wrap },
    /// Partitions by their names; those that are not there are left out.
    PartitionsByName { of: TableOf, names: Vec<String>, answer: Wrap },
    /// All partitions, where an expression chooses some: the client chooses again.
    PartitionsByExpr { of: TableOf, max: Option<usize> },
    /// Partitions chosen by a text. Only one that chooses all is understood.
    PartitionsByFilter { of: TableOf, filter: String, max: Option<usize>, answer: Counted },
    /// The values in a partition's name, with their columns where that is asked for.
    PartitionName { name: String, columns: bool },
    /// Statistics of a table's columns: there are none.
    Statistics { of: TableOf, shape: Statistics },
    /// A list of which there is nothing here, as a result of this shape.
    Nothing(Nothing),
    /// A function: there are none.
    Function { database: String, name: String },
    /// A setting of a metastore; the client says what it takes for granted.
    Setting { default: String },
    /// Catalogs, or the only one.
    Catalogs,
    /// One catalog.
    Catalog { name: String },
    /// What the service is: `fb303`.
    Service(Service),
    /// Something that writes.
    Write,
    /// A token of Kerberos.
    Token,
}

/// A table by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableOf {
    pub(crate) database: String,
    pub(crate) table: String,
}

/// Whether a result is the value itself, or a struct that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrap {
    /// The value itself: methods of old.
    Bare,
    /// In a struct: methods whose names end with `_req`.
    Struct,
}

/// What is told of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Their rows.
    Rows,
    /// How many there are.
    Number,
}

/// How a partition is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartitionBy {
    /// By its values, in the order of the columns.
    Values(Vec<String>),
    /// By `column=value/column=value`, escaped.
    Name(String),
}

/// Shapes of statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistics {
    /// Of one column: `NoSuchObjectException`.
    Column,
    /// Of a table.
    Table,
    /// Of partitions.
    Partitions,
    /// Of partitions together.
    Aggregate,
}

/// Shapes of results that hold nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// An empty list.
    List,
    /// A struct whose first field is an empty list.
    Struct,
    /// A struct without fields.
    Empty,
    /// The number of the newest event: zero.
    EventId,
    /// No result at all.
    Void,
}

/// Questions of `fb303`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Name,
    Version,
    Status,
    StatusDetails,
    AliveSince,
    Identity,
}

/// A method.
pub(crate) struct Method {
    name: &'static str,
    /// Where its result declares exceptions.
    pub(crate) throws: Throws,
    read: Read,
}

type Read = fn(&[u8]) -> thrift::Result<Call>;

impl Method {
    /// Reads its arguments.
    ///
    /// # Errors
    /// They do not decode.
    pub(crate) fn call(&self, arguments: &[u8]) -> thrift::Result<Call> {
        (self.read)(arguments)
    }
}

/// Decodes arguments. What is claimed is bounded by what is there.
fn decode<T: TSerializable>(arguments: &[u8]) -> thrift::Result<T> {
    let limits = TConfiguration::builder()
        .max_message_size(Some(arguments.len()))
        .max_frame_size(None)
        .max_string_size(Some(arguments.len()))
        .max_container_size(Some(ITEMS_MAX))
        .max_recursion_depth(Some(TConfiguration::DEFAULT_RECURSION_LIMIT))
        .build()?;
    let mut protocol = TBinaryInputProtocol::with_config(arguments, true, limits);
    T::read_from_in_protocol(&mut protocol)
}
