//! What a look after a look lists, and that it says what a look at everything says.

use std::collections::BTreeSet;
use std::sync::Arc;

use apache_avro::types::Value;
use driftless_testdata::models::hudi::{HudiObjects, Recorded, recorded_tables};
use table_sync_core::{
    FileRef, Hint, InstantTime, Place, Plan, PlanInput, Planned, PlannedKind, Position, RelPath,
    ReplicaLog, ReplicaView, Role, SourceError, SourceLog, SourceView, Start, plan,
};
use table_sync_hudi::{HudiLog, Margin, Options, Side};

use crate::listings::{Change, Listings};
use crate::lives::{apply, key_of};

const TIMELINE: &str = ".hoodie/timeline";

fn log(store: &Listings, side: Side) -> HudiLog {
    let options = Options { side, ..Options::default() };
    HudiLog::new(Arc::new(store.clone()), "", options).unwrap()
}

/// Whether the timeline was listed as a whole.
fn was_whole(requests: &[String]) -> bool {
    requests.contains(&format!("LIST {TIMELINE}"))
}

async fn look(log: &HudiLog, after: Position) -> Result<SourceView, SourceError> {
    SourceLog::observe(log, Some(after)).await
}

/// What one that knows nothing yet sees.
async fn whole(store: &Listings, after: Position) -> Result<SourceView, SourceError> {
    let seen = look(&log(store, Side::Source), after).await;
    store.taken();
    seen
}

fn ids(view: &SourceView) -> BTreeSet<InstantTime> {
    view.commits.iter().filter_map(|commit| commit.position.requested()).collect()
}

// ---- over recorded lives ----

/// A replica that holds what a view shows.
fn replica_of(view: &SourceView) -> ReplicaView {
    ReplicaView {
        head: view.head(),
        earliest_readable: view.commits.first().map(|commit| commit.position),
        holds: Some(ids(view)),
        shape: view.set.as_ref().map(|set| set.shape).unwrap_or_default(),
        ..ReplicaView::default()
    }
}

fn plan_of(source: &SourceView, replica: &ReplicaView) -> Plan {
    let mut replica = replica.clone();
    source.place(&mut replica);
    let (start, avoid) = (Start::Latest, BTreeSet::new());
    plan(&PlanInput { source, replica: &replica, start, until: None, avoid: &avoid })
}

/// Holds a look against one at everything. Nothing may be different but what was archived since,
/// and where a savepoint lets the timeline start.
fn compare(
    at: &str,
    (seen, whole): (&Result<SourceView, SourceError>, &Result<SourceView, SourceError>),
    listed_from: Option<&str>,
    replicas: &[ReplicaView],
) {
    let (seen, whole) = match (seen, whole) {
        (Ok(seen), Ok(whole)) => (seen, whole),
        (Err(seen), Err(whole)) => return assert_eq!(seen.to_string(), whole.to_string(), "{at}"),
        (seen, whole) => panic!("{at}: {:?}, not {:?}", seen.is_ok(), whole.is_ok()),
    };
    assert_eq!((seen.head(), &seen.bases), (whole.head(), &whole.bases), "{at}");
    let Some((own, set)) = seen.set.as_ref().zip(whole.set.as_ref()) else {
        return assert_eq!(seen.set, whole.set, "{at}");
    };
    assert_eq!((own.shape, own.switchable, &own.wait), (set.shape, set.switchable, &set.wait));
    assert_eq!((&own.archived, &own.retracted), (&set.archived, &set.retracted), "{at}");
    let archived = |id: &InstantTime| set.archived.contains(id);
    let (now, before) = (ids(whole), ids(seen));
    assert!(now.is_subset(&before), "{at}: {now:?} are there, and {before:?} was seen");
    let more: Vec<_> = before.difference(&now).filter(|id| !archived(id)).collect();
    assert!(more.is_empty(), "{at}: {more:?} are gone, and were seen");
    if now != before {
        return;
    }
    assert_eq!(seen.commits, whole.commits, "{at}");
    let listed = |view: &SourceView| {
        let mut objects = view.objects.clone();
        let from = listed_from.map(|id| format!("{TIMELINE}/{id}"));
        objects.retain(|key, _| from.as_ref().is_none_or(|from| key.as_str() > from.as_str()));
        objects
    };
    assert_eq!(listed(seen), listed(whole), "{at}");
    for replica in replicas {
        assert_eq!(plan_of(seen, replica), plan_of(whole, replica), "{at}");
    }
}

