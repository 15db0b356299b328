//! Recorded lives, lived again in a store.

use driftless_testdata::models::hudi::{Event, HudiObjects, Recorded};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};

/// Carries out one event at a store, and in `objects`, which say what is there then.
pub(crate) async fn apply(
    store: &dyn ObjectStore,
    table: &Recorded,
    event: &Event,
    objects: &mut HudiObjects,
) {
    table.apply(event, objects);
    let key = key_of(event);
    let path = Path::parse(key).unwrap();
    match objects.get(key) {
        Some(object) => {
            store.put(&path, PutPayload::from_bytes(object.bytes.clone())).await.unwrap();
        }
        None => store.delete(&path).await.unwrap(),
    }
}

/// The object that an event is about.
pub(crate) fn key_of(event: &Event) -> &str {
    match event {
        Event::Put { put, .. } => put,
        Event::Delete { delete } => delete,
    }
}
