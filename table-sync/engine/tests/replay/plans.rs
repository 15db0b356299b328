//! Golden plans: for each situation, what both sides show and what is to be done about it.
//!
//! The logs are observed as in production; the plan is the planner's. The texts are for people:
//! read `plans/` to see how the planner decides, rewrite it with `UPDATE_EXPECT=1`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use driftless_testdata::Objects;
use driftless_testdata::builder::{TableBuilder, commit_key};
use driftless_testdata::corpus::project_tables;
use expect_test::expect_file;
use object_store::ObjectStore;
use table_sync_core::{Follows, PlanInput, Position, ReplicaView, SourceView, Start, lint, plan};

use crate::rig::{Rig, TABLE, put, version};

mod histories;

/// A situation: the table as it is, and what a replica has of it.
struct Situation {
    source: Objects,
    /// What the source was when the replica was last brought up; `None` = no replica.
    replicated: Option<Objects>,
    /// Objects of the replica that an interruption left out.
    interrupted: Vec<String>,
    start: Start,
    until: Option<u64>,
    avoid: Vec<u64>,
}

impl Situation {
    fn fresh(source: &TableBuilder) -> Self {
        Self::of(source.objects().clone())
    }

    fn of(source: Objects) -> Self {
        Self {
            source,
            replicated: None,
            interrupted: Vec::new(),
            start: Start::Latest,
            until: None,
            avoid: Vec::new(),
        }
    }

    fn behind(source: &TableBuilder, replicated: &TableBuilder) -> Self {
        let replicated = Some(replicated.objects().clone());
        Self { replicated, ..Self::fresh(source) }
    }
}

/// Observes both sides of a situation, plans, and holds the text against the golden file.
async fn check(name: &str, situation: Situation) {
    let mut rig = Rig::new();
    if let Some(replicated) = &situation.replicated {
        rig.options.start = situation.start;
        rig.feed(replicated).await;
        rig.pass().await;
    }
    let left: Objects =
        rig.replica().into_iter().filter(|(key, _)| !situation.interrupted.contains(key)).collect();
    let target = Rig::new();
    let store: std::sync::Arc<dyn ObjectStore> = target.recorded.clone();
    target.oracle.learn(&left);
    put(&store, TABLE, &left).await;
    rig.replace_source(&situation.source).await;

    let replica = target.target.log.observe(None).await.unwrap();
    let source = rig.source.log.observe(replica.head).await.unwrap();
    let avoid: BTreeSet<Position> = situation.avoid.iter().copied().map(version).collect();
    let input = PlanInput {
        source: &source,
        replica: &replica,
        start: situation.start,
        until: situation.until.map(version),
        avoid: &avoid,
    };
    let plan = plan(&input);
    lint(&plan, &source, &replica).unwrap();
    let mut text = String::new();
    describe_source(&mut text, &source);
    describe_replica(&mut text, &replica);
    describe_wish(&mut text, &situation);
    write!(text, "\n{plan}").unwrap();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    expect_file![file.join(format!("tests/replay/plans/{name}.txt"))].assert_eq(&text);
}

fn describe_source(text: &mut String, source: &SourceView) {
    let mut runs: Vec<(Position, Position)> = Vec::new();
    for commit in &source.commits {
        match runs.last_mut() {
            Some((_, last)) if commit.follows == Follows::Position(*last) => {
                *last = commit.position;
            }
            _ => runs.push((commit.position, commit.position)),
        }
    }
    let run = |(first, last): &(Position, Position)| {
        if first == last { first.to_string() } else { format!("{first}..{last}") }
    };
    let commits: Vec<_> = runs.iter().map(run).collect();
    let bases: Vec<_> = source.bases.iter().map(|base| base.position.to_string()).collect();
    writeln!(text, "# source commits: {}", or_none(&commits)).unwrap();
    writeln!(text, "# source bases: {}", or_none(&bases)).unwrap();
}

fn describe_replica(text: &mut String, replica: &ReplicaView) {
    let head: Vec<_> = replica.head.iter().map(ToString::to_string).collect();
    writeln!(text, "# replica head: {}", or_none(&head)).unwrap();
    if let Some(base) = replica.unfinished {
        writeln!(text, "# replica base interrupted: {base}").unwrap();
    }
}

