//! What a poll between two looks costs, and that it misses nothing that a look would find.

use std::sync::Arc;

use driftless_testdata::fault::{FaultStore, Faults, Op};
use driftless_testdata::models::hudi::{Event, HudiObjects, recorded_tables};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use table_sync_core::{Position, SourceLog};
use table_sync_hudi::{HudiLog, Options};

async fn put(store: &dyn ObjectStore, objects: &HudiObjects, key: &str) {
    let path = Path::parse(key).unwrap();
    match objects.get(key) {
        Some(object) => {
            store.put(&path, PutPayload::from_bytes(object.bytes.clone())).await.unwrap();
        }
        None => store.delete(&path).await.unwrap(),
    }
}

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
            table.apply(event, &mut objects);
            let key = match event {
                Event::Put { put, .. } => put,
                Event::Delete { delete } => delete,
            };
            put(store.as_ref(), &objects, key).await;
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
