//! Replicas with a metadata table: whoever lists through it sees what a listing of storage shows,
//! after every single write.
//!
//! The model of a reader over the metadata table merges the records of its partition `files`, with
//! the fence of pending instants; it reads no statistics, so nothing here proves those.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use driftless_testdata::fault::{Faults, Op};
use driftless_testdata::models::hudi::{
    self, Event, HudiObjects, LateLogs, Object, Recorded, metadata_table, reader_0x, reader_1x,
};
use expect_test::expect_file;
use table_sync_engine::TargetReport;
use table_sync_hudi::{MetadataTable, Options, Readers};

use super::rig::{CLOSE_MS, Rig, ending};
use super::scenarios::{Scenario, is_wrong, judged, outcome_in, settle};
use super::{assert_golden, tables};
use crate::rig::TABLE;

const PROPERTIES: &str = ".hoodie/hoodie.properties";
const FILES: &str = ".hoodie/metadata/files/";
const EXPRESSIONS: &str = ".hoodie/metadata/expr_index_";
const HOUR_MS: i64 = 3_600_000;

/// Whether anything was written below a folder in a table's life.
fn has(table: &Recorded, folder: &str) -> bool {
    let mut events = table.steps.iter().flat_map(|step| &step.events);
    events.any(|event| puts(event, |key| key.starts_with(folder)))
}

/// The recorded tables that have a metadata table which can be mirrored.
fn mirrored() -> Vec<Recorded> {
    let mut tables = tables();
    tables.retain(|table| has(table, FILES) && !has(table, EXPRESSIONS));
    tables
}

fn options(table: &Recorded) -> Options {
    let readers = if table.table_version < 8 { Readers::Zero } else { Readers::Both };
    Options { metadata_table: MetadataTable::Mirror, readers, ..Options::default() }
}

fn rig(table: &Recorded) -> Rig {
    rig_with(Faults::none(), options(table))
}

/// A rig whose oracle judges for the readers that are promised something.
fn rig_with(faults: Faults, options: Options) -> Rig {
    let readers = match options.readers {
        Readers::Zero => hudi::Readers::Zero,
        _ => hudi::Readers::Both,
    };
    Rig::read_by(readers, faults, options)
}

/// Whether readers of a state use its metadata table.
fn uses(state: &HudiObjects) -> bool {
    state.get(PROPERTIES).is_some_and(|object| {
        let text = String::from_utf8_lossy(&object.bytes);
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("hoodie.table.metadata.partitions="));
        value.is_some_and(|value| value.split(',').any(|name| name == "files"))
    })
}

/// When each object was last written at the source. A reader of 0.x asks no times; the model of
/// the metadata table does, and is right with these.
fn source_times(table: &Recorded) -> BTreeMap<&str, i64> {
    let events = table.steps.iter().flat_map(|step| &step.events);
    let puts = events.filter_map(|event| match event {
        Event::Put { put, modified_ms, .. } => Some((put.as_str(), *modified_ms)),
        Event::Delete { .. } => None,
    });
    puts.collect()
}

/// What happened at a replica.
#[derive(Debug, Default)]
struct Life {
    /// Writes after which readers used the metadata table.
    used: usize,
    /// How often readers were taken off it.
    left: usize,
    /// Where its readers saw something else than a listing shows.
    wrong: Vec<String>,
}

/// Goes through every state of a replica, and holds the two ways to list it against each other.
fn life(rig: &Rig, table: &Recorded) -> Life {
    let times = source_times(table);
    let (mut life, mut state, mut used_before) = (Life::default(), HudiObjects::new(), false);
    for mutation in rig.recorded.mutations() {
        let key = mutation.key.strip_prefix(TABLE).and_then(|rest| rest.strip_prefix('/'));
        let Some(key) = key.filter(|key| !key.starts_with("_driftless")) else { continue };
        let modified_ms = times.get(key).copied().unwrap_or_default();
        match &mutation.bytes {
            Some(bytes) => {
                state.insert(key.to_owned(), Object { bytes: bytes.clone(), modified_ms });
            }
            None => {
                state.remove(key);
            }
        }
        // A data file that nothing names yet changes no listing, and statistics are not read.
        let plain = !key.starts_with(".hoodie/") || key.contains("_stats/");
        if plain && mutation.bytes.is_some() {
            continue;
        }
        let used = uses(&state);
        life.left += usize::from(used_before && !used);
        used_before = used;
        if !used {
            continue;
        }
        life.used += 1;
        let listed = match table.table_version {
            ..8 => reader_0x(&state),
            _ => reader_1x(&state, LateLogs::Kept),
        };
        let through = metadata_table(&state);
        if through != listed || listed.is_err() {
            life.wrong.push(format!("after {mutation}: {through:?}, a listing {listed:?}"));
        }
    }
    life
}

