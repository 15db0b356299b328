//! The daemon over real tables: in this process, on a catalog in a file.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod chores;
mod discovery;
mod follow;
mod headroom;
mod nodes;
mod trouble;
mod world;
