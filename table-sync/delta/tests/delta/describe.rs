//! What one description holds.

use driftless_testdata::builder::{DeletionVector, TableBuilder};
use table_sync_core::{Body, FileRef, Op, Place, Role, Sha256Digest, SourceError, SourceLog};

use crate::site::{append, jump, key, log, needs, observe, steps, version};

fn table() -> TableBuilder {
    TableBuilder::new(1)
        .protocol(3, 7, &["deletionVectors", "v2Checkpoint"], &["deletionVectors", "v2Checkpoint"])
        .commit(|c| c.add("a", 10).add("b", 20))
        .commit(|c| c.delete_rows("a", DeletionVector::prefixed("pp", 0, 2)).cdc("c", 5))
}

#[tokio::test]
async fn append_holds_the_bytes_and_names_the_files() {
    let table = table();
    let log = log(table.objects()).await;
    let view = observe(&log).await;
    let description = log.describe(&view, &append(1)).await.unwrap();
    let publication = &description.publication;
    assert_eq!(steps(publication), [("00000000000000000001.json".to_owned(), Some(1))]);
    let commit = &table.objects()["_delta_log/00000000000000000001.json"];
    assert!(matches!(&publication.steps[0].body, Body::Bytes(bytes) if bytes == commit));
    assert_eq!(publication.steps[0].op, Op::Create);
    let seen = description.seen.clone().unwrap();
    assert_eq!((seen.position, seen.sha256), (version(1), Sha256Digest::of(commit)));
    let files = needs(&description).await.unwrap();
    let roles: Vec<_> = files.iter().map(|file| (file.role, file.size_bytes)).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(
        roles.contains(&(Role::Data, Some(10))) && roles.contains(&(Role::DeletionVector, None))
    );
    assert!(files.contains(&FileRef {
        place: Place::Table,
        path: key("_change_data/c"),
        size_bytes: Some(5),
        role: Role::ChangeData
    }));
    // Streams may be asked for again.
    assert_eq!(needs(&description).await.unwrap(), files);
    let vector = files.iter().find(|file| file.role == Role::DeletionVector).unwrap();
    assert!(vector.path.as_str().starts_with("pp/deletion_vector_"));
    assert!(table.objects().contains_key(vector.path.as_str()));
}

#[tokio::test]
async fn jump_orders_sidecars_checkpoint_commit_hint() {
    let table = table().checkpoint_v2_json(1, 2).last_checkpoint(1);
    let log = log(table.objects()).await;
    let view = observe(&log).await;
    let description = log.describe(&view, &jump(1)).await.unwrap();
    let steps = steps(&description.publication);
    let names: Vec<_> = steps.iter().map(|(name, _)| name.as_str()).collect();
    let reveals: Vec<_> = steps.iter().map(|(_, reveals)| *reveals).collect();
    assert_eq!(reveals, [None, None, Some(1), Some(1), Some(1)]);
    assert!(names[0].starts_with("_sidecars/") && names[1].starts_with("_sidecars/"));
    assert!(names[2].contains(".checkpoint."));
    assert_eq!(&names[3..], ["00000000000000000001.json", "_last_checkpoint"]);
    let hint = &table.objects()["_delta_log/_last_checkpoint"];
    let last = &description.publication.steps[4];
    assert!(matches!(&last.body, Body::Bytes(bytes) if bytes == hint));
    let files = needs(&description).await.unwrap();
    assert_eq!(files.iter().filter(|file| file.role == Role::Data).count(), 2);
    assert_eq!(files.iter().filter(|file| file.role == Role::ChangeData).count(), 1);
}

#[tokio::test]
async fn hint_with_foreign_sidecars_is_not_taken_over() {
    let table = table().checkpoint_v2_json(1, 1).last_checkpoint(1);
    let hint = &table.objects()["_delta_log/_last_checkpoint"];
    let mut hint: serde_json::Value = serde_json::from_slice(hint).unwrap();
    hint["v2Checkpoint"]["sidecarFiles"] =
        serde_json::json!([{"path": "s3://other/x.parquet", "sizeInBytes": 1}]);
    let table = table.put_object("_delta_log/_last_checkpoint", hint.to_string());
    let log = log(table.objects()).await;
    let description = log.describe(&observe(&log).await, &jump(1)).await.unwrap();
    let last = description.publication.steps.last().unwrap();
    let Body::Bytes(body) = &last.body else { panic!() };
    let text = std::str::from_utf8(body).unwrap();
    assert!(!text.contains("other") && text.contains("v2Checkpoint"), "{text}");
}

#[tokio::test]
async fn missing_sidecar_is_named() {
    let table = table().checkpoint_v2_parquet(1, 1);
    let sidecar = table.objects().keys().find(|key| key.contains("_sidecars/")).unwrap().clone();
    let log = log(table.delete_object(&sidecar).objects()).await;
    match log.describe(&observe(&log).await, &jump(1)).await {
        Err(SourceError::Missing { path }) => assert_eq!(path.as_str(), sidecar),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn large_commit_spools_and_is_the_same() {
    let large = table().commit(|c| {
        for n in 0..40_000 {
            c.add_file(
                driftless_testdata::builder::DataFile::new(&format!("dir/part-{n:06}"), 1)
                    .stats(1)
                    .without_object(),
            );
        }
        c
    });
    let bytes = &large.objects()["_delta_log/00000000000000000002.json"];
    assert!(bytes.len() as u64 > table_sync_core::limits::COMMIT_BYTES_IN_MEMORY_MAX);
    let log = log(large.objects()).await;
    let description = log.describe(&observe(&log).await, &append(2)).await.unwrap();
    let Body::Spool(file) = &description.publication.steps[0].body else { panic!() };
    assert_eq!(std::fs::read(&file.path).unwrap(), *bytes);
    assert_eq!(file.sha256, Sha256Digest::of(bytes));
    assert_eq!(needs(&description).await.unwrap().len(), 40_000);
    let path = file.path.clone();
    drop(description);
    assert!(!path.exists());
}

#[tokio::test]
async fn commit_is_recognised_as_changed() {
    let table = table();
    let source = log(table.objects()).await;
    let seen = source.commit(version(1)).await.unwrap().unwrap();
    assert!(source.unchanged(&seen).await.unwrap());
    assert_eq!(source.commit(version(7)).await.unwrap(), None);
    assert!(source.moved_past(version(0)).await.unwrap());
    assert!(!source.moved_past(version(1)).await.unwrap());
    let longer = table.rewrite_commit(1);
    let rewritten = log(longer.objects()).await;
    assert_ne!(rewritten.commit(version(1)).await.unwrap().unwrap().sha256, seen.sha256);
}