fn describe_wish(text: &mut String, situation: &Situation) {
    let start = match situation.start {
        Start::Latest => "latest".to_owned(),
        Start::Earliest => "earliest".to_owned(),
        Start::At(at) => format!("at {at}"),
    };
    writeln!(text, "# start: {start}").unwrap();
    if let Some(until) = situation.until {
        writeln!(text, "# until: {until}").unwrap();
    }
    if !situation.avoid.is_empty() {
        let versions: Vec<_> = situation.avoid.iter().map(ToString::to_string).collect();
        writeln!(text, "# not whole at the source: {}", or_none(&versions)).unwrap();
    }
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// Versions 0 to 9 with checkpoints of 3 and 7.
fn table() -> TableBuilder {
    TableBuilder::new(41)
        .commits(4, "a", 10)
        .checkpoint_classic(3)
        .commits(4, "b", 10)
        .checkpoint_multipart(7, 2)
        .last_checkpoint(7)
        .commits(2, "c", 10)
}

/// The first versions of [`table`], byte for byte.
fn younger(commits: u64) -> TableBuilder {
    let mut young = table();
    for gone in commits..10 {
        young = young.delete_object(&commit_key(gone));
    }
    let later = |key: &String| {
        ["3.checkpoint", "7.checkpoint"]
            .iter()
            .zip([3, 7])
            .any(|(name, at)| key.contains(&format!("0{name}")) && at >= commits)
    };
    let gone: Vec<String> = young.objects().keys().filter(|key| later(key)).cloned().collect();
    let hint = (commits <= 7).then(|| "_delta_log/_last_checkpoint".to_owned());
    gone.iter().chain(&hint).fold(young, |young, key| young.delete_object(key))
}

#[tokio::test(start_paused = true)]
async fn a_fresh_replica_starts_where_it_was_asked_to() {
    check("fresh_latest", Situation::fresh(&table())).await;
    check("fresh_earliest", Situation { start: Start::Earliest, ..Situation::fresh(&table()) })
        .await;
    let at = |at| Start::At(version(at));
    check("fresh_at_5", Situation { start: at(5), ..Situation::fresh(&table()) }).await;
    check("fresh_at_1", Situation { start: at(1), ..Situation::fresh(&table()) }).await;
    check("fresh_until_5", Situation { until: Some(5), ..Situation::fresh(&table()) }).await;
    let cleaned = table().clean_log_below(7);
    check("fresh_at_5_cleaned", Situation { start: at(5), ..Situation::fresh(&cleaned) }).await;
    check(
        "fresh_earliest_cleaned",
        Situation { start: Start::Earliest, ..Situation::fresh(&cleaned) },
    )
    .await;
    check("no_table", Situation::of(Objects::new())).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_follows_commit_by_commit() {
    check("in_step", Situation::behind(&table(), &table())).await;
    check("behind_by_one", Situation::behind(&table(), &younger(9))).await;
    check("behind_over_a_checkpoint", Situation::behind(&table(), &younger(6))).await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_crossed_by_a_jump_or_not_at_all() {
    let cleaned = table().clean_log_below(7);
    check("cleaned_log", Situation::behind(&cleaned, &younger(5))).await;
    let hole = table().delete_object(&commit_key(6));
    check("hole_below_a_checkpoint", Situation::behind(&hole, &younger(5))).await;
    let hole = table().delete_object(&commit_key(8));
    check("hole_above_the_last_checkpoint", Situation::behind(&hole, &younger(5))).await;
    let vacuumed = Situation::behind(&table(), &younger(5));
    check("vacuum_gap", Situation { avoid: vec![6], ..vacuumed }).await;
    let vacuumed = Situation::behind(&table(), &younger(9));
    check("vacuum_gap_without_a_checkpoint", Situation { avoid: vec![9], ..vacuumed }).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_went_back_is_refused() {
    check("rewound", Situation::behind(&younger(5), &table())).await;
    let gone = Situation { replicated: Some(table().build()), ..Situation::of(Objects::new()) };
    check("source_gone", gone).await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_base_is_finished_or_overtaken_first() {
    // The base of version 7 is there, its commit is not.
    let later: Vec<String> = (7..10).map(commit_key).collect();
    let cut = Situation { interrupted: later.clone(), ..Situation::behind(&table(), &table()) };
    check("interrupted_base", cut).await;
    let newer = table().checkpoint_classic(9).clean_log_below(9);
    let cut = Situation { interrupted: later, ..Situation::behind(&newer, &table()) };
    check("interrupted_base_overtaken", cut).await;
}

#[tokio::test(start_paused = true)]
async fn tables_that_spark_wrote_are_planned_the_same_way() {
    for name in ["log_cleaned", "vacuumed", "checkpoint_v2_json", "compacted_logs", "history"] {
        let table = project_tables().into_iter().find(|table| table.name == name).unwrap();
        check(&format!("spark_{name}"), Situation::of(table.objects())).await;
    }
}
