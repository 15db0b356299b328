//! What a metastore is told: after every change of recorded tables, the look after a look says
//! what a look at everything says.

use std::collections::BTreeSet;
use std::sync::Arc;

use driftless_testdata::models::hudi::recorded_tables;
use table_sync_hudi::{HudiLog, Options, Published, Side};

use crate::listings::Listings;
use crate::lives::{apply, key_of};

fn log(store: &Listings) -> HudiLog {
    let options = Options { side: Side::Source, ..Options::default() };
    HudiLog::new(Arc::new(store.clone()), "", options).unwrap()
}

/// Partitions in which the store has data files.
async fn folders(store: &Listings) -> BTreeSet<String> {
    use futures::TryStreamExt as _;
    use object_store::ObjectStore as _;
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    let keys = objects.iter().map(|object| object.location.as_ref());
    let data = keys.filter(|key| !key.starts_with(".hoodie/"));
    data.map(|key| key.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()).collect()
}

fn told(published: &Published) -> (String, &BTreeSet<String>, &Option<String>) {
    (published.head.to_string(), &published.partitions, &published.schema)
}

#[tokio::test]
async fn a_later_look_tells_what_a_look_at_everything_tells() {
    let (mut compared, mut fewer) = (0, 0);
    for table in recorded_tables() {
        let store = Listings::default();
        let following = log(&store);
        let mut before: Option<Published> = None;
        let mut objects = Default::default();
        for event in table.steps.iter().flat_map(|step| &step.events) {
            apply(&store, &table, event, &mut objects).await;
            if !event.completes() {
                continue;
            }
            let at = format!("{} {}", table.name, key_of(event));
            // An upgrade in the middle: neither sees a table then.
            let (later, whole) =
                (following.published(before.as_ref()).await, log(&store).published(None).await);
            let (later, whole) = match (later, whole) {
                (Ok(later), Ok(whole)) => (later, whole),
                (Err(later), Err(whole)) => {
                    assert_eq!(later.to_string(), whole.to_string(), "{at}");
                    continue;
                }
                (later, whole) => panic!("{at}: {later:?}, not {whole:?}"),
            };
            let (Some(later), Some(whole)) = (&later, &whole) else {
                assert_eq!(later.is_some(), whole.is_some(), "{at}");
                continue;
            };
            assert_eq!(told(later), told(whole), "{at}");
            let all = folders(&store).await;
            assert!(later.partitions.is_subset(&all), "{at}: {:?}", later.partitions);
            let listed: BTreeSet<_> = later.partitions.union(&later.others).cloned().collect();
            if !later.partition_fields.is_empty() {
                assert_eq!(listed, all, "{at}: a partition is not told at all");
            }
            fewer +=
                usize::from(before.is_some_and(|b| !b.partitions.is_subset(&later.partitions)));
            compared += 1;
            before = Some(later.clone());
        }
        if let Some(last) = &before {
            assert!(last.schema.is_some(), "{}: no schema", table.name);
        }
    }
    assert!(compared > 150, "{compared} states were compared");
    assert!(fewer > 0, "no partition was ever emptied");
}

#[tokio::test]
async fn a_later_look_reads_new_commits_only() {
    let table = recorded_tables().into_iter().find(|table| table.name == "cow_v8").unwrap();
    let store = Listings::default();
    let following = log(&store);
    let mut objects = Default::default();
    let mut before: Option<Published> = None;
    let mut requests = Vec::new();
    for step in &table.steps {
        for event in &step.events {
            apply(&store, &table, event, &mut objects).await;
        }
        store.taken();
        before = following.published(before.as_ref()).await.unwrap();
        requests.push(store.taken());
    }
    let first = requests.first().unwrap();
    assert!(first.iter().any(|request| request == "LIST p=p0"), "{first:?}");
    // The second step only adds rows.
    let second = &requests[1];
    assert!(!second.iter().any(|request| request.starts_with("LIST p=")), "{second:?}");
}
