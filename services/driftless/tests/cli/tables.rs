//! Which tables are worked on, how far, and what is left alone.

use std::fs;

use serde_json::{Value, json};

use crate::{World, copy};

#[test]
fn globals_stand_before_or_after_the_command() {
    let world = World::with("history");
    let before = world.done("--output json --quiet --timeout 5s inspect source/t");
    let after = world.done("inspect source/t --timeout 5s --quiet --output json");
    let between = world.done("--quiet inspect --output json source/t --timeout 5s");
    assert_eq!(before.json(), after.json());
    assert_eq!(before.json(), between.json());
    assert!(before.stderr.is_empty() && after.stderr.is_empty());
}

#[test]
fn an_idle_pass_writes_nothing() {
    let world = World::with("history");
    world.done("sync source/t target/t");
    let before = world.footprint("target");
    let ran = world.done("sync source/t target/t --output json");
    assert_eq!(ran.json()["targets"][0]["published"], json!([]));
    world.done("status source/t target/t");
    world.done("plan source/t target/t");
    world.done("verify source/t target/t --level bytes");
    assert_eq!(world.footprint("target"), before);
}

#[test]
fn planning_writes_nothing() {
    let world = World::with("history");
    world.done("plan source/t target/t");
    world.done("plan source/t target/t --files");
    world.done("status source/t target/t");
    assert!(!world.path("target").exists());
}

#[test]
fn a_pass_starts_and_stops_where_it_is_told() {
    let world = World::with("history");
    let targets = |line: &str| world.done(line).json()["targets"][0].clone();
    let all = targets("sync source/t a/t --start earliest --output json");
    assert_eq!(all["earliest_readable"], 0);
    assert_eq!(all["published"], json!((0..=12).collect::<Vec<_>>()));
    let some = targets("sync source/t b/t --start earliest --until 4 --output json");
    assert_eq!(some["published"], json!([0, 1, 2, 3, 4]));
    let more = targets("sync source/t b/t --until 6 --output json");
    assert_eq!((&more["start"], &more["published"]), (&json!(4), &json!([5, 6])));
    let idle = targets("sync source/t b/t --until 3 --output json");
    assert_eq!((&idle["head"], &idle["published"]), (&json!(6), &json!([])));
    let late = targets("sync source/t c/t --start 11 --output json");
    assert_eq!(late["earliest_readable"], 10);
    assert_eq!(late["jumped"], json!([]));
    world.done("verify source/t b/t --version-at 5 --level bytes");
}

