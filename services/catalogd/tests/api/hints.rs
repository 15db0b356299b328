//! Notifications of stores.

use driftless_catalog::Role;
use driftless_catalogd::Auth;
use serde_json::{Value, json};

use crate::service::{Api, ORDERS};

fn record(bucket: &str, key: &str) -> Value {
    json!({ "s3": { "bucket": { "name": bucket }, "object": { "key": key } } })
}

#[tokio::test]
async fn hints_wake_the_tables_that_they_are_about() {
    let api = Api::new().await;
    api.seed().await;
    api.change("PUT /v1/stores/raw", json!({ "url": "s3://raw/wh" })).await.ok();
    for (name, source) in [("lake.sales.a", "raw:a"), ("lake.sales.b", "s3://raw/wh/b")] {
        let body = json!({ "name": name, "source": source, "sites": ["east"] });
        api.change("POST /v1/tables", body).await.ok();
    }
    api.catalog.beat(("node", "one", "0"), 600_000).await.unwrap();
    api.catalog.claim("node", 10).await.unwrap();
    let woken = async || {
        static LAST: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(-1);
        let order = std::sync::atomic::Ordering::SeqCst;
        let mut names = Vec::new();
        for (id, _, wake) in api.catalog.woken("node", LAST.load(order)).await.unwrap() {
            names.push(api.catalog.table_by_id(&id).await.unwrap().name.to_string());
            LAST.fetch_max(wake, order);
        }
        names
    };
    woken().await;
    let hint = async |body: Value| {
        let headers = [("content-type", "text/plain")];
        let reply = api.send("POST /v1/hints", &headers, &body.to_string()).await.ok();
        assert_eq!(reply.status.as_u16(), 202);
        (reply.json()["matched"].as_u64().unwrap(), reply.json()["ignored"].as_u64().unwrap())
    };
    let body = json!({ "Records": [
        record("raw", "wh/a/_delta_log/00000000000000000001.json"),
        record("raw", "wh/a/part-0.parquet"),
        record("raw", "elsewhere/f"),
        null,
    ] });
    assert_eq!(hint(body).await, (2, 2));
    assert_eq!(woken().await, ["lake.sales.a"]);
    assert_eq!(hint(json!({ "Records": [record("raw", "wh/b/f")] })).await, (1, 0));
    assert_eq!(woken().await, ["lake.sales.b"]);
    assert_eq!(hint(json!({})).await, (0, 1));
    assert_eq!(woken().await, Vec::<String>::new());
    // A table that is registered later is found by the next hint.
    let body = json!({ "name": "lake.sales.c", "source": "raw:c", "sites": ["east"] });
    api.change("POST /v1/tables", body).await.ok();
    assert_eq!(hint(json!({ "Records": [record("raw", "wh/c/f")] })).await, (1, 0));
    let reply = api.send("POST /v1/hints", &[], "no JSON").await;
    assert_eq!(reply.refusal(), (400, "invalid".to_owned()));
    // Four were about a table and one about none; of three nothing could be told.
    let metrics = api.get("/metrics").await.ok();
    assert_eq!(metrics.text, "tablesync_stand_in 4 1 3\n");
}

#[tokio::test]
async fn a_subscription_of_event_grid_is_confirmed() {
    let api = Api::new().await;
    let event = json!([{ "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": { "validationCode": "512d38b6" } }]);
    let reply = api.change("POST /v1/hints", event).await.ok();
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(reply.json(), json!({ "validationResponse": "512d38b6" }));
}

#[tokio::test]
async fn a_sender_of_cloud_events_may_send() {
    let api = Api::new().await;
    let asking = [("webhook-request-origin", "eventgrid.azure.net")];
    let reply = api.send("OPTIONS /v1/hints", &asking, "").await.ok();
    assert_eq!(reply.header("webhook-allowed-origin"), "eventgrid.azure.net");
    assert_eq!(reply.header("webhook-allowed-rate"), "*");
    assert_eq!((reply.header("allow").as_str(), reply.text.as_str()), ("POST", ""));
    for headers in [&[][..], &[("webhook-request-origin", "")]] {
        let reply = api.send("OPTIONS /v1/hints", headers, "").await;
        assert_eq!(reply.refusal(), (400, "invalid".to_owned()), "{headers:?}");
    }
}

