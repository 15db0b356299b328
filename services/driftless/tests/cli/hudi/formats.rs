//! Which format a folder has, and what happens where it has two.

use serde_json::json;

use super::{ALL, sync, target, world};
use crate::World;

/// A world whose `source/t` is a Hudi and a Delta table.
fn both() -> World {
    let (world, _) = world("cow_v8", ALL);
    world.add("source/t", "history");
    world
}

#[test]
fn a_folder_with_both_formats_is_delta_unless_it_is_said() {
    let world = both();
    for (more, format) in [("", "delta"), (" --format delta", "delta"), (" --format hudi", "hudi")]
    {
        let found = world.done(&format!("inspect source/t --output json{more}")).json();
        assert_eq!(found["format"], format, "{more}");
        let name = format!("target{}/t", more.replace([' ', '-'], ""));
        let line = format!("sync source/t {name} --output json{more}");
        let document = world.done(&line).json();
        assert_eq!(document["format"], format);
        assert_eq!(target(&document)["head"], found["head"]);
        world.done(&format!("verify source/t {name} --level bytes{more}"));
        world.done(&format!("status source/t {name}{more}"));
        let (delta, hudi) =
            (world.path(&name).join("_delta_log"), world.path(&name).join(".hoodie"));
        assert_eq!((delta.exists(), hudi.exists()), (format == "delta", format == "hudi"));
    }
}

#[test]
fn the_format_that_is_named_is_not_looked_for_elsewhere() {
    let (world, _) = world("cow_v8", 2);
    world.add("source/d", "history");
    for line in ["inspect source/t --format delta", "inspect source/d --format hudi"] {
        let ran = world.ends(&format!("{line} --output json"), 3);
        assert_eq!(ran.json()["error"]["code"], "not_a_table", "{line}");
    }
    for line in ["source/t target/t --format delta", "source/d target/d --format hudi"] {
        for command in ["sync", "plan", "status", "verify"] {
            let ran = world.ends(&format!("{command} {line} --output json"), 3);
            let document = ran.json();
            assert_eq!(target(&document)["blocked"]["code"], "not_a_table", "{command} {line}");
        }
    }
    assert!(!world.path("target").exists());
    world.ends("inspect source/t --format iceberg", 2);
}

#[test]
fn a_copy_of_another_tool_is_adopted_when_it_is_equal() {
    let (world, life) = world("cow_v9", ALL);
    life.lay(&world.path("target/t"));
    assert_eq!(sync(&world, "", 3)["blocked"]["code"], "foreign_replica");
    sync(&world, "--adopt", 0);
    assert_eq!(sync(&world, "", 0)["published"], json!([]));
}

#[test]
fn a_file_that_is_gone_at_the_target_ends_with_4() {
    let (world, _) = world("mor_v9", ALL);
    sync(&world, "", 0);
    let listed = world.done("plan source/t other/t --files").stdout;
    let first: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert!(first["position"].is_string(), "{first}");
    let path = world.path("target/t").join(first["path"].as_str().unwrap());
    std::fs::remove_file(path).unwrap();
    world.done("verify source/t target/t --level log");
    let document = world.ends("verify source/t target/t --output json", 4).json();
    assert_eq!(target(&document)["equal"], false);
}
