//! A first publication that is interrupted: until `hoodie.properties` is there nothing is visible,
//! and what was staged must not turn into rows when the source has moved meanwhile.

use std::fmt::Write as _;

use driftless_testdata::models::hudi::Recorded;

use super::rig::{CLOSE_MS, Rig, ending};
use super::scenarios::{is_wrong, judged, settle};
use super::tables;
use super::wrong::{completed, in_timeline, is_instant, requested};

/// Cases for each table, unless there are fewer.
const SAMPLES: usize = 3;

/// One interruption.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// Calls of the writer before the first pass.
    steps: usize,
    /// The mutation at which it is stopped, and whether that takes effect.
    nth: u64,
    takes_effect: bool,
    /// Calls of the writer before the next pass.
    later: usize,
}

/// How it ended, and whether the first publication was done in spite of the stop. `None` without
/// that many mutations.
async fn play(table: &Recorded, case: Case) -> Option<(String, bool)> {
    let mut rig = Rig::new();
    rig.apply_steps(table, 0..case.steps).await;
    rig.stops.at(case.nth, case.takes_effect);
    rig.advance(CLOSE_MS);
    if rig.pass_or_stop().await.is_some() {
        return None;
    }
    let published = rig.replica().contains_key(".hoodie/hoodie.properties");
    let next = (case.steps + case.later).min(table.steps.len());
    rig.apply_steps(table, case.steps..next).await;
    rig.pass_after(CLOSE_MS).await;
    rig.apply_steps(table, next..table.steps.len()).await;
    rig.pass_after(CLOSE_MS).await;
    let ended = match settle(&rig).await {
        Ok(report) => ending(&report),
        Err(message) => message,
    };
    Some((judged(&rig, ended).await, published))
}

/// How the same passes end without the interruption.
async fn calm(table: &Recorded, case: Case) -> String {
    let mut rig = Rig::new();
    let next = (case.steps + case.later).min(table.steps.len());
    rig.apply_steps(table, 0..next).await;
    rig.pass_after(CLOSE_MS).await;
    rig.apply_steps(table, next..table.steps.len()).await;
    rig.pass_after(CLOSE_MS).await;
    let settled = settle(&rig).await.expect("a table that settles");
    judged(&rig, ending(&settled)).await
}

#[tokio::test(start_paused = true)]
async fn what_an_interrupted_first_publication_left_is_never_seen() {
    let soak = std::env::var_os("DRIFTLESS_SOAK").is_some();
    let (mut wrong, mut stopped) = (String::new(), 0);
    for (number, table) in tables().iter().enumerate() {
        let seed = 51 + number as u64;
        println!("{}: seed {seed}", table.name);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..if soak { 100 } else { SAMPLES } {
            let steps = random.usize(1..=table.steps.len());
            let later = random.usize(0..=table.steps.len() - steps);
            let (nth, takes_effect) = (random.u64(1..=12), random.bool());
            let case = Case { steps, nth, takes_effect, later };
            let Some((ended, published)) = play(table, case).await else { continue };
            stopped += u32::from(!published);
            let expected = calm(table, case).await;
            if is_wrong(&ended) || (!published && ended != expected) {
                writeln!(wrong, "{}, {case:?}: {ended}, expected {expected}", table.name).unwrap();
            }
        }
    }
    println!("{stopped} first publications were interrupted");
    assert!(wrong.is_empty(), "{wrong}");
    assert!(stopped > 0 || std::env::var_os("DRIFTLESS_ONLY").is_some());
}

/// A replica may begin at any state of its source: after every call of the writer.
#[tokio::test(start_paused = true)]
async fn a_first_publication_at_any_state_is_right() {
    let mut wrong = String::new();
    for table in &tables() {
        for steps in 1..=table.steps.len() {
            let mut rig = Rig::new();
            rig.apply_steps(table, 0..steps).await;
            rig.pass_after(CLOSE_MS).await;
            let ended = match settle(&rig).await {
                Ok(report) => ending(&report),
                Err(message) => message,
            };
            let ended = judged(&rig, ended).await;
            if is_wrong(&ended) {
                let name = &table.steps[steps - 1].name;
                writeln!(wrong, "{} after {name}: {ended}", table.name).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A version 6 source may archive delta commits whose logs are not compacted yet, and a replica of
/// such a table, taken for a source, holds nothing but its newest commit: the logs count all the
/// same, as older than the timeline.
#[tokio::test(start_paused = true)]
async fn logs_of_archived_delta_commits_are_published() {
    for table in tables().iter().filter(|table| table.name == "mor_v6") {
        for mut state in completed(table) {
            let newest = state.keys().filter(|key| is_instant(key)).max().expect("one").clone();
            state.retain(|key, _| !in_timeline(key) || requested(key) >= requested(&newest));
            let mut rig = Rig::new();
            rig.feed(state).await;
            rig.pass_after(CLOSE_MS).await;
            rig.oracle.assert_at_head();
        }
    }
}
