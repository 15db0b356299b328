//! `/v1/watch`: events as they happen.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use driftless_catalogd::Limits;
use futures::StreamExt as _;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::service::{Api, NOW, ORDERS};

/// Longer than any machine takes to tell of an event.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// An open stream.
struct Watch {
    body: BodyDataStream,
    text: String,
}

/// One event of a stream: its id, its kind, its data.
type Frame = (String, String, Value);

impl Watch {
    async fn open(api: &Api, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = Request::get(format!("/v1/watch{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await;
        let response = response.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// Waits for the next event.
    async fn next(&mut self) -> Frame {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = frame.lines().find_map(|line| line.strip_prefix(name));
                    lines.unwrap_or_default().trim_start_matches(": ").to_owned()
                };
                let (id, kind, data) = (field("id"), field("event"), field("data"));
                self.text = rest.to_owned();
                if kind.is_empty() {
                    continue;
                }
                return (id, kind, serde_json::from_str(&data).unwrap());
            }
            // So that a stream which tells nothing fails its test, instead of holding it for ever.
            let chunk = tokio::time::timeout(SILENCE_MAX, self.body.next()).await;
            let chunk = chunk.expect("an event comes").expect("the stream goes on").unwrap();
            self.text += std::str::from_utf8(&chunk).unwrap();
        }
    }

    async fn kinds(&mut self, count: usize) -> Vec<String> {
        let mut kinds = Vec::new();
        for _ in 0..count {
            kinds.push(self.next().await.1);
        }
        kinds
    }
}

async fn wish(api: &Api, name: &str, wish: &str) {
    api.change(&format!("POST /v1/tables/{name}/{wish}"), Value::Null).await.ok();
}

async fn seeded() -> Api {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    api.register("mart.sales.carts").await;
    api
}

#[tokio::test]
async fn a_stream_tells_what_was_missed_and_what_happens() {
    let api = seeded().await;
    let mut watch = Watch::open(&api, "?from=0", &[]).await;
    let (id, kind, data) = watch.next().await;
    assert_eq!(
        (id.as_str(), kind.as_str(), &data["table"]),
        ("1", "table.registered", &json!(ORDERS))
    );
    assert_eq!(watch.next().await.0, "2");
    wish(&api, ORDERS, "pause").await;
    let (id, kind, data) = watch.next().await;
    assert_eq!((id.as_str(), kind.as_str(), &data["seq"]), ("3", "table.paused", &json!(3)));
    wish(&api, ORDERS, "resume").await;
    assert_eq!(watch.kinds(1).await, ["table.resumed"]);
    // A stream that was cut off goes on behind the last event that it saw.
    let mut again = Watch::open(&api, "?from=0", &[("last-event-id", "3")]).await;
    assert_eq!(again.next().await.0, "4");
    // One that says nothing begins with the next event.
    let mut fresh = Watch::open(&api, "", &[]).await;
    wish(&api, ORDERS, "pause").await;
    assert_eq!(fresh.next().await.0, "5");
    assert_eq!(watch.next().await.0, "5");
    assert_eq!(again.next().await.0, "5");
}

#[tokio::test]
async fn a_stream_has_a_filter() {
    let api = seeded().await;
    let mut carts = Watch::open(&api, "?from=0&table=mart.sales.carts", &[]).await;
    let mut lake = Watch::open(&api, "?from=0&project=lake", &[]).await;
    for name in [ORDERS, "mart.sales.carts"] {
        wish(&api, name, "pause").await;
    }
    for (watch, expect) in [(&mut carts, ["2", "4"]), (&mut lake, ["1", "3"])] {
        assert_eq!([watch.next().await.0, watch.next().await.0], expect);
    }
}

#[tokio::test]
async fn a_long_history_is_told_whole_and_in_order() {
    let api = seeded().await;
    for at in 0..650 {
        wish(&api, ORDERS, if at % 2 == 0 { "pause" } else { "resume" }).await;
    }
    let mut watch = Watch::open(&api, "?from=2", &[]).await;
    for seq in 3..653 {
        assert_eq!(watch.next().await.0, seq.to_string());
    }
    wish(&api, ORDERS, "pause").await;
    assert_eq!(watch.next().await.0, "653");
}

#[tokio::test]
async fn a_gap_is_told_first() {
    let api = seeded().await;
    api.catalog.expire_events(NOW + 1).await.unwrap();
    api.pass(10);
    wish(&api, ORDERS, "pause").await;
    let mut watch = Watch::open(&api, "?from=1", &[]).await;
    let (id, kind, data) = watch.next().await;
    assert_eq!((id.as_str(), kind.as_str()), ("", "gap"));
    assert_eq!(data, json!({ "from": 1, "oldest": 3 }));
    assert_eq!(watch.next().await.0, "3");
}

#[tokio::test]
async fn streams_are_limited() {
    let api =
        Api::with(|options| options.limits = Limits { streams: 2, ..Limits::default() }).await;
    let first = Watch::open(&api, "", &[]).await;
    let _second = Watch::open(&api, "", &[]).await;
    let reply = api.get("/v1/watch").await;
    assert_eq!(reply.refusal(), (503, "unavailable".to_owned()));
    assert_eq!(reply.header("retry-after"), "1");
    drop(first);
    Watch::open(&api, "", &[]).await;
    for (query, headers) in
        [("?from=-1", vec![]), ("?from=x", vec![]), ("", vec![("last-event-id", "x")])]
    {
        let reply = api.send(&format!("GET /v1/watch{query}"), &headers, "").await;
        assert_eq!(reply.refusal(), (400, "invalid".to_owned()), "{query}");
    }
}

/// A daemon in the same process need not wait for the poll.
#[tokio::test]
async fn a_stream_is_woken() {
    let (wake, woken) = tokio::sync::watch::channel(());
    let api = Api::with(|options| options.wake = Some(woken)).await;
    api.seed().await;
    let mut watch = Watch::open(&api, "?from=0", &[]).await;
    api.register(ORDERS).await;
    wake.send(()).unwrap();
    assert_eq!(watch.next().await.0, "1");
    // Its sender ends: the poll goes on.
    drop(wake);
    wish(&api, ORDERS, "pause").await;
    assert_eq!(watch.next().await.0, "2");
}
