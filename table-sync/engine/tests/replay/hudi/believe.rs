//! Passes of one process after the other, each of which believes what the one before left.

use std::sync::Arc;

use driftless_testdata::fault::Op;
use driftless_testdata::models::hudi::Recorded;
use table_sync_core::TableState;
use table_sync_engine::{Clock, TargetReport};
use table_sync_hudi::{MetadataTable, Options};

use super::rig::{CLOSE_MS, Rig, ending};
use super::scenarios::{Scenario, is_wrong, judged, outcome_in, settle};
use super::tables;

/// What a pass costs at the target that believes: its descriptor, one listing, and the properties
/// where that does not show them.
fn cost(table: &Recorded) -> u64 {
    if table.table_version < 8 { 2 } else { 3 }
}

/// A minute in which the tables of these tests are not looked at as a whole.
const MINUTE: i64 = 2;

struct Minute(i64);

impl Clock for Minute {
    fn now_ms(&self) -> i64 {
        self.0 * 60_000
    }
}

/// One pass of a new process, and what it asked of the target.
async fn next(rig: &mut Rig, minute: i64) -> (TargetReport, u64) {
    rig.restart();
    rig.believe(Arc::new(Minute(minute)));
    let asked = |rig: &Rig| -> u64 {
        [Op::Get, Op::Head, Op::List].into_iter().map(|op| rig.target_faults.count(op)).sum()
    };
    let before = asked(rig);
    rig.advance(CLOSE_MS);
    let report = rig.pass().await;
    (report, asked(rig) - before)
}

/// A table that is in step, and known to be.
async fn in_step(table: &Recorded) -> Rig {
    let mut rig = Rig::new();
    rig.apply_steps(table, 0..table.steps.len()).await;
    for _ in 0..4 {
        next(&mut rig, MINUTE).await;
    }
    let before = rig.mutations();
    let (report, asked) = next(&mut rig, MINUTE).await;
    assert_eq!(asked, cost(table), "{}", table.name);
    assert_eq!(rig.mutations(), before, "{}", table.name);
    assert_eq!((report.state, report.start), (TableState::Ok, report.head), "{}", table.name);
    assert_eq!(report.pending.map(|pending| pending.versions), Some(0));
    rig.oracle.assert_at_head();
    rig
}

fn named(name: &str) -> Recorded {
    tables().into_iter().find(|table| table.name == name).expect("a recorded table")
}

/// After every object that its writer puts or deletes, another process makes a pass.
#[tokio::test(start_paused = true)]
async fn whoever_believes_ends_where_whoever_looks_does() {
    let (mut believed, mut wrong) = (0, Vec::new());
    for table in &tables() {
        let mut rig = Rig::new();
        for event in table.steps.iter().flat_map(|step| &step.events) {
            rig.apply(table, event).await;
            let (_, asked) = next(&mut rig, MINUTE).await;
            believed += u32::from(asked == cost(table));
        }
        let (report, _) = next(&mut rig, MINUTE).await;
        let ended = judged(&rig, ending(&report)).await;
        let usual = outcome_in(&mut Rig::new(), table, Scenario::Restart).await;
        if is_wrong(&ended) || ended != usual {
            wrong.push(format!("{}: {ended}, not {usual}", table.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{believed} passes believed");
    assert!(believed > 200 || std::env::var_os("DRIFTLESS_ONLY").is_some(), "{believed}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_somebody_changed_is_looked_at() {
    for name in ["cow_v6", "mor_v6", "cow_v8", "mor_v9"] {
        let table = named(name);
        let mut rig = in_step(&table).await;
        let newest = rig.replica().into_keys().filter(|key| key.ends_with("commit")).max();
        rig.plant(&newest.expect("a commit"), bytes::Bytes::from_static(b"not ours")).await;
        let (report, asked) = next(&mut rig, MINUTE).await;
        assert!(asked > cost(&table), "{name}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_options_are_not_what_was_remembered() {
    let table = named("cow_v8_metadata");
    let mut rig = in_step(&table).await;
    let mirror = Options { metadata_table: MetadataTable::Mirror, ..Options::default() };
    rig.restart_with(mirror);
    let (report, asked) = next(&mut rig, MINUTE).await;
    assert!(asked > cost(&table), "{report:?}");
    settle(&rig).await.expect("a table that settles");
    assert!(rig.replica().keys().any(|key| key.starts_with(".hoodie/metadata/")));
}

/// What no mark covers is not believed for long.
#[tokio::test(start_paused = true)]
async fn any_schedule_comes_by_a_pass_that_looks() {
    let table = named("cow_v8");
    let mut rig = in_step(&table).await;
    for step in [1, 5, 15, 60, 24 * 60] {
        let mut whole = 0;
        for turn in 0..100 {
            whole += u32::from(next(&mut rig, step * turn).await.1 > cost(&table));
        }
        assert!((1..20).contains(&whole), "each {step} minutes: {whole} of 100");
    }
}
