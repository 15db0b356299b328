//! Stores, sites, projects and namespaces; and the tags that guard changes.

use serde_json::{Value, json};

use crate::service::{Api, ORDERS};

#[tokio::test]
async fn things_are_made_read_changed_and_removed() {
    let api = Api::new().await;
    for (path, body, other) in [
        (
            "/v1/stores/vast",
            json!({ "url": "s3://vast", "region": "eu", "options": { "aws_region": "eu" } }),
            json!({ "url": "s3://vast", "options": { "aws_access_key_id": { "file": "key" } } }),
        ),
        ("/v1/sites/east", json!({ "url": "vast:east" }), json!({ "url": "s3://b/a" })),
        ("/v1/projects/lake", json!({ "share": 2 }), json!({ "organisation": "acme" })),
    ] {
        let put = format!("PUT {path}");
        let made = api.change(&put, body.clone()).await.ok();
        assert_eq!((made.status.as_u16(), &made.json()["revision"]), (201, &json!(1)), "{path}");
        let read = api.get(path).await.ok();
        assert_eq!((read.json(), read.header("etag")), (made.json(), made.header("etag")));
        for (field, value) in body.as_object().unwrap() {
            assert_eq!(read.json()[field], *value, "{path}");
        }
        let changed = api.change(&put, other).await.ok();
        assert_eq!((changed.status.as_u16(), &changed.json()["revision"]), (200, &json!(2)));
        assert_ne!(changed.header("etag"), made.header("etag"));
        let again = [("if-none-match", changed.header("etag"))];
        let again: Vec<_> = again.iter().map(|(name, tag)| (*name, tag.as_str())).collect();
        let same = api.send(&format!("GET {path}"), &again, "").await;
        assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""));
        assert_eq!(same.header("etag"), changed.header("etag"));
    }
    for path in ["/v1/sites/east", "/v1/stores/vast", "/v1/projects/lake"] {
        let line = format!("DELETE {path}");
        assert_eq!(api.change(&line, Value::Null).await.status.as_u16(), 204, "{path}");
        assert_eq!(api.change(&line, Value::Null).await.status.as_u16(), 404, "{path}");
        assert_eq!(api.get(path).await.status.as_u16(), 404, "{path}");
    }
}

#[tokio::test]
async fn changes_are_made_to_what_was_read() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let table = format!("/v1/tables/{ORDERS}");
    for (path, line, body) in [
        ("/v1/stores/vast", "PUT /v1/stores/vast", json!({ "url": "s3://vast" })),
        ("/v1/sites/east", "PUT /v1/sites/east", json!({ "url": "vast:east" })),
        ("/v1/projects/mart", "PUT /v1/projects/mart", json!({})),
        (&table, &format!("PUT {table}/policy"), json!({ "share": 2 })),
        (&table, &format!("POST {table}/pause"), Value::Null),
        (&table, &format!("POST {table}/resume"), Value::Null),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let tag = api.get(path).await.ok().header("etag");
        for (expect, status) in [
            ("\"other\"", 412),
            (&format!("W/{tag}"), 412),
            (&format!("\"other\", {tag}"), 200),
            // What was read is not what is there any more.
            (&tag, 412),
            ("*", 200),
        ] {
            let reply = api.send(line, &[("if-match", expect)], &body).await;
            assert_eq!(reply.status.as_u16(), status, "{line} {expect}: {reply:?}");
            if status == 412 {
                assert_eq!(reply.refusal().1, "changed");
            }
        }
    }
    // Make it only where it is not there.
    let absent = [("if-none-match", "*")];
    let body = r#"{"url":"s3://vast"}"#;
    assert_eq!(api.send("PUT /v1/stores/vast", &absent, body).await.status.as_u16(), 412);
    assert_eq!(api.send("PUT /v1/stores/new", &absent, body).await.status.as_u16(), 201);
    // Change it only where it is there.
    let there = [("if-match", "*")];
    assert_eq!(api.send("PUT /v1/stores/newer", &there, body).await.status.as_u16(), 412);
    for (path, of) in [("/v1/stores/new", "\"other\""), ("/v1/projects/mart", "\"other\"")] {
        let reply = api.send(&format!("DELETE {path}"), &[("if-match", of)], "").await;
        assert_eq!(reply.status.as_u16(), 412, "{path}");
    }
}

