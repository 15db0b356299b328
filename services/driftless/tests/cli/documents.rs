//! One golden document a command. `UPDATE_EXPECT=1` rewrites them.

use expect_test::{Expect, expect};
use serde_json::Value;

use crate::World;

#[track_caller]
pub(crate) fn check(world: &World, line: &str, code: i32, expect: &Expect) {
    let ran = world.ends(line, code);
    let mut document = ran.json();
    blank(&mut document);
    expect.assert_eq(&serde_json::to_string_pretty(&document).unwrap());
}

/// Ages depend on when the test runs; a probe's details on the machine.
fn blank(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "seconds" && value.as_f64().is_some_and(|age| age > 0.0) {
                    *value = "AGE".into();
                } else if name == "detail" {
                    *value = "DETAIL".into();
                } else {
                    blank(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}

#[test]
fn inspect() {
    let world = World::with("history");
    check(
        &world,
        "inspect source/t --output json",
        0,
        &expect![[r#"
        {
          "blocked": null,
          "bytes": 3697,
          "checkpoints": [
            {
              "kinds": [
                "classic"
              ],
              "version": 10
            }
          ],
          "deletion_vectors": 0,
          "earliest_readable": 0,
          "files": 3,
          "format": "delta",
          "head": 12,
          "live_digest": "a1816ce8ca595247dd3836050432dc37",
          "name": null,
          "other_formats": [],
          "partition_columns": [],
          "protocol": {
            "features": [],
            "reader": 1,
            "writer": 2
          },
          "replicable": true,
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "table_id": "4be39924-7d84-43ad-a1e0-a0f686b337c9",
          "warnings": [
            "time travel by timestamp differs at a replica: in-commit timestamps are off"
          ]
        }"#]],
    );
}

#[test]
fn inspect_of_a_table_that_cannot_be_replicated() {
    let world = World::new();
    crate::hand_made(&world.path("source/t"), &[&crate::needs_feature("fromTheFuture")]);
    check(
        &world,
        "inspect source/t --output json",
        3,
        &expect![[r#"
            {
              "blocked": {
                "code": "unsupported_reader_feature",
                "message": "version 0 needs reader feature fromTheFuture, which a byte copy cannot be trusted to carry; drop the feature at the source or upgrade this program"
              },
              "bytes": 0,
              "checkpoints": [],
              "deletion_vectors": 0,
              "earliest_readable": 0,
              "files": 0,
              "format": "delta",
              "head": 0,
              "live_digest": null,
              "name": null,
              "other_formats": [],
              "partition_columns": [],
              "protocol": {
                "features": [
                  "fromTheFuture"
                ],
                "reader": 3,
                "writer": 7
              },
              "replicable": false,
              "schema": 1,
              "source": "file://$WORLD/source/t",
              "table_id": "5f0b6f3e-0000-4000-8000-000000000001",
              "warnings": []
            }"#]],
    );
}

#[test]
fn plan() {
    let world = World::with("history");
    let line = "plan source/t target/t --bandwidth 8bps --egress-usd-per-gib 1048576 --output json";
    check(
        &world,
        line,
        0,
        &expect![[r#"
            {
              "egress_usd": 4.6083984375,
              "eta_seconds": 4719,
              "format": "delta",
              "read_bytes": 4719,
              "schema": 1,
              "source": "file://$WORLD/source/t",
              "source_head": 12,
              "targets": [
                {
                  "blocked": null,
                  "copy_bytes": 4719,
                  "copy_files": 4,
                  "end": 12,
                  "error": null,
                  "head": null,
                  "jumped": [],
                  "log_objects": 5,
                  "present_files": 0,
                  "publications": [
                    {
                      "first": 10,
                      "kind": "jump",
                      "last": 10
                    },
                    {
                      "first": 11,
                      "kind": "append",
                      "last": 12
                    }
                  ],
                  "target": "file://$WORLD/target/t",
                  "unsized_files": 0,
                  "versions": 3
                }
              ]
            }"#]],
    );
}

#[test]
fn plan_files() {
    let world = World::with("history");
    let ran = world.done("plan source/t target/t --start 12 --files");
    let files: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(files.len(), 4);
    let first = serde_json::to_string_pretty(&files[0]).unwrap();
    expect![[r#"
        {
          "path": "part-00000-c6b08903-98ef-4c55-9006-5b7ce9e0c275-c000.snappy.parquet",
          "position": 10,
          "role": "data",
          "schema": 1,
          "size_bytes": 1022,
          "target": "file://$WORLD/target/t"
        }"#]]
    .assert_eq(&first);
}

#[test]
fn sync() {
    let world = World::with("history");
    check(
        &world,
        "sync source/t target/t --start earliest --output json",
        0,
        &expect![[r#"
            {
              "format": "delta",
              "schema": 1,
              "source": "file://$WORLD/source/t",
              "source_head": 12,
              "targets": [
                {
                  "blocked": null,
                  "copied_bytes": 13366,
                  "copied_files": 11,
                  "earliest_readable": 0,
                  "error": null,
                  "head": 12,
                  "jumped": [],
                  "published": [
                    0,
                    1,
                    2,
                    3,
                    4,
                    5,
                    6,
                    7,
                    8,
                    9,
                    10,
                    11,
                    12
                  ],
                  "retired_files": 0,
                  "skipped_files": 0,
                  "start": null,
                  "state": "ok",
                  "target": "file://$WORLD/target/t",
                  "warnings": [],
                  "windows": []
                }
              ]
            }"#]],
    );
    check(
        &world,
        "sync source/t target/t --start earliest --output json",
        0,
        &expect![[r#"
            {
              "format": "delta",
              "schema": 1,
              "source": "file://$WORLD/source/t",
              "source_head": 12,
              "targets": [
                {
                  "blocked": null,
                  "copied_bytes": 0,
                  "copied_files": 0,
                  "earliest_readable": 0,
                  "error": null,
                  "head": 12,
                  "jumped": [],
                  "published": [],
                  "retired_files": 0,
                  "skipped_files": 0,
                  "start": 12,
                  "state": "ok",
                  "target": "file://$WORLD/target/t",
                  "warnings": [],
                  "windows": []
                }
              ]
            }"#]],
    );
}

#[test]
fn sync_that_is_blocked_at_one_target() {
    let world = World::with("history");
    world.add("b/t", "all_types");
    check(
        &world,
        "sync source/t a/t b/t --start earliest --output json",
        3,
        &expect![[r#"
            {
              "format": "delta",
              "schema": 1,
              "source": "file://$WORLD/source/t",
              "source_head": 12,
              "targets": [
                {
                  "blocked": null,
                  "copied_bytes": 13366,
                  "copied_files": 11,
                  "earliest_readable": 0,
                  "error": null,
                  "head": 12,
                  "jumped": [],
                  "published": [
                    0,
                    1,
                    2,
                    3,
                    4,
                    5,
                    6,
                    7,
                    8,
                    9,
                    10,
                    11,
                    12
                  ],
                  "retired_files": 0,
                  "skipped_files": 0,
                  "start": null,
                  "state": "ok",
                  "target": "file://$WORLD/a/t",
                  "warnings": [],
                  "windows": []
                },
                {
                  "blocked": {
                    "code": "foreign_replica",
                    "message": "file://$WORLD/b/t already holds a table that Driftless did not write; compare it with `driftless verify --level bytes` and take it over with `driftless sync --adopt`, or choose another target",
                    "position": 6
                  },
                  "copied_bytes": 0,
                  "copied_files": 0,
                  "earliest_readable": null,
                  "error": null,
                  "head": null,
                  "jumped": [],
                  "published": [],
                  "retired_files": 0,
                  "skipped_files": 0,
                  "start": null,
                  "state": "blocked",
                  "target": "file://$WORLD/b/t",
                  "warnings": [],
                  "windows": []
                }
              ]
            }"#]],
    );
}

#[test]
fn status() {
    let world = World::with("history");
    check(
        &world,
        "status source/t target/t --output json",
        0,
        &expect![[r#"
            {
              "format": "delta",
              "schema": 1,
              "source": "file://$WORLD/source/t",
              "source_head": 12,
              "targets": [
                {
                  "blocked": null,
                  "earliest_readable": null,
                  "error": null,
                  "head": null,
                  "lag": {
                    "bytes": 4719,
                    "seconds": "AGE",
                    "versions": 13
                  },
                  "state": "unpublished",
                  "target": "file://$WORLD/target/t"
                }
              ]
            }"#]],
    );
    world.done("sync source/t target/t --until 11");
    check(
        &world,
        "status source/t target/t --output json",
        0,
        &expect![[r#"
        {
          "format": "delta",
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "source_head": 12,
          "targets": [
            {
              "blocked": null,
              "earliest_readable": 10,
              "error": null,
              "head": 11,
              "lag": {
                "bytes": 1022,
                "seconds": "AGE",
                "versions": 1
              },
              "state": "catching_up",
              "target": "file://$WORLD/target/t"
            }
          ]
        }"#]],
    );
    world.done("sync source/t target/t");
    check(
        &world,
        "status source/t target/t --output json",
        0,
        &expect![[r#"
        {
          "format": "delta",
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "source_head": 12,
          "targets": [
            {
              "blocked": null,
              "earliest_readable": 10,
              "error": null,
              "head": 12,
              "lag": {
                "bytes": 0,
                "seconds": 0.0,
                "versions": 0
              },
              "state": "ok",
              "target": "file://$WORLD/target/t"
            }
          ]
        }"#]],
    );
}

#[test]
fn verify() {
    let world = World::with("history");
    world.done("sync source/t target/t");
    check(
        &world,
        "verify source/t target/t --level bytes --output json",
        0,
        &expect![[r#"
        {
          "format": "delta",
          "level": "bytes",
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "targets": [
            {
              "blocked": null,
              "bytes": 3697,
              "chain": "06ce694d4ea17c11cf3fdb481a39fb6c354d837283859a71034aba1cec2abae3",
              "commits": 3,
              "commits_gone": 0,
              "difference_count": 0,
              "differences": [],
              "equal": true,
              "error": null,
              "files": 3,
              "live_digest": "a1816ce8ca595247dd3836050432dc37",
              "rows": null,
              "target": "file://$WORLD/target/t",
              "version": 12
            }
          ]
        }"#]],
    );
    let file = &crate::data_files(&world.path("target/t"))[0];
    std::fs::remove_file(file).unwrap();
    check(
        &world,
        "verify source/t target/t --level files --output json",
        4,
        &expect![[r#"
        {
          "format": "delta",
          "level": "files",
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "targets": [
            {
              "blocked": null,
              "bytes": 0,
              "chain": "06ce694d4ea17c11cf3fdb481a39fb6c354d837283859a71034aba1cec2abae3",
              "commits": 3,
              "commits_gone": 0,
              "difference_count": 1,
              "differences": [
                {
                  "key": "part-00000-aee77a7d-9152-4384-8731-d909acfd836f-c000.snappy.parquet",
                  "message": "is missing at the target"
                }
              ],
              "equal": false,
              "error": null,
              "files": 3,
              "live_digest": "a1816ce8ca595247dd3836050432dc37",
              "rows": null,
              "target": "file://$WORLD/target/t",
              "version": 12
            }
          ]
        }"#]],
    );
}

#[test]
fn probe() {
    let world = World::new();
    check(
        &world,
        "probe target/t --output json",
        0,
        &expect![[r#"
            {
              "checks": [
                {
                  "detail": "DETAIL",
                  "name": "create_if_absent",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "create_race",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "replace_if_match",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "overwrite",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "read_after_write",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "pinned_read",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "list_after_write",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "list_order",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "key_names",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "distinct_names",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "cut_upload",
                  "outcome": "pass",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "wrong_checksum",
                  "outcome": "not_applicable",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "multipart",
                  "outcome": "not_applicable",
                  "required": true
                },
                {
                  "detail": "DETAIL",
                  "name": "multipart_condition",
                  "outcome": "not_applicable",
                  "required": false
                },
                {
                  "detail": "DETAIL",
                  "name": "checksum_kept",
                  "outcome": "not_applicable",
                  "required": false
                },
                {
                  "detail": "DETAIL",
                  "name": "delete",
                  "outcome": "pass",
                  "required": false
                },
                {
                  "detail": "DETAIL",
                  "name": "delete_if_match",
                  "outcome": "pass",
                  "required": false
                },
                {
                  "detail": "DETAIL",
                  "name": "unsigned_cut_upload",
                  "outcome": "not_applicable",
                  "required": false
                },
                {
                  "detail": "DETAIL",
                  "name": "hard_links",
                  "outcome": "pass",
                  "required": false
                },
                {
                  "detail": "DETAIL",
                  "name": "tried_as_target",
                  "outcome": "pass",
                  "required": false
                },
                {
                  "detail": "DETAIL",
                  "name": "clean_up",
                  "outcome": "pass",
                  "required": false
                }
              ],
              "reason": null,
              "remembered": true,
              "schema": 1,
              "store": "file://$WORLD/target",
              "verdict": "fit"
            }"#]],
    );
}

#[test]
fn an_error() {
    let world = World::new();
    check(
        &world,
        "inspect source/t --output json",
        3,
        &expect![[r#"
        {
          "error": {
            "code": "not_a_table",
            "hint": "the message says what to do; a retry alone does not help",
            "message": "inspect file://$WORLD/source/t: the folder holds no commit of a Delta log; check the location"
          }
        }"#]],
    );
    check(
        &world,
        "inspect --output json",
        2,
        &expect![[r#"
            {
              "error": {
                "code": "arguments",
                "hint": "see `driftless --help`",
                "message": "the following required arguments were not provided: <SOURCE>"
              }
            }"#]],
    );
    check(
        &world,
        "inspect gone:t --output json",
        2,
        &expect![[r#"
        {
          "error": {
            "code": "arguments",
            "hint": "a table is a URL, a path, or NAME:path with [stores.NAME] in the configuration",
            "message": "find the store gone: known are none; a path with a colon starts with ./"
          }
        }"#]],
    );
}
