//! The readers on real tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod decode;
mod headroom;
mod listings;
mod lives;
mod looks;
mod polls;
mod published;
mod tables;