#[test]
fn several_targets_get_the_same_versions() {
    let world = World::with("partitions");
    let ran = world.done("sync source/t a/t b/t c/t --output json");
    let document = ran.json();
    let targets = document["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 3);
    for (target, name) in targets.iter().zip(["a", "b", "c"]) {
        assert_eq!(target["target"], format!("file://$WORLD/{name}/t"));
        assert_eq!(target["published"], targets[0]["published"]);
        assert_eq!(target["state"], "ok");
    }
    world.done("verify source/t a/t b/t c/t --level bytes");
}

#[test]
fn a_pattern_names_every_table_of_a_folder() {
    let world = World::with("history");
    world.add("source/u", "partitions");
    fs::create_dir_all(world.path("source/no-table")).unwrap();
    for line in [
        "sync source/* target --output json",
        "plan source/* target --output json",
        "status source/* target --output json",
        "verify source/* target --output json",
    ] {
        let document = world.done(line).json();
        let tables = document["tables"].as_array().unwrap();
        let pair = |table: &Value| (table["source"].clone(), table["targets"][0]["target"].clone());
        let expect = |name: &str| {
            let side = |side: &str| Value::from(format!("file://$WORLD/{side}/{name}"));
            (side("source"), side("target"))
        };
        let pairs: Vec<_> = tables.iter().map(pair).collect();
        assert_eq!(pairs, [expect("t"), expect("u")], "{line}");
    }
}

#[test]
fn tables_are_named_one_by_one() {
    let world = World::with("history");
    world.add("source/u", "partitions");
    let ran = world.done("sync --table source/t=a/t --table source/u=a/u,b/u --output json");
    let tables = ran.json()["tables"].clone();
    assert_eq!(tables[0]["targets"].as_array().unwrap().len(), 1);
    assert_eq!(tables[1]["targets"].as_array().unwrap().len(), 2);
    world.done("verify --table source/t=a/t --table source/u=a/u,b/u --level bytes");
}

#[test]
fn stores_have_names_in_the_configuration() {
    let world = World::with("history");
    let text = format!(
        "[stores.lake]\nurl = \"file://{0}/source\"\n[stores.copy]\nurl = \"{0}/target\"\n",
        world.path("").display().to_string().trim_end_matches('/')
    );
    fs::create_dir_all(world.path("home/.config/driftless")).unwrap();
    fs::write(world.path("home/.config/driftless/driftless.toml"), &text).unwrap();
    world.done("sync lake:t copy:deep/t");
    assert!(world.path("target/deep/t/_delta_log").is_dir());
    assert!(world.path("target/_driftless/replicas/deep/t.json").is_file());
    let ran = world.done("verify lake:* copy:deep --output json");
    assert_eq!(ran.json()["tables"][0]["targets"][0]["equal"], true);
    // An explicit file, by option or variable, replaces the user's own.
    fs::write(world.path("other.toml"), "").unwrap();
    world.ends("inspect lake:t --config other.toml", 2);
    let variable = world
        .command(&["inspect", "lake:t"])
        .env("DRIFTLESS_CONFIG", world.path("other.toml"))
        .output()
        .unwrap();
    assert_eq!(variable.status.code(), Some(2));
}

#[test]
fn state_may_be_kept_elsewhere() {
    let world = World::with("history");
    world.done("sync source/t a/t b/t --state memory");
    for side in ["a", "b"] {
        let found = world.footprint(side);
        let state = found.keys().filter(|path| path.ends_with("t.json")).count();
        assert_eq!(state, 0, "{found:?}");
    }
    let found = world.footprint("memory");
    assert_eq!(found.keys().filter(|path| path.ends_with("t.json")).count(), 2, "{found:?}");
    world.done("sync source/t a/t b/t --state memory");
    // Without it the replica is a stranger's.
    let ran = world.ends("sync source/t a/t --output json", 3);
    assert_eq!(ran.json()["targets"][0]["blocked"]["code"], "foreign_replica");
}

#[test]
fn a_copy_of_another_tool_is_adopted_when_it_is_equal() {
    let world = World::with("history");
    copy(&world.path("source/t"), &world.path("target/t"));
    let ran = world.ends("sync source/t target/t --output json", 3);
    assert_eq!(ran.json()["targets"][0]["blocked"]["code"], "foreign_replica");
    world.done("sync source/t target/t --adopt");
    world.done("sync source/t target/t");

    let world = World::with("history");
    copy(&world.path("source/t"), &world.path("target/t"));
    let newest = fs::read_to_string(world.log(12)).unwrap();
    let name = newest.split("\"path\":\"").nth(1).unwrap().split('"').next().unwrap();
    let file = world.path("target/t").join(name);
    if file.exists() {
        crate::flip_last_byte(&file);
        world.ends("sync source/t target/t --adopt", 4);
    } else {
        panic!("version 12 adds no file of its own: {name}");
    }
}

#[test]
fn files_are_removed_only_when_it_is_asked_for() {
    let world = World::with("history");
    let sync = |more: &str| {
        let ran =
            world.done(&format!("sync source/t target/t --start earliest --output json{more}"));
        ran.json()["targets"][0].clone()
    };
    assert_eq!(sync("")["retired_files"], 0);
    let before = world.footprint("target/t").len();
    assert_eq!(sync(" --retire")["retired_files"], 0);
    assert_eq!(sync(" --retire=1h")["retired_files"], 0);
    assert_eq!(world.footprint("target/t").len(), before);
    let retired = sync(" --retire=0s");
    let count = retired["retired_files"].as_u64().unwrap();
    assert!(count > 0);
    assert_eq!(retired["earliest_readable"], 12);
    assert_eq!(world.footprint("target/t").len(), before - usize::try_from(count).unwrap());
    world.done("verify source/t target/t --level bytes");
    world.ends("sync source/t target/t --retire=30", 2);
}

#[test]
fn people_get_a_summary_without_colours() {
    let world = World::with("history");
    let ran = world.done("sync source/t target/t");
    assert!(ran.stdout.contains("published 3 versions"), "{}", ran.stdout);
    assert!(ran.stderr.contains("versions to publish"), "{}", ran.stderr);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'));
    let ran = world.done("sync source/t other/t --quiet");
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
}

#[test]
fn logs_go_to_standard_error_in_the_form_asked_for() {
    let world = World::with("history");
    let ran = world
        .done("sync source/t target/t --output json --log-level debug --log-format json --quiet");
    ran.json();
    let ran =
        world.done("sync source/t target/u --output json --log-level trace --log-format json");
    ran.json();
    let logs = ran.stderr.lines().filter(|line| line.starts_with('{'));
    for line in logs {
        let _: Value = serde_json::from_str(line).unwrap();
    }
}
