//! Published versions, common versions and pins.

use serde_json::{Value, json};

use crate::service::{Api, ORDERS, new_table};

#[tokio::test]
async fn versions_have_receipts_from_each_site() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    let table = format!("/v1/tables/{ORDERS}");
    let common = format!("{table}/common-version");
    let empty = json!({ "position": null, "sites": ["east", "west"] });
    assert_eq!(api.get(&common).await.ok().json(), empty);
    api.publish(ORDERS, "east", &[0, 1, 2, 3]).await;
    assert_eq!(api.get(&common).await.ok().json(), empty);
    // The west jumps over 1.
    api.publish(ORDERS, "west", &[0, 2]).await;
    assert_eq!(api.get(&common).await.ok().json()["position"], 2);

    let version = api.get(&format!("{table}/versions/2")).await.ok().json();
    assert_eq!((&version["position"], &version["sites_missing"]), (&json!(2), &json!([])));
    let receipt = &version["sites"][0]["receipt"];
    assert_eq!((&receipt["position"], &receipt["files"]), (&json!(2), &json!(1)));
    let version = api.get(&format!("{table}/versions/1")).await.ok().json();
    assert_eq!(version["sites_missing"], json!(["west"]));
    for position in ["9", "x", "1_2"] {
        let reply = api.get(&format!("{table}/versions/{position}")).await;
        assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{position}");
    }

    let list = api.get(&format!("{table}/versions?site=east&page_size=2")).await.ok().json();
    let positions: Vec<_> =
        list["versions"].as_array().unwrap().iter().map(|one| &one["position"]).collect();
    assert_eq!(positions, [3, 2]);
    for (query, expect) in [("", 400), ("?site=north", 404)] {
        let reply = api.get(&format!("{table}/versions{query}")).await;
        assert_eq!(reply.status.as_u16(), expect, "{query}");
    }
    // With one site there is nothing to choose.
    let mut body = new_table("lake.sales.single");
    body["sites"] = json!(["east"]);
    api.change("POST /v1/tables", body).await.ok();
    let list = api.get("/v1/tables/lake.sales.single/versions").await.ok().json();
    assert_eq!((&list["site"], &list["versions"]), (&json!("east"), &json!([])));
}

/// Digests of live files are worked out when they are asked for, and kept.
#[tokio::test]
async fn a_receipt_has_the_digest_of_its_live_files() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    for site in ["east", "west"] {
        api.publish(ORDERS, site, &[0, 1]).await;
    }
    let version = format!("/v1/tables/{ORDERS}/versions/1");
    let receipts = async |api: &Api, query: &str| {
        let found = api.get(&format!("{version}{query}")).await.ok().json();
        let sites = found["sites"].as_array().unwrap().iter();
        let told = |one: &Value| (one["receipt"]["live_digest"].clone(), one["unknown"].clone());
        sites.map(told).collect::<Vec<_>>()
    };
    let nothing = (Value::Null, Value::Null);
    assert_eq!(receipts(&api, "").await, [nothing.clone(), nothing.clone()]);
    let digest = (json!("digest of 1 at east"), Value::Null);
    let asked = receipts(&api, "?live_digest=true").await;
    assert_eq!(asked, [digest.clone(), (Value::Null, json!("open the table"))]);
    // It is part of the receipt from now on, also where no table can be opened.
    assert_eq!(receipts(&api, "").await, [digest.clone(), nothing]);
    let alone = api.beside(|options| options.inspector = None);
    let asked = receipts(&alone, "?live_digest=true").await;
    assert_eq!(asked[0], digest);
    assert!(asked[1].1.as_str().unwrap().contains("opens no tables"), "{asked:?}");
}

#[tokio::test]
async fn pins_keep_published_versions() {
    let api = Api::new().await;
    api.seed().await;
    api.register(ORDERS).await;
    api.publish(ORDERS, "east", &[0, 1]).await;
    let pins = format!("/v1/tables/{ORDERS}/pins");
    let put = format!("PUT {pins}/close");
    let pin = api.change(&put, json!({ "position": 1 })).await.ok().json();
    assert_eq!((&pin["name"], &pin["position"]), (&json!("close"), &json!(1)));
    api.change(&put, json!({ "position": 0 })).await.ok();
    assert_eq!(api.get(&pins).await.ok().json()["pins"][0]["position"], 0);
    for (line, body, expect) in [
        (put.clone(), json!({ "position": 9 }), 404),
        (put, json!({ "position": "x" }), 400),
        (format!("PUT {pins}/A"), json!({ "position": 1 }), 422),
        (format!("DELETE {pins}/other"), Value::Null, 404),
        (format!("DELETE {pins}/close"), Value::Null, 204),
    ] {
        assert_eq!(api.change(&line, body).await.status.as_u16(), expect, "{line}");
    }
    assert_eq!(api.get(&pins).await.ok().json()["pins"], json!([]));
}
