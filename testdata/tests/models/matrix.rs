//! One hand-made state per row of the readers' matrix.
//!
//! Source: `docs/delta.md`, "Order of writes, and what a reader sees".

use driftless_testdata::models::{OpenError, Opened, files_present, kernel, open_at, spark, trino};

use crate::state::Table;

/// Version and number of files, or part of the error text.
type Expect = Result<(u64, usize), &'static str>;

const fn at(version: u64) -> Expect {
    Ok((version, version as usize + 1))
}

const NO_DELTA_FILES: Expect = Err("could not find any delta files for version 10");
const NO_METADATA: Expect = Err("metadata not found in transaction log");
const DANGLING: Expect = Err("_last_checkpoint names version 10, which is not there in full");
const HOLE: Expect = Err("versions are not contiguous: 5 is missing");

#[track_caller]
fn check_one(reader: &str, answer: Result<Opened, OpenError>, expect: Expect) {
    let answer = answer.map(|opened| (opened.version, opened.files.len()));
    match (&answer, &expect) {
        (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{reader}"),
        (Err(error), Err(text)) => {
            assert!(error.to_string().contains(text), "{reader}: {error}, expected {text}");
        }
        _ => panic!("{reader}: {answer:?}, expected {expect:?}"),
    }
}

#[track_caller]
fn check(table: &Table, in_spark: Expect, in_trino: Expect, in_kernel: Expect) {
    check_one("spark", spark(&table.0), in_spark);
    check_one("trino", trino(&table.0), in_trino);
    check_one("kernel", kernel(&table.0), in_kernel);
}

/// Versions 0 to 4, with a checkpoint at 3.
fn old() -> Table {
    Table::default().commits(0..=4).checkpoint(3)
}

#[test]
fn checkpoint_without_a_commit_at_or_above_it() {
    check(&old().checkpoint(10), NO_DELTA_FILES, at(4), at(10));
    check(&old().hint(3).checkpoint(10), NO_DELTA_FILES, at(4), at(10));
}

#[test]
fn hint_and_checkpoint_without_a_commit_at_or_above_it() {
    check(&old().checkpoint(10).hint(10), NO_DELTA_FILES, at(10), at(10));
    check(&Table::default().checkpoint(10).hint(10), NO_DELTA_FILES, at(10), at(10));
}

#[test]
fn finished_jump() {
    let jump = old().checkpoint(10).commits(10..=10);
    check(&jump, at(10), at(4), at(10));
    check(&jump.clone().hint(3), at(10), at(4), at(10));
    check(&jump.clone().hint(10), at(10), at(10), at(10));
    check_one("travel", open_at(&jump.0, 3), at(3));
    check_one("travel", open_at(&jump.0, 7), Err("version 7 cannot be opened"));
}

#[test]
fn fresh_prefix_without_the_commit_of_its_checkpoint() {
    let fresh = Table::default().checkpoint(10).commits(11..=11);
    check(&fresh, at(11), NO_METADATA, at(11));
    check(&fresh.hint(10), at(11), at(11), at(11));
}

#[test]
fn checkpoint_comes_after_its_commit() {
    check(&Table::default().commits(0..=10), at(10), at(10), at(10));
    check(&Table::default().commits(0..=10).checkpoint(10), at(10), at(10), at(10));
}

#[test]
fn hint_dangles() {
    let table = Table::default().commits(0..=10).hint(10);
    check(&table, at(10), DANGLING, DANGLING);
    check(&table.checkpoint(5), at(10), DANGLING, DANGLING);
}

#[test]
fn hole_without_a_checkpoint_after_it() {
    check(&old().commits(6..=8), HOLE, at(4), HOLE);
}

#[test]
fn part_of_a_checkpoint_is_missing() {
    let whole = Table::default().commits(0..=10).part(10, 1).part(10, 2);
    check(&whole, at(10), at(10), at(10));
    check(&whole.clone().hint_of_parts(10), at(10), at(10), at(10));
    let half = Table::default().commits(0..=10).part(10, 1);
    check(&half, at(10), at(10), at(10));
    check(&half.hint_of_parts(10), at(10), DANGLING, DANGLING);
    let fresh = Table::default().part(10, 2).commits(10..=10);
    check(&fresh, Err("truncated"), NO_METADATA, NO_METADATA);
}

#[test]
fn log_starts_above_zero_without_a_checkpoint() {
    check(&Table::default().commits(5..=7), Err("truncated"), NO_METADATA, NO_METADATA);
    // The wrong snapshot without an error: 3 files instead of 8.
    let silent = Table::default().commit_with_prologue(5).commits(6..=7);
    check(&silent, Err("truncated"), NO_METADATA, Ok((7, 3)));
}

#[test]
fn data_file_of_a_visible_version_is_missing() {
    let table = Table::default().commits(0..=4).without("f2");
    check(&table, at(4), at(4), at(4));
    let missing = files_present(&kernel(&table.0).unwrap(), &table.0);
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!((missing[0].key.as_str(), missing[0].reason.as_str()), ("f2", "absent"));
    let cut = table.put("f2", "d");
    let missing = files_present(&kernel(&cut.0).unwrap(), &cut.0);
    assert_eq!(missing[0].reason, "1 bytes, log says 3");
}

#[test]
fn no_log_at_all() {
    let none: Expect = Err("not a delta table");
    check(&Table::default(), none, none, none);
    let stray = Table::default()
        .put("_delta_log/00000000000000000000.crc", "{}")
        .put("_delta_log/.00000000000000000000.json.crc", "x")
        .put("_delta_log/_commits/00000000000000000000.json", "{}")
        .put("_delta_log/0000000000000000000.json", "{}");
    check(&stray, none, none, none);
}

#[test]
fn hint_that_cannot_be_parsed() {
    let table = old().put("_delta_log/_last_checkpoint", "{\"version\":");
    check(&table, at(4), Err("_last_checkpoint is not valid"), at(4));
}
