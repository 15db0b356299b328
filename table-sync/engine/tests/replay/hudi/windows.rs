//! Windows that outlive their publication: the oracle judges everything outside of what was
//! reported.

use driftless_testdata::models::hudi::Recorded;
use table_sync_engine::TargetReport;

use super::rig::{CLOSE_MS, Rig};
use super::tables;

/// A clustering hides files, so its instant stays in the replica's timeline. Here the copy of it
/// is younger than the next delta commit, whose logs lie on the clustered files: readers of 1.x
/// ignore those logs until a commit is published that is younger still.
fn clustered() -> Option<Recorded> {
    tables().into_iter().find(|table| table.name == "mor_v6_clustering")
}

/// A replica that holds the clustering, copied late, of a source that went on by two commits.
async fn copied_late(table: &Recorded) -> Rig {
    let mut rig = Rig::new();
    rig.apply_steps(table, 0..1).await;
    rig.pass_after(CLOSE_MS).await;
    rig.apply_steps(table, 1..3).await;
    rig.pass_after(3_000).await;
    rig.apply_steps(table, 3..5).await;
    rig.advance(CLOSE_MS);
    rig
}

#[track_caller]
fn assert_one_window(report: &TargetReport, closed: bool) {
    let windows: Vec<_> =
        report.windows.iter().map(|window| (window.position, window.closed)).collect();
    assert_eq!(windows, [(report.published[0], closed)], "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_window_stays_open_until_the_publication_that_closes_it() {
    let Some(table) = clustered() else { return };
    let rig = copied_late(&table).await;
    let report = rig.pass().await;
    assert_eq!(report.published.len(), 2, "{report:?}");
    assert_one_window(&report, true);
    rig.oracle.assert_at_head();
}

#[tokio::test(start_paused = true)]
async fn a_window_that_a_pass_leaves_open_is_said_to_be() {
    let Some(table) = clustered() else { return };
    let mut rig = copied_late(&table).await;
    let head = rig.pass_until_first().await;
    assert_eq!(head.published.len(), 1, "{head:?}");
    assert_one_window(&head, false);
    assert!(rig.is_in_window());
    rig.restart();
    let report = rig.pass().await;
    assert_one_window(&report, true);
    assert!(!rig.is_in_window());
    rig.oracle.assert_at_head();
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_a_window_leaves_it_to_the_next_pass() {
    let Some(table) = clustered() else { return };
    let calm = copied_late(&table).await;
    let before = calm.mutations();
    calm.pass().await;
    let mut inside = 0;
    for nth in 1..=calm.mutations() - before {
        let mut rig = copied_late(&table).await;
        rig.stops.at(nth as u64, true);
        assert!(rig.pass_or_stop().await.is_none(), "{nth} is reached");
        inside += u32::from(rig.is_in_window());
        let report = rig.pass().await;
        assert!(report.windows.iter().all(|window| window.closed), "{report:?}");
        assert!(!rig.is_in_window(), "stopped after mutation {nth}");
        rig.oracle.assert_at_head();
    }
    assert!(inside > 1, "no stop fell into the window");
}

/// The pass after a stop in a window finds a source that went on; it closes the window all the
/// same, if it does not end with a block.
#[tokio::test(start_paused = true)]
async fn a_window_is_closed_after_the_source_went_on() {
    let mut inside = 0;
    let tables = tables().into_iter().filter(|table| table.name.starts_with("mor_v6"));
    for table in tables {
        for at in 1..table.steps.len() - 1 {
            let late = async || {
                let mut rig = Rig::new();
                rig.apply_steps(&table, 0..at).await;
                rig.pass_after(3_600_000).await;
                rig.apply_steps(&table, at..at + 1).await;
                rig
            };
            let calm = late().await;
            let before = calm.mutations();
            calm.pass().await;
            for nth in 1..=calm.mutations() - before {
                let mut rig = late().await;
                rig.stops.at(nth as u64, true);
                assert!(rig.pass_or_stop().await.is_none(), "{nth} is reached");
                if !rig.is_in_window() {
                    continue;
                }
                rig.apply_steps(&table, at + 1..at + 2).await;
                let report = rig.pass().await;
                if report.blocked.is_some() {
                    // A restore: a person must lead readers to another location.
                    continue;
                }
                inside += 1;
                assert!(!rig.is_in_window(), "{}, {at}, after {nth}: {report:?}", table.name);
                assert_eq!(rig.oracle.violations(), Vec::<String>::new());
            }
        }
    }
    assert!(inside > 0, "no stop fell into a window");
}