/// How a life ended, and what was wrong with it.
fn told(rig: &Rig, table: &Recorded, mut ended: String) -> String {
    let life = life(rig, table);
    if let Some(first) = life.wrong.first() {
        let _ = write!(ended, " VIOLATIONS {}: {first}", life.wrong.len());
    }
    match (uses(&rig.replica()), life.left) {
        (true, 0) => ended.push_str(", mirrored"),
        (true, left) => {
            let _ = write!(ended, ", mirrored, left {left} times");
        }
        (false, _) => ended.push_str(", listed"),
    }
    ended
}

/// What lies in folders of the metadata table that are not carried.
fn not_carried(rig: &Rig) -> Vec<String> {
    let carried = [".hoodie/", "files/", "column_stats/", "partition_stats/"];
    let keys = rig.replica().into_keys();
    let own = keys.filter(|key| {
        let below = key.strip_prefix(".hoodie/metadata/");
        below.is_some_and(|below| !carried.iter().any(|folder| below.starts_with(folder)))
    });
    own.collect()
}

async fn outcome(rig: &mut Rig, table: &Recorded, scenario: Scenario) -> String {
    let ended = outcome_in(rig, table, scenario).await;
    let ended = told(rig, table, ended);
    println!("{}, {scenario:?}: {ended}", table.name);
    ended
}

#[tokio::test(start_paused = true)]
async fn every_metadata_table_is_mirrored_however_the_passes_fall() {
    let soak = std::env::var_os("DRIFTLESS_SOAK").is_some();
    let mut text = String::new();
    for table in &mirrored() {
        let random = (11..if soak { 60 } else { 11 }).map(Scenario::Random);
        for scenario in Scenario::ALL.into_iter().chain(random) {
            let mut rig = rig(table);
            let ended = outcome(&mut rig, table, scenario).await;
            assert!(!is_wrong(&ended) && ended.contains(", mirrored"), "{ended}");
            assert_eq!(not_carried(&rig), Vec::<String>::new(), "{}", table.name);
            if Scenario::ALL.contains(&scenario) {
                writeln!(text, "{}, {}: {ended}", table.name, scenario.name()).unwrap();
            }
        }
    }
    assert_golden(&expect_file!["./mirror.txt"], &text);
}

/// The table with some of its events left out.
fn only(table: &Recorded, keep: impl Fn(&Event) -> bool) -> Recorded {
    let mut table = table.clone();
    for step in &mut table.steps {
        step.events.retain(&keep);
    }
    table
}

fn named(table_name: &str) -> Option<Recorded> {
    mirrored().into_iter().find(|table| table.name == table_name)
}

/// A replica that is late by all commits but the first, by a compaction and by the deletes of a
/// clean, publishes one by one where the files are still there: each state is right on its way.
#[tokio::test(start_paused = true)]
async fn a_late_replica_is_never_ahead_of_its_table() {
    for table in &mirrored() {
        let keeps = |event: &Event| match event {
            Event::Delete { delete } => delete.starts_with(".hoodie/"),
            Event::Put { .. } => true,
        };
        let kept = only(table, keeps);
        let mut rig = rig(&kept);
        let ended = outcome(&mut rig, &kept, Scenario::CatchUp).await;
        assert_eq!(ended, "head, mirrored", "{}", table.name);
    }
}

fn name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// Names that contain a text, in the order in which they appeared at the replica.
fn appeared(rig: &Rig, text: &str) -> Vec<String> {
    let created = rig.recorded.mutations().into_iter().filter(|m| m.previous.is_none());
    let keys = created.map(|m| m.key.trim_start_matches(&format!("{TABLE}/")).to_owned());
    keys.filter(|key| key.contains(text) && !key.starts_with("_driftless")).collect()
}

