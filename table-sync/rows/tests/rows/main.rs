//! The judge against tables whose rows are known: those that Spark wrote, and the demo's.
// hudi-core's futures nest deeper than the compiler's default limit.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod demo;
mod demo_hudi;
mod hudi;
mod process;
mod replica;
mod spark;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use table_sync_rows::{RowSummary, RowsError, open_store, read};
use url::Url;

/// The URL of a table in a local folder, and the store to read it from.
fn local(table: &Path) -> (Arc<dyn ObjectStore>, Url) {
    let url = Url::from_directory_path(table).unwrap();
    (open_store(&url, &BTreeMap::new()).unwrap(), url)
}

async fn read_local(table: &Path, version: Option<u64>) -> Result<RowSummary, RowsError> {
    let (store, url) = local(table);
    read(store, url, version).await
}
