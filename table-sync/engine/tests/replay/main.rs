//! The oracle over whole tables: every state that a replica passes through is a state of the
//! source.
//!
//! Tables come from the public corpus (where it lies beside the repository), from this project's
//! own test data and from the table builder. Each is fed to a source version by version while
//! passes run; after every write at the target, models of the Spark, Trino and kernel readers
//! must open a whole committed version.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod alias;
mod corpus;
mod faults;
mod gate;
mod hostile;
mod hudi;
mod plans;
mod races;
mod receipts;
mod registration;
mod retire;
mod rig;
