//! Replication of whole lives: what is published, when, and that nothing else is written.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use driftless_testdata::models::hudi::recorded_tables;
use serde_json::{Value, json};

use super::{ALL, Life, id, names, sync, target, walk, world};
use crate::{World, s3};

/// Levels of `verify` that tell for a table. At a version 6 replica the order of its commits and
/// its live set follow from times of its own, and from a shorter timeline.
fn levels(life: &Life) -> &'static [&'static str] {
    match life.recorded.table_version {
        6 => &["log"],
        _ => &["log", "files", "bytes"],
    }
}

#[test]
fn every_recorded_table_is_inspected_and_replicated() {
    for recorded in recorded_tables() {
        let name = recorded.name.clone();
        let (version, kind) = (recorded.table_version, recorded.kind.clone());
        let (world, mut life) = (World::new(), Life::new(recorded));
        life.go_on(ALL);
        life.lay(&world.path("source/t"));
        let found = world.done("inspect source/t --output json").json();
        assert_eq!((&found["format"], &found["replicable"]), (&json!("hudi"), &json!(true)));
        assert_eq!(found["table_version"], version, "{name}");
        assert_eq!(found["table_type"], kind, "{name}");
        assert_eq!(found["timeline"]["layout"], if version == 6 { 1 } else { 2 }, "{name}");
        assert!(found["files"].as_u64().unwrap() > 0, "{name}");

        let first = sync(&world, "", 0);
        assert_eq!(first["head"], found["head"], "{name}");
        assert_eq!(first["published"], json!([found["head"]]), "{name}");
        assert_eq!((&first["jumped"], &first["windows"]), (&json!([]), &json!([])), "{name}");
        // Of a version 6 replica what is remembered may change once: it holds the target's times.
        let kept = if version == 6 { "target/t" } else { "target" };
        let before = world.footprint(kept);
        let again = sync(&world, "", 0);
        assert_eq!((&again["published"], &again["state"]), (&json!([]), &json!("ok")), "{name}");
        for level in levels(&life) {
            world.done(&format!("verify source/t target/t --level {level}"));
        }
        assert_eq!(world.footprint(kept), before, "{name}");
        let properties = world.path("target/t/.hoodie/hoodie.properties");
        let properties = std::fs::read_to_string(properties).unwrap();
        assert!(!properties.contains("hoodie.table.metadata.partitions"), "{name}");
        assert!(!world.path("target/t/.hoodie/metadata").exists(), "{name}");
    }
}

/// Each pass is a process of its own here. One of sixteen looks at everything all the same, by
/// table and minute: one that does not is enough.
#[test]
fn an_idle_pass_asks_for_two_objects_at_the_source_and_three_at_the_target() {
    let mut believed = 0;
    for recorded in recorded_tables().into_iter().filter(|table| table.steps.len() > 3).take(8) {
        let world = World::new();
        let double = s3::start(&world);
        let (name, mut life) = (recorded.name.clone(), Life::new(recorded));
        life.put(&double, &format!("wh/from/{name}"), ALL);
        let sync = || world.done(&format!("sync lake:from/{name} lake:to/{name} --output json"));
        sync();
        sync();
        let before = double.objects("bucket");
        double.take_requests();
        let report = sync().json();
        assert_eq!(report["targets"][0]["state"], "ok", "{name}: {report:#}");
        assert_eq!(double.objects("bucket"), before, "{name}");
        let requests = double.take_requests();
        let at = |side: &str| {
            requests
                .iter()
                .filter(|one| format!("{}?{}", one.key, one.query).contains(side))
                .count()
        };
        assert_eq!(at("from") + at("to"), requests.len(), "{name}");
        let looks = requests
            .iter()
            .any(|one| one.method == "GET" && one.key.ends_with("hoodie.properties"));
        if !looks {
            assert!(at("from") <= 2 && at("to") <= 3, "{name}: {requests:#?}");
            believed += 1;
        }
    }
    assert!(believed > 0);
}

/// One pass for each completed instant, from the first on.
fn follow_life(name: &str) -> (World, Life, Vec<Value>) {
    let (world, mut life) = world(name, 1);
    let mut reports = vec![sync(&world, "", 0)];
    while !life.is_over() {
        life.go_on(1);
        life.lay(&world.path("source/t"));
        reports.push(sync(&world, "", 0));
        for level in levels(&life) {
            world.done(&format!("verify source/t target/t --level {level}"));
        }
    }
    (world, life, reports)
}

