//! What a poll between two looks costs, and that it misses nothing that a look would find.

use std::sync::Arc;

use driftless_testdata::fault::{FaultStore, Faults, Op};
use driftless_testdata::models::hudi::{HudiObjects, recorded_tables};
use object_store::memory::InMemory;
use table_sync_core::{Position, SourceLog};
use table_sync_hudi::{HudiLog, Options};

use crate::lives::{apply, key_of};

fn requests(faults: &Faults) -> u64 {
    [Op::List, Op::Get, Op::Head].into_iter().map(|op| faults.count(op)).sum()
}

async fn head(log: &HudiLog) -> Option<Position> {
    log.observe(None).await.ok().and_then(|view| view.head())
}

/// Goes through the life of every table. A poll right after a look says that nothing moved, in at
/// most two requests; a poll after a completed commit, at the same head as before, never does.
#[tokio::test]
async fn a_poll_costs_two_requests_and_sees_every_commit() {
    let (mut quiet, mut seen) = (0, 0);
    for table in recorded_tables() {
        let (memory, faults) = (InMemory::new(), Faults::none());
        let store = Arc::new(FaultStore::new(memory, faults.clone()));
        let log = HudiLog::new(Arc::clone(&store) as _, "", Options::default()).unwrap();
        let mut objects = HudiObjects::new();
        let mut known = None;
        for event in table.steps.iter().flat_map(|step| &step.events) {
            apply(store.as_ref(), &table, event, &mut objects).await;
            let key = key_of(event);
            if !event.completes() {
                continue;
            }
            if let Some(known) = known {
                let moved = log.moved_past(known).await.unwrap_or(true);
                let now = head(&log).await;
                assert!(moved || now == Some(known), "{}: {key} was missed", table.name);
                seen += u32::from(moved);
            }
            known = head(&log).await;
            let Some(known) = known else { continue };
            let before = requests(&faults);
            let moved = log.moved_past(known).await.unwrap();
            let cost = requests(&faults) - before;
            if !moved {
                assert!(cost <= 2, "{}: a poll cost {cost} requests", table.name);
                quiet += 1;
            }
        }
    }
    assert!(quiet > 100 && seen > 100, "{quiet} quiet polls, {seen} that saw a commit");
}
