//! What is counted and foreseen, as a scraper of the metrics and a caller of the API see it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::json;

use crate::nodes::{get, text_of};
use crate::pump::Pump;
use crate::world::{PATIENCE, Process, World, pause};

const WEEK_SECONDS: f64 = 7.0 * 24.0 * 3_600.0;

/// The value of a metric, with its labels as they are written.
fn value(process: &Process, metric: &str) -> Option<f64> {
    let text = text_of(process, "/metrics");
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ')?.parse().ok())
}

fn until(process: &Process, metric: &str, holds: impl Fn(f64) -> bool) {
    for _ in 0..PATIENCE {
        if value(process, metric).is_some_and(&holds) {
            return;
        }
        pause();
    }
    panic!("{metric} is {:?}", value(process, metric));
}

/// Sends a notification; the status of the answer.
fn hint(process: &Process, body: &str) -> String {
    let address = process.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /v1/hints HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

/// Lets the writer go on until this version is there.
fn commit(pump: &mut Pump, table: &Path, version: u64) {
    let key = table.join(format!("_delta_log/{version:020}.json"));
    while !key.exists() {
        assert!(pump.step(), "the writer has no version {version}");
    }
}

#[test]
fn what_was_not_told_of_and_what_may_be_lost_is_known() {
    let world = World::new();
    let serve = world.serve();
    world.inventory(&serve);
    let table = world.path("lake/orders");
    let mut pump = Pump::delta(table.clone(), "history");
    commit(&mut pump, &table, 0);
    world.register(&serve, "orders", &json!({ "poll_seconds": 1 }));
    world.until_head(&serve, "orders", &json!(0));
    // Exported before anything happened, so that a rate sees the first.
    let missed = "tablesync_reconcile_found_missed_total";
    let diverged = "tablesync_verify_failures_total{kind=\"diverged\"}";
    assert_eq!((value(&serve, missed), value(&serve, diverged)), (Some(0.0), Some(0.0)));
    // The registration itself may be told of until some looks have found nothing.
    let looks = value(&serve, "tablesync_source_looks_total").unwrap();
    until(&serve, "tablesync_source_looks_total", |now| now > looks + 2.0);
    commit(&mut pump, &table, 1);
    world.until_head(&serve, "orders", &json!(1));
    until(&serve, missed, |count| count >= 1.0);
    assert_eq!(value(&serve, missed), Some(1.0));

    let elsewhere = json!({ "Records": [
        { "s3": { "bucket": { "name": "elsewhere" }, "object": { "key": "f" } } }, null ] });
    assert_eq!(hint(&serve, &elsewhere.to_string()), "202");
    assert_eq!(hint(&serve, "no JSON"), "400");
    let hints = |result: &str| format!("tablesync_hints_total{{result=\"{result}\"}}");
    for (result, expect) in [("matched", 0.0), ("unmatched", 1.0), ("refused", 2.0)] {
        assert_eq!(value(&serve, &hints(result)), Some(expect), "{result}");
    }

    world.ask(&serve, &["table", "pause", "lake.sales.orders"]);
    commit(&mut pump, &table, 3);
    world.until(&serve, ("orders", "known until when"), |site| {
        site["headroom_seconds"].as_f64().is_some_and(|left| left <= WEEK_SECONDS)
    });
    let lag = get(&serve, "/v1/lag");
    let left = lag["lag"][0]["headroom_seconds"].as_f64().unwrap();
    assert!((WEEK_SECONDS - 3_600.0..WEEK_SECONDS).contains(&left), "{lag:#}");
    let deadline = "tablesync_retention_deadline_timestamp_seconds{project=\"lake\",\
                    tier=\"standard\",site=\"west\",table=\"lake.sales.orders\"}";
    assert!(value(&serve, deadline).is_some());
    assert_eq!(serve.stop(), 0);
}
