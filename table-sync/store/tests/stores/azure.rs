//! Azure against Azurite.

use table_sync_store::{Settings, Store, StoreKind};

use crate::conformance::{Limits, conforms};
use crate::servers::{ACCOUNT, ACCOUNT_KEY, Server, azurite, named};

pub fn azurite_store(server: &Server) -> Store {
    let options = [
        ("azure_storage_endpoint", format!("http://127.0.0.1:{}/{ACCOUNT}", server.port)),
        ("account_name", ACCOUNT.to_owned()),
        ("account_key", ACCOUNT_KEY.to_owned()),
    ];
    named("az://lake/root x", &options, &Settings::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azurite_conforms() {
    let Some(server) = azurite("azurite_conforms") else { return };
    let store = azurite_store(&server);
    assert_eq!(store.kind(), StoreKind::Azure);
    conforms(&store, Limits { large_bytes: 20 << 20, keeps_crc32c: false }).await;
}
