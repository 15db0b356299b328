//! The fuzz targets on the stable compiler: every seed, then mutations of the seeds.
//!
//! Deterministic: the same seed number gives the same inputs. `DRIFTLESS_FUZZ_SEED` chooses
//! another one, `DRIFTLESS_FUZZ_SECONDS` goes on for that long per target with seeds that follow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod mutate;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use mutate::mutate;
use targets::Verdict;

const SEED: u64 = 7;

type Target = fn(&[u8]) -> Verdict;

/// Runs a target on all its seeds, on `rounds` mutations, and on as many more as there is time.
fn check(name: &str, target: Target, rounds: u64) {
    let seeds = seeds(name);
    let first = variable("DRIFTLESS_FUZZ_SEED").unwrap_or(SEED);
    let budget = Duration::from_secs(variable("DRIFTLESS_FUZZ_SECONDS").unwrap_or(0));
    println!("{name}: {} seeds, then {rounds} mutations a round from seed {first}", seeds.len());
    let taken = seeds.iter().filter(|(file, bytes)| run(target, bytes, file) == Verdict::Accepted);
    assert!(taken.count() > 0, "{name}: no seed is accepted, so nothing deep is reached");
    let inputs: Vec<Vec<u8>> = seeds.into_iter().map(|(_, bytes)| bytes).collect();
    let started = Instant::now();
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    for seed in first.. {
        let mut rng = Rng::with_seed(seed);
        for round in 0..rounds {
            let input = mutate(&mut rng, &inputs);
            match run(target, &input, &format!("seed {seed}, mutation {round}")) {
                Verdict::Accepted => accepted += 1,
                Verdict::Refused => refused += 1,
            }
        }
        if started.elapsed() >= budget {
            break;
        }
    }
    println!("{name}: {accepted} mutations accepted, {refused} refused");
    assert!(accepted > 0 && refused > 0, "{name}: mutations reach one verdict only");
}

/// Runs one input. If it fails, says which input it was, in a form that can become a seed.
fn run(target: Target, input: &[u8], what: &str) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|cause| {
        println!("failed on {what}, {} bytes:\n{}", input.len(), input.escape_ascii());
        resume_unwind(cause)
    })
}

/// File names and bytes of the seeds, by name.
fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let entries = std::fs::read_dir(&folder).expect("a folder of seeds");
    let mut seeds: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().display().to_string(), std::fs::read(&path).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a whole number")))
}

#[test]
fn timeline_names() {
    check("name", targets::name::target, 20_000);
}

#[test]
fn data_file_names() {
    check("file_name", targets::file_name::target, 20_000);
}

#[test]
fn table_properties() {
    check("properties", targets::properties::target, 1_500);
}

#[test]
fn commit_metadata() {
    check("commit", targets::commit::target, 1_500);
}

#[test]
fn other_metadata_and_plans() {
    check("service", targets::service::target, 500);
}

#[test]
fn archives() {
    check("archive", targets::archive::target, 300);
}

#[test]
fn history_manifests() {
    check("manifest", targets::manifest::target, 5_000);
}

#[test]
fn history_parquet() {
    check("history", targets::history::target, 500);
}