/// Goes through the life of one table and looks after every change of its timeline, or after every
/// so many; answers how many looks did not list everything.
async fn live(table: &Recorded, margin: Margin, every: usize) -> u32 {
    let store = Listings::default();
    let kept = log(&store, Side::Source).with_margin(margin);
    let (mut objects, mut replicas) = (HudiObjects::new(), Vec::new());
    let (mut changes, mut further) = (0, 0);
    let nowhere = Position::Instant { completed: InstantTime::ZERO, requested: InstantTime::ZERO };
    for event in table.steps.iter().flat_map(|step| &step.events) {
        apply(&store, table, event, &mut objects).await;
        let key = key_of(event);
        if !key.starts_with(".hoodie/") || key.starts_with(".hoodie/metadata/") {
            continue;
        }
        changes += 1;
        if changes % every != 0 {
            continue;
        }
        let after = replicas.last().and_then(|replica: &ReplicaView| replica.head);
        let after = after.unwrap_or(nowhere);
        store.taken();
        let seen = look(&kept, after).await;
        let listed = store.taken();
        let from = listed.iter().filter(|_| !was_whole(&listed)).find_map(|request| {
            let (_, from) = request.split_once(" from ")?;
            Some(from)
        });
        further += u32::from(from.is_some());
        let whole = whole(&store, after).await;
        let at = format!("{}, {margin:?}, {key}: {listed:?}", table.name);
        compare(&at, (&seen, &whole), from, &replicas);
        if let Ok(whole) = whole
            && (event.completes() || every > 1)
            && whole.head().is_some()
        {
            replicas.push(replica_of(&whole));
        }
    }
    further
}

#[tokio::test(start_paused = true)]
async fn every_look_says_what_a_whole_one_says() {
    let margins = [(0, 1), (6, 1), (12, 3)];
    let margins = margins.map(|(names, commits)| Margin { names, commits });
    let mut further = 0;
    for table in recorded_tables() {
        for margin in margins {
            for every in [1, 3, 7] {
                further += live(&table, margin, every).await;
            }
        }
    }
    assert!(further > 1_000, "only {further} looks listed less than everything");
}

// ---- on one long timeline ----

/// Instants of the long timeline, one in a second, with three names each.
const INSTANTS: u64 = 500;

/// Instants that a look lists again.
const MARGIN: u64 = 200;

fn time(instant: u64, millis: u64) -> String {
    let (hour, minute, second) = (instant / 3600, instant / 60 % 60, instant % 60);
    format!("20240101{hour:02}{minute:02}{second:02}{millis:03}")
}

fn key(name: &str) -> String {
    format!("{TIMELINE}/{name}")
}

fn put(name: &str) -> Change {
    (key(name), Some(b"{}"))
}

fn delete(name: &str) -> Change {
    (key(name), None)
}

fn completed(instant: u64) -> String {
    format!("{}_{}.commit", time(instant, 0), time(instant, 500))
}

/// The objects of a commit, as a writer leaves them.
fn commit(instant: u64) -> [Change; 3] {
    let id = time(instant, 0);
    let pending = ["commit.requested", "inflight"].map(|state| put(&format!("{id}.{state}")));
    let [requested, inflight] = pending;
    [requested, inflight, put(&completed(instant))]
}

/// A table with a long timeline, and a log that has looked at it once.
struct Long {
    store: Listings,
    log: HudiLog,
}

impl Long {
    async fn new(side: Side) -> Self {
        let tables = recorded_tables();
        let table = tables.iter().find(|table| table.name == "cow_v8").unwrap();
        let store = Listings::default();
        let mut objects = HudiObjects::new();
        let events = table.steps.iter().flat_map(|step| &step.events);
        for event in events.filter(|event| key_of(event) == ".hoodie/hoodie.properties") {
            apply(&store, table, event, &mut objects).await;
        }
        for instant in 0..INSTANTS {
            store.change(&commit(instant)).await;
        }
        let log = log(&store, side);
        let long = Self { store, log };
        long.see().await;
        long
    }

