//! What `--retire` removes from Hudi replicas, and what it says of that.

use serde_json::json;

use super::{Life, id, sync, target, world};
use crate::World;

/// A replica that followed its source commit by commit, and so holds every slice.
fn followed(name: &str) -> (World, Life) {
    let (world, mut life) = world(name, 1);
    sync(&world, "", 0);
    while !life.is_over() {
        life.go_on(1);
        life.lay(&world.path("source/t"));
        sync(&world, "", 0);
    }
    (world, life)
}

#[test]
fn files_of_old_slices_are_removed_only_when_it_is_asked_for() {
    for name in ["cow_v6", "cow_v8_clustering", "mor_v6", "mor_v9"] {
        let (world, life) = followed(name);
        let before = world.footprint("target/t").len();
        for more in ["", "--retire", "--retire=1h"] {
            let report = sync(&world, more, 0);
            assert_eq!(report["retired_files"], 0, "{name} {more}");
        }
        assert_eq!(world.footprint("target/t").len(), before, "{name}");
        let report = sync(&world, "--retire=0s", 0);
        let count = usize::try_from(report["retired_files"].as_u64().unwrap()).unwrap();
        assert!(count > 0, "{name}");
        assert_eq!(world.footprint("target/t").len(), before - count, "{name}");
        // Older states lack rows from now on, and every command says so.
        assert_eq!(id(&report["earliest_readable"]), id(&report["head"]), "{name}");
        let status = world.done("status source/t target/t --output json").json();
        assert_eq!(target(&status)["earliest_readable"], report["earliest_readable"], "{name}");
        let again = sync(&world, "--retire=0s", 0);
        assert_eq!((&again["retired_files"], &again["published"]), (&json!(0), &json!([])));
        let level = if life.recorded.table_version == 6 { "log" } else { "bytes" };
        world.done(&format!("verify source/t target/t --level {level}"));
    }
}

#[test]
fn a_replica_goes_on_after_files_were_removed() {
    for name in ["cow_v8_restore", "mor_v9", "cow_v6"] {
        let (world, mut life) = world(name, 1);
        let mut removed = 0;
        while !life.is_over() {
            let report = sync(&world, "--retire=0s", 0);
            assert_eq!(report["state"], "ok", "{name}");
            removed += report["retired_files"].as_u64().unwrap();
            life.go_on(1);
            life.lay(&world.path("source/t"));
        }
        sync(&world, "--retire=0s", 0);
        assert!(removed > 0, "{name}");
        let level = if life.recorded.table_version == 6 { "log" } else { "bytes" };
        world.done(&format!("verify source/t target/t --level {level}"));
    }
}
