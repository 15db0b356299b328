//! Tables that are not replicated, and damage: the code of the reason, and that nothing of it is
//! published.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::{sync, target, world};
use crate::World;

fn properties(world: &World) -> PathBuf {
    world.path("source/t/.hoodie/hoodie.properties")
}

/// Replaces text of a file that must be there.
#[track_caller]
fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Every command names the reason, and nothing is written.
#[track_caller]
fn check(world: &World, code: &str, message: &str) {
    let found = world.ends("inspect source/t --output json", 3).json();
    assert_eq!(found["replicable"], false);
    assert_eq!(found["blocked"]["code"], code);
    for command in ["sync", "plan", "status", "verify"] {
        let document = world.ends(&format!("{command} source/t target/t --output json"), 3).json();
        let blocked = &target(&document)["blocked"];
        assert_eq!(blocked["code"], code, "{command}");
        assert!(blocked["message"].as_str().unwrap().contains(message), "{command}: {blocked}");
    }
    assert!(!world.path("target/t").exists());
}

#[test]
fn table_versions_that_are_unknown_are_named() {
    for version in ["5", "7", "10"] {
        let (world, _) = world("cow_v6", 2);
        let stated = format!("hoodie.table.version={version}\n");
        edit(&properties(&world), "hoodie.table.version=6\n", &stated);
        check(&world, "unsupported_version", &format!("has version {version};"));
    }
    // A layout that no release wrote with this version.
    let (world, _) = world("cow_v8", 2);
    edit(
        &properties(&world),
        "hoodie.timeline.layout.version=2",
        "hoodie.timeline.layout.version=1",
    );
    check(&world, "unsupported_version", "timeline layout 1");
}

#[test]
fn a_bootstrap_table_is_refused() {
    let (world, _) = world("cow_v6", 2);
    let mut text = fs::read_to_string(properties(&world)).unwrap();
    text.push_str("hoodie.bootstrap.base.path=s3\\://lake/old\n");
    fs::write(properties(&world), text).unwrap();
    check(&world, "unsupported_reader_feature", "bootstrap");
}

#[test]
fn properties_that_cannot_be_trusted_are_refused() {
    let (world, _) = world("cow_v6", 2);
    edit(&properties(&world), "hoodie.table.name=cow_v6", "hoodie.table.name=another");
    check(&world, "source_damaged", "checksum");
    fs::write(properties(&world), [0xff, 0xfe, 0x00, 0x5c, 0x75, 0x80]).unwrap();
    let found = world.ends("inspect source/t --output json", 3).json();
    assert_eq!(found["replicable"], false);
    fs::write(properties(&world), "").unwrap();
    check(&world, "unsupported_version", "version none");
}

#[test]
fn what_is_not_there_is_no_table() {
    let world = World::new();
    fs::create_dir_all(world.path("source/t/.hoodie/timeline")).unwrap();
    for more in ["", " --format hudi"] {
        let ran = world.ends(&format!("inspect source/t --output json{more}"), 3);
        assert_eq!(ran.json()["error"]["code"], "not_a_table", "{more}");
        for command in ["sync", "plan", "status", "verify"] {
            let line = format!("{command} source/t target/t --output json{more}");
            let document = world.ends(&line, 3).json();
            assert_eq!(target(&document)["blocked"]["code"], "not_a_table", "{line}");
        }
    }
}

#[test]
fn properties_are_read_while_a_writer_replaces_them() {
    for name in ["cow_v6", "cow_v8", "mor_v9_metadata"] {
        let (world, _) = world(name, 2);
        let backup = properties(&world).with_file_name("hoodie.properties.backup");
        fs::rename(properties(&world), &backup).unwrap();
        let first = sync(&world, "", 0);
        assert_eq!(first["state"], "ok", "{name}");
        let before = world.footprint("target/t");
        // The new properties and the backup side by side, then the new ones alone.
        fs::copy(&backup, properties(&world)).unwrap();
        sync(&world, "", 0);
        fs::remove_file(&backup).unwrap();
        sync(&world, "", 0);
        assert_eq!(world.footprint("target/t"), before, "{name}");
    }
}

#[test]
fn half_written_properties_give_way_to_their_backup() {
    let (world, _) = world("cow_v8", 2);
    let backup = properties(&world).with_file_name("hoodie.properties.backup");
    fs::copy(properties(&world), &backup).unwrap();
    edit(&properties(&world), "hoodie.table.name=cow_v8", "hoodie.table.name=cow");
    sync(&world, "", 0);
    world.done("verify source/t target/t --level bytes");
}

/// The newest completed commit of the source.
fn newest(world: &World, folder: &str) -> PathBuf {
    let mut found: Vec<_> = super::names(&world.path(folder))
        .into_iter()
        .filter(|name| name.ends_with(".commit"))
        .map(|name| world.path(folder).join(name))
        .collect();
    found.sort();
    found.pop().unwrap()
}