#[test]
fn each_commit_is_published_once_in_the_order_of_completion() {
    for name in ["cow_v6", "cow_v8_out_of_order", "mor_v9", "mor_v8_pending_compaction"] {
        let (world, life, reports) = follow_life(name);
        let published: Vec<&Value> =
            reports.iter().flat_map(|report| report["published"].as_array().unwrap()).collect();
        let writes = life.recorded.expected.instants.iter();
        let writes = writes.filter(|at| at.action.contains("commit"));
        let writes: Vec<_> = writes.map(|at| at.instant.as_str()).collect();
        let ids: Vec<_> = published.iter().map(|at| id(at)).collect();
        assert_eq!(ids, writes, "{name}");
        assert!(published.is_sorted_by_key(|at| at.as_str()), "{name}");
        assert!(reports.iter().all(|report| report["state"] == "ok"), "{name}");
        assert!(reports.iter().all(|report| report["jumped"] == json!([])), "{name}");
        let head = &world.done("inspect source/t --output json").json()["head"];
        assert_eq!(reports.last().unwrap()["head"], *head, "{name}");
    }
}

#[test]
fn a_restore_switches_to_another_timeline_folder() {
    let (world, _, reports) = follow_life("cow_v8_restore");
    let jumped: Vec<_> =
        reports.iter().flat_map(|report| report["jumped"].as_array().unwrap()).collect();
    assert_eq!(jumped.len(), 1, "{jumped:?}");
    let properties = world.path("target/t/.hoodie/hoodie.properties");
    let properties = std::fs::read_to_string(properties).unwrap();
    let folder = properties.lines().find_map(|line| line.strip_prefix("hoodie.timeline.path="));
    let folder = folder.expect("a folder of its own");
    assert!(folder.starts_with(&format!("timeline_{}", jumped[0].as_str().unwrap())), "{folder}");
    // Later commits go there, and the folder before it stays for readers that still list it.
    assert!(names(&world.path("target/t/.hoodie").join(folder)).len() > 4);
    assert!(names(&world.path("target/t/.hoodie/timeline")).len() > 2);
}

#[test]
fn version_6_replicas_are_equal_byte_for_byte() {
    for name in ["cow_v6", "mor_v6", "mor_v6_archived", "v6_by_1_0"] {
        let (world, mut life) = world(name, 1);
        while !life.is_over() {
            sync(&world, "", 0);
            world.done("verify source/t target/t --level bytes");
            life.go_on(1);
            life.lay(&world.path("source/t"));
        }
    }
}

#[test]
fn several_targets_get_the_same_positions() {
    let (world, mut life) = world("mor_v8", 4);
    let double = s3::start(&world);
    let line = "sync source/t target/t lake:deep/t --output json";
    let mut published = Vec::new();
    while !life.is_over() {
        let document = world.done(line).json();
        let targets = document["targets"].as_array().unwrap();
        assert_eq!(targets[1]["target"], "s3://bucket/wh/deep/t");
        assert_eq!(targets[0]["published"], targets[1]["published"]);
        assert_eq!(targets[0]["head"], document["source_head"]);
        published.extend(targets[0]["published"].as_array().unwrap().clone());
        life.go_on(4);
        life.lay(&world.path("source/t"));
    }
    assert!(published.len() > 3);
    world.done("sync source/t target/t lake:deep/t");
    world.done("verify source/t target/t lake:deep/t --level bytes");
    let before = double.objects("bucket");
    world.done("sync source/t target/t lake:deep/t");
    assert_eq!(double.objects("bucket"), before);
}

#[test]
fn an_s3_source_goes_to_a_folder() {
    for name in ["cow_v8_metadata", "mor_v6", "mor_v9"] {
        let world = World::new();
        let double = s3::start(&world);
        let mut life = Life::of(name);
        while !life.is_over() {
            life.put(&double, "wh/t", 3);
            let ran = world.done("sync lake:t target/t --output json");
            let report = ran.json();
            assert_eq!(target(&report)["head"], report["source_head"], "{name}");
        }
        for level in levels(&life) {
            world.done(&format!("verify lake:t target/t --level {level}"));
        }
    }
}

