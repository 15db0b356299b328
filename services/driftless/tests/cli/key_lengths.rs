//! Keys that are too long only below one replica's location.

use std::fs;

use serde_json::json;

use crate::{World, add, s3};

#[test]
fn a_key_that_is_too_long_blocks_the_version_before_any_of_its_writes() {
    let world = World::with("history");
    let double = s3::start(&world);
    let folders = ["a".repeat(250), "b".repeat(250), "c".repeat(250)].join("/");
    // 1,000 bytes: below any limit by itself.
    let long = format!("{folders}/{}", "d".repeat(1000 - 753));
    let commits = [(13, vec!["short.parquet", &long]), (14, vec!["later.parquet"])];
    for (version, files) in commits {
        let mut commit = String::new();
        for path in files {
            let file = world.path(&format!("source/t/{path}"));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, path).unwrap();
            commit.push_str(&add(path, path.len() as u64));
        }
        fs::write(world.log(version), commit).unwrap();
    }
    // `wh/t/` and 1,000 bytes fit; with 20 bytes more it is one too many.
    let deep = format!("lake:{}/t", "e".repeat(19));
    let line = format!("sync source/t {deep} lake:t --output json");
    let ran = world.ends(&line, 3);
    let targets = &ran.json()["targets"];
    assert_eq!(targets[0]["blocked"]["code"], "limit_exceeded", "{targets:#}");
    assert_eq!(targets[0]["blocked"]["position"], 13);
    assert_eq!(targets[0]["head"], 12);
    let message = targets[0]["blocked"]["message"].as_str().unwrap();
    let key = format!("wh/{}/t/{long}", "e".repeat(19));
    for part in [key.as_str(), "1025 bytes", "1024", "shorter path"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(targets[1]["blocked"], json!(null));
    assert_eq!(targets[1]["head"], 14);
    let below = format!("wh/{}/t/short.parquet", "e".repeat(19));
    assert!(!double.objects("bucket").contains_key(&below));
    assert!(double.objects("bucket").contains_key(&format!("wh/t/{long}")));
    world.done("verify source/t lake:t --level bytes");
    // What was published stays, and the next pass says the same.
    world.ends(&line, 3);
}
