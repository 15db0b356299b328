//! Over a real socket of the loopback interface.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::service::{Api, ORDERS};

async fn request(address: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The connection ends when the answer does.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn it_serves_limits_heads_and_ends() {
    let api = Api::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(driftless_catalogd::serve(listener, api.router.clone(), async {
        let _ = stopped.await;
    }));
    let head = |rest: &str| {
        format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{rest}\r\n")
    };
    let answer = request(&address, &head("")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = request(&address, &head(&format!("x-large: {}\r\n", "x".repeat(40_000)))).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = request(&address, &head(&format!("x-large: {}\r\n", "x".repeat(400_000)))).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // A large body is refused before it is sent.
    let head = format!(
        "PUT /v1/projects/lake HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: 2000000\r\n\r\n"
    );
    let answer = request(&address, &head).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too_large"), "{answer}");
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(TcpStream::connect(&address).await.is_err(), "nobody listens any more");
}

/// Without tokens, whoever comes over another interface is refused, whatever it says of the host.
#[tokio::test]
async fn without_tokens_it_is_for_this_machine_only() {
    // Sends nothing: the system says which address it would send from.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let Ok(address) = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()) else {
        eprintln!("SKIPPED: this machine has the loopback interface only");
        return;
    };
    let api = Api::new().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(driftless_catalogd::serve(
        listener,
        api.router.clone(),
        std::future::pending::<()>(),
    ));
    let head = "GET /v1/tables HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    for (ip, expect) in [(address.ip().to_string().as_str(), "403"), ("127.0.0.1", "200")] {
        let answer = request(&format!("{ip}:{port}"), head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expect}")), "{ip}: {answer}");
    }
}

/// Whoever does not wait for the answer of a change gets it made nevertheless, once.
#[tokio::test]
async fn a_change_is_finished_without_its_caller() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let body = json!({ "share": 3 }).to_string();
    let line = format!("PUT /v1/tables/{ORDERS}/policy");
    let key = [("idempotency-key", "gone")];
    let sent = api.send(&line, &key, &body);
    // Polled once, which begins it, and dropped.
    assert!(futures::FutureExt::now_or_never(sent).is_none());
    let answer = loop {
        let reply = api.send(&line, &key, &body).await;
        match reply.refusal().1.as_str() {
            "in_progress" => tokio::task::yield_now().await,
            _ => break reply.ok(),
        }
    };
    assert_eq!(answer.json()["revision"], 2, "it was made once: {answer:?}");
}
