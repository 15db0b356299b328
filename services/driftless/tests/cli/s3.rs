//! Stores that are not folders: an S3 server in this process, found by name or by environment.

use std::fs;
use std::path::Path;

use driftless_testdata::s3::{Config, Credentials, S3Double};
use serde_json::json;

use crate::World;

const KEY_ID: &str = "test-key-id";
const SECRET: &str = "test/secret+with=odd characters";

/// A world whose configuration names the server's bucket `lake`. Its store was found to be fit.
pub(crate) fn start(world: &World) -> S3Double {
    let double = start_unknown(world);
    for root in ["wh", "replica"] {
        let key = format!("{root}/_driftless/probe.json");
        double.put_object("bucket", &key, probed("\"fit\""));
    }
    double
}

fn start_unknown(world: &World) -> S3Double {
    let credentials = Some(Credentials::new(KEY_ID, SECRET));
    let double = S3Double::start(Config { credentials, ..Config::default() });
    configure(world, &double, SECRET);
    double
}

/// What an earlier probe left.
fn probed(verdict: &str) -> String {
    format!("{{\"store\":\"x\",\"probed_ms\":0,\"checks\":[],\"verdict\":{verdict}}}")
}

fn configure(world: &World, double: &S3Double, secret: &str) {
    let folder = world.path("home/.config/driftless");
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "[stores.lake]\nurl = \"s3://bucket/wh\"\n[stores.lake.options]\n\
         aws_endpoint = \"{}\"\naws_region = \"us-east-1\"\naws_access_key_id = \"{KEY_ID}\"\n\
         aws_secret_access_key = \"{secret}\"\n",
        double.endpoint()
    );
    fs::write(folder.join("driftless.toml"), text).unwrap();
}

/// Puts a folder's files into the bucket.
pub(crate) fn fill(double: &S3Double, folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let key = format!("{prefix}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            fill(double, &entry.path(), &key);
        } else {
            double.put_object("bucket", &key, fs::read(entry.path()).unwrap());
        }
    }
}

#[test]
fn a_table_goes_to_a_named_store_and_back() {
    let world = World::with("partitions");
    let double = start(&world);
    let ran = world.done("sync source/t lake:deep/t --output json");
    assert_eq!(ran.json()["targets"][0]["target"], "s3://bucket/wh/deep/t");
    world.done("verify source/t lake:deep/t --level bytes");
    assert!(double.object("bucket", "wh/_driftless/replicas/deep/t.json").is_some());

    world.done("sync lake:deep/t back/t");
    world.done("verify lake:deep/t back/t --level bytes");
    world.done("verify source/t back/t --level bytes");
    let ran = world.done("sync lake:deep/* folder --output json");
    assert_eq!(ran.json()["tables"][0]["targets"][0]["target"], "file://$WORLD/folder/t");
}

#[test]
fn an_idle_pass_puts_nothing() {
    let world = World::with("history");
    let double = start(&world);
    world.done("sync source/t lake:t");
    let before = double.objects("bucket");
    let ran = world.done("sync source/t lake:t --output json");
    assert_eq!(ran.json()["targets"][0]["published"], json!([]));
    assert_eq!(double.objects("bucket"), before);
}

/// Each pass is a process of its own here: nothing is remembered but what lies at the target.
#[test]
fn an_idle_pass_costs_two_requests_at_the_source_and_three_at_the_target() {
    for table in ["history", "checkpoint_v2_parquet", "log_cleaned", "checksum"] {
        let world = World::with(table);
        let double = start(&world);
        fill(&double, &world.path("source/t"), "wh/from/t");
        world.done("sync lake:from/t lake:to/t");
        world.done("sync lake:from/t lake:to/t");
        double.take_requests();
        world.done("sync lake:from/t lake:to/t");
        let requests = double.take_requests();
        let at = |side: &str| {
            let whole: Vec<String> = requests
                .iter()
                .map(|request| format!("{} {}?{}", request.method, request.key, request.query))
                .filter(|line| line.contains(side))
                .collect();
            whole
        };
        assert!(at("from").len() <= 2, "{table}: {:#?}", at("from"));
        assert!(at("to").len() <= 3, "{table}: {:#?}", at("to"));
        assert_eq!(at("from").len() + at("to").len(), requests.len(), "{requests:#?}");
    }
}