/// Readers of 1.x count nothing of a pending instant: the commit is announced before its instant
/// of the metadata table, which comes after its files.
#[tokio::test(start_paused = true)]
async fn a_commit_is_announced_then_listed_then_visible() {
    let Some(table) = named("mor_v9_metadata") else { return };
    let mut rig = rig(&table);
    outcome(&mut rig, &table, Scenario::Follow).await;
    let commits = appeared(&rig, ".hoodie/timeline/");
    let commit = commits.iter().rfind(|key| key.ends_with(".deltacommit")).expect("a commit");
    let id = commit.rsplit('/').next().unwrap().split('_').next().unwrap();
    let keys = appeared(&rig, id);
    let at = |wanted: &dyn Fn(&str) -> bool| {
        keys.iter().position(|key| wanted(key)).unwrap_or_else(|| panic!("{keys:#?}"))
    };
    let last = |wanted: &dyn Fn(&str) -> bool| {
        keys.iter().rposition(|key| wanted(key)).unwrap_or_else(|| panic!("{keys:#?}"))
    };
    let own = ".hoodie/metadata/.hoodie/timeline/";
    let fence = at(&|key| key.starts_with(".hoodie/timeline/") && key.ends_with("requested"));
    let file = last(&|key| key.starts_with(".hoodie/metadata/") && key.contains(".log."));
    let listed = at(&|key| key.starts_with(own) && key.ends_with(".deltacommit"));
    let visible = at(&|key| key == commit);
    assert!(fence < listed && file < listed && listed < visible, "{keys:#?}");
}

/// A base file forms a slice as soon as it is there: the plan of its compaction is there before.
#[tokio::test(start_paused = true)]
async fn a_compaction_is_planned_before_its_files_are_there() {
    for table in mirrored().iter().filter(|table| table.table_version >= 8) {
        let mut rig = rig(table);
        rig.apply_steps(table, 0..1).await;
        rig.pass_after(CLOSE_MS).await;
        let before = rig.mutations();
        outcome(&mut rig, table, Scenario::Follow).await;
        let later = rig.recorded.mutations().split_off(before);
        let keys: Vec<&str> = later.iter().map(|m| m.key.as_str()).collect();
        let own = "/.hoodie/metadata/.hoodie/timeline/";
        for commit in keys.iter().filter(|key| key.contains(own) && key.ends_with(".commit")) {
            let id = name(commit).split('_').next().unwrap();
            let plan =
                keys.iter().position(|key| name(key) == format!("{id}.compaction.requested"));
            let base = |key: &&str| key.ends_with(&format!("_{id}.hfile"));
            let file = keys.iter().position(base);
            let order = (plan.is_some(), plan < file, file.is_some());
            assert_eq!(order, (true, true, true), "{}, {id}: {keys:#?}", table.name);
        }
    }
}

/// What an interrupted first publication left of a metadata table is gone before there is a table.
#[tokio::test(start_paused = true)]
async fn an_interrupted_first_publication_leaves_nothing_behind() {
    for (number, table) in mirrored().iter().enumerate() {
        let seed = 91 + number as u64;
        println!("{}: seed {seed}", table.name);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..3 {
            let steps = random.usize(1..table.steps.len());
            let (nth, takes_effect) = (random.u64(1..40), random.bool());
            let mut rig = rig(table);
            rig.apply_steps(table, 0..steps).await;
            rig.stops.at(nth, takes_effect);
            rig.advance(CLOSE_MS);
            let stopped = rig.pass_or_stop().await.is_none();
            rig.stops.clear();
            rig.apply_steps(table, steps..table.steps.len()).await;
            rig.pass_after(CLOSE_MS).await;
            let settled = settle(&rig).await.expect("a table that settles");
            let told = told(&rig, table, ended(&rig, &settled).await);
            let at = format!("{}, {steps} steps, {nth}, {stopped}", table.name);
            assert!(!is_wrong(&told) && told.contains(", mirrored"), "{at}: {told}");
        }
    }
}

