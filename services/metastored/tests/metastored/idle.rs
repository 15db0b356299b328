//! Very many connections that ask for nothing.
//!
//! Their clients live in a process of their own: one process may not have enough sockets for both
//! ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use driftless_metastored::Limits;

use crate::client::{Client, texts};
use crate::place::Place;

/// Tells the helper what to connect to, and how often.
const HOLD: &str = "DRIFTLESS_TEST_HOLD";

const CONNECTIONS: usize = 10_000;

/// Connects as often as it is told, says so, and waits until its input ends.
#[test]
#[ignore = "a helper of the test below, which starts it as a process"]
fn holds_connections() {
    let told = std::env::var(HOLD).unwrap();
    let (address, count) = told.split_once(' ').unwrap();
    let count: usize = count.parse().unwrap();
    let mut held = Vec::with_capacity(count);
    for at in 0..count {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        // They are accepted in order: no queue runs over, where connecting would take seconds.
        if at % 500 == 499 {
            stream.write_all(&texts("get_all_databases", &[])).unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        held.push(stream);
    }
    std::io::stdout().write_all(b"\nheld\n").unwrap();
    let mut rest = String::new();
    std::io::stdin().read_to_string(&mut rest).unwrap();
    assert_eq!(held.len(), count);
}

/// A process that holds connections, once it does.
fn hold(address: std::net::SocketAddr, count: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "idle::holds_connections", "--ignored", "--nocapture"])
        .env(HOLD, format!("{address} {count}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "held"), "nothing is held");
    child
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_nobody_waiting() {
    let place = Place::new().await;
    let service = place.serve().await;
    let before = resident_kib();
    let address = service.address;
    let mut holder = tokio::task::spawn_blocking(move || hold(address, CONNECTIONS)).await.unwrap();
    let mut client = Client::new(service.address).await;
    for _ in 0..100 {
        let answer = client.call(&texts("get_all_databases", &[])).await;
        assert_eq!(answer.texts(), ["default"]);
    }
    let kib = resident_kib().saturating_sub(before);
    eprintln!("{CONNECTIONS} idle connections: {kib} KiB resident");
    // A quarter of a message's longest would be 40 GiB.
    assert!(kib < 256 << 10, "{kib} KiB");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_place_the_longest_idle_makes_room() {
    let place = Place::new().await;
    let limits = Limits { connections: 3, ..Limits::default() };
    let service = place.serve_with("east", limits).await;
    let call = texts("get_all_databases", &[]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::new(service.address).await;
        client.call(&call).await;
        clients.push(client);
    }
    // The first has just been used: the second is idle longest.
    clients[0].call(&call).await;
    let mut newest = Client::new(service.address).await;
    assert_eq!(newest.call(&call).await.texts(), ["default"]);
    assert!(clients[1].is_closed().await);
    for index in [0, 2] {
        assert_eq!(clients[index].call(&call).await.texts(), ["default"]);
    }
    service.stop().await;
}