#[test]
fn a_pattern_names_hudi_tables_too() {
    let (world, life) = world("cow_v9", ALL);
    world.add("source/d", "history");
    life.lay(&world.path("source/u"));
    let document = world.done("sync source/* target --output json").json();
    let tables = document["tables"].as_array().unwrap();
    let formats: Vec<_> = tables.iter().map(|table| table["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["delta", "hudi", "hudi"]);
    world.done("verify source/* target --level bytes");
}

#[test]
fn a_version_6_window_is_reported_or_refused() {
    let (world, mut life) = world("mor_v6", 2);
    sync(&world, "", 0);
    life.go_on(1);
    life.lay(&world.path("source/t"));
    let refused = sync(&world, "--hudi-v6-window refuse", 3);
    assert_eq!(refused["blocked"]["code"], "v6_window");
    assert_eq!(refused["published"], json!([]));
    let allowed = sync(&world, "", 0);
    let windows = allowed["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 1);
    assert_eq!(json!([windows[0]["position"]]), allowed["published"]);
    assert!(windows[0]["seconds"].as_f64().unwrap() > 0.0);
    // The instant on which its logs lie is in the timeline no more.
    let timeline = names(&world.path("target/t/.hoodie"));
    let newest = format!("{}.deltacommit", id(&allowed["head"]));
    assert_eq!(timeline, [newest.as_str(), "hoodie.properties"]);
}

#[test]
fn old_readers_alone_need_no_window_and_the_whole_timeline() {
    let (world, mut life) = world("mor_v6", 1);
    while !life.is_over() {
        let report = sync(&world, "--hudi-readers 0.x --hudi-v6-window refuse", 0);
        assert_eq!((&report["windows"], &report["state"]), (&json!([]), &json!("ok")));
        life.go_on(1);
        life.lay(&world.path("source/t"));
    }
    sync(&world, "--hudi-readers 0.x", 0);
    let completed = |folder: &str| {
        let names = names(&world.path(folder));
        let done = |name: &String| name.ends_with("commit");
        names.into_iter().filter(done).collect::<Vec<_>>()
    };
    assert_eq!(completed("target/t/.hoodie"), completed("source/t/.hoodie"));
}

#[test]
fn a_version_6_publication_waits_where_the_state_would_stay_wrong() {
    let (world, mut life) = world("mor_v6_pending_compaction", 1);
    for _ in 1..4 {
        assert_eq!(sync(&world, "", 0)["state"], "ok");
        life.go_on(1);
        life.lay(&world.path("source/t"));
    }
    let published = sync(&world, "", 0);
    // The compaction completes below a commit that wrote logs on it.
    life.go_on(1);
    life.lay(&world.path("source/t"));
    let waits = sync(&world, "", 0);
    assert_eq!((&waits["state"], &waits["published"]), (&json!("catching_up"), &json!([])));
    assert_eq!(id(&waits["head"]), id(&published["head"]));
    assert!(waits["warnings"][0].as_str().unwrap().contains("v6_pending_compaction"), "{waits}");
    life.go_on(1);
    life.lay(&world.path("source/t"));
    let done = sync(&world, "", 0);
    assert_eq!((&done["state"], &done["warnings"]), (&json!("ok"), &json!([])), "{done}");
    assert_eq!(done["published"].as_array().unwrap().len(), 2);
}

#[test]
fn history_is_carried_unless_it_is_left_out() {
    let (world, _) = world("cow_v9", ALL);
    let history = |target: &str| {
        let mut found = Default::default();
        walk(&world.path(target).join(".hoodie/timeline/history"), &mut found);
        found.len()
    };
    world.done("sync source/t a/t");
    world.done("sync source/t b/t --hudi-history omit");
    assert_eq!((history("a/t"), history("b/t")), (history("source/t"), 0));
}

#[test]
fn a_metadata_table_is_dropped_unless_it_is_mirrored() {
    let (world, _) = world("mor_v9_metadata", ALL);
    let partitions = |target: &str| {
        let path = world.path(target).join(".hoodie/hoodie.properties");
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("hoodie.table.metadata.partitions="));
        value.map(str::to_owned)
    };
    let folder = |name: &str| world.path("b/t/.hoodie/metadata").join(name).exists();
    world.done("sync source/t a/t");
    assert_eq!((partitions("a/t"), world.path("a/t/.hoodie/metadata").exists()), (None, false));
    world.done("sync source/t b/t --hudi-metadata mirror");
    assert_eq!(partitions("b/t").as_deref(), Some("column_stats,files,partition_stats"));
    assert_eq!((folder("files"), folder("record_index")), (true, false));
    world.done("verify source/t b/t --level bytes --hudi-metadata mirror");
    world.done("sync source/t b/t");
    assert_eq!(partitions("b/t"), None);
}

#[test]
fn nothing_is_planned_into_being() {
    let (world, _) = world("cow_v8", 4);
    world.done("plan source/t target/t");
    world.done("plan source/t target/t --files");
    world.done("status source/t target/t");
    assert!(!world.path("target").exists());
}

#[test]
fn follow_publishes_each_commit_while_the_writer_goes_on() {
    let (world, mut life) = world("mor_v9", 1);
    let line = ["sync", "source/t", "target/t", "--follow", "--output", "json"];
    let mut command = world.command(&line);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut published: Vec<Value> = Vec::new();
    let mut wait_for = |head: &str| loop {
        let line = lines.next().expect("another pass").unwrap();
        let document: Value = serde_json::from_str(&line).unwrap();
        let report = target(&document);
        assert_eq!(report["blocked"], Value::Null, "{line}");
        published.extend(report["published"].as_array().unwrap().clone());
        if report["head"].as_str().is_some_and(|at| at.ends_with(head)) {
            break;
        }
    };
    let newest = |life: &Life| {
        let done = life.recorded.expected.instants.iter();
        let mut done = done.filter(|at| at.action.contains("commit"));
        let here = |id: &str| life.state.keys().any(|key| key.contains(&format!("/{id}_")));
        done.rfind(|at| here(&at.instant)).unwrap().instant.clone()
    };
    wait_for(&newest(&life));
    for _ in 0..4 {
        life.feed(&world.path("source/t"), 2);
        wait_for(&newest(&life));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(published.len() >= 6, "{published:?}");
    world.done("verify source/t target/t --level bytes");
}