/// What an earlier metadata table left at a replica is gone before readers use the next one: an
/// instant that is still there would count.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_metadata_table_left_is_swept() {
    let Some(table) = named("cow_v8_metadata") else { return };
    let drop = Options { metadata_table: MetadataTable::Drop, ..options(&table) };
    let mut rig = rig_with(Faults::none(), drop);
    rig.apply_steps(&table, 0..3).await;
    rig.pass_after(CLOSE_MS).await;
    // The clean of a later step, as if it had been published before the source lost it.
    let mut later = rig.state.clone();
    for event in &table.steps[3].events {
        table.apply(event, &mut later);
    }
    let clean = own_instants(&table).pop().unwrap();
    let id = name(&clean).split('_').next().unwrap();
    let left: Vec<_> = later
        .iter()
        .filter(|(key, _)| key.starts_with(".hoodie/metadata/") && key.contains(id))
        .collect();
    for (key, object) in &left {
        rig.plant(key, object.bytes.clone()).await;
    }
    rig.restart_with(options(&table));
    rig.pass_after(CLOSE_MS).await;
    let replica = rig.replica();
    assert!(uses(&replica) && left.len() > 2);
    assert!(left.iter().all(|(key, _)| !replica.contains_key(*key)));
    assert_eq!(life(&rig, &table).wrong, Vec::<String>::new());
}

/// A copy that another tool made has a metadata table that nobody kept in step: it is taken for
/// what it is at the next commit, and replaced.
#[tokio::test(start_paused = true)]
async fn a_metadata_table_of_another_tool_is_replaced() {
    let Some(table) = named("cow_v8_metadata") else { return };
    let mut rig = rig(&table);
    rig.apply_steps(&table, 0..2).await;
    rig.pass_after(CLOSE_MS).await;
    let pending = |key: &&String| {
        key.starts_with(".hoodie/metadata/.hoodie/") && key.ends_with(".deltacommit.inflight")
    };
    let pending: Vec<String> = rig.state.keys().filter(pending).cloned().collect();
    for key in &pending {
        rig.plant(key, rig.state[key].bytes.clone()).await;
    }
    rig.apply_steps(&table, 2..3).await;
    rig.pass_after(CLOSE_MS).await;
    let replica = rig.replica();
    assert!(uses(&replica) && !pending.is_empty());
    assert!(pending.iter().all(|key| !replica.contains_key(key)));
    let life = life(&rig, &table);
    assert_eq!((life.left, life.wrong), (1, Vec::new()));
    rig.oracle.assert_at_head();
}

/// A pass with nothing to do lists the metadata table's timeline at the target, and asks for
/// nothing else that it would not ask for without one.
#[tokio::test(start_paused = true)]
async fn an_idle_pass_costs_one_listing_more() {
    for table in &mirrored() {
        let mut asked = Vec::new();
        for metadata_table in [MetadataTable::Drop, MetadataTable::Mirror] {
            let mut rig = rig_with(Faults::none(), Options { metadata_table, ..options(table) });
            rig.apply_steps(table, 0..table.steps.len()).await;
            rig.pass_after(CLOSE_MS).await;
            settle(&rig).await.expect("a table that settles");
            let count = |rig: &Rig| {
                let ops = [Op::List, Op::Head, Op::Get, Op::Put, Op::Delete];
                ops.map(|op| rig.target_faults.count(op))
            };
            let before = count(&rig);
            rig.pass().await;
            let after = count(&rig);
            asked.push([0, 1, 2, 3, 4].map(|at| after[at] - before[at]));
        }
        let more = [0, 1, 2, 3, 4].map(|at| asked[1][at] - asked[0][at]);
        assert_eq!(more, [1, 0, 0, 0, 0], "{}: {asked:?}", table.name);
    }
}

