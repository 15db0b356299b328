//! From a table that is in trouble to a receiver that hears of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use driftless_alerts::{Alerts, Cycle, Options, ReceiverKind, StartError, active, rule::Severity};
use driftless_catalog::{Priority, TableName};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::world::{Inbox, MINUTE, NODE, Received, World, blocked};

const TABLE: &str = "lake.sales.orders";

async fn orders() -> World {
    let world = World::new().await;
    world.table(TABLE, Priority::Standard, &["east"]).await;
    world
}

async fn inbox() -> Inbox {
    Inbox::new("ops", ReceiverKind::Alertmanager).await
}

/// Evaluates, and tells. Answers how many messages arrived.
async fn turn(cycle: &mut Cycle) -> usize {
    cycle.evaluate().await.unwrap();
    cycle.notify().await
}

#[tokio::test]
async fn a_stopped_table_is_told_and_a_resumed_one_too() {
    let world = orders().await;
    let mut inbox = inbox().await;
    let mut cycle = world.cycle(&[&inbox.receiver]);
    assert_eq!(turn(&mut cycle).await, 0);
    let table = world.catalog.table(&TableName::parse(TABLE).unwrap()).await.unwrap();
    world.catalog.release(NODE, &[table.id]).await.unwrap();
    assert_eq!(turn(&mut cycle).await, 0);
    world.pass(5 * MINUTE - 1);
    assert_eq!(turn(&mut cycle).await, 0);
    world.pass(1);
    assert_eq!(turn(&mut cycle).await, 1);
    let body = inbox.one().json();
    let labels = json!({
        "alertname": "TableStopped",
        "severity": "ticket",
        "project": "lake",
        "namespace": "sales",
        "table": TABLE,
        "site": "east",
        "tier": "standard",
        "status": "stopped",
        "paused": "false",
    });
    assert_eq!(body["status"], "firing");
    assert_eq!(body["alerts"][0]["labels"], labels);
    assert_eq!(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    let known = active(&world.catalog).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(json!(known[0].labels), labels);

    world.catalog.claim(NODE, 10).await.unwrap();
    world.report(TABLE, "east", |_| ()).await;
    assert_eq!(turn(&mut cycle).await, 0);
    world.pass(40_001);
    assert_eq!(turn(&mut cycle).await, 1);
    let resolved = inbox.one().json();
    assert_eq!(resolved["status"], "resolved");
    let [before, after] = [&body["alerts"][0], &resolved["alerts"][0]];
    assert_eq!(after["status"], "resolved");
    for same in ["fingerprint", "labels", "startsAt"] {
        assert_eq!(before[same], after[same]);
    }
    let ends_at = after["endsAt"].as_str().unwrap();
    assert!(ends_at > after["startsAt"].as_str().unwrap(), "{ends_at}");
    assert!(active(&world.catalog).await.unwrap().is_empty());
    world.pass(5 * 60 * MINUTE);
    world.report(TABLE, "east", |_| ()).await;
    assert_eq!(turn(&mut cycle).await, 0);
}

/// The whole body of each kind.
#[tokio::test]
async fn bodies_are_what_receivers_expect() {
    let world = orders().await;
    world.table("lake.sales.items", Priority::Bulk, &["east"]).await;
    for table in [TABLE, "lake.sales.items"] {
        world.report(table, "east", blocked).await;
    }
    for (kind, file, content_type) in [
        (
            ReceiverKind::Alertmanager,
            expect_test::expect_file!["alertmanager.json"],
            "application/json",
        ),
        (ReceiverKind::Slack, expect_test::expect_file!["slack.json"], "application/json"),
        (
            ReceiverKind::CloudEvents,
            expect_test::expect_file!["cloudevents.json"],
            "application/cloudevents+json; charset=utf-8",
        ),
    ] {
        let mut inbox = Inbox::new(&format!("{kind:?}"), kind).await;
        let mut cycle = world.cycle(&[&inbox.receiver]);
        assert_eq!(turn(&mut cycle).await, 1);
        let received = inbox.one();
        assert_eq!(received.headers["content-type"], content_type);
        file.assert_eq(&format!("{:#}\n", received.json()));
    }
}

fn is_signed(received: &Received, key: &str) -> bool {
    let header = received.headers["x-driftless-signature"].to_str().unwrap();
    let (time, digest) = header.split_once(',').unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{time}.").as_bytes());
    mac.update(&received.body);
    let expect = mac.finalize().into_bytes();
    let expect: String = expect.iter().map(|byte| format!("{byte:02x}")).collect();
    digest.strip_prefix("v1=") == Some(&expect)
}

#[tokio::test]
async fn messages_are_signed_where_there_is_a_secret() {
    let world = orders().await;
    world.report(TABLE, "east", blocked).await;
    let mut signed = Inbox::new("signed", ReceiverKind::Alertmanager).await;
    let mut plain = Inbox::new("plain", ReceiverKind::Alertmanager).await;
    plain.receiver.secret = None;
    let mut cycle = world.cycle(&[&signed.receiver, &plain.receiver]);
    assert_eq!(turn(&mut cycle).await, 2);
    let received = signed.one();
    assert!(is_signed(&received, "key"));
    assert!(!is_signed(&received, "other key"));
    assert!(!plain.one().headers.contains_key("x-driftless-signature"));
}

#[tokio::test]
async fn a_receiver_that_was_down_is_told_once() {
    let world = orders().await;
    world.report(TABLE, "east", blocked).await;
    let mut up = inbox().await;
    // Nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut down = up.receiver.clone();
    down.name = "down".to_owned();
    down.url = format!("http://{address}/hook");
    let mut cycle = world.cycle(&[&up.receiver, &down]);
    assert_eq!(turn(&mut cycle).await, 1);
    up.one();
    assert_eq!(turn(&mut cycle).await, 0);
    // It is back, but answers nonsense at first.
    let listener = TcpListener::bind(address).await.unwrap();
    let mut back = Inbox::on(listener, "down", ReceiverKind::Alertmanager);
    for status in [503, 404, 302] {
        back.answer.store(status, Ordering::SeqCst);
        assert_eq!(cycle.notify().await, 0);
        assert_eq!(back.all().len(), 0, "before its time");
        world.pass(5 * MINUTE);
        assert_eq!(cycle.notify().await, 0);
        back.one();
    }
    back.answer.store(204, Ordering::SeqCst);
    world.pass(5 * MINUTE);
    assert_eq!(cycle.notify().await, 1);
    assert_eq!(back.one().json()["alerts"][0]["labels"]["alertname"], "TableBlocked");
    world.pass(5 * MINUTE);
    assert_eq!(cycle.notify().await, 0);
    assert_eq!((up.all().len(), back.all().len()), (0, 0));
}

#[tokio::test]
async fn what_ended_before_it_could_be_told_is_not_told() {
    let world = orders().await;
    world.report(TABLE, "east", blocked).await;
    let mut inbox = inbox().await;
    inbox.answer.store(500, Ordering::SeqCst);
    let mut cycle = world.cycle(&[&inbox.receiver]);
    assert_eq!(turn(&mut cycle).await, 0);
    inbox.one();
    inbox.answer.store(200, Ordering::SeqCst);
    world.pass(5 * MINUTE);
    world.report(TABLE, "east", |_| ()).await;
    assert_eq!(turn(&mut cycle).await, 0);
    assert_eq!(inbox.all().len(), 0);
}

#[tokio::test]
async fn a_restart_neither_repeats_nor_forgets() {
    let world = orders().await;
    world.report(TABLE, "east", blocked).await;
    let mut inbox = inbox().await;
    assert_eq!(turn(&mut world.cycle(&[&inbox.receiver])).await, 1);
    inbox.one();
    // Much later, by another process.
    world.pass(60 * MINUTE);
    let mut cycle = world.cycle(&[&inbox.receiver]);
    assert_eq!(turn(&mut cycle).await, 0);
    world.pass(180 * MINUTE);
    assert_eq!(turn(&mut cycle).await, 1);
    assert_eq!(inbox.one().json()["status"], "firing");
    // It ends while no process runs.
    world.pass(10 * MINUTE);
    world.report(TABLE, "east", |_| ()).await;
    let mut cycle = world.cycle(&[&inbox.receiver]);
    assert_eq!(turn(&mut cycle).await, 1);
    assert_eq!(inbox.one().json()["status"], "resolved");
    assert_eq!(turn(&mut cycle).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_one_tells() {
    let world = orders().await;
    let mut inbox = inbox().await;
    let mut cycles: Vec<_> = (0..4).map(|_| world.cycle(&[&inbox.receiver])).collect();
    for round in 0..10 {
        let is_blocked = round % 2 == 0;
        world
            .report(TABLE, "east", |progress| {
                if is_blocked {
                    blocked(progress);
                }
            })
            .await;
        world.pass(40_001);
        world
            .report(TABLE, "east", |progress| {
                if is_blocked {
                    blocked(progress);
                }
            })
            .await;
        let turns = cycles.iter_mut().map(turn);
        let told: usize = futures::future::join_all(turns).await.into_iter().sum();
        assert_eq!(told, 1, "round {round}");
        let expect = if is_blocked { "firing" } else { "resolved" };
        assert_eq!(inbox.one().json()["status"], expect, "round {round}");
    }
}

#[tokio::test]
async fn receivers_hear_of_what_they_want() {
    let world = orders().await;
    world.table("mart.a.b", Priority::Critical, &["east"]).await;
    for table in [TABLE, "mart.a.b"] {
        world.report(table, "east", blocked).await;
    }
    let mut pager = Inbox::new("pager", ReceiverKind::Alertmanager).await;
    pager.receiver.min_severity = Severity::Page;
    let mut lake = Inbox::new("lake", ReceiverKind::Alertmanager).await;
    lake.receiver.projects = vec!["lake".to_owned()];
    let mut cycle = world.cycle(&[&pager.receiver, &lake.receiver]);
    assert_eq!(turn(&mut cycle).await, 2);
    let table = |received: Received| received.json()["alerts"][0]["labels"]["table"].clone();
    assert_eq!(table(pager.one()), "mart.a.b");
    assert_eq!(table(lake.one()), TABLE);
}

/// Nothing is left out when everything breaks at once.
#[tokio::test]
async fn many_alerts_come_in_few_messages() {
    let world = World::new().await;
    for at in 0..205 {
        let name = format!("lake.sales.t{at}");
        world.table(&name, Priority::Bulk, &["east"]).await;
        world.report(&name, "east", blocked).await;
    }
    let mut inbox = inbox().await;
    let mut chat = Inbox::new("chat", ReceiverKind::Slack).await;
    let mut cycle = world.cycle(&[&inbox.receiver, &chat.receiver]);
    assert_eq!(turn(&mut cycle).await, 4);
    let bodies: Vec<Value> = inbox.all().iter().map(Received::json).collect();
    let counts: Vec<_> =
        bodies.iter().map(|body| body["alerts"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [200, 5]);
    let text = chat.all()[0].json()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("*[FIRING:200] TableBlocked* (ticket)\n"), "{text}");
    assert!(text.contains("\nand 180 more\n"), "{text}");
}

#[tokio::test]
async fn the_service_runs_by_itself_and_stops() {
    let world = orders().await;
    world.report(TABLE, "east", blocked).await;
    let mut inbox = inbox().await;
    let options = Options { every: Duration::from_millis(20), ..world.options(&[&inbox.receiver]) };
    let alerts = Alerts::start(options).unwrap();
    assert_eq!(inbox.next().await.json()["status"], "firing");
    world.pass(40_001);
    world.report(TABLE, "east", |_| ()).await;
    world.pass(40_001);
    world.report(TABLE, "east", |_| ()).await;
    assert_eq!(inbox.next().await.json()["status"], "resolved");
    alerts.stop().await;
}

#[tokio::test]
async fn receivers_that_make_no_sense_are_refused() {
    let world = World::new().await;
    let inbox = inbox().await;
    let check = |url: &str, expect: &str| {
        let mut receiver = inbox.receiver.clone();
        receiver.url = url.to_owned();
        let error = Cycle::new(world.options(&[&receiver])).err().unwrap();
        assert!(matches!(error, StartError::Receiver(_)), "{error:?}");
        assert_eq!(error.to_string(), expect);
        assert!(!format!("{receiver:?}").contains("key"), "{receiver:?}");
    };
    for url in ["", "hook", "/hook", "ftp://host/secret", "mailto:ops@example.com"] {
        check(url, "receiver ops: its URL is no http or https URL");
    }
    let twice = Cycle::new(world.options(&[&inbox.receiver, &inbox.receiver])).err().unwrap();
    assert_eq!(twice.to_string(), "receiver ops: there are two of this name");
}