/// A file of the right name and size, with a checksum of its own, is not the file.
#[test]
fn what_lies_at_the_target_is_held_against_the_source() {
    let world = World::with("history");
    world.add("doctored/t", "history");
    for file in crate::data_files(&world.path("doctored/t")) {
        crate::flip_last_byte(&file);
    }
    // Large files are looked for before they are sent, small ones after.
    let large = vec![7; 3 << 20];
    for (side, byte) in [("source", 7), ("doctored", 8)] {
        let mut bytes = large.clone();
        bytes[1 << 20] = byte;
        fs::write(world.path(&format!("{side}/t/large.parquet")), bytes).unwrap();
        let commit = crate::add("large.parquet", large.len() as u64);
        let next = world.log(13).strip_prefix(world.path("source")).unwrap().to_owned();
        fs::write(world.path(side).join(next), commit).unwrap();
    }
    let double = start(&world);
    world.done("sync doctored/t lake:t");
    for key in double.objects("bucket").into_keys() {
        if key.contains("_delta_log") || key.contains("replicas") {
            double.remove("bucket", &key);
        }
    }
    world.done("sync source/t lake:t");
    world.done("verify source/t lake:t --level bytes");
}

#[test]
fn a_bare_url_takes_the_environments_credentials() {
    let world = World::with("history");
    let double = start(&world);
    let run = |line: &[&str], secret: &str| {
        let mut command = world.command(line);
        command.env("AWS_ENDPOINT", double.endpoint()).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", secret);
        command.output().unwrap()
    };
    let sync = ["sync", "source/t", "s3://bucket/replica/t", "--output", "json"];
    let output = run(&sync, SECRET);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // Beside the table for a bare URL.
    assert!(double.object("bucket", "replica/_driftless/replicas/t.json").is_some());
    assert_eq!(run(&["inspect", "s3://bucket/replica/t"], SECRET).status.code(), Some(0));
    assert_eq!(run(&["inspect", "s3://bucket/replica/t"], "wrong").status.code(), Some(1));
}

#[test]
fn refused_credentials_end_with_1_and_are_not_printed() {
    let world = World::with("history");
    let double = start(&world);
    configure(&world, &double, "MARKERmarkerMARKER");
    for line in ["sync source/t lake:t", "sync lake:t target/t", "inspect lake:t", "probe lake:t"] {
        let line = format!("{line} --timeout 200ms --log-level trace");
        let ran = world.ends(&line, 1);
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains("MARKERmarkerMARKER"), "{line}: {text}");
        }
    }
    assert!(double.objects("bucket").keys().all(|key| key.ends_with("_driftless/probe.json")));
}

#[test]
fn a_store_that_keeps_no_promise_is_no_target() {
    let world = World::with("history");
    let double = start_unknown(&world);
    double.reconfigure(|config| config.no_conditional_put = true);
    let ran = world.ends("probe lake:t --output json", 3);
    assert_eq!(ran.json()["verdict"], "unfit");
    let ran = world.ends("sync source/t lake:t --output json", 3);
    assert_eq!(ran.json()["targets"][0]["blocked"]["code"], "unfit_target");
    assert!(!double.objects("bucket").keys().any(|key| key.contains("_delta_log")));
}

#[test]
fn a_new_probe_replaces_what_is_remembered() {
    let world = World::with("history");
    fs::create_dir_all(world.path("target/_driftless")).unwrap();
    let unfit = probed("{\"unfit\":{\"reason\":\"it was broken\"}}");
    fs::write(world.path("target/_driftless/probe.json"), unfit).unwrap();
    let ran = world.ends("sync source/t target/t", 3);
    assert!(ran.stdout.contains("it was broken"), "{}", ran.stdout);
    let ran = world.done("probe target/t --output json");
    assert_eq!(ran.json()["remembered"], true);
    world.done("sync source/t target/t");
}

/// A stand-in: the server speaks the part of Google Cloud Storage's XML API that reads and lists.
#[test]
fn a_source_is_read_as_google_cloud_storage() {
    let world = World::with("history");
    let double = S3Double::start(Config { credentials: None, ..Config::default() });
    fill(&double, &world.path("source/t"), "wh/t");
    let account = json!({
        "gcs_base_url": double.endpoint(), "disable_oauth": true,
        "client_email": "", "private_key": "", "private_key_id": ""
    });
    let text = format!(
        "[stores.google]\nurl = \"gs://bucket/wh\"\n[stores.google.options]\n\
         google_service_account_key = '{account}'\nallow_http = \"true\"\n"
    );
    let folder = world.path("home/.config/driftless");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("driftless.toml"), text).unwrap();
    world.done("sync google:t b/t");
    world.done("verify google:t b/t --level bytes");
    assert!(!double.take_requests().is_empty());
}
