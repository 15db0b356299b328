//! The trait path, over memory.

use std::sync::Arc;

use table_sync_store::{Store, StoreKind};

use crate::conformance::{Limits, conforms};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_conforms() {
    let store = Store::over(Arc::new(object_store::memory::InMemory::new()), "memory://");
    assert_eq!(store.kind(), StoreKind::Other);
    conforms(&store, Limits { large_bytes: 20 << 20, keeps_crc32c: false }).await;
}
