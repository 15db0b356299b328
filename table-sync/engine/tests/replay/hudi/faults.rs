//! A target that fails or a process that ends at any mutation: nothing wrong is ever visible, and
//! the next pass goes on.

use std::fmt::Write as _;

use driftless_testdata::fault::{Faults, Kind, Op};
use driftless_testdata::models::hudi::Recorded;
use driftless_testdata::record::Mutation;

use super::rig::{CLOSE_MS, Rig, ending};
use super::scenarios::{is_wrong, judged};
use super::tables;

const HOUR_MS: i64 = 3_600_000;

/// Places that are tried for each table and kind, unless all are.
const SAMPLES: u64 = 2;

/// When passes run while something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// After every completed instant.
    Close,
    /// At the end of each call of a writer, hours later.
    Late,
    /// After the first call, and then when the table is complete.
    CatchUp,
}

const PACES: [Pace; 3] = [Pace::Close, Pace::Late, Pace::CatchUp];

/// What happened in one life.
struct Played {
    ended: String,
    /// Whether a pass was stopped inside a reported window.
    stopped_in_window: bool,
}

/// Plays a whole life; a pass that is stopped is followed by the next one that is due, or at once.
async fn play(rig: &mut Rig, table: &Recorded, pace: Pace, at_once: bool) -> Played {
    let mut stopped_in_window = false;
    let last = table.steps.len().saturating_sub(1);
    for (number, step) in table.steps.iter().enumerate() {
        for event in &step.events {
            rig.apply(table, event).await;
            if pace == Pace::Close && event.completes() {
                stopped_in_window |= one_pass(rig, CLOSE_MS, at_once).await;
            }
        }
        match pace {
            Pace::Late => stopped_in_window |= one_pass(rig, 4 * HOUR_MS, at_once).await,
            Pace::CatchUp if number == 0 || number == last => {
                stopped_in_window |= one_pass(rig, CLOSE_MS, at_once).await;
            }
            _ => {}
        }
    }
    rig.target_faults.heal();
    rig.stops.clear();
    let report = rig.pass_after(2 * CLOSE_MS).await;
    let ended = judged(rig, ending(&report)).await;
    Played { ended, stopped_in_window }
}

/// One pass, which may be stopped. Answers whether that was inside a window.
async fn one_pass(rig: &mut Rig, lag_ms: i64, at_once: bool) -> bool {
    rig.advance(lag_ms);
    if rig.pass_or_stop().await.is_some() {
        return false;
    }
    let in_window = rig.is_in_window();
    if at_once {
        rig.pass().await;
    }
    in_window
}

/// The places to try out of this many, counted from 1.
fn places(count: u64, random: &mut fastrand::Rng) -> Vec<u64> {
    if std::env::var_os("DRIFTLESS_SOAK").is_some() || count <= SAMPLES {
        return (1..=count).collect();
    }
    (0..SAMPLES).map(|_| random.u64(1..=count)).collect()
}

/// A source of places, printed.
fn random(table: &Recorded, seed: u64) -> fastrand::Rng {
    println!("{}: seed {seed}", table.name);
    fastrand::Rng::with_seed(seed)
}