#[tokio::test]
async fn publishing_does_not_spoil_a_change() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let path = format!("/v1/tables/{ORDERS}");
    let before = api.get(&path).await.ok().header("etag");
    api.publish(ORDERS, "east", &[0]).await;
    let after = api.get(&path).await.ok().header("etag");
    assert_ne!(before, after, "a reader sees that a version was published");
    let reply = api.send(&format!("POST {path}/pause"), &[("if-match", &before)], "").await;
    assert_eq!(reply.status.as_u16(), 200);
}

#[tokio::test]
async fn places_and_options_are_checked() {
    let api = Api::new().await;
    api.change("PUT /v1/stores/vast", json!({ "url": "s3://vast" })).await.ok();
    for (line, body, expect) in [
        ("PUT /v1/stores/a1", json!({ "url": "http://b" }), 422),
        ("PUT /v1/stores/a1", json!({ "url": "s3://key:secret@b" }), 422),
        ("PUT /v1/stores/a1", json!({ "url": "s3://b?sig=1" }), 422),
        ("PUT /v1/stores/a1", json!({ "url": "file:///etc" }), 422),
        ("PUT /v1/stores/a1", json!({ "url": "file:///allowed/lake" }), 201),
        ("PUT /v1/stores/a2", json!({ "url": "abfss://c@acct.dfs.core.windows.net" }), 201),
        (
            "PUT /v1/stores/a3",
            json!({ "url": "s3://b", "options": { "aws_secret_access_key": "x" } }),
            422,
        ),
        (
            "PUT /v1/stores/a3",
            json!({ "url": "s3://b", "options": { "token": { "env": "HOME" } } }),
            422,
        ),
        (
            "PUT /v1/stores/a3",
            json!({ "url": "s3://b", "options": { "token": { "file": "../x" } } }),
            422,
        ),
        (
            "PUT /v1/stores/a3",
            json!({ "url": "s3://b", "options": { "token": { "envy": "x" } } }),
            400,
        ),
        (
            "PUT /v1/stores/a3",
            json!({ "url": "s3://b", "options": { "token": { "env": "DRIFTLESS_STORE_T" } } }),
            201,
        ),
        ("PUT /v1/stores/file", json!({ "url": "s3://b" }), 422),
        ("PUT /v1/sites/s1", json!({ "url": "nowhere:a" }), 422),
        ("PUT /v1/sites/s1", json!({ "url": "vast:../a" }), 422),
        ("PUT /v1/sites/s1", json!({ "url": "file:///etc" }), 422),
        ("PUT /v1/stores/a3", json!({ "url": "s3://b", "region": "r".repeat(129) }), 422),
        ("PUT /v1/sites/s1", json!({ "url": "s3://b", "region": "r".repeat(129) }), 422),
        ("PUT /v1/projects/p1", json!({ "share": 0 }), 422),
        ("PUT /v1/projects/p1", json!({ "organisation": "A B" }), 422),
    ] {
        let reply = api.change(line, body.clone()).await;
        assert_eq!(reply.status.as_u16(), expect, "{line} {body}: {reply:?}");
    }
    let body = json!({ "url": "s3://b", "options": { "aws_secret_access_key": "hush" } });
    let reply = api.change("PUT /v1/stores/a3", body).await;
    assert!(reply.text.contains("DRIFTLESS_STORE_") && !reply.text.contains("hush"), "{reply:?}");
}

#[tokio::test]
async fn namespaces_belong_to_projects() {
    let api = Api::new().await;
    api.seed().await;
    let path = "/v1/projects/lake/namespaces";
    for _ in 0..2 {
        let reply = api.change(&format!("PUT {path}/sales"), Value::Null).await.ok();
        assert_eq!(reply.json()["revision"], 1);
    }
    let list = api.get(path).await.ok().json();
    assert_eq!(list["namespaces"][0]["name"], "sales");
    for (line, expect) in [
        ("PUT /v1/projects/nowhere/namespaces/sales", 404),
        ("PUT /v1/projects/lake/namespaces/Sales-1", 422),
        ("GET /v1/projects/nowhere/namespaces", 404),
        ("DELETE /v1/projects/lake", 409),
        ("DELETE /v1/projects/lake/namespaces/other", 404),
        ("DELETE /v1/projects/lake/namespaces/sales", 204),
        ("DELETE /v1/projects/lake", 204),
    ] {
        assert_eq!(api.change(line, Value::Null).await.status.as_u16(), expect, "{line}");
    }
}
