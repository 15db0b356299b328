//! TLS with a certificate authority of one's own, and through a proxy.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use table_sync_store::{Settings, Store, WriteError};

use crate::servers::{KEY_ID, SECRET, Server, named, versitygw_with};

/// An authority, and a certificate of it for `localhost`. `None` without openssl.
fn certificate(folder: &Path) -> Option<()> {
    let openssl = |line: &str| {
        let run = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        run.is_ok_and(|status| status.success()).then_some(())
    };
    let extensions = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n";
    std::fs::write(folder.join("leaf.ext"), extensions).unwrap();
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem")?;
    openssl("req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out leaf.csr")?;
    openssl(
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
         -extfile leaf.ext -out cert.pem",
    )
}

fn server(test: &str, folder: &Path) -> Option<Server> {
    if certificate(folder).is_none() {
        eprintln!("SKIPPED {test}: openssl is not installed");
        return None;
    }
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    versitygw_with(test, &["--keep-alive", "--cert", cert, "--key", key])
}

fn store(server: &Server, settings: &Settings) -> Store {
    let options = [
        ("endpoint", format!("https://localhost:{}", server.port)),
        ("region", "us-east-1".to_owned()),
        ("access_key_id", KEY_ID.to_owned()),
        ("secret_access_key", SECRET.to_owned()),
    ];
    named("s3://lake/tls", &options, settings)
}

async fn works(store: &Store) {
    store.create("a", Bytes::from(vec![1; 300_000])).await.unwrap();
    let (bytes, _) = store.get("a", 1 << 20).await.unwrap().unwrap();
    assert_eq!(bytes, vec![1; 300_000]);
    let mut seen = 0;
    let each = |_| {
        seen += 1;
        std::ops::ControlFlow::Continue(())
    };
    store.list("", None, each).await.unwrap();
    assert_eq!(seen, 1);
    store.delete("a", None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_certificate_authority() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = server("own_certificate_authority", folder.path()) else { return };
    let retry_timeout = std::time::Duration::from_millis(300);
    let ca_file = Some(folder.path().join("ca.pem"));
    let trusting = Settings { ca_file, retry_timeout, ..Settings::default() };
    works(&store(&server, &trusting)).await;
    let unknown = Settings { retry_timeout, ..Settings::default() };
    let error = store(&server, &unknown).create("b", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, WriteError::Refused { .. }), "{error:?}");
}

/// A proxy that only knows CONNECT. Counts tunnels.
fn proxy() -> (u16, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&tunnels);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), counter) = (client, Arc::clone(&counter)) else { continue };
            std::thread::spawn(move || tunnel(client, &counter));
        }
    });
    (port, tunnels)
}

fn tunnel(mut client: std::net::TcpStream, counter: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let Some(address) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next())
    else {
        return;
    };
    let mut server = std::net::TcpStream::connect(address).unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    counter.fetch_add(1, Ordering::Relaxed);
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let up = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(std::net::Shutdown::Write);
    let _ = up.join();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = server("through_a_proxy", folder.path()) else { return };
    let (port, tunnels) = proxy();
    let settings = Settings {
        ca_file: Some(folder.path().join("ca.pem")),
        proxy: Some(format!("http://127.0.0.1:{port}")),
        ..Settings::default()
    };
    works(&store(&server, &settings)).await;
    // One connection of ours, one of the control plane.
    assert!(tunnels.load(Ordering::Relaxed) >= 2);
}
