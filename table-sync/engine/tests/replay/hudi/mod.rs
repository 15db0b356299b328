//! The oracle over real Hudi tables: their recorded lives, object by object.

use driftless_testdata::models::hudi::{Recorded, recorded_tables};
use expect_test::ExpectFile;

mod believe;
mod corpus;
mod faults;
mod first;
mod looks;
mod mirror;
mod partitions;
mod retire;
mod rig;
mod scenarios;
mod stamped;
mod stopping;
mod windows;
mod wrong;

/// The recorded tables; those whose name contains `DRIFTLESS_ONLY`, where it is set.
fn tables() -> Vec<Recorded> {
    let only = std::env::var("DRIFTLESS_ONLY").ok();
    let mut tables = recorded_tables();
    tables.retain(|table| only.as_ref().is_none_or(|only| table.name.contains(only.as_str())));
    tables
}

/// Holds what became of all tables against a file; of some of them it is only printed.
#[track_caller]
fn assert_golden(file: &ExpectFile, text: &str) {
    if std::env::var_os("DRIFTLESS_ONLY").is_none() {
        file.assert_eq(text);
    } else {
        print!("{text}");
    }
}
