//! A table waits for a person; somebody else's HTTP server hears of it, and of its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::text_of;
use crate::pump::Pump;
use crate::world::World;

/// A message comes within this time, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// An HTTP server that takes everything: its address, and the bodies that it was sent.
fn receiver() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if sender.send(body_of(stream.unwrap())).is_err() {
                return;
            }
        }
    });
    (address, bodies)
}

/// Reads one request and answers it.
fn body_of(stream: TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    reader.get_mut().write_all(answer).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn a_blocked_table_calls_a_person_and_its_recovery_is_told() {
    let mut world = World::new();
    let (address, bodies) = receiver();
    let config = world.path("driftless.toml");
    let text = format!("[[receivers]]\nname = \"on-call\"\nurl = \"http://{address}/hook\"\n");
    std::fs::write(&config, text).unwrap();
    world.set_env("DRIFTLESS_CONFIG", &config.display().to_string());
    let serve = world.serve();
    world.inventory(&serve);
    std::fs::create_dir(world.path("lake/orders")).unwrap();
    world.register(&serve, "orders", &json!({ "poll_seconds": 1 }));
    world.until(&serve, ("orders", "blocked"), |site| site["status"] == "blocked");
    let fired = bodies.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&fired["version"], &fired["status"]), (&json!("4"), &json!("firing")));
    let sites: std::collections::BTreeSet<_> = fired["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| {
            let labels = &alert["labels"];
            assert_eq!(labels["alertname"], "TableBlocked", "{fired:#}");
            assert_eq!(labels["table"], "lake.sales.orders");
            assert_eq!(labels["project"], "lake");
            labels["site"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(sites.into_iter().collect::<Vec<_>>(), ["east", "west"]);
    // The API and the metrics say the same.
    let active = crate::nodes::get(&serve, "/v1/alerts");
    assert_eq!(active["alerts"].as_array().unwrap().len(), 2, "{active:#}");
    let metrics = text_of(&serve, "/metrics");
    let blocked = "tablesync_table_status{project=\"lake\",tier=\"standard\",site=\"east\",\
                   status=\"blocked\"} 1";
    assert!(metrics.contains(blocked), "{metrics}");
    // Somebody helps at the source.
    Pump::delta(world.path("lake/orders"), "history").finish();
    world.ask(&serve, &["table", "sync", "lake.sales.orders"]);
    world.until(&serve, ("orders", "in step"), |site| site["status"] == "ok");
    let resolved = bodies.recv_timeout(PATIENCE).unwrap();
    assert_eq!(resolved["status"], "resolved", "{resolved:#}");
    assert_eq!(resolved["alerts"][0]["labels"]["alertname"], "TableBlocked");
    assert_eq!(serve.stop(), 0);
}
