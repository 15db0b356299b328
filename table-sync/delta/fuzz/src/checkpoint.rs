//! Parquet bytes of a checkpoint to the files that are live in it.
//!
//! The bytes are read twice: as a classic checkpoint, and as a sidecar, whose manifest is sound,
//! so that files are reached even when the bytes hold no protocol.
//!
//! # Laws
//! - Every file is confined, and a chunk of files is bounded.
//! - A refusal is a reason or "no such checkpoint". The store of this target never fails, so a
//!   failure of the store would be damage that is taken for an outage and retried.

use std::cell::OnceCell;
use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use table_sync_core::{Planned, PlannedKind, Position, SourceError, SourceLog as _};
use table_sync_delta::{DeltaLog, Options};
use tokio::runtime::{Builder, Runtime};

use super::Verdict;
use super::confined::assert_confined;

/// Chunks after which a stream is left: a small file may declare billions of rows.
const CHUNKS_MAX: usize = 256;

/// Most files of one chunk: 1,024 with a deletion vector each.
const CHUNK_FILES_MAX: usize = 2 * 1024;

const COMMIT: &str = "_delta_log/00000000000000000000.json";
const CLASSIC: &str = "_delta_log/00000000000000000000.checkpoint.parquet";
const MANIFEST: &str =
    "_delta_log/00000000000000000000.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json";
const SIDECAR: &str = "_delta_log/_sidecars/s.parquet";

const TABLE: &str = concat!(
    r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"#,
    r#""readerFeatures":["v2Checkpoint"],"writerFeatures":["v2Checkpoint"]}}"#,
    "\n",
    r#"{"metaData":{"id":"x","format":{"provider":"parquet"},"partitionColumns":[]}}"#,
    "\n",
);

thread_local! {
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

/// Reads the bytes as a checkpoint, and as a sidecar of one.
pub fn target(data: &[u8]) -> Verdict {
    RUNTIME.with(|cell| {
        let runtime = cell.get_or_init(|| {
            Builder::new_current_thread().build().expect("a runtime without drivers")
        });
        runtime.block_on(async {
            let classic = read(&[(COMMIT, TABLE.as_bytes()), (CLASSIC, data)]).await;
            let bytes = data.len();
            let names = format!(
                "{TABLE}{{\"sidecar\":{{\"path\":\"s.parquet\",\"sizeInBytes\":{bytes}}}}}\n"
            );
            let objects = [(COMMIT, TABLE.as_bytes()), (MANIFEST, names.as_bytes())];
            let sidecar = read(&[objects.as_slice(), &[(SIDECAR, data)]].concat()).await;
            Verdict::of(classic || sidecar)
        })
    })
}

/// Reads the files of the only checkpoint of a table. Whether that went well.
async fn read(objects: &[(&str, &[u8])]) -> bool {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (key, bytes) in objects {
        let body = PutPayload::from(bytes.to_vec());
        store.put(&Path::from(format!("t/{key}")), body).await.expect("put in memory");
    }
    match files(store).await {
        Ok(()) => true,
        Err(SourceError::Blocked(_) | SourceError::Missing { .. }) => false,
        Err(error) => panic!("damage is taken for {error:?}"),
    }
}

async fn files(store: Arc<dyn ObjectStore>) -> Result<(), SourceError> {
    let log = DeltaLog::new(store, "t", Options::default()).expect("a good table path");
    let view = log.observe(None).await?;
    let planned = Planned { position: Position::Version(0), kind: PlannedKind::Jump };
    let description = log.describe(&view, &planned).await?;
    let mut chunks = (description.needs)();
    for _ in 0..CHUNKS_MAX {
        let Some(chunk) = chunks.try_next().await? else { break };
        assert!(chunk.len() <= CHUNK_FILES_MAX, "a chunk of {} files", chunk.len());
        chunk.iter().for_each(|file| assert_confined(&file.path));
    }
    Ok(())
}