/// A write whose instant of the metadata table is complete waits at the source for another one:
/// the replica lists nothing of it until it is there.
#[tokio::test(start_paused = true)]
async fn an_instant_waits_for_the_write_that_it_belongs_to() {
    let table_name = "cow_v8_metadata";
    if let Some(mut table) = named(table_name) {
        // The second commit completes only after the third.
        let commits: Vec<(usize, usize)> = table
            .steps
            .iter()
            .enumerate()
            .flat_map(|(step, found)| {
                let events = found.events.iter().enumerate();
                events.filter(|(_, event)| event.completes()).map(move |(at, _)| (step, at))
            })
            .collect();
        let ((step, at), (later, then)) = (commits[1], commits[2]);
        let late = table.steps[step].events.remove(at);
        let (Event::Put { put, object, modified_ms }, Some(after)) =
            (late, table.steps[later].events[then].completed_key())
        else {
            panic!("commits are written")
        };
        let id = name(&put).split(['_', '.']).next().unwrap().to_owned();
        let after: u64 = name(after).split(['_', '.']).nth(1).unwrap().parse().unwrap();
        let put =
            format!(".hoodie/timeline/{id}_{}.{}", after + 1, put.rsplit('.').next().unwrap());
        table.steps[later].events.push(Event::Put { put, object, modified_ms });
        for scenario in [Scenario::Follow, Scenario::Random(3), Scenario::Restart] {
            let mut rig = rig(&table);
            let ended = outcome(&mut rig, &table, scenario).await;
            assert!(!is_wrong(&ended), "{table_name}: {ended}");
        }
        let mut rig = rig(&table);
        rig.apply_steps(&table, 0..later).await;
        for event in &table.steps[later].events[..=then] {
            rig.apply(&table, event).await;
        }
        rig.pass_after(CLOSE_MS).await;
        assert_eq!(appeared(&rig, &id), Vec::<String>::new(), "{table_name}");
    }
}

/// How the last pass ended, and what the oracle says. It expects of a reader that was taken off
/// the metadata table that it comes to the head all the same.
async fn ended(rig: &Rig, report: &TargetReport) -> String {
    if uses(&rig.replica()) {
        return judged(rig, ending(report)).await;
    }
    rig.oracle.assert_clean();
    rig.verify().await.expect("a replica that equals its source");
    ending(report)
}

/// The last pass of a life that is followed closely.
async fn followed(rig: &mut Rig, table: &Recorded) -> (String, Vec<String>) {
    let mut warnings = Vec::new();
    for event in table.steps.iter().flat_map(|step| &step.events) {
        rig.apply(table, event).await;
        if event.completes() {
            warnings.extend(rig.pass_after(CLOSE_MS).await.warnings);
        }
    }
    warnings.extend(rig.pass_after(CLOSE_MS).await.warnings);
    let settled = settle(rig).await.expect("a table that settles");
    let ended = told(rig, table, ended(rig, &settled).await);
    println!("{}: {ended}, {warnings:?}", table.name);
    (ended, warnings)
}

/// The keys of completed instants of the metadata table that come with commits, in order.
fn own_instants(table: &Recorded) -> Vec<String> {
    let events = table.steps.iter().flat_map(|step| &step.events);
    let keys = events.filter_map(|event| match event {
        Event::Put { put, .. } => Some(put),
        Event::Delete { .. } => None,
    });
    let own = keys.filter(|key| key.starts_with(".hoodie/metadata/.hoodie/"));
    let own = own.filter(|key| key.ends_with(".deltacommit") && !key.contains("/00000000000000"));
    own.cloned().collect()
}

fn puts(event: &Event, wanted: impl Fn(&str) -> bool) -> bool {
    matches!(event, Event::Put { put, .. } if wanted(put))
}

/// A file of the metadata table is gone at the source: readers of the replica list storage from
/// then on, and see every row.
#[tokio::test(start_paused = true)]
async fn a_lost_file_of_the_metadata_table_takes_readers_off_it() {
    for (name, back) in [("cow_v8_metadata", false), ("mor_v9_metadata", true)] {
        let Some(table) = named(name) else { continue };
        let second = own_instants(&table)[1].clone();
        let id = second.rsplit('/').next().unwrap().split('_').next().unwrap();
        let lost =
            only(&table, |event| !puts(event, |key| key.starts_with(FILES) && key.contains(id)));
        let mut rig = rig(&lost);
        let (ended, warnings) = followed(&mut rig, &lost).await;
        // A compaction of the metadata table makes up for the file.
        let expected = if back { "head, mirrored, left 1 times" } else { "head, listed" };
        assert_eq!(ended, expected, "{name}");
        let told = warnings.iter().any(|text| text.contains("is gone at the source"));
        assert!(told, "{name}: {warnings:?}");
        assert_eq!(life(&rig, &lost).left, 1, "{name}");
    }
}

