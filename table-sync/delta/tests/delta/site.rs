//! A source and a target held as plain objects, and a publisher without choices.

use std::collections::BTreeSet;
use std::sync::Arc;

use driftless_testdata::Objects;
use driftless_testdata::builder::put_objects;
use driftless_testdata::models::{self, Opened};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use table_sync_core::{
    Blocked, Body, Description, FileRef, Kind, Op, PlanInput, Planned, PlannedKind, Position,
    Publication, RelPath, ReplicaLog, ReplicaView, Role, SourceError, SourceLog, SourceView, Start,
    plan,
};
use table_sync_delta::{AbsolutePaths, DeltaLog, Options};

pub const ROOT: &str = "lake/t";

/// A log over these objects.
pub async fn log(objects: &Objects) -> DeltaLog {
    log_with(objects, AbsolutePaths::Refuse).await
}

pub async fn log_with(objects: &Objects, absolute_paths: AbsolutePaths) -> DeltaLog {
    let store = Arc::new(InMemory::new());
    put_objects(store.as_ref(), ROOT, objects).await.unwrap();
    open(store, absolute_paths)
}

pub fn open(store: Arc<dyn ObjectStore>, absolute_paths: AbsolutePaths) -> DeltaLog {
    let options = Options {
        absolute_paths,
        table_url: Some("s3://bucket/lake/t".to_owned()),
        lists_in_order: true,
        ..Options::default()
    };
    DeltaLog::new(store, ROOT, options).unwrap()
}

pub fn version(version: u64) -> Position {
    Position::Version(version)
}

pub fn append(at: u64) -> Planned {
    Planned { position: version(at), kind: PlannedKind::Append }
}

pub fn jump(at: u64) -> Planned {
    Planned { position: version(at), kind: PlannedKind::Jump }
}

pub async fn observe(log: &DeltaLog) -> SourceView {
    SourceLog::observe(log, None).await.unwrap()
}

pub async fn look(objects: &Objects) -> ReplicaView {
    let log = log(objects).await;
    let mut view = ReplicaLog::observe(&log, None).await.unwrap();
    view.pointer = log.pointer(&view).await.unwrap();
    view
}

pub async fn needs(description: &Description) -> Result<BTreeSet<FileRef>, SourceError> {
    let chunks: Vec<Vec<FileRef>> = (description.needs)().try_collect().await?;
    Ok(chunks.into_iter().flatten().collect())
}

/// Keys and whether each step reveals something, for comparison with a list.
pub fn steps(publication: &Publication) -> Vec<(String, Option<u64>)> {
    let steps = publication.steps.iter().map(|step| {
        let reveals = step.reveals.map(|at| match at {
            Position::Version(version) => version,
            other => panic!("{other}"),
        });
        (step.key.to_string().trim_start_matches("_delta_log/").to_owned(), reveals)
    });
    steps.collect()
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct Pass {
    pub published: Vec<u64>,
    pub warnings: Vec<String>,
    pub refusal: Option<Blocked>,
}

/// One pass from `source` to `target`: plan, copy, publish, attach; models look after each write.
pub async fn sync(source: &Objects, target: &mut Objects, start: Start) -> Pass {
    sync_against(source, source, target, start).await
}

/// As [`sync`], where `truth` still holds versions that the source has cleaned.
pub async fn sync_against(
    truth: &Objects,
    source: &Objects,
    target: &mut Objects,
    start: Start,
) -> Pass {
    let log = log(source).await;
    let mut pass = Pass::default();
    let (mut avoid, mut no_bases) = (BTreeSet::new(), BTreeSet::new());
    'again: loop {
        let mut view = observe(&log).await;
        view.bases.retain(|base| !no_bases.contains(&base.position));
        let replica = look(target).await;
        let input =
            PlanInput { source: &view, replica: &replica, start, until: None, avoid: &avoid };
        let plan = plan(&input);
        table_sync_core::lint(&plan, &view, &replica).unwrap();
        for planned in &plan.publications {
            let Position::Version(at) = planned.position else { panic!() };
            let described = describe_and_copy(&log, &view, planned, source, target).await;
            let publication = match described {
                Ok(publication) => publication,
                Err(SourceError::Missing { path }) => {
                    // A checkpoint that is not whole is no base; its version may be.
                    let log_object = path.as_str().starts_with("_delta_log/");
                    let set = if log_object { &mut no_bases } else { &mut avoid };
                    assert!(set.insert(planned.position), "{at} again");
                    continue 'again;
                }
                Err(SourceError::Blocked(blocked)) => {
                    pass.refusal = Some(blocked);
                    return pass;
                }
                Err(error) => panic!("{error}"),
            };
            apply(truth, source, target, &publication);
            pass.published.push(at);
            whole(truth, target, at, false);
        }
        pass.refusal = plan.refusal;
        break;
    }
    let replica = look(target).await;
    let Some(head) = replica.head else { return pass };
    let view = observe(&log).await;
    let late = log.late(&view, &replica, head).await.unwrap();
    for publication in &late.publications {
        assert_eq!(publication.kind, Kind::Attach);
        apply(truth, source, target, publication);
    }
    pass.warnings = late.warnings;
    let Position::Version(head) = head else { panic!() };
    whole(truth, target, head, true);
    pass
}

