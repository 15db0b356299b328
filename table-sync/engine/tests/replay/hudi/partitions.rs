//! A partition is at the replica for a while before a commit fills it: engines list partitions
//! first, and look at the timeline then.

use std::time::Duration;

use tokio::time::Instant;

use super::rig::{CLOSE_MS, Rig};
use super::tables;

const LEAD: Duration = Duration::from_secs(30);

/// One pass: how long it took, and how many partitions it brought.
async fn pass(rig: &Rig) -> (Duration, usize) {
    let (begun, before) = (Instant::now(), rig.mutations());
    rig.pass_after(CLOSE_MS).await;
    let mutations = rig.recorded.mutations();
    let mutations = mutations.get(before..).unwrap_or_default().iter();
    let brought = mutations.filter(|one| one.key.ends_with("/.hoodie_partition_metadata"));
    (begun.elapsed(), brought.count())
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_until_its_partitions_are_listed() {
    let (mut waited, mut at_once) = (0, 0);
    for table in tables().iter().filter(|table| !table.name.contains("unpartitioned")) {
        let mut rig = Rig::new();
        rig.lead(LEAD);
        tokio::time::advance(LEAD).await;
        let mut first = true;
        for event in table.steps.iter().flat_map(|step| &step.events) {
            rig.apply(table, event).await;
            if !event.completes() {
                continue;
            }
            let (took, brought) = pass(&rig).await;
            let name = &table.name;
            // A partition that was brought as part of the first publication has no readers yet.
            if brought > 0 && !first {
                assert!(took >= LEAD, "{name}: {brought} partitions, {took:?}");
                waited += 1;
            } else {
                assert!(took < LEAD, "{name}: {took:?}");
                at_once += 1;
            }
            first = first && !rig.replica().contains_key(".hoodie/hoodie.properties");
        }
        rig.oracle.assert_clean();
    }
    assert!(waited > 2 && at_once > 50, "{waited}, {at_once}");
}

/// Another process may have brought a partition the moment before.
#[tokio::test(start_paused = true)]
async fn what_was_there_when_a_process_began_may_be_new() {
    let table = tables().into_iter().find(|table| table.name == "cow_v8").expect("a table");
    let mut rig = Rig::new();
    let last = table.steps.len() - 1;
    rig.apply_steps(&table, 0..last).await;
    pass(&rig).await;
    rig.apply_steps(&table, last..table.steps.len()).await;
    rig.lead(LEAD);
    let (took, brought) = pass(&rig).await;
    assert_eq!(brought, 0);
    assert!(took >= LEAD, "{took:?}");
    rig.oracle.assert_at_head();
}