/// A commit without its instant in the metadata table: a writer that has it switched off.
#[tokio::test(start_paused = true)]
async fn a_metadata_table_that_misses_a_commit_is_not_followed() {
    for table in &mirrored() {
        let missing = own_instants(table)[1].clone();
        let behind = only(table, |event| !puts(event, |key| key == missing));
        let mut rig = rig(&behind);
        let (ended, warnings) = followed(&mut rig, &behind).await;
        assert_eq!(ended, "head, listed", "{}", table.name);
        let told = warnings.iter().any(|text| text.contains("has no instant for"));
        assert!(told, "{}: {warnings:?}", table.name);
    }
}

/// The source takes an instant of its metadata table back that is published already.
#[tokio::test(start_paused = true)]
async fn a_metadata_table_that_went_back_is_not_followed() {
    let Some(table) = named("cow_v8_metadata") else { return };
    let mut rig = rig(&table);
    rig.apply_steps(&table, 0..2).await;
    rig.pass_after(CLOSE_MS).await;
    assert!(uses(&rig.replica()));
    let second = own_instants(&table)[1].clone();
    rig.apply(&table, &Event::Delete { delete: second }).await;
    rig.apply_steps(&table, 2..3).await;
    let report = rig.pass_after(CLOSE_MS).await;
    assert!(!uses(&rig.replica()), "{report:?}");
    assert_eq!(life(&rig, &table).wrong, Vec::<String>::new());
}

/// The source loses its metadata table, properties and all.
#[tokio::test(start_paused = true)]
async fn a_metadata_table_that_is_deleted_takes_readers_off_it() {
    for table in &mirrored() {
        let first = table.steps[0].events.iter().find(|event| puts(event, |key| key == PROPERTIES));
        let plain = first.expect("a table begins with its properties").clone();
        let mut deleted = table.clone();
        for step in &mut deleted.steps[2..] {
            step.events.retain(|event| {
                let inside = |key: &str| key.starts_with(".hoodie/metadata/") || key == PROPERTIES;
                match event {
                    Event::Put { put, .. } => !inside(put),
                    Event::Delete { delete } => !inside(delete),
                }
            });
        }
        let mut state = HudiObjects::new();
        for event in deleted.steps[..2].iter().flat_map(|step| &step.events) {
            table.apply(event, &mut state);
        }
        let keys = state.into_keys().filter(|key| key.starts_with(".hoodie/metadata/"));
        let deletes = keys.map(|delete| Event::Delete { delete });
        let wipe: Vec<Event> = std::iter::once(plain).chain(deletes).collect();
        deleted.steps[2].events.splice(0..0, wipe);
        let mut rig = rig(&deleted);
        let (ended, _) = followed(&mut rig, &deleted).await;
        assert_eq!(ended, "head, listed", "{}", table.name);
        assert_eq!(life(&rig, &deleted).left, 1, "{}", table.name);
    }
}

/// Where there is a metadata table, readers look for an expression index in it.
#[tokio::test(start_paused = true)]
async fn a_table_with_an_expression_index_is_listed() {
    for table in tables().iter().filter(|table| has(table, EXPRESSIONS)) {
        let mut rig = rig(table);
        let (ended, warnings) = followed(&mut rig, table).await;
        assert_eq!(ended, "head, listed", "{}", table.name);
        let told = warnings.iter().any(|text| text.contains("expression index"));
        assert!(told, "{}: {warnings:?}", table.name);
        assert_eq!(life(&rig, table).left, 1, "{}", table.name);
    }
}

