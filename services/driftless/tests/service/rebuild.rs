//! The catalog is lost, and made again from what the sites hold.

use serde_json::json;

use crate::pump::Pump;
use crate::world::World;

#[test]
fn a_lost_catalog_is_rebuilt_and_goes_on_where_the_sites_are() {
    let world = World::new();
    let policy = json!({ "poll_seconds": 1 });
    let serve = world.serve();
    world.inventory(&serve);
    let mut delta = Pump::delta(world.path("lake/orders"), "history");
    for _ in 0..40 {
        delta.step();
    }
    let mut hudi = Pump::hudi(world.path("lake/trips"), "cow_v8");
    hudi.finish();
    for table in ["orders", "trips"] {
        world.register(&serve, table, &policy);
        world.until(&serve, (table, "in step"), |site| site["status"] == "ok");
    }
    // One of them is begun anew before, so that the sites hold two replicas of it.
    let said = world.ask(&serve, &["table", "resync", "lake.sales.trips", "--accept"]);
    assert_eq!(said["state"], "succeeded", "{said:#}");
    let anew = |site: &serde_json::Value| site["incarnation"] == 2 && site["status"] == "ok";
    world.until(&serve, ("trips", "begun anew"), anew);
    let heads: Vec<_> = ["orders", "trips"]
        .map(|table| world.table(&serve, table)["sites"][0]["head"].clone())
        .into();
    assert_eq!(serve.stop(), 0);
    std::fs::remove_dir_all(world.path("data")).unwrap();
    let serve = world.serve();
    // Only the sites are told again.
    for site in ["east", "west"] {
        let url = format!("file://{}", world.path(site).display());
        world.ask(&serve, &["put", "site", site, &json!({ "url": url }).to_string()]);
        let files = world.path("").display().to_string();
        let command = ["catalog", "rebuild", "--from", site, "--data", "data"];
        let (code, said) = world.run(&[&command[..], &["--allow-files", &files]].concat());
        assert_eq!(code, 0, "{said:#}");
        let expect = json!(["lake.sales.orders", "lake.sales.trips"]);
        assert_eq!((&said["restored"], &said["left_out"]), (&expect, &json!({})));
    }
    let (code, said) = {
        let files = world.path("").display().to_string();
        world.run(&[
            "catalog",
            "rebuild",
            "--from",
            "east",
            "--data",
            "data",
            "--allow-files",
            &files,
        ])
    };
    assert_eq!((code, said["known"].as_array().unwrap().len()), (0, 2), "{said:#}");
    for (table, head) in ["orders", "trips"].iter().zip(&heads) {
        let found = world.table(&serve, table);
        assert_eq!(found["desired"], "paused");
        for site in found["sites"].as_array().unwrap() {
            assert_eq!(site["head"], *head, "{found:#}");
            let incarnation = if *table == "trips" { 2 } else { 1 };
            assert_eq!(site["incarnation"], incarnation, "{found:#}");
        }
    }
    delta.finish();
    for table in ["orders", "trips"] {
        world.ask(&serve, &["table", "resume", &format!("lake.sales.{table}")]);
        world.until(&serve, (table, "in step"), |site| site["status"] == "ok");
    }
    let newest = crate::nodes::newest_version(&world, "orders");
    world.until_head(&serve, "orders", &json!(newest));
    // The next owner is above every owner that the replicas have seen.
    assert!(world.table(&serve, "orders")["epoch"].as_u64().unwrap() > 1);
    assert_eq!(serve.stop(), 0);
}
