//! A replica is deleted object by object: readers that are still there fail, or see the head.

use std::path::Path;
use std::sync::Arc;

use driftless_testdata::models::{OpenError, Opened, files_present, kernel, spark, trino};
use driftless_testdata::{Objects, corpus};
use object_store::memory::InMemory;
use table_sync_core::ReplicaLog as _;
use table_sync_delta::{DeltaLog, Options};

type Reader = fn(&Objects) -> Result<Opened, OpenError>;

const READERS: [(&str, Reader); 3] = [("spark", spark), ("trino", trino), ("kernel", kernel)];

#[test]
fn readers_of_a_replica_that_goes_fail_or_see_its_head() {
    let log = DeltaLog::new(Arc::new(InMemory::new()), "t", Options::default()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/delta");
    let mut looks = 0;
    for table in std::fs::read_dir(folder).unwrap() {
        let table = table.unwrap().path();
        let mut objects = corpus::load(&table.join("table"));
        let mut keys: Vec<String> = objects.keys().cloned().collect();
        keys.sort_by_key(|key| (log.farewell(key), key.clone()));
        let heads = READERS.map(|(_, open)| open(&objects).ok().map(|opened| opened.version));
        for key in keys {
            objects.remove(&key);
            for ((reader, open), head) in READERS.iter().zip(heads) {
                let Ok(opened) = open(&objects) else { continue };
                looks += 1;
                let what = format!("{}: {reader} after {key}", table.display());
                assert_eq!(Some(opened.version), head, "{what}");
                assert!(files_present(&opened, &objects).is_empty(), "{what}");
            }
        }
    }
    assert!(looks > 0);
}