/// Version 6 takes times from the store: readers of 1.x would misread a copied metadata table.
#[tokio::test(start_paused = true)]
async fn a_version_6_metadata_table_is_for_old_readers_only() {
    let Some(table) = named("mor_v6_metadata") else { return };
    let options = Options { readers: Readers::Both, ..options(&table) };
    let mut rig = rig_with(Faults::none(), options);
    let (ended, warnings) = followed(&mut rig, &table).await;
    assert_eq!(ended, "head, listed");
    let told = warnings.iter().any(|text| text.contains("--hudi-readers 0.x"));
    assert!(told, "{warnings:?}");
    assert_eq!(appeared(&rig, ".hoodie/metadata/"), Vec::<String>::new());
}

/// The policy is changed on a replica that is there, and back.
#[tokio::test(start_paused = true)]
async fn the_policy_of_a_replica_can_be_changed() {
    for table in &mirrored() {
        let mirror = options(table);
        let drop = Options { metadata_table: MetadataTable::Drop, ..mirror.clone() };
        let policies = [&drop, &mirror, &drop, &mirror];
        let mut rig = rig_with(Faults::none(), drop.clone());
        for (number, policy) in policies.into_iter().cycle().take(table.steps.len()).enumerate() {
            rig.restart_with(policy.clone());
            rig.apply_steps(table, number..number + 1).await;
            rig.pass_after(CLOSE_MS).await;
            let used = policy.metadata_table == MetadataTable::Mirror;
            assert_eq!(uses(&rig.replica()), used, "{}, step {number}", table.name);
        }
        // And without any commit in between.
        for policy in policies {
            rig.restart_with(policy.clone());
            rig.pass_after(CLOSE_MS).await;
            rig.oracle.assert_clean();
        }
        let life = life(&rig, table);
        assert_eq!(life.wrong, Vec::<String>::new(), "{}", table.name);
    }
}

/// The process ends at a mutation, before or after its effect, and the next one goes on.
#[tokio::test(start_paused = true)]
async fn a_stopped_pass_leaves_both_listings_alike() {
    let soak = std::env::var_os("DRIFTLESS_SOAK").is_some();
    for (number, table) in mirrored().iter().enumerate() {
        let seed = 71 + number as u64;
        println!("{}: seed {seed}", table.name);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut calm = rig(table);
        let (expected, _) = followed(&mut calm, table).await;
        let count = calm.mutations() as u64;
        let all: Vec<u64> = (1..=count).collect();
        let some: Vec<u64> = (0..5).map(|_| random.u64(1..=count)).collect();
        for nth in if soak { all } else { some } {
            let (takes_effect, at_once) = (random.bool(), random.bool());
            let mut rig = rig(table);
            rig.stops.at(nth, takes_effect);
            for event in table.steps.iter().flat_map(|step| &step.events) {
                rig.apply(table, event).await;
                if !event.completes() {
                    continue;
                }
                rig.advance(CLOSE_MS);
                if rig.pass_or_stop().await.is_none() && at_once {
                    rig.pass().await;
                }
            }
            let settled = settle(&rig).await.expect("a table that settles");
            let ended = told(&rig, table, ended(&rig, &settled).await);
            let at = format!("{}, stop {nth}, effect {takes_effect}, {at_once}", table.name);
            assert!(!is_wrong(&ended), "{at}: {ended}");
            assert_eq!(ended, expected, "{at}");
        }
    }
}

/// One operation in ten fails at the target.
#[tokio::test(start_paused = true)]
async fn no_fault_sets_the_listings_apart() {
    let soak = std::env::var_os("DRIFTLESS_SOAK").is_some();
    for table in &mirrored() {
        for seed in 0..if soak { 40 } else { 1 } {
            println!("{}: seed {seed}", table.name);
            let mut rig = rig_with(Faults::seeded(seed, 0.1), options(table));
            for event in table.steps.iter().flat_map(|step| &step.events) {
                rig.apply(table, event).await;
                if event.completes() {
                    rig.pass_after(CLOSE_MS).await;
                }
            }
            rig.target_faults.heal();
            rig.pass_after(HOUR_MS).await;
            let settled = settle(&rig).await.expect("a table that settles");
            let ended = told(&rig, table, ended(&rig, &settled).await);
            // A pass that failed may have come after the cleaner: then the replica was switched.
            let right = ended.starts_with("head, mirrored") && !is_wrong(&ended);
            assert!(right, "{}, seed {seed}: {ended}", table.name);
        }
    }
}