/// Each write and each delete of a table's life in turn is refused, or its reply is lost.
#[tokio::test(start_paused = true)]
async fn a_failed_mutation_never_shows_a_wrong_state() {
    let mut wrong = String::new();
    for (number, table) in tables().iter().enumerate() {
        let mut random = random(table, 11 + number as u64);
        let pace = PACES[number % PACES.len()];
        let mut calm = Rig::new();
        let expected = play(&mut calm, table, pace, true).await.ended;
        for op in [Op::Put, Op::Delete] {
            for nth in places(calm.target_faults.count(op), &mut random) {
                for kind in [Kind::Refused, Kind::LostReply] {
                    let mut rig = Rig::new();
                    rig.target_faults.fail_nth(op, nth, kind);
                    let ended = play(&mut rig, table, pace, true).await.ended;
                    if ended != expected || is_wrong(&ended) {
                        let at = format!("{}, {pace:?}, {op:?} {nth} {kind:?}", table.name);
                        writeln!(wrong, "{at}: {ended}, expected {expected}").unwrap();
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// One operation in ten fails at the target, reads and listings too. Passes may fail; what they
/// leave behind may not.
#[tokio::test(start_paused = true)]
async fn no_fault_makes_a_wrong_state_visible() {
    let soak = std::env::var_os("DRIFTLESS_SOAK").is_some();
    let mut wrong = String::new();
    for (number, table) in tables().iter().enumerate() {
        for round in 0..if soak { 20 } else { 1 } {
            let seed = number as u64 + 1_000 * round;
            let pace = PACES[(number + 1) % PACES.len()];
            let mut calm = Rig::new();
            let expected = play(&mut calm, table, pace, true).await.ended;
            let mut rig = Rig::with(Faults::seeded(seed, 0.1), Default::default());
            let ended = play(&mut rig, table, pace, true).await.ended;
            // A pass that failed may have copied an instant so late that the next waits.
            let differs = ended != expected && !ended.starts_with("CatchingUp: publishing waits");
            if differs || is_wrong(&ended) {
                let at = format!("{}, {pace:?}, seed {seed}", table.name);
                writeln!(wrong, "{at}: {ended}, expected {expected}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The process ends at each mutation of a table's life in turn, before or after its effect; the
/// next one goes on, at once or when the source has moved.
#[tokio::test(start_paused = true)]
async fn a_stopped_pass_is_finished_by_the_next() {
    let mut wrong = String::new();
    for (number, table) in tables().iter().enumerate() {
        let mut random = random(table, 31 + number as u64);
        let all = std::env::var_os("DRIFTLESS_SOAK").is_some();
        let one = PACES[(number + 2) % PACES.len()];
        for pace in PACES.into_iter().filter(|pace| all || *pace == one) {
            let mut calm = Rig::new();
            let expected = play(&mut calm, table, pace, true).await.ended;
            for nth in places(calm.mutations() as u64, &mut random) {
                let takes_effect = random.bool();
                let at_once = random.bool();
                let mut rig = Rig::new();
                rig.stops.at(nth, takes_effect);
                let ended = play(&mut rig, table, pace, at_once).await.ended;
                // A pass that comes later finds another source, and can end elsewhere.
                let differs = at_once && ended != expected;
                if differs || is_wrong(&ended) {
                    let how = if takes_effect { "after" } else { "before" };
                    let next = if at_once { "at once" } else { "later" };
                    let at = format!("{}, {pace:?}, {how} {nth}, {next}", table.name);
                    writeln!(wrong, "{at}: {ended}, expected {expected}").unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Between the write that reveals a state of a version 6 merge-on-read table and the delete that
/// makes it right, the process ends. The next pass closes the window, with no new commit.
#[tokio::test(start_paused = true)]
async fn a_window_that_a_stop_left_open_is_closed_by_the_next_pass() {
    let table = tables().into_iter().find(|table| table.name == "mor_v6");
    let Some(table) = table else { return };
    let mut calm = Rig::new();
    let expected = play(&mut calm, &table, Pace::Late, true).await.ended;
    let mutations = calm.recorded.mutations();
    let opened = |pair: &&[Mutation]| pair[0].bytes.is_some() && pair[1].bytes.is_none();
    let last = mutations.windows(2).filter(opened).map(|pair| pair[0].number as u64 + 1);
    let mut windows = 0;
    for nth in last {
        let mut rig = Rig::new();
        rig.stops.at(nth, true);
        let played = play(&mut rig, &table, Pace::Late, true).await;
        assert_eq!(played.ended, expected, "stopped after mutation {nth}");
        assert!(!rig.is_in_window(), "stopped after mutation {nth}");
        windows += u32::from(played.stopped_in_window);
    }
    assert!(windows > 0, "no stop fell into a window");
}
