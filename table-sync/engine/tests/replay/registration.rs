//! Registration: a replica has one table and one owner, and the later owner wins.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use driftless_testdata::builder::TableBuilder;
use futures::FutureExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use table_sync_core::{BlockCode, TableState};
use table_sync_engine::{
    Descriptor, DescriptorError, Event, FailureCode, Options, Progress, Quiet, Registration,
    TargetReport, descriptor_key, descriptors, pass,
};

use crate::rig::{Rig, TABLE, version};

const NAME: &str = "shop.sales.orders";

fn history() -> TableBuilder {
    TableBuilder::new(33).commit(|c| c.add("a", 10)).commit(|c| c.add("b", 10))
}

fn owner(rig: &Rig, epoch: u64) -> Registration {
    incarnation(rig, epoch, 1)
}

fn incarnation(rig: &Rig, epoch: u64, incarnation: u32) -> Registration {
    let site = (rig.target.url.clone(), "vast".to_owned(), incarnation);
    Registration {
        table: NAME.to_owned(),
        project: "shop".to_owned(),
        epoch,
        sites: [site].into_iter().collect(),
    }
}

async fn pass_as(rig: &Rig, registration: Option<Registration>) -> TargetReport {
    let options = Options { registration, ..rig.options.clone() };
    let targets = std::slice::from_ref(&rig.target);
    let report = pass(&rig.source, targets, &options, Arc::new(Quiet)).await;
    report.targets.into_iter().next().unwrap()
}

async fn descriptor(rig: &Rig) -> Descriptor {
    let mut found = Vec::new();
    let each = |table: &str, descriptor: Result<Descriptor, DescriptorError>| {
        assert_eq!(table, TABLE);
        found.push(descriptor.unwrap());
    };
    descriptors(&rig.target.state, each).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Keys that were written at the target so far, those beside the table included.
fn writes(rig: &Rig) -> Vec<String> {
    rig.recorded.inner().mutations().into_iter().map(|mutation| mutation.key).collect()
}

#[tokio::test(start_paused = true)]
async fn the_descriptor_names_the_table_and_its_owner() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    let report = pass_as(&rig, Some(owner(&rig, 4))).await;
    assert_eq!((report.state, report.epoch), (TableState::Ok, Some(4)));
    let found = descriptor(&rig).await;
    assert_eq!(found.table.as_deref(), Some(NAME));
    assert_eq!(found.project.as_deref(), Some("shop"));
    assert_eq!(found.site.as_deref(), Some("vast"));
    assert_eq!((found.incarnation, found.epoch), (Some(1), 4));
    // A pass of nobody leaves all that as it is.
    let table = history().commit(|c| c.add("late", 10));
    rig.feed(table.objects()).await;
    pass_as(&rig, None).await;
    let after = descriptor(&rig).await;
    let head = Some(version(table.version()));
    let expect = Descriptor {
        head,
        head_sha256: after.head_sha256.clone(),
        settled: after.settled.clone(),
        ..found
    };
    assert_eq!(after, expect);
}

#[tokio::test(start_paused = true)]
async fn an_owner_with_an_older_epoch_writes_nothing() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    pass_as(&rig, Some(owner(&rig, 2))).await;
    let before = (writes(&rig), descriptor(&rig).await);
    rig.feed(history().commit(|c| c.add("late", 10)).objects()).await;
    let report = pass_as(&rig, Some(owner(&rig, 1))).await;
    assert_eq!(report.failure.as_ref().map(|it| it.code), Some(FailureCode::Fenced));
    assert!(report.blocked.is_none() && report.published.is_empty());
    assert_eq!(report.epoch, Some(2), "whoever hands out epochs learns of it");
    assert_eq!(before, (writes(&rig), descriptor(&rig).await));
    rig.oracle.assert_at(1);
    // The same owner, and a later one, go on.
    assert_eq!(pass_as(&rig, Some(owner(&rig, 2))).await.head, Some(version(2)));
    assert_eq!(pass_as(&rig, Some(owner(&rig, 3))).await.head, Some(version(2)));
}

#[tokio::test(start_paused = true)]
async fn a_later_epoch_is_there_before_the_first_write() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    pass_as(&rig, Some(owner(&rig, 1))).await;
    let idle = writes(&rig).len();
    pass_as(&rig, Some(owner(&rig, 2))).await;
    assert_eq!(writes(&rig).len(), idle, "a pass that writes nothing need not say whose it is");
    assert_eq!(descriptor(&rig).await.epoch, 1);
    let own = descriptor_key(TABLE);
    let table = history().commit(|c| c.add("late", 10));
    rig.feed(table.objects()).await;
    pass_as(&rig, Some(owner(&rig, 2))).await;
    let written = writes(&rig).split_off(idle);
    assert_eq!((&written[0], descriptor(&rig).await.epoch), (&own, 2), "{written:?}");
    // What comes late is a write as well.
    rig.feed(table.checkpoint_classic(1).last_checkpoint(1).objects()).await;
    let idle = writes(&rig).len();
    pass_as(&rig, Some(owner(&rig, 3))).await;
    let written = writes(&rig).split_off(idle);
    assert_eq!((&written[0], descriptor(&rig).await.epoch), (&own, 3), "{written:?}");
    assert!(written.iter().any(|key| key.ends_with(".checkpoint.parquet")), "{written:?}");
}