#[test]
fn a_commit_that_is_cut_short_ends_with_1_and_later_with_3() {
    for (name, folder) in [("cow_v6", "source/t/.hoodie"), ("cow_v8", "source/t/.hoodie/timeline")]
    {
        let (world, mut life) = world(name, 2);
        let before = sync(&world, "", 0)["head"].clone();
        life.go_on(1);
        life.lay(&world.path("source/t"));
        let commit = newest(&world, folder);
        let whole = fs::read(&commit).unwrap();
        fs::write(&commit, &whole[..whole.len() / 2]).unwrap();
        let cut = sync(&world, "", 1);
        assert_eq!((&cut["state"], &cut["published"]), (&json!("failed"), &json!([])), "{name}");
        assert_eq!(cut["error"]["code"], "commit_unsettled", "{name}");
        assert_eq!(cut["blocked"], Value::Null);

        let file = fs::File::options().append(true).open(&commit).unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - Duration::from_secs(600)).unwrap();
        let damaged = sync(&world, "", 3);
        assert_eq!(damaged["blocked"]["code"], "commit_damaged", "{name}");
        let message = damaged["blocked"]["message"].as_str().unwrap();
        assert!(message.contains(commit.file_name().unwrap().to_str().unwrap()), "{message}");

        life.lay(&world.path("source/t"));
        let healed = sync(&world, "", 0);
        assert!(healed["head"].as_str() > before.as_str(), "{name}");
        world.done("verify source/t target/t --level log");
    }
}

#[test]
fn a_path_outside_the_table_is_refused() {
    let (world, mut life) = world("cow_v6", 2);
    sync(&world, "", 0);
    life.go_on(1);
    life.lay(&world.path("source/t"));
    let commit = newest(&world, "source/t/.hoodie");
    for path in ["../p=", "/p=", "p=p0/../../", "s3://lake/p=", ".hoodie/p="] {
        life.lay(&world.path("source/t"));
        edit(&commit, "\"path\" : \"p=", &format!("\"path\" : \"{path}"));
        let before = world.footprint("target/t");
        let report = sync(&world, "", 3);
        assert_eq!(report["blocked"]["code"], "foreign_path", "{path}");
        assert_eq!(world.footprint("target/t"), before, "{path}");
    }
}

#[test]
fn a_timeline_folder_outside_the_table_is_refused() {
    let (world, _) = world("cow_v8", 2);
    let mut text = fs::read_to_string(properties(&world)).unwrap();
    text.push_str("hoodie.timeline.path=../../elsewhere\n");
    fs::write(properties(&world), text).unwrap();
    check(&world, "foreign_path", "timeline folder");
}

#[test]
fn a_replica_starts_at_the_newest_state_or_at_the_earliest() {
    let (world, _) = world("cow_v8", 4);
    let head = world.done("inspect source/t --output json").json()["head"].clone();
    for start in ["5", head.as_str().unwrap()] {
        let report = sync(&world, &format!("--start {start}"), 3);
        assert_eq!(report["blocked"]["code"], "history_lost");
        let message = report["blocked"]["message"].as_str().unwrap();
        assert!(message.contains("--start earliest"), "{message}");
    }
    sync(&world, "--start soon", 2);
    let latest = sync(&world, "", 0);
    let earliest = world.done("sync source/t early/t --start earliest --output json").json();
    let earliest = target(&earliest);
    assert_eq!(earliest["head"], latest["head"]);
    assert!(earliest["copied_files"].as_u64() > latest["copied_files"].as_u64());
}

#[test]
fn a_first_publication_carries_no_damaged_commit() {
    for name in ["cow_v6", "cow_v8"] {
        let folder =
            if name == "cow_v6" { "source/t/.hoodie" } else { "source/t/.hoodie/timeline" };
        let (world, _) = world(name, 3);
        let commit = newest(&world, folder);
        let whole = fs::read(&commit).unwrap();
        fs::write(&commit, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(sync(&world, "", 1)["error"]["code"], "commit_unsettled", "{name}");
        assert!(!world.path("target/t/.hoodie/hoodie.properties").exists(), "{name}");
    }
}

#[test]
fn a_table_that_was_created_again_is_not_overwritten() {
    let (world, _) = world("cow_v8", 4);
    sync(&world, "", 0);
    let before = world.footprint("target/t");
    fs::remove_dir_all(world.path("source/t")).unwrap();
    let mut other = super::Life::of("cow_v8_cdc");
    other.go_on(3);
    other.lay(&world.path("source/t"));
    let report = sync(&world, "", 3);
    assert_eq!(report["state"], "rewound");
    assert_eq!(world.footprint("target/t"), before);
}