    /// Where a source's looks begin, and a replica's hint is.
    fn at(instant: u64) -> Position {
        let [completed, requested] =
            [500, 0].map(|millis| InstantTime::parse(&time(instant, millis)).unwrap());
        Position::Instant { completed, requested }
    }

    async fn see(&self) -> SourceView {
        look(&self.log, Self::at(0)).await.unwrap()
    }

    /// Looks, and holds it against a look at everything; answers whether it was one.
    async fn check(&self, at: &str) -> bool {
        self.store.taken();
        let seen = look(&self.log, Self::at(0)).await;
        let is_whole = was_whole(&self.store.taken());
        compare(at, (&seen, &whole(&self.store, Self::at(0)).await), None, &[]);
        is_whole
    }
}

#[tokio::test(start_paused = true)]
async fn a_further_commit_costs_one_page_and_one_head() {
    let long = Long::new(Side::Source).await;
    long.store.taken();
    for instant in INSTANTS..INSTANTS + 5 {
        long.store.change(&commit(instant)).await;
        let view = long.see().await;
        assert_eq!(view.head(), Some(Long::at(instant)));
        let from = time(INSTANTS - MARGIN, 0);
        let listing = format!("LIST {TIMELINE} from {from}");
        let mut requests = long.store.taken();
        requests.sort();
        assert_eq!(requests, ["HEAD .hoodie/hoodie.properties".to_owned(), listing]);
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_now_and_then() {
    let long = Long::new(Side::Source).await;
    for round in 0..3 {
        for number in 0..64 {
            assert!(!long.check("idle").await, "look {number} of round {round} is whole");
        }
        assert!(long.check("idle").await, "65 looks in a row are not whole");
    }
    tokio::time::advance(std::time::Duration::from_secs(301)).await;
    assert!(long.check("later").await, "what was listed minutes ago is still taken for settled");
}

/// A short timeline is listed as a whole each time: one page is one page.
#[tokio::test(start_paused = true)]
async fn a_short_timeline_is_listed_whole() {
    let long = Long::new(Side::Source).await;
    for instant in 0..INSTANTS - MARGIN {
        let names = commit(instant).map(|(key, _)| (key, None));
        long.store.change(&names).await;
    }
    let log = log(&long.store, Side::Source);
    for _ in 0..3 {
        long.store.taken();
        look(&log, Long::at(0)).await.unwrap();
        assert!(was_whole(&long.store.taken()));
    }
}

/// What happens to a timeline, step by step, and whether the look after it lists everything.
type Case = (&'static str, Vec<(Vec<Change>, bool)>);

fn cases() -> Vec<Case> {
    let (old, end) = (7, INSTANTS + 10);
    let (id, done) = (time(end, 0), time(end, 900));
    let name = |rest: &str| format!("{id}.{rest}");
    let ended = |action: &str| format!("{id}_{done}.{action}");
    let properties = || {
        let bytes: &'static [u8] = b"hoodie.table.version=8\nhoodie.timeline.layout.version=2\n\
                                     hoodie.table.type=COPY_ON_WRITE\nhoodie.table.name=t\n";
        (".hoodie/hoodie.properties".to_owned(), Some(bytes))
    };
    let steps = |steps: Vec<(Change, bool)>| -> Vec<(Vec<Change>, bool)> {
        steps.into_iter().map(|(change, is_whole)| (vec![change], is_whole)).collect()
    };
    vec![
        ("a commit", steps(commit(end).map(|change| (change, false)).to_vec())),
        (
            "a clean",
            steps(vec![
                (put(&name("clean.requested")), false),
                (put(&name("clean.inflight")), false),
                (put(&ended("clean")), false),
            ]),
        ),
        (
            "a rollback of a settled commit",
            steps(vec![
                (put(&name("rollback.requested")), true),
                (put(&name("rollback.inflight")), true),
                (delete(&completed(old)), true),
            ]),
        ),
        (
            "a restore",
            steps(vec![
                (put(&name("restore.requested")), true),
                (delete(&completed(INSTANTS - 1)), true),
                (delete(&completed(old)), true),
            ]),
        ),
        (
            "a rollback that began and ended since, and what may have happened meanwhile",
            vec![(rollback_of(old), true), (Vec::new(), true), (Vec::new(), false)],
        ),
        ("other properties", steps(vec![(properties(), true)])),
        ("a recent commit that is gone", steps(vec![(delete(&completed(INSTANTS - 3)), true)])),
        (
            "a plan that is taken back",
            steps(vec![
                (put(&name("compaction.requested")), false),
                (put(&name("compaction.inflight")), false),
                (delete(&name("compaction.inflight")), true),
            ]),
        ),
        ("something else", steps(vec![(put("zookeeper"), true)])),
        ("an action that is unknown", steps(vec![(put(&name("defragmentation.requested")), true)])),
        (
            "one that begins late",
            steps(vec![(put(&format!("{}.commit.requested", time(INSTANTS - 20, 700))), true)]),
        ),
    ]
}

/// After each step a look says what a look at everything says.
#[tokio::test(start_paused = true)]
async fn what_is_not_plainly_new_lists_everything() {
    for (case, steps) in cases() {
        let long = Long::new(Side::Source).await;
        for (number, (changes, is_whole)) in steps.into_iter().enumerate() {
            long.store.change(&changes).await;
            let at = format!("{case}, step {number}");
            assert_eq!(long.check(&at).await, is_whole, "{at}");
        }
    }
}

/// A listing of many pages shows a commit on its first page, and on its last a rollback that took
/// the commit back meanwhile.
#[tokio::test(start_paused = true)]
async fn a_rollback_that_ends_between_two_pages_is_seen() {
    let long = Long::new(Side::Source).await;
    let again = log(&long.store, Side::Source);
    long.store.between_pages(rollback_of(7));
    let torn = look(&again, Long::at(0)).await;
    let whole_look = whole(&long.store, Long::at(0)).await;
    let seven = Long::at(7).requested().unwrap();
    assert!(!ids(whole_look.as_ref().unwrap()).contains(&seven));
    compare("a torn listing", (&torn, &whole_look), None, &[]);
    // The next look lists everything, and from then on as before.
    for is_whole in [true, false] {
        assert_eq!(long_check(&again, &long.store).await, is_whole);
    }
}

async fn long_check(log: &HudiLog, store: &Listings) -> bool {
    store.taken();
    look(log, Long::at(0)).await.unwrap();
    was_whole(&store.taken())
}

/// An old commit completes behind a listing of many pages, and then a new one before it.
#[tokio::test(start_paused = true)]
async fn no_commit_is_seen_without_one_that_completed_earlier() {
    let long = Long::new(Side::Source).await;
    let id = time(9, 700);
    long.store.change(&[put(&format!("{id}.commit.requested"))]).await;
    let earlier = put(&format!("{id}_{}.commit", time(INSTANTS, 100)));
    long.store.between_pages(vec![earlier, put(&completed(INSTANTS))]);
    let again = log(&long.store, Side::Source);
    let seen = look(&again, Long::at(0)).await;
    assert!(ids(seen.as_ref().unwrap()).contains(&Long::at(INSTANTS).requested().unwrap()));
    compare("torn", (&seen, &whole(&long.store, Long::at(0)).await), None, &[]);
}

/// What a rollback of a commit does at its end, with the bytes of one that Hudi wrote.
fn rollback_of(instant: u64) -> Vec<Change> {
    let tables = recorded_tables();
    let table = tables.iter().find(|table| table.name == "mor_v8_rollback").unwrap();
    let mut objects = HudiObjects::new();
    for event in table.steps.iter().flat_map(|step| &step.events) {
        table.apply(event, &mut objects);
    }
    let (_, object) = objects.iter().find(|(key, _)| key.ends_with(".rollback")).unwrap();
    let reader = apache_avro::Reader::new(object.bytes.as_ref()).unwrap();
    let schema = reader.writer_schema().clone();
    let mut writer = apache_avro::Writer::new(&schema, Vec::new());
    for record in reader {
        let mut record = record.unwrap();
        rename(&mut record, &time(instant, 0));
        writer.append(record).unwrap();
    }
    let bytes = Box::leak(writer.into_inner().unwrap().into_boxed_slice());
    let ended = format!("{}_{}.rollback", time(INSTANTS + 1, 0), time(INSTANTS + 1, 900));
    let gone = commit(instant).into_iter().map(|(key, _)| (key, None));
    let mut changes: Vec<Change> = gone.collect();
    changes.push((key(&ended), Some(bytes)));
    changes
}

/// Puts an id in the place of every instant that a rollback names.
fn rename(value: &mut Value, id: &str) {
    match value {
        Value::String(text) if InstantTime::parse(text).is_some() => *text = id.to_owned(),
        Value::Record(fields) => fields.iter_mut().for_each(|(_, value)| rename(value, id)),
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, id)),
        Value::Map(values) => values.values_mut().for_each(|value| rename(value, id)),
        Value::Union(_, value) => rename(value, id),
        _ => {}
    }
}

/// Archival writes the history, then deletes. What is deleted after the look that the history
/// asked for is missed until somebody wants to read it.
#[tokio::test(start_paused = true)]
async fn archival_is_lagged_behind_until_something_is_missed() {
    let long = Long::new(Side::Source).await;
    long.store.change(&[put("history/_version_")]).await;
    assert!(long.check("a new history").await);
    let at = Long::at(7);
    long.store.change(&[delete(&completed(7))]).await;
    let view = long.see().await;
    assert!(ids(&view).contains(&at.requested().unwrap()), "this look was to list less");
    let append = Planned { position: at, kind: PlannedKind::Append };
    let described = long.log.describe(&view, &append).await;
    assert!(matches!(described, Err(SourceError::Missing { .. })), "{described:?}");
    assert!(long.check("after a miss").await);
}

/// Names that a listing from the settled part on would not bring, or would bring twice.
#[tokio::test(start_paused = true)]
async fn a_timeline_that_no_listing_can_be_cut_is_listed_whole() {
    let first = INSTANTS - MARGIN - 1;
    let id = time(first, 0);
    let begun_by_another = format!("{}_{}.commit", &id[..14], time(first, 400));
    let history = "hoodie.table.version=8\nhoodie.timeline.layout.version=2\n\
                   hoodie.table.type=COPY_ON_WRITE\nhoodie.table.name=t\n\
                   hoodie.timeline.history.path=.history\n";
    let properties: Change = (".hoodie/hoodie.properties".to_owned(), Some(history.as_bytes()));
    let legacy = put(&format!("{}.commit", &id[..14]));
    let saved = put(&format!("{}_{}.savepoint", &id[..14], time(INSTANTS, 0)));
    let next = put(&completed(INSTANTS));
    let cases =
        [(put(&begun_by_another), next.clone()), (properties, next.clone()), (legacy, saved)];
    for (change, later) in cases {
        let long = Long::new(Side::Source).await;
        long.store.change(std::slice::from_ref(&change)).await;
        // The settled part would end within the second that both ids tell.
        let margin = Margin { names: 603, commits: 8 };
        let again = log(&long.store, Side::Source).with_margin(margin);
        let seen = look(&again, Long::at(0)).await;
        assert!(seen.is_ok());
        long.store.change(std::slice::from_ref(&later)).await;
        long.store.taken();
        let seen = look(&again, Long::at(0)).await;
        let requests = long.store.taken();
        assert!(was_whole(&requests), "{change:?}: {requests:?}");
        compare("cut", (&seen, &whole(&long.store, Long::at(0)).await), None, &[]);
    }
}

/// What is not settled grows with every commit: after some thousand names it is settled anew.
#[tokio::test(start_paused = true)]
async fn what_is_not_settled_stays_a_few_pages() {
    let long = Long::new(Side::Source).await;
    for instant in INSTANTS..INSTANTS + 1_200 {
        long.store.change(&commit(instant)).await;
    }
    assert!(!long.check("far more than one page").await);
    assert!(long.check("and then").await);
    long.store.change(&commit(INSTANTS + 1_201)).await;
    long.store.taken();
    long.see().await;
    let from = time(INSTANTS + 1_200 - MARGIN, 0);
    assert!(long.store.taken().contains(&format!("LIST {TIMELINE} from {from}")));
}

/// A write that is pending for long is looked at each time, however old it is.
#[tokio::test(start_paused = true)]
async fn a_pending_write_is_never_settled() {
    let long = Long::new(Side::Source).await;
    let id = time(9, 700);
    long.store.change(&[put(&format!("{id}.commit.requested"))]).await;
    let again = log(&long.store, Side::Source);
    look(&again, Long::at(0)).await.unwrap();
    long.store.change(&[put(&format!("{id}_{}.commit", time(INSTANTS, 0)))]).await;
    long.store.taken();
    let seen = look(&again, Long::at(0)).await;
    let requests = long.store.taken();
    assert!(requests.contains(&format!("LIST {TIMELINE} from {id}")), "{requests:?}");
    compare("late", (&seen, &whole(&long.store, Long::at(0)).await), None, &[]);
}

/// Where a first publication or a switch is planned, the timeline is listed as a whole first.
#[tokio::test(start_paused = true)]
async fn a_whole_state_is_described_from_a_whole_look() {
    let long = Long::new(Side::Source).await;
    let view = long.see().await;
    let jump = Planned { position: view.head().unwrap(), kind: PlannedKind::Jump };
    let described = long.log.describe(&view, &jump).await;
    assert!(matches!(described, Err(SourceError::Changed { .. })), "{described:?}");
    long.store.taken();
    long.see().await;
    assert!(was_whole(&long.store.taken()));
}

/// A file is gone since a commit that no look has seen yet wrote its group anew: the source is not
/// damaged.
#[tokio::test(start_paused = true)]
async fn a_lost_file_is_judged_by_a_whole_look() {
    let long = Long::new(Side::Source).await;
    let group = "11111111-0000-0000-0000-000000000000-0";
    let path = format!("p/{group}_0-1-1_{}.parquet", time(INSTANTS - 1, 0));
    let file = FileRef {
        place: Place::Table,
        path: RelPath::parse(&path).unwrap(),
        size_bytes: None,
        role: Role::Data,
    };
    let late = format!("{}_{}.commit", time(3, 700), time(INSTANTS + 5, 0));
    let rewritten = format!("p/{group}_0-1-1_{}.parquet", time(3, 700));
    let stat = format!(r#"{{"fileId":"{group}","path":"{rewritten}","partitionPath":"p"}}"#);
    let commit = format!(r#"{{"partitionToWriteStats":{{"p":[{stat}]}}}}"#);
    let commit: &'static [u8] = Box::leak(commit.into_bytes().into_boxed_slice());
    long.store.change(&[(key(&late), Some(commit))]).await;
    let view = long.see().await;
    assert_eq!(view.head(), Some(Long::at(INSTANTS - 1)), "{late} was to be missed");
    let is_live = long.log.live_at_head(&view, &file, Long::at(INSTANTS - 1)).await;
    assert!(matches!(is_live, Ok(false)), "{is_live:?}");
}

/// The one thing that is missed for a while: a writer that took its id a thousand names ago.
#[tokio::test(start_paused = true)]
async fn a_writer_that_was_asleep_is_found_by_the_next_whole_look() {
    let long = Long::new(Side::Source).await;
    let late = format!("{}_{}.commit", time(3, 700), time(INSTANTS + 5, 0));
    long.store.change(&[put(&late)]).await;
    let id = InstantTime::parse(&time(3, 700)).unwrap();
    let mut looks = 1;
    while !ids(&long.see().await).contains(&id) {
        looks += 1;
        assert!(looks <= 65, "it was not found");
    }
}

/// Another process may have published what this one does not know of yet: it is not for a look at
/// less than everything to say that the source never had it.
#[tokio::test(start_paused = true)]
async fn what_may_be_settled_is_not_refused() {
    let long = Long::new(Side::Source).await;
    let unknown = InstantTime::parse(&time(3, 700)).unwrap();
    let view = long.see().await;
    let mut replica = replica_of(&view);
    replica.holds.as_mut().unwrap().insert(unknown);
    assert_eq!(plan_of(&view, &replica).refusal, None);
    let view = whole(&long.store, Long::at(0)).await.unwrap();
    assert!(plan_of(&view, &replica).refusal.is_some());
    // What was listed is not there, whoever says so.
    let listed = InstantTime::parse(&time(INSTANTS - 3, 700)).unwrap();
    let view = long.see().await;
    let mut replica = replica_of(&view);
    replica.holds.as_mut().unwrap().insert(listed);
    assert!(plan_of(&view, &replica).refusal.is_some());
}

// ---- at a replica ----

async fn held(log: &HudiLog, hint: u64) -> BTreeSet<InstantTime> {
    let hint = Hint { head: Long::at(hint), earliest_readable: Long::at(0) };
    ReplicaLog::observe(log, Some(hint)).await.unwrap().holds.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_listed_whole_after_something_was_published() {
    let long = Long::new(Side::Replica).await;
    let (store, log) = (&long.store, &long.log);
    store.taken();
    for _ in 0..3 {
        assert_eq!(held(log, INSTANTS - 1).await.len(), 500);
        assert!(!was_whole(&store.taken()));
    }
    // One that completed late has an old id; the newest is what is remembered.
    let late = format!("{}_{}.commit", time(3, 700), time(INSTANTS, 0));
    store.change(&[put(&late), put(&completed(INSTANTS + 1))]).await;
    assert_eq!(held(log, INSTANTS + 1).await.len(), 502);
    assert!(was_whole(&store.taken()), "somebody else published {late}, or this process did");
    assert_eq!(held(log, INSTANTS + 1).await.len(), 502);
    assert!(!was_whole(&store.taken()));
    // A commit of somebody else, among the newest.
    store.change(&[put(&completed(INSTANTS + 2))]).await;
    assert_eq!(held(log, INSTANTS + 1).await.len(), 503);
    // And among the oldest: for no longer than until the next whole look.
    let foreign = format!("{}_{}.commit", time(4, 700), time(4, 800));
    store.change(&[put(&foreign)]).await;
    let mut looks = 1;
    while held(log, INSTANTS + 1).await.len() == 503 {
        looks += 1;
        assert!(looks <= 65, "it was not found");
    }
}

/// Tailors commits of the source to what a replica holds, and puts them there.
async fn publish(source: &Long, replica: &Long, held_at: u64, instants: &[u64]) {
    let view = source.see().await;
    let hint = Hint { head: Long::at(held_at), earliest_readable: Long::at(0) };
    let held = ReplicaLog::observe(&replica.log, Some(hint)).await.unwrap();
    for instant in instants {
        let append = Planned { position: Long::at(*instant), kind: PlannedKind::Append };
        let described = source.log.describe(&view, &append).await.unwrap();
        let publication = source.log.tailor(&view, &described, &held).await.unwrap();
        for step in publication.steps {
            replica.store.change(&[(step.key.to_string(), Some(b"{}"))]).await;
        }
    }
}

/// What this process published at the end costs one page to find; what completed late does not.
#[tokio::test(start_paused = true)]
async fn a_replica_is_not_listed_whole_after_a_commit_at_the_end() {
    let (source, replica) = (Long::new(Side::Source).await, Long::new(Side::Replica).await);
    source.store.change(&commit(INSTANTS)).await;
    publish(&source, &replica, INSTANTS - 1, &[INSTANTS]).await;
    replica.store.taken();
    assert_eq!(held(&replica.log, INSTANTS).await.len(), 501);
    assert!(!was_whole(&replica.store.taken()));
    // Gone at the replica, so that it can be published late.
    replica.store.change(&commit(3).map(|(key, _)| (key, None))).await;
    let replica = Long { log: log(&replica.store, Side::Replica), ..replica };
    assert_eq!(held(&replica.log, INSTANTS).await.len(), 500);
    source.store.change(&commit(INSTANTS + 1)).await;
    publish(&source, &replica, INSTANTS, &[3, INSTANTS + 1]).await;
    replica.store.taken();
    assert_eq!(held(&replica.log, INSTANTS + 1).await.len(), 502);
    assert!(was_whole(&replica.store.taken()));
}

/// A first publication is one of everything that is there.
#[tokio::test(start_paused = true)]
async fn who_has_nothing_yet_looks_at_everything() {
    let long = Long::new(Side::Source).await;
    for _ in 0..3 {
        long.store.taken();
        SourceLog::observe(&long.log, None).await.unwrap();
        assert!(was_whole(&long.store.taken()));
    }
}