/// Another process writes the descriptor whenever something happened.
struct Meanwhile {
    store: Arc<dyn ObjectStore>,
    when: fn(&Event<'_>) -> bool,
    change: fn(&mut Descriptor),
}

impl Progress for Meanwhile {
    fn event(&self, event: Event<'_>) {
        if !(self.when)(&event) {
            return;
        }
        let key = Path::from(descriptor_key(TABLE));
        let write = async {
            let found = self.store.get(&key).await.unwrap().bytes().await.unwrap();
            let mut found: Descriptor = serde_json::from_slice(&found).unwrap();
            (self.change)(&mut found);
            let body = serde_json::to_vec(&found).unwrap();
            self.store.put(&key, PutPayload::from(body)).await.unwrap();
        };
        // Memory never waits.
        write.now_or_never().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_overtaken_meanwhile_is_fenced_at_its_next_note() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    pass_as(&rig, Some(owner(&rig, 1))).await;
    rig.feed(history().commit(|c| c.add("late", 10)).objects()).await;
    let options = Options { registration: Some(owner(&rig, 1)), ..rig.options.clone() };
    let overtaking = Meanwhile {
        store: rig.recorded.clone(),
        when: |event| matches!(event, Event::Published { .. }),
        change: |found| found.epoch += 1,
    };
    let targets = std::slice::from_ref(&rig.target);
    let report = pass(&rig.source, targets, &options, Arc::new(overtaking)).await.targets.remove(0);
    assert_eq!(report.failure.as_ref().map(|it| it.code), Some(FailureCode::Fenced), "{report:?}");
    assert_eq!((report.epoch, descriptor(&rig).await.epoch), (Some(2), 2));
    rig.oracle.assert_at(2);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_owner_noted_last_is_kept() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    pass_as(&rig, Some(owner(&rig, 1))).await;
    rig.feed(history().commit(|c| c.add("late", 10)).objects()).await;
    let options = Options { registration: Some(owner(&rig, 2)), ..rig.options.clone() };
    let late = Meanwhile {
        store: rig.recorded.clone(),
        // The later owner has read the descriptor, and has not written yet.
        when: |event| matches!(event, Event::Planned { positions: 1.., .. }),
        change: |found| found.ours_from_start = false,
    };
    let targets = std::slice::from_ref(&rig.target);
    let report = pass(&rig.source, targets, &options, Arc::new(late)).await.targets.remove(0);
    assert_eq!((report.head, report.failure.is_none()), (Some(version(2)), true));
    let found = descriptor(&rig).await;
    assert_eq!((found.epoch, found.ours_from_start), (2, false));
}

#[tokio::test(start_paused = true)]
async fn another_incarnation_or_table_is_not_written_over() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    pass_as(&rig, Some(owner(&rig, 1))).await;
    rig.feed(history().commit(|c| c.add("late", 10)).objects()).await;
    let before = writes(&rig);
    let other = Registration { table: "shop.sales.returns".to_owned(), ..owner(&rig, 7) };
    for (registration, names) in [
        (
            incarnation(&rig, 7, 2),
            [format!("{NAME} (incarnation 1)"), format!("{NAME} (incarnation 2)")],
        ),
        (
            other,
            [format!("{NAME} (incarnation 1)"), "shop.sales.returns (incarnation 1)".to_owned()],
        ),
    ] {
        let report = pass_as(&rig, Some(registration)).await;
        let blocked = report.blocked.expect("blocked");
        assert_eq!(blocked.code, BlockCode::ForeignReplica);
        assert!(names.iter().all(|name| blocked.message.contains(name)), "{}", blocked.message);
        assert_eq!((&writes(&rig), report.pending), (&before, None));
    }
}

#[tokio::test(start_paused = true)]
async fn retirement_has_the_epoch_of_its_owner() {
    let mut rig = Rig::retiring();
    rig.options.retire = Some(Duration::ZERO);
    let table = history().commit(|c| c.remove("a"));
    rig.feed(table.objects()).await;
    let report = pass_as(&rig, Some(owner(&rig, 5))).await;
    assert!(report.failure.is_none() && report.retired_files > 0, "{report:?}");
    assert_eq!(descriptor(&rig).await.epoch, 5);
    // Without a catalog each owner takes the next one.
    rig.feed(table.commit(|c| c.remove("b")).objects()).await;
    pass_as(&rig, None).await;
    assert_eq!(descriptor(&rig).await.epoch, 6);
    let report = pass_as(&rig, Some(owner(&rig, 5))).await;
    assert_eq!(report.failure.as_ref().map(|it| it.code), Some(FailureCode::Fenced));
}

#[tokio::test(start_paused = true)]
async fn every_descriptor_of_a_store_is_found() {
    let rig = Rig::new();
    rig.feed(history().objects()).await;
    pass_as(&rig, Some(owner(&rig, 4))).await;
    for (key, body) in [
        ("orders.json", "{ \"layout\": 9 }"),
        ("wh/eu/damaged.json", "{"),
        ("wh/orders.json.part", "{}"),
    ] {
        let key = format!("_driftless/replicas/{key}");
        rig.target.state.create(&key, Bytes::from_static(body.as_bytes())).await.unwrap();
    }
    let mut found = Vec::new();
    let each = |table: &str, descriptor: Result<Descriptor, DescriptorError>| {
        let said = match descriptor {
            Ok(descriptor) => format!("{} at {}", descriptor.table.unwrap(), descriptor.epoch),
            Err(DescriptorError::Newer { layout, .. }) => format!("layout {layout}"),
            Err(error) => error.to_string(),
        };
        found.push((table.to_owned(), said));
    };
    descriptors(&rig.target.state, each).await.unwrap();
    found.sort();
    let damaged = "_driftless/replicas/wh/eu/damaged.json does not parse; remove it and run again \
                   with --adopt";
    let expect =
        [("orders", "layout 9"), ("wh/eu/damaged", damaged), (TABLE, "shop.sales.orders at 4")];
    assert_eq!(found, expect.map(|(table, said)| (table.to_owned(), said.to_owned())));
}
