//! Exit codes, and which one wins.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::{World, data_files, flip_last_byte, hand_made, needs_feature};

#[test]
fn arguments_that_make_no_sense_end_with_2() {
    let world = World::with("history");
    fs::write(world.path("empty.toml"), "").unwrap();
    for line in [
        "sink",
        "sync source/t",
        "sync source/t target/t --start soon",
        "sync source/t target/t --until -1",
        "sync source/t target/t --transfers 0",
        "sync source/t target/t --bandwidth-limit 100",
        "sync source/t target/t --timeout 60",
        "sync source/t target/t --table a=b",
        "sync --table source/t",
        "sync --table a=b=c",
        "sync source/t target/*",
        "sync source/t source/t",
        "sync source/t source/t/inside",
        "sync source/t target/t target/t",
        "sync source/t ftp://host/t",
        "sync source/t s3://user:password@bucket/t",
        "sync source/t s3://bucket",
        "sync source/t unknown:t",
        "sync source/t target/t --state unknown:t",
        "sync source/t target/t --config missing.toml",
        "plan source/t target/t --egress-usd-per-gib -1",
        "verify source/t target/t --level all",
        "verify source/t target/t --version-at newest",
        "inspect",
        "probe",
        "demo --seconds 0",
        "completions csh",
        "inspect source/t --output yaml",
        "inspect source/t --log-level loud",
    ] {
        let human = world.ends(line, 2);
        assert!(human.stdout.is_empty() && !human.stderr.is_empty(), "{line}");
        let json =
            world.ends(&format!("--output json {}", line.replace(" --output yaml", " -x")), 2);
        assert!(json.json()["error"]["message"].is_string(), "{line}");
    }
    assert!(!world.path("target").exists());
}

#[test]
fn help_and_version_end_with_0() {
    let world = World::new();
    assert!(world.done("--version").stdout.starts_with("driftless 0."));
    assert!(world.done("--help").stdout.contains("Exit codes:"));
    for command in ["inspect", "plan", "sync", "verify", "status", "probe", "demo", "completions"] {
        let help = world.done(&format!("{command} --help")).stdout;
        assert!(help.contains("Examples:") && help.contains("Global options:"), "{help}");
        assert!(world.done(&format!("{command} -h")).stdout.contains("Examples:"));
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(world.done(&format!("completions {shell}")).stdout.contains("driftless"));
    }
}

#[test]
fn what_is_not_a_table_ends_with_3() {
    let world = World::new();
    fs::create_dir_all(world.path("source/t")).unwrap();
    for command in ["sync", "plan", "status", "verify"] {
        let ran = world.ends(&format!("{command} source/t target/t --output json"), 3);
        assert_eq!(ran.json()["targets"][0]["blocked"]["code"], "not_a_table", "{command}");
    }
    let ran = world.ends("inspect source/t --output json", 3);
    assert_eq!(ran.json()["error"]["code"], "not_a_table");
    let ran = world.ends("sync source/* target --output json", 3);
    assert_eq!(ran.json()["error"]["code"], "not_a_table");
}

#[test]
fn a_target_that_nothing_was_published_at_is_not_verified() {
    let world = World::with("history");
    let ran = world.ends("verify source/t target/t --output json", 3);
    assert_eq!(ran.json()["targets"][0]["equal"], Value::Null);
}

#[test]
fn an_unknown_reader_feature_ends_with_3_and_its_name() {
    let world = World::new();
    hand_made(&world.path("source/t"), &[&needs_feature("fromTheFuture")]);
    for command in ["sync", "plan"] {
        let ran = world.ends(&format!("{command} source/t target/t --output json"), 3);
        let blocked = ran.json()["targets"][0]["blocked"].clone();
        assert_eq!(blocked["code"], "unsupported_reader_feature", "{command}");
        assert_eq!(blocked["position"], 0, "{command}");
        assert!(blocked["message"].as_str().unwrap().contains("fromTheFuture"), "{command}");
    }
    let human = world.ends("sync source/t target/t", 3);
    assert!(human.stdout.contains("unsupported_reader_feature"), "{}", human.stdout);
}

#[test]
fn a_target_that_differs_ends_with_4() {
    let world = World::with("history");
    world.done("sync source/t target/t");
    let file = &data_files(&world.path("target/t"))[0];
    let whole = fs::read(file).unwrap();

    flip_last_byte(file);
    world.done("verify source/t target/t --level log");
    world.done("verify source/t target/t --level files");
    world.ends("verify source/t target/t --level bytes", 4);

    fs::write(file, &whole[1..]).unwrap();
    world.ends("verify source/t target/t --level files", 4);
    fs::remove_file(file).unwrap();
    world.ends("verify source/t target/t --level files", 4);
    fs::write(file, whole).unwrap();
    world.done("verify source/t target/t --level bytes");

    let commit = world.path("target/t/_delta_log/00000000000000000011.json");
    let text = fs::read_to_string(&commit).unwrap();
    fs::write(&commit, text.replacen("timestamp", "timestomp", 1)).unwrap();
    world.ends("verify source/t target/t --level log", 4);
}

