//! One read of a source for two real S3 servers, and the loss of one of them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use driftless_testdata::s3::S3Double;
use driftless_testdata::servers::versitygw;
use serde_json::Value;

use crate::servers::{configure, s3_section};
use crate::{World, add, s3};

/// Bytes that the source gave out, by key.
fn bytes_read(double: &S3Double) -> BTreeMap<String, u64> {
    let mut read = BTreeMap::new();
    for request in double.take_requests() {
        if request.method == "GET" && !request.key.is_empty() {
            *read.entry(request.key).or_default() += request.bytes_out;
        }
    }
    read
}

/// The newest version of the world's source.
fn newest(world: &World) -> u64 {
    let log = fs::read_dir(world.path("source/t/_delta_log")).unwrap();
    let versions = log.filter_map(|entry| {
        entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.parse::<u64>().ok()
    });
    versions.max().unwrap()
}

#[test]
fn each_byte_is_read_once_for_two_servers_and_one_finishes_when_the_other_is_gone() {
    let test = "fan-out to two S3 servers";
    let (Some(gone), Some(stays)) = (versitygw(test, true), versitygw(test, true)) else { return };
    let world = World::with("partitions");
    let double = s3::start(&world);
    configure(&world, &(s3_section("gone", &gone) + &s3_section("stays", &stays)));
    s3::fill(&double, &world.path("source/t"), "wh/t");

    let head = newest(&world);
    double.take_requests();
    world.done("sync lake:t gone:t stays:t --start earliest");
    let objects = double.objects("bucket");
    let read = bytes_read(&double);
    // When all is published, both sides are compared at the newest commit.
    let compared = format!("wh/t/_delta_log/{head:020}.json");
    for (key, bytes) in &read {
        let times = if *key == compared { 2 } else { 1 };
        let size_bytes = objects.get(key).map_or(0, |object| object.len() as u64);
        assert_eq!(*bytes, times * size_bytes, "{key}");
    }
    let data_files = |keys: Vec<&String>| keys.iter().filter(|k| k.ends_with(".parquet")).count();
    let copied = data_files(read.keys().collect());
    assert!(copied > 0 && copied == data_files(objects.keys().collect()), "{read:#?}");
    world.done("verify lake:t gone:t stays:t --level bytes");

    let next = head + 1;
    let file = vec![7; 1_000_000];
    let mut commit = String::new();
    for number in 0..8 {
        let path = format!("new-{number}.parquet");
        double.put_object("bucket", &format!("wh/t/{path}"), file.clone());
        commit.push_str(&add(&path, file.len() as u64));
    }
    double.put_object("bucket", &format!("wh/t/_delta_log/{next:020}.json"), commit);

    let line = "sync lake:t gone:t stays:t --bandwidth-limit 2MB/s --transfers 2 --timeout 3s \
                --output json";
    let arguments: Vec<_> = line.split(' ').collect();
    let mut command = world.command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let arrived = |number: u64| {
        let path = format!("lake/t/new-{number}.parquet");
        gone.folder.path().join(path).exists()
    };
    while !(0..8).any(arrived) {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before a server was stopped");
        pause();
    }
    assert!(!(0..8).all(arrived));
    drop(gone);
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["targets"][0]["error"]["code"], "target_unavailable", "{report:#}");
    assert_eq!(report["targets"][0]["head"], next - 1);
    assert_eq!(report["targets"][1]["error"], Value::Null, "{report:#}");
    assert_eq!(report["targets"][1]["head"], next);
    world.done("verify lake:t stays:t --level bytes");
}

#[expect(clippy::disallowed_methods, reason = "a test that waits for a process has nothing else")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