#[tokio::test]
async fn a_subscription_of_sns_is_an_event() {
    let api = Api::new().await;
    let url = "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37";
    let body = |url: &str| {
        json!({ "Type": "SubscriptionConfirmation", "Message": "You have chosen",
            "SubscribeURL": url })
    };
    let reply = api.change("POST /v1/hints", body(url)).await.ok();
    assert_eq!(reply.json(), json!({ "matched": 0, "ignored": 0 }));
    let other = api.change("POST /v1/hints", body("https://evil.example/")).await.ok();
    assert_eq!(other.json(), json!({ "matched": 0, "ignored": 1 }));
    let events = api.get("/v1/events").await.ok().json();
    assert_eq!(events["events"].as_array().unwrap().len(), 1);
    assert_eq!(events["events"][0]["kind"], "hints.subscription");
    assert_eq!(events["events"][0]["body"], json!({ "url": url }));
}

/// Senders that cannot set a header have the token in the URL: one that is good for nothing else.
#[tokio::test]
async fn a_token_for_hints_may_be_in_the_url() {
    let api = Api::new().await.beside(|options| options.auth = Auth::Tokens);
    let bearer = api.token("sns", Role::Hint, None).await;
    let secret = bearer.strip_prefix("Bearer ").unwrap();
    let operator = api.token("ops", Role::Operator, None).await;
    let operator = operator.strip_prefix("Bearer ").unwrap();
    let wrong = driftless_catalogd::token::secret().unwrap();
    let in_header = [("authorization", bearer.as_str())];
    let nonsense = [("authorization", "Basic eA==")];
    for (line, headers, expect) in [
        (format!("POST /v1/hints?token={secret}"), &[][..], 202),
        (format!("OPTIONS /v1/hints?token={secret}"), &[], 400),
        ("POST /v1/hints".to_owned(), &in_header, 202),
        // A header is what counts, where there is one.
        (format!("POST /v1/hints?token={wrong}"), &in_header, 202),
        (format!("POST /v1/hints?token={secret}"), &nonsense, 401),
        ("POST /v1/hints".to_owned(), &[], 401),
        ("POST /v1/hints?token=".to_owned(), &[], 401),
        (format!("POST /v1/hints?token={wrong}"), &[], 401),
        (format!("OPTIONS /v1/hints?token={wrong}"), &[], 401),
        (format!("POST /v1/hints?token={operator}"), &[], 403),
        // Nowhere else, and for nothing else.
        (format!("GET /v1/tables?token={secret}"), &[], 401),
        ("GET /v1/tables".to_owned(), &in_header, 403),
        ("GET /v1/config".to_owned(), &in_header, 403),
    ] {
        let body = if line.starts_with("POST") { "{}" } else { "" };
        let reply = api.send(&line, headers, body).await;
        assert_eq!(reply.status.as_u16(), expect, "{line} {headers:?}: {reply:?}");
        assert!(!reply.text.contains(secret), "{reply:?}");
    }
    assert_eq!(api.catalog.audit(None, 1).await.unwrap(), [], "hints are not in the audit");
}

#[tokio::test]
async fn a_token_of_a_project_wakes_its_tables_only() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let guarded = api.beside(|options| options.auth = Auth::Tokens);
    let event = json!({ "message": { "attributes":
        { "bucketId": "lake", "objectId": "lake/sales/orders/_delta_log/1.json" } } });
    for (project, expect) in [(None, 1), (Some("lake"), 1), (Some("mart"), 0)] {
        let token = guarded.token("feed", Role::Operator, project).await;
        let headers = [("authorization", token.as_str())];
        let reply = guarded.send("POST /v1/hints", &headers, &event.to_string()).await.ok();
        assert_eq!(reply.json()["matched"], expect, "{project:?}");
    }
}