async fn describe_and_copy(
    log: &DeltaLog,
    view: &SourceView,
    planned: &Planned,
    source: &Objects,
    target: &mut Objects,
) -> Result<Publication, SourceError> {
    let description = log.describe(view, planned).await?;
    let files = needs(&description).await?;
    for file in files {
        let Some(bytes) = source.get(file.path.as_str()) else {
            if file.role == Role::ChangeData {
                continue;
            }
            return Err(SourceError::Missing { path: file.path });
        };
        if let Some(size_bytes) = file.size_bytes {
            assert_eq!(size_bytes, bytes.len() as u64, "{}", file.path);
        }
        target.insert(file.path.to_string(), bytes.clone());
    }
    Ok(description.publication)
}

/// Carries out the writes; after each, every reader opens a true version or fails loudly.
pub fn apply(truth: &Objects, source: &Objects, target: &mut Objects, publication: &Publication) {
    for step in &publication.steps {
        let bytes = match &step.body {
            Body::Copy(identity) => {
                let bytes = source.get(step.key.as_str()).unwrap().clone();
                assert_eq!(bytes.len() as u64, identity.size_bytes);
                bytes
            }
            Body::Bytes(bytes) => bytes.clone(),
            Body::Spool(file) => std::fs::read(&file.path).unwrap().into(),
            other => panic!("no body of a Delta publication: {other:?}"),
        };
        let key = step.key.to_string();
        match (&step.op, target.get(&key)) {
            (Op::Create, Some(there)) => assert_eq!(*there, bytes, "{key}"),
            (Op::CreateOrKeep, Some(_)) => continue,
            _ => {}
        }
        let before = newest(target);
        target.insert(key.clone(), bytes);
        for (reader, opened) in readers(target) {
            let Ok(opened) = opened else { continue };
            is_true(truth, target, &opened, &format!("{reader} after {key}"));
            let (_, before) = before.iter().find(|(name, _)| *name == reader).unwrap();
            assert!(before.is_none_or(|before| opened.version >= before), "{reader} after {key}");
        }
    }
}

type Models = [(&'static str, Result<Opened, models::OpenError>); 3];

fn readers(objects: &Objects) -> Models {
    let opened = [
        ("spark", models::spark(objects)),
        ("trino", models::trino(objects)),
        ("kernel", models::kernel(objects)),
    ];
    // What a reader lacks is no concern of replication: it would see the same at the source.
    opened.map(|(name, opened)| match opened {
        Err(models::OpenError::Unsupported { opened, .. }) => (name, Ok(*opened)),
        opened => (name, opened),
    })
}

fn newest(objects: &Objects) -> Vec<(&'static str, Option<u64>)> {
    let open = readers(objects).into_iter();
    open.map(|(name, opened)| (name, opened.ok().map(|opened| opened.version))).collect()
}

fn is_true(truth: &Objects, target: &Objects, opened: &Opened, at: &str) {
    let expect = models::snapshot_of_source(truth, opened.version).unwrap();
    assert_eq!(opened.files, expect.files, "{at}");
    assert_eq!(models::files_present(opened, target), [], "{at}");
}

/// Readers open the target at `version`. Trino may lag, loudly or not, until the hint is there.
fn whole(truth: &Objects, target: &Objects, version: u64, hint: bool) {
    for (reader, opened) in readers(target) {
        match opened {
            Ok(opened) if !hint && reader == "trino" => assert!(opened.version <= version),
            Err(_) if !hint && reader == "trino" => {}
            Ok(opened) => assert_eq!(opened.version, version, "{reader}"),
            Err(error) => {
                let at_source = models::snapshot_of_source(truth, version);
                assert!(at_source.is_err(), "{reader} at {version}: {error}");
            }
        }
    }
}

pub fn key(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}
