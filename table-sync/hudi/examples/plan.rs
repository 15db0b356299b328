//! Planning on a large table, measured: `cargo run --release -p table-sync-hudi --example plan`.
//!
//! The store is made up as it is listed, so that only the planning is measured and no disk. Times
//! are CPU time of the process, in seconds; what listing alone costs is measured apart.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use table_sync_core::{Planned, PlannedKind, SourceLog as _};
use table_sync_hudi::{HudiLog, Options};

const INSTANTS: u64 = 10_000;
const GROUPS: u64 = 1_000_000;
const PARTITIONS: u64 = 1_000;
const PROPERTIES: &str = "hoodie.table.name=t\nhoodie.table.type=MERGE_ON_READ\n\
                          hoodie.table.version=8\nhoodie.timeline.layout.version=2\n";

/// A table of so many instants and file groups; each group has a base file and one log.
#[derive(Debug, Clone, Copy)]
struct Made {
    instants: u64,
}

fn time(instant: u64, part: u64) -> u64 {
    20_240_101_000_000_000 + instant * 100 + part
}

impl Made {
    fn meta(location: String, size: u64) -> ObjectMeta {
        let location = Path::from(location);
        let last_modified = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        ObjectMeta { location, last_modified, size, e_tag: Some("\"1\"".to_owned()), version: None }
    }

    fn instant_name(instant: u64) -> String {
        let (requested, completed) = (time(instant, 0), time(instant, 50));
        format!("t/.hoodie/timeline/{requested}_{completed}.deltacommit")
    }

    fn timeline(self) -> impl Iterator<Item = ObjectMeta> {
        (0..self.instants).map(|instant| Self::meta(Self::instant_name(instant), 40_000))
    }

    fn base(group: u64) -> String {
        let (partition, instant) = (group % PARTITIONS, time(group % INSTANTS, 0));
        format!(
            "t/p={partition:04}/{group:08x}-0000-0000-0000-000000000000-0_0-1-1_{instant}.parquet"
        )
    }

    fn log(group: u64) -> String {
        let (partition, instant) = (group % PARTITIONS, time(INSTANTS - 1, 0));
        format!(
            "t/p={partition:04}/.{group:08x}-0000-0000-0000-000000000000-0_{instant}.log.1_0-1-1"
        )
    }

    fn partition(partition: u64) -> impl Iterator<Item = ObjectMeta> {
        let groups = (partition..GROUPS).step_by(PARTITIONS as usize);
        let files = groups.flat_map(|group| {
            [Self::meta(Self::base(group), 1 << 20), Self::meta(Self::log(group), 1 << 10)]
        });
        let marker = format!("t/p={partition:04}/.hoodie_partition_metadata");
        files.chain([Self::meta(marker, 96)])
    }

    /// A commit of a hundred logs, as a release before 1.0 writes it; Avro is read by the same
    /// types.
    fn commit(instant: u64) -> Bytes {
        let stats: Vec<_> = (0..100)
            .map(|file| {
                let path = Self::log(instant * 100 + file);
                let path = path.trim_start_matches("t/");
                format!("{{\"fileId\":\"f\",\"path\":\"{path}\",\"fileSizeInBytes\":1024}}")
            })
            .collect();
        let stats = stats.join(",");
        format!("{{\"partitionToWriteStats\":{{\"p\":[{stats}]}},\"operationType\":\"UPSERT\"}}")
            .into()
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("made")
    }
}

#[async_trait]
impl ObjectStore for Made {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(Error::NotImplemented { operation: "put".into(), implementer: "made".into() })
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "put".into(), implementer: "made".into() })
    }

    async fn get_opts(&self, location: &Path, _: GetOptions) -> Result<GetResult> {
        let key = location.as_ref();
        let bytes = if key.ends_with("hoodie.properties") {
            Bytes::from_static(PROPERTIES.as_bytes())
        } else if key.ends_with("commit") {
            Self::commit(self.instants - 1)
        } else {
            return Err(Error::NotFound { path: key.to_owned(), source: "not made".into() });
        };
        let size = if key.ends_with("commit") { 40_000 } else { bytes.len() as u64 };
        let padded =
            Bytes::from([bytes.as_ref(), &vec![b' '; size as usize - bytes.len()]].concat());
        Ok(GetResult {
            meta: Self::meta(key.to_owned(), size),
            range: 0..size,
            payload: GetResultPayload::Stream(stream::iter([Ok(padded)]).boxed()),
            attributes: Attributes::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        locations
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.map(ToString::to_string).unwrap_or_default();
        if prefix.ends_with("timeline") {
            return stream::iter(self.timeline().map(Ok)).boxed();
        }
        let partition = prefix.rsplit("p=").next().and_then(|text| text.parse().ok());
        match partition {
            Some(partition) => stream::iter(Self::partition(partition).map(Ok)).boxed(),
            None => stream::empty().boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let whole = prefix.is_some_and(|prefix| prefix.as_ref() == "t");
        let folders = (0..PARTITIONS).map(|partition| Path::from(format!("t/p={partition:04}")));
        let common_prefixes = if whole { folders.collect() } else { Vec::new() };
        Ok(ListResult { common_prefixes, objects: Vec::new() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".into(), implementer: "made".into() })
    }
}

/// CPU time of this process so far, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Most memory that this process had so far, in MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let began = cpu();
    let mut listed = 0u64;
    for partition in 0..PARTITIONS {
        listed += Made::partition(partition).map(|meta| meta.size.min(1)).sum::<u64>();
    }
    println!("listing alone       {:6.2} s CPU, {listed} objects", cpu() - began);

    let log = HudiLog::new(Arc::new(Made { instants: INSTANTS }), "t", Options::default()).unwrap();
    let began = cpu();
    let view = log.observe(None).await.unwrap();
    println!("look at a timeline  {:6.2} s CPU, {INSTANTS} instants", cpu() - began);
    let began = cpu();
    let position = view.head().unwrap();
    let jump = Planned { position, kind: PlannedKind::Jump };
    let described = log.describe(&view, &jump).await.unwrap();
    let mut files = 0;
    let mut needs = (described.needs)();
    while let Some(chunk) = needs.next().await {
        files += chunk.unwrap().len();
    }
    println!(
        "first publication   {:6.2} s CPU with its listing, {files} files, {} MB at most",
        cpu() - began,
        peak_mb()
    );
    let again = 100;
    let began = cpu();
    let mut names = 0;
    for _ in 0..again {
        names += Made { instants: INSTANTS }.timeline().count();
    }
    let ms = (cpu() - began) * 1_000.0 / again as f64;
    println!("listing a timeline  {ms:6.2} ms CPU, {} names", names / again as usize);
    let began = cpu();
    for more in 1..=again {
        let more = Made { instants: INSTANTS + more };
        let log = HudiLog::new(Arc::new(more), "t", Options::default()).unwrap();
        let view = log.observe(Some(position)).await.unwrap();
        let position = view.head().unwrap();
        let append = Planned { position, kind: PlannedKind::Append };
        log.describe(&view, &append).await.unwrap();
    }
    println!("a further commit    {:6.2} ms CPU", (cpu() - began) * 1_000.0 / again as f64);
}
