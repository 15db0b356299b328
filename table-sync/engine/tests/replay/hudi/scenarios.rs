//! How closely a replica follows its source, and how each table ends then.

use std::fmt::Write as _;

use driftless_testdata::models::hudi::Recorded;
use expect_test::expect_file;
use table_sync_engine::TargetReport;

use super::rig::{CLOSE_MS, Rig, ending, without_instants};
use super::{assert_golden, tables};

const HOUR_MS: i64 = 3_600_000;

/// Passes after which a table that still changes something is taken for one that never settles.
const PASSES_MAX: usize = 16;

/// When passes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// After every completed instant, at once.
    Follow,
    /// At the end of each call of a writer, hours later.
    Late,
    /// Once, when the table is complete.
    Once,
    /// After the first call, and then when the table is complete.
    CatchUp,
    /// Now and then, at any event, with any lag.
    Random(u64),
    /// As [`Self::Follow`], each by a process of its own, and at every event.
    Restart,
}

impl Scenario {
    pub(crate) const ALL: [Self; 6] =
        [Self::Follow, Self::Late, Self::Once, Self::CatchUp, Self::Random(7), Self::Restart];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Follow => "follow",
            Self::Late => "late",
            Self::Once => "once",
            Self::CatchUp => "catch up",
            Self::Random(_) => "random",
            Self::Restart => "restart",
        }
    }

    /// How long after its newest event the source is looked at when it is complete.
    fn last_lag_ms(self) -> i64 {
        if self == Self::Late { 4 * HOUR_MS } else { CLOSE_MS }
    }
}

/// Plays a table's whole life, and answers how the last pass ended.
async fn play(rig: &mut Rig, table: &Recorded, scenario: Scenario) -> TargetReport {
    let mut random = match scenario {
        Scenario::Random(seed) => fastrand::Rng::with_seed(seed),
        _ => fastrand::Rng::with_seed(0),
    };
    for (number, step) in table.steps.iter().enumerate() {
        for event in &step.events {
            rig.apply(table, event).await;
            match scenario {
                Scenario::Follow if event.completes() => {
                    rig.pass_after(CLOSE_MS).await;
                }
                Scenario::Restart => {
                    rig.restart();
                    rig.pass_after(CLOSE_MS).await;
                }
                Scenario::Random(_) if random.f64() < 0.15 => {
                    let lag = [CLOSE_MS, 3_000, 60_000, HOUR_MS][random.usize(..4)];
                    rig.pass_after(lag).await;
                }
                _ => {}
            }
        }
        match scenario {
            Scenario::Late => {
                rig.pass_after(4 * HOUR_MS).await;
            }
            Scenario::CatchUp if number == 0 => {
                rig.pass_after(CLOSE_MS).await;
            }
            _ => {}
        }
    }
    rig.pass_after(scenario.last_lag_ms()).await
}

/// Passes until nothing is written any more.
pub(crate) async fn settle(rig: &Rig) -> Result<TargetReport, String> {
    for _ in 0..PASSES_MAX {
        let before = rig.mutations();
        rig.target_times.set_now(rig.target_times.now() + 1_500);
        let report = rig.pass().await;
        if rig.mutations() == before {
            return Ok(report);
        }
    }
    Err(format!("a table in step is still written to after {PASSES_MAX} passes"))
}

/// Adds what is wrong to how a table ended.
pub(crate) async fn judged(rig: &Rig, mut ended: String) -> String {
    if let Some(first) = rig.oracle.violations().first() {
        let count = rig.oracle.violations().len();
        let _ = write!(ended, " VIOLATIONS {count}: {first}");
        if std::env::var_os("DRIFTLESS_TELL").is_some() {
            rig.oracle.assert_clean();
        }
    } else if ended == "head" {
        rig.oracle.assert_at_head();
        if let Err(difference) = rig.verify().await {
            let _ = write!(ended, ", verify: {}", without_instants(&difference));
        }
    }
    ended
}

async fn outcome(table: &Recorded, scenario: Scenario) -> String {
    outcome_in(&mut Rig::new(), table, scenario).await
}

/// How a table ends at a replica.
pub(crate) async fn outcome_in(rig: &mut Rig, table: &Recorded, scenario: Scenario) -> String {
    let report = play(rig, table, scenario).await;
    if std::env::var_os("DRIFTLESS_TELL").is_some() {
        println!("{}, {}: {report:?}", table.name, scenario.name());
    }
    let mut ended = ending(&report);
    let before = rig.mutations();
    let again = rig.pass().await;
    if ended == "head" && rig.mutations() != before {
        let more: Vec<_> =
            rig.recorded.mutations()[before..].iter().map(|m| m.key.clone()).collect();
        let _ = write!(ended, " BUT AN IDLE PASS WROTE {more:?}");
    } else {
        match settle(rig).await {
            Ok(settled) if ending(&settled) == ended => {}
            Ok(settled) => {
                let _ = write!(ended, " -> {}", ending(&settled));
            }
            Err(message) => ended.push_str(&message),
        }
        let _ = again;
    }
    judged(rig, ended).await
}

pub(crate) fn is_wrong(line: &str) -> bool {
    ["VIOLATIONS", "WROTE", "FAILED", "still written"].iter().any(|w| line.contains(w))
}

/// No reader ever sees what the source never showed, however the passes fall; each table reaches
/// its head, or ends for a reason that is written down.
#[tokio::test(start_paused = true)]
async fn every_recorded_table_ends_as_written_down() {
    let tables = tables();
    let mut text = String::new();
    for table in &tables {
        for scenario in Scenario::ALL {
            if let Scenario::Random(seed) = scenario {
                println!("{}: random, seed {seed}", table.name);
            }
            let ended = outcome(table, scenario).await;
            writeln!(text, "{}, {}: {ended}", table.name, scenario.name()).unwrap();
        }
    }
    let wrong: Vec<_> = text.lines().filter(|line| is_wrong(line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_golden(&expect_file!["./endings.txt"], &text);
}

/// Many random lives of each table.
#[tokio::test(start_paused = true)]
async fn no_order_of_passes_shows_a_wrong_state() {
    let soak = std::env::var_os("DRIFTLESS_SOAK").is_some();
    let first: u64 = if soak { fastrand::u64(..1 << 32) } else { 100 };
    let rounds = if soak { 40 } else { 1 };
    let mut wrong = String::new();
    for table in &tables() {
        for seed in first..first + rounds {
            println!("{}: random, seed {seed}", table.name);
            let ended = outcome(table, Scenario::Random(seed)).await;
            if is_wrong(&ended) {
                writeln!(wrong, "{}, seed {seed}: {ended}", table.name).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
