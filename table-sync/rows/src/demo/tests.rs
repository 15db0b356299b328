//! The invariant against torn reads that its module names, and a writer's run read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;

fn whole(batch: i64) -> BatchTotals {
    BatchTotals {
        batch,
        rows: 8,
        accounts: 8,
        batch_rows_min: 8,
        batch_rows_max: 8,
        cents: 8 * OPENING_CENTS,
        gaining_cents: 4 * OPENING_CENTS,
        checksum: 1,
    }
}

#[track_caller]
fn check_broken(batches: &[BatchTotals], expect: &str) {
    assert_eq!(check(batches).unwrap_err(), expect);
}

#[test]
fn consecutive_whole_batches_pass() {
    assert_eq!(check(&[]), Ok(Totals { rows: 0, sum: 0 }));
    assert_eq!(check(&[whole(4), whole(5)]), Ok(Totals { rows: 16, sum: 2 }));
}

#[test]
fn a_file_too_few_is_seen() {
    let torn = BatchTotals { rows: 6, accounts: 6, ..whole(4) };
    check_broken(&[torn], "batch 4 has 6 rows of 6 accounts, not 8 of each");
}

#[test]
fn a_file_too_many_is_seen() {
    let torn = BatchTotals { rows: 10, ..whole(4) };
    check_broken(&[torn], "batch 4 has 10 rows of 8 accounts, not 8 of each");
}

#[test]
fn half_a_transfer_is_seen() {
    let torn = BatchTotals { cents: 8 * OPENING_CENTS - 7, ..whole(4) };
    check_broken(&[torn], "batch 4 holds 799993 cents, not 800000");
}

#[test]
fn a_skipped_append_is_seen() {
    check_broken(&[whole(4), whole(6)], "batch 4 is followed by batch 6");
}
