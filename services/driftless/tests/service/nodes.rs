//! Several processes on one catalog: stopped in the middle, gone on, told to end.

use serde_json::json;

use crate::pump::Pump;
use crate::world::{Process, World, pause};

fn policy() -> serde_json::Value {
    json!({ "poll_seconds": 1, "start": "earliest" })
}

fn owner(world: &World, api: &Process, table: &str) -> String {
    world.table(api, table)["owner"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_node_that_was_stopped_and_goes_on_does_no_harm() {
    let world = World::new();
    let api = world.start("catalogd --no-auth --data data --listen 127.0.0.1:0");
    world.inventory(&api);
    let node = |name: &str| {
        let line = format!("syncd --data data --poll 50ms --lease 1s --node {name}");
        world.start(&line)
    };
    let nodes = [node("a"), node("b")];
    let mut pump = Pump::delta(world.path("lake/orders"), "history");
    pump.step();
    world.register(&api, "orders", &policy());
    // While the table is written, whoever owns it is stopped for longer than its lease, and then
    // goes on beside the node that took over.
    let mut owners = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let owned_by = loop {
            let owner = owner(&world, &api, "orders");
            let found = nodes.iter().find(|node| node.said["node"] == owner.as_str());
            if let Some(found) = found {
                owners.insert(owner);
                break found;
            }
            pause();
        };
        for _ in 0..12 {
            pump.step();
        }
        owned_by.signal("STOP");
        while owner(&world, &api, "orders") == owned_by.said["node"].as_str().unwrap() {
            pump.step();
            pause();
        }
        owned_by.signal("CONT");
        for _ in 0..12 {
            pump.step();
            pause();
        }
    }
    assert_eq!(owners.len(), 2, "{owners:?}");
    pump.finish();
    let newest = newest_version(&world, "orders");
    world.until_head(&api, "orders", &json!(newest));
    for site in ["east", "west"] {
        let path = format!("lake.sales.orders at {site}");
        let published = published(&api, site);
        assert_eq!(published, (0..=newest).collect::<Vec<_>>(), "{path}");
        let source = world.path("lake/orders").display().to_string();
        let target = world.path(site).join("lake/sales/orders").display().to_string();
        let (code, said) = world.run(&["verify", &source, &target, "--level", "bytes"]);
        assert_eq!(code, 0, "{said:#}");
    }
    for node in nodes {
        assert_eq!(node.stop(), 0);
    }
    assert_eq!(owner(&world, &api, "orders"), "");
    assert_eq!(api.stop(), 0);
}

pub(crate) fn newest_version(world: &World, table: &str) -> u64 {
    let log = std::fs::read_dir(world.path("lake").join(table).join("_delta_log")).unwrap();
    let version = |name: String| name.strip_suffix(".json")?.parse::<u64>().ok();
    log.filter_map(|entry| version(entry.unwrap().file_name().into_string().unwrap()))
        .max()
        .unwrap()
}

/// Versions as a site published them, in order, by its events.
fn published(api: &Process, site: &str) -> Vec<u64> {
    let mut seen = Vec::new();
    for event in events(api) {
        if event["kind"] == "version.published" && event["site"] == site {
            seen.extend(event["body"]["position"].as_u64());
        }
    }
    seen
}

/// All events so far.
pub(crate) fn events(api: &Process) -> Vec<serde_json::Value> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = get(api, &format!("/v1/events?after={after}&page_size=1000"));
        let events = page["events"].as_array().unwrap().clone();
        let Some(last) = events.last() else { break };
        after = last["seq"].as_i64().unwrap();
        all.extend(events);
    }
    all
}

/// A plain GET of a document, without a token.
pub(crate) fn get(api: &Process, path: &str) -> serde_json::Value {
    serde_json::from_str(&text_of(api, path)).unwrap()
}

/// A plain GET, without a token.
pub(crate) fn text_of(api: &Process, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let address = api.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => unchunked(body),
        false => body.to_owned(),
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    whole
}
