//! Azure against Azurite.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;
use table_sync_store::{Settings, Store, StoreKind};

use crate::conformance::{Limits, conforms};
use crate::servers::{ACCOUNT, ACCOUNT_KEY, Server, azurite, named};

/// Makes a container: no library of ours can.
fn create_container(server: &Server, name: &str) {
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06\n");
    let resource = format!("/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container");
    let to_sign = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}{resource}");
    let key = STANDARD.decode(ACCOUNT_KEY).unwrap();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(to_sign.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let request = format!(
        "PUT /{ACCOUNT}/{name}?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\
         x-ms-date: {date}\r\nx-ms-version: 2021-08-06\r\n\
         Authorization: SharedKey {ACCOUNT}:{signature}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n",
        server.port
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 201"), "{reply}");
}

pub fn azurite_store(server: &Server) -> Store {
    create_container(server, "lake");
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
