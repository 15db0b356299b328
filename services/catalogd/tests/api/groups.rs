//! Consistency groups, and the versions to read them at.

use serde_json::{Value, json};

use crate::service::{Api, NOW, ORDERS, new_table};

const ITEMS: &str = "lake.sales.items";

/// Two tables of one group, one of which is published at the east.
async fn grouped() -> Api {
    let api = Api::new().await;
    api.seed().await;
    for name in [ORDERS, ITEMS] {
        let mut body = new_table(name);
        body["policy"] = json!({ "group": "close" });
        api.change("POST /v1/tables", body).await.ok();
    }
    api.register("lake.sales.alone").await;
    api.publish(ORDERS, "east", &[0, 1]).await;
    api
}

async fn looked(api: &Api, names: &[&str], listed_ms: i64) {
    let mut ids = Vec::new();
    for name in names {
        let table = api.get(&format!("/v1/tables/{name}")).await.ok().json();
        ids.push(table["id"].as_str().unwrap().to_owned());
    }
    api.catalog.checked(&ids, Some(listed_ms), listed_ms).await.unwrap();
}

#[tokio::test]
async fn a_group_is_shown_as_of_one_moment() {
    let api = grouped().await;
    let path = "/v1/projects/lake/groups/close/snapshot";
    let waiting = |table, reason| json!({ "table": table, "reason": reason });
    assert_eq!(
        api.get(&format!("{path}?site=east")).await.ok().json(),
        json!({
            "group": "close",
            "site": "east",
            "as_of_ms": null,
            "tables": [],
            "waits_for": [waiting(ITEMS, "not_published"), waiting(ORDERS, "not_known")],
        })
    );
    api.publish(ITEMS, "east", &[0, 1, 2]).await;
    looked(&api, &[ORDERS, ITEMS], NOW + 3_000).await;
    let member = |name: &str, position| {
        let location = format!("vast:east/{}", name.replace('.', "/"));
        json!({
            "name": name,
            "format": "delta",
            "position": position,
            "committed_ms": NOW,
            "location": location,
        })
    };
    assert_eq!(
        api.get(&format!("{path}?site=east")).await.ok().json(),
        json!({
            "group": "close",
            "site": "east",
            "as_of_ms": NOW + 2_000,
            "tables": [member(ITEMS, 2), member(ORDERS, 1)],
            "waits_for": [],
        })
    );
    for (path, expect) in [
        (path.to_owned(), 400),
        (format!("{path}?site=north"), 404),
        ("/v1/projects/lake/groups/other/snapshot?site=east".to_owned(), 404),
        ("/v1/projects/mart/groups/close/snapshot?site=east".to_owned(), 404),
        ("/v1/projects/none/groups/close/snapshot?site=east".to_owned(), 404),
    ] {
        assert_eq!(api.get(&path).await.status.as_u16(), expect, "{path}");
    }
}

#[tokio::test]
async fn groups_have_a_lag_per_site() {
    let api = grouped().await;
    api.publish(ITEMS, "east", &[0]).await;
    looked(&api, &[ORDERS, ITEMS], NOW + 3_000).await;
    api.pass(12_500);
    let list = api.get("/v1/projects/lake/groups").await.ok().json();
    let group = &list["groups"][0];
    assert_eq!((&group["name"], &group["tables"]), (&json!("close"), &json!([ITEMS, ORDERS])));
    assert_eq!(
        group["sites"][0],
        json!({ "site": "east", "as_of_ms": NOW + 2_000, "lag_seconds": 10.5, "waits_for": [] })
    );
    let west = &group["sites"][1];
    assert_eq!((&west["site"], &west["lag_seconds"]), (&json!("west"), &Value::Null));
    assert_eq!(west["waits_for"].as_array().unwrap().len(), 2);
    assert_eq!(api.get("/v1/projects/mart/groups").await.ok().json()["groups"], json!([]));
    assert_eq!(api.get("/v1/projects/none/groups").await.status.as_u16(), 404);

    // A second group, and a page of one.
    let line = format!("PUT /v1/tables/{ITEMS}/policy");
    api.change(&line, json!({ "group": "audit" })).await.ok();
    let list = api.get("/v1/projects/lake/groups?page_size=1").await.ok().json();
    assert_eq!(list["groups"][0]["name"], "audit");
    let token = list["next_page_token"].as_str().unwrap();
    let path = format!("/v1/projects/lake/groups?page_size=1&page_token={token}");
    let list = api.get(&path).await.ok().json();
    assert_eq!(
        (&list["groups"][0]["name"], &list["next_page_token"]),
        (&json!("close"), &Value::Null)
    );
    let reply = api.change(&line, json!({ "group": "C" })).await;
    assert_eq!(reply.refusal(), (422, "invalid".to_owned()), "{reply:?}");
}
