//! One module a command: arguments in, one document out.

pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod inspect;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod verify;

use driftless_wire::Table;
use futures::stream::{self, StreamExt as _};

use crate::args::{Range, Tables};
use crate::run::Setting;

/// Tables that are worked on at once.
const TABLES_AT_ONCE: usize = 4;

/// Whether the document lists tables, rather than being about one.
fn lists_tables(tables: &Tables) -> bool {
    tables.source.as_ref().is_none_or(|source| source.contains('*'))
}

/// Options of the engine that all commands share.
fn options(setting: &Setting, range: Option<&Range>) -> table_sync_engine::Options {
    let mut options = table_sync_engine::Options {
        retry_budget: setting.globals.timeout,
        ..table_sync_engine::Options::default()
    };
    if let Some(range) = range {
        options.start = range.start;
        options.until = range.until;
    }
    options
}

/// Does one thing for each table, a few at once; results in the order of the tables.
async fn for_each<'a, T>(tables: &'a [Table], work: impl AsyncFn(&'a Table) -> T) -> Vec<T> {
    let work = &work;
    stream::iter(tables).map(|table| work(table)).buffered(TABLES_AT_ONCE).collect().await
}
