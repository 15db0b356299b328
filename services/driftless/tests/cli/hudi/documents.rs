//! One golden document a command. `UPDATE_EXPECT=1` rewrites them.

use expect_test::{Expect, expect};

use super::{sync, world};
use crate::World;
use crate::docs::{collect, page};
use crate::documents::check;

fn golden(world: &World, line: &str, expect: &Expect) {
    check(world, &format!("{line} --output json"), 0, expect);
}

#[test]
fn inspect() {
    let (world, _) = world("mor_v9_metadata", super::ALL);
    golden(
        &world,
        "inspect source/t",
        &expect![[r#"
        {
          "blocked": null,
          "bytes": 8470,
          "files": 2,
          "format": "hudi",
          "head": "20261124151707937_20261124151703619",
          "key_generator": "SIMPLE",
          "logs": 1,
          "merge": "EVENT_TIME_ORDERING",
          "metadata_partitions": [
            "column_stats",
            "files",
            "partition_stats",
            "record_index"
          ],
          "name": "mor_v9_metadata",
          "ordering": [
            "ts"
          ],
          "partition_columns": [
            "p"
          ],
          "reader_min": "1.1",
          "record_key": [
            "id"
          ],
          "replicable": true,
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "table_type": "MERGE_ON_READ",
          "table_version": 9,
          "timeline": {
            "completed": 6,
            "layout": 2,
            "pending": []
          },
          "warnings": [
            "stock Trino shows a merge-on-read table without its logs (read-optimized), Spark with them",
            "a copy has no metadata table: its readers list storage, and indexes of it are not used"
          ]
        }"#]],
    );
}

#[test]
fn inspect_with_a_pending_compaction() {
    let (world, _) = world("mor_v6_pending_compaction", 4);
    golden(
        &world,
        "inspect source/t",
        &expect![[r#"
        {
          "blocked": null,
          "bytes": 13583,
          "files": 2,
          "format": "hudi",
          "head": "20261124151030658_20261124151028852",
          "key_generator": "org.apache.hudi.keygen.SimpleKeyGenerator",
          "logs": 5,
          "merge": "org.apache.hudi.common.model.OverwriteWithLatestAvroPayload",
          "metadata_partitions": [],
          "name": "mor_v6_pending_compaction",
          "ordering": [
            "ts"
          ],
          "partition_columns": [
            "p"
          ],
          "reader_min": "0.14",
          "record_key": [
            "id"
          ],
          "replicable": true,
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "table_type": "MERGE_ON_READ",
          "table_version": 6,
          "timeline": {
            "completed": 4,
            "layout": 1,
            "pending": [
              "20261124151025953 compaction"
            ]
          },
          "warnings": [
            "stock Trino shows a merge-on-read table without its logs (read-optimized), Spark with them",
            "readers of Hudi 1.x take the times of version 6 instants from the store: a copy keeps the shortest timeline that is right for them; incremental queries do not work on it"
          ]
        }"#]],
    );
}

#[test]
fn plan_and_sync_of_a_new_replica() {
    let (world, _) = world("cow_v8", 3);
    golden(
        &world,
        "plan source/t target/t",
        &expect![[r#"
        {
          "egress_usd": null,
          "eta_seconds": null,
          "format": "hudi",
          "read_bytes": 8356,
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "source_head": "20261124150009511_20261124150006595",
          "targets": [
            {
              "blocked": null,
              "copy_bytes": 8356,
              "copy_files": 4,
              "end": "20261124150009511_20261124150006595",
              "error": null,
              "head": null,
              "jumped": [],
              "log_objects": 4,
              "present_files": 0,
              "publications": [
                {
                  "first": "20261124150009511_20261124150006595",
                  "kind": "jump",
                  "last": "20261124150009511_20261124150006595"
                }
              ],
              "target": "file://$WORLD/target/t",
              "unsized_files": 0,
              "versions": 1
            }
          ]
        }"#]],
    );
    golden(
        &world,
        "sync source/t target/t",
        &expect![[r#"
        {
          "format": "hudi",
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "source_head": "20261124150009511_20261124150006595",
          "targets": [
            {
              "blocked": null,
              "copied_bytes": 8356,
              "copied_files": 4,
              "earliest_readable": "20261124145950828_20261124145931803",
              "error": null,
              "head": "20261124150009511_20261124150006595",
              "jumped": [],
              "published": [
                "20261124150009511_20261124150006595"
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
    golden(
        &world,
        "verify source/t target/t --level bytes",
        &expect![[r#"
        {
          "format": "hudi",
          "level": "bytes",
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "targets": [
            {
              "blocked": null,
              "bytes": 8356,
              "chain": "94db6b5a9acd8fc90a57195cc91450b93dfb07dd4cdcaff03ef7514dc904251f",
              "commits": 3,
              "commits_gone": 0,
              "difference_count": 0,
              "differences": [],
              "equal": true,
              "error": null,
              "files": 4,
              "live_digest": "d10be19e1bdb67dcdc6642ef72fc6575",
              "rows": null,
              "target": "file://$WORLD/target/t",
              "version": "20261124150009511_20261124150006595"
            }
          ]
        }"#]],
    );
}

#[test]
fn status_and_sync_of_what_is_new() {
    let (world, mut life) = world("cow_v8", 2);
    sync(&world, "", 0);
    life.go_on(2);
    life.lay(&world.path("source/t"));
    golden(
        &world,
        "status source/t target/t",
        &expect![[r#"
        {
          "format": "hudi",
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "source_head": "20261124150012606_20261124150011096",
          "targets": [
            {
              "blocked": null,
              "earliest_readable": "20261124145950828_20261124145931803",
              "error": null,
              "head": "20261124150005107_20261124145956204",
              "lag": {
                "bytes": 12521,
                "seconds": "AGE",
                "versions": 2
              },
              "state": "catching_up",
              "target": "file://$WORLD/target/t"
            }
          ]
        }"#]],
    );
    golden(
        &world,
        "plan source/t target/t",
        &expect![[r#"
        {
          "egress_usd": null,
          "eta_seconds": null,
          "format": "hudi",
          "read_bytes": 12329,
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "source_head": "20261124150012606_20261124150011096",
          "targets": [
            {
              "blocked": null,
              "copy_bytes": 12329,
              "copy_files": 4,
              "end": "20261124150012606_20261124150011096",
              "error": null,
              "head": "20261124150005107_20261124145956204",
              "jumped": [],
              "log_objects": 2,
              "present_files": 2,
              "publications": [
                {
                  "first": "20261124150009511_20261124150006595",
                  "kind": "append",
                  "last": "20261124150012606_20261124150011096"
                }
              ],
              "target": "file://$WORLD/target/t",
              "unsized_files": 0,
              "versions": 2
            }
          ]
        }"#]],
    );
    golden(
        &world,
        "sync source/t target/t",
        &expect![[r#"
        {
          "format": "hudi",
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "source_head": "20261124150012606_20261124150011096",
          "targets": [
            {
              "blocked": null,
              "copied_bytes": 12329,
              "copied_files": 4,
              "earliest_readable": "20261124145950828_20261124145931803",
              "error": null,
              "head": "20261124150012606_20261124150011096",
              "jumped": [],
              "published": [
                "20261124150009511_20261124150006595",
                "20261124150012606_20261124150011096"
              ],
              "retired_files": 0,
              "skipped_files": 2,
              "start": "20261124150005107_20261124145956204",
              "state": "ok",
              "target": "file://$WORLD/target/t",
              "warnings": [],
              "windows": []
            }
          ]
        }"#]],
    );
    golden(
        &world,
        "status source/t target/t",
        &expect![[r#"
        {
          "format": "hudi",
          "schema": 1,
          "source": "file://$WORLD/source/t",
          "source_head": "20261124150012606_20261124150011096",
          "targets": [
            {
              "blocked": null,
              "earliest_readable": "20261124145950828_20261124145931803",
              "error": null,
              "head": "20261124150012606_20261124150011096",
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
fn plan_files() {
    let (world, _) = world("cow_v8", 1);
    let ran = world.done("plan source/t target/t --files");
    let first = ran.stdout.lines().next().unwrap();
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
    expect![[r#"
        {
          "path": "p=p0/9b443897-08a4-44be-9b46-f3a1e360190e-0_1-3-4_20261124145931803.parquet",
          "position": "20261124145950828_20261124145931803",
          "role": "data",
          "schema": 1,
          "size_bytes": 4081,
          "target": "file://$WORLD/target/t"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&first).unwrap());
}

#[test]
fn every_field_is_documented() {
    let (world, _) = world("mor_v9_metadata", super::ALL);
    let mut fields = std::collections::BTreeSet::new();
    for command in ["inspect source/t", "plan source/t target/t", "sync source/t target/t"] {
        collect(&world.done(&format!("{command} --output json")).json(), &mut fields);
    }
    let docs = page("json.md");
    assert!(fields.contains("windows") && fields.contains("timeline"));
    for field in fields {
        assert!(docs.contains(&format!("`{field}`")), "{field}");
    }
}
