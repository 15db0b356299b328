//! The reader models against hand-made states and public tables, and the harness around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "models/corpus.rs"]
mod corpus;
#[path = "models/harness.rs"]
mod harness;
#[path = "models/hudi.rs"]
mod hudi;
#[path = "models/hudi_made.rs"]
mod hudi_made;
#[path = "models/hudi_tables.rs"]
mod hudi_tables;
#[path = "models/matrix.rs"]
mod matrix;
#[path = "models/parsing.rs"]
mod parsing;
#[path = "models/state.rs"]
mod state;
