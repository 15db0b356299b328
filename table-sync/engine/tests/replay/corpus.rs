//! Every table of the corpus and of the project, replayed version by version.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use driftless_testdata::Objects;
use driftless_testdata::corpus::{delta_tables, project_tables, replayable_versions};
use driftless_testdata::feed::Feeder;
use driftless_testdata::models::log_versions;
use expect_test::expect_file;
use table_sync_core::Start;
use table_sync_engine::TargetReport;

use crate::rig::{Rig, TABLE, version};

/// A table to replay: its name, and its objects.
pub(crate) fn tables() -> Vec<(String, Objects)> {
    let corpus = delta_tables().into_iter().map(|table| (table.name.clone(), table.objects()));
    corpus.chain(own_tables()).collect()
}

pub(crate) fn own_tables() -> Vec<(String, Objects)> {
    let own = project_tables();
    assert!(own.len() >= 20, "the project's own tables are there: {}", own.len());
    own.into_iter().map(|table| (format!("own/{}", table.name), table.objects())).collect()
}

/// How a replay ended, as one word for the summary.
fn ending(report: &TargetReport, objects: &Objects) -> String {
    let newest = log_versions(objects).last().copied().map(version);
    match (&report.blocked, &report.failure) {
        (Some(blocked), _) => format!("{}: {}", blocked.code, blocked.message),
        (None, Some(failure)) => format!("FAILED {}: {}", failure.code.as_str(), failure.message),
        (None, None) if report.head == newest => "head".to_owned(),
        (None, None) => format!("STOPPED at {:?}, newest is {newest:?}", report.head),
    }
}

/// Replays one table and returns how it ended.
async fn replay(objects: &Objects, seed: u64, start: Start) -> String {
    let mut rig = Rig::new();
    rig.options.start = start;
    let mut feeder = Feeder::new(objects, seed);
    while feeder.step_commit(&rig.source_store, TABLE).await.is_some() {
        rig.oracle.learn(feeder.revealed());
        rig.pass().await;
    }
    feeder.finish(&rig.source_store, TABLE).await;
    rig.oracle.learn(feeder.revealed());
    let mut report = rig.pass().await;
    if start == Start::Latest && report.head.is_none() {
        // Some tables become readable only when the whole of them is there.
        report = rig.pass().await;
    }
    rig.oracle.assert_clean();
    settled(&rig, &report).await;
    ending(&report, objects)
}

/// A pass over a table in step writes nothing.
async fn settled(rig: &Rig, report: &TargetReport) {
    if report.blocked.is_some() || report.failure.is_some() {
        return;
    }
    let before = rig.recorded.inner().mutations().len();
    let again = rig.pass().await;
    assert_eq!(again.head, report.head);
    let mutations = rig.recorded.inner().mutations();
    let new: Vec<_> = mutations[before..].iter().map(ToString::to_string).collect();
    assert!(new.is_empty(), "an idle pass wrote {new:?}");
}

/// Every table that has all its files reaches its newest version; every other one ends for a
/// reason that is written down, word for word.
#[tokio::test(start_paused = true)]
async fn every_table_is_published_version_by_version() {
    let tables = tables();
    let own = own_tables().len();
    let mut endings: BTreeMap<String, String> = BTreeMap::new();
    for (index, (name, objects)) in tables.iter().enumerate() {
        let outcome = tokio::task::LocalSet::new()
            .run_until(replay(objects, index as u64, Start::Latest))
            .await;
        endings.insert(name.clone(), outcome);
    }
    let heads = endings.values().filter(|ending| *ending == "head").count();
    println!(
        "replayed {} corpus tables and {own} tables of the project: {heads} reached their head, \
         {} ended for a listed reason",
        tables.len() - own,
        tables.len() - heads
    );
    for (name, objects) in &tables {
        let whole = replayable_versions(objects);
        let newest = log_versions(objects).last().copied();
        if endings[name] == "head" {
            assert!(
                newest.is_none_or(|newest| whole.versions.contains(&newest)),
                "{name} was published although it is not whole: {:?}",
                whole.unusable
            );
        }
    }
    if tables.len() == own {
        return;
    }
    let mut text = String::new();
    for (name, ending) in endings.iter().filter(|(_, ending)| *ending != "head") {
        writeln!(text, "{name}: {ending}").unwrap();
    }
    expect_file!["./endings.txt"].assert_eq(&text);
}