#[test]
fn a_truncated_head_ends_with_1_and_later_with_3() {
    let world = World::with("history");
    let head = fs::read(world.log(12)).unwrap();
    fs::write(world.log(12), &head[..head.len() / 2]).unwrap();
    let ran = world.ends("sync source/t target/t --output json", 1);
    let target = ran.json()["targets"][0].clone();
    assert_eq!((&target["head"], &target["state"]), (&11.into(), &"failed".into()));
    assert_eq!(target["error"]["code"], "commit_unsettled");
    assert_eq!(target["blocked"], Value::Null);

    let file = fs::File::options().append(true).open(world.log(12)).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - Duration::from_secs(600)).unwrap();
    let ran = world.ends("sync source/t target/t --output json", 3);
    let target = ran.json()["targets"][0].clone();
    assert_eq!((&target["head"], &target["state"]), (&11.into(), &"blocked".into()));
    assert_eq!(target["blocked"]["code"], "commit_damaged");
    assert_eq!(target["blocked"]["position"], 12);

    fs::write(world.log(12), head).unwrap();
    world.done("sync source/t target/t");
    world.done("verify source/t target/t --level bytes");
}

#[test]
fn the_worst_target_wins() {
    let world = World::with("history");
    world.add("b/t", "all_types");
    world.ends("sync source/t a/t b/t", 3);
    world.done("verify source/t a/t");
    world.ends("verify source/t a/t b/t", 4);
    world.ends("verify source/t a/t b/t missing/t", 4);
}

#[test]
fn a_configuration_that_makes_no_sense_ends_with_2() {
    let world = World::with("history");
    for text in [
        "stores = 7",
        "[stores.lake]\nurl = 7",
        "[stores.lake]\nurl = \"s3://b\"\nextra = 1",
        "[stores.lake]\nurl = \"s3://b\"\n[stores.lake.options]\nno_such_option = \"x\"",
        "[stores.lake]\nurl = \"s3://b\"\n[stores.lake.options]\naws_region = { env = \"UNSET_\" }",
        "[stores.lake]\nurl = \"ftp://b\"",
    ] {
        fs::write(world.path("driftless.toml"), text).unwrap();
        let ran = world.ends("inspect lake:t --config driftless.toml --output json", 2);
        assert!(ran.json()["error"]["hint"].is_string(), "{text}");
        // Never silently from the current folder.
        let ran = world.ends("inspect lake:t --output json", 2);
        assert!(ran.json()["error"]["message"].as_str().unwrap().contains("lake"), "{text}");
    }
}

#[test]
fn an_unreachable_store_ends_with_1() {
    let world = World::with("history");
    let text = "[stores.lake]\nurl = \"s3://b\"\n[stores.lake.options]\n\
                aws_endpoint = \"http://127.0.0.1:1\"\naws_access_key_id = \"key\"\n\
                aws_secret_access_key = \"secret\"\naws_region = \"us-east-1\"\n";
    fs::write(world.path("stores.toml"), text).unwrap();
    for (line, code) in [
        ("inspect lake:t", "source_unavailable"),
        ("sync lake:* target", "source_unavailable"),
        ("probe lake:t", "target_unavailable"),
    ] {
        let line = format!("{line} --config stores.toml --timeout 100ms --output json");
        assert_eq!(world.ends(&line, 1).json()["error"]["code"], code, "{line}");
    }
    for (line, code) in [
        ("sync lake:t target/t", "source_unavailable"),
        ("sync source/t lake:t", "target_unavailable"),
        ("status source/t lake:t", "target_unavailable"),
        ("plan source/t lake:t", "target_unavailable"),
        ("verify source/t lake:t", "target_unavailable"),
    ] {
        let line = format!("{line} --config stores.toml --timeout 100ms --output json");
        let document = world.ends(&line, 1).json();
        assert_eq!(document["targets"][0]["error"]["code"], code, "{line}");
    }
    // One unreachable target does not hold back the other.
    let line = "sync source/t lake:t target/t --config stores.toml --timeout 100ms --output json";
    let document = world.ends(line, 1).json();
    assert_eq!(document["targets"][1]["head"], 12);
}
