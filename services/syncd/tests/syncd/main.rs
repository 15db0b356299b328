//! The daemon over real tables: in this process, on a catalog in a file.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod discovery;
mod follow;
mod nodes;
mod trouble;
mod world;
