//! The daemon: keeps the tables of a catalog in step.
//!
//! A [`Daemon`] is one node. It takes leases on tables that nobody owns and follows each in a loop
//! of its own: a look at the source as often as the writer makes it worth, a pass of the engine
//! when something is new, a report to the catalog. Many nodes may share one catalog.
//!
//! # Invariants
//! - What is published is decided by the engine from what source and sites hold. The catalog says
//!   what is wanted; losing it, or being late with it, publishes nothing wrong.
//! - A table that is huge, slow or broken delays no other: each has its own loop, its turn in the
//!   fair order of what all share, and its own way to fail.
//! - A stop, however it comes, needs no repair.
//!
//! Not here: the API (`services/catalogd`), opening tables (`services/wire`), publishing (engine).

mod cadence;
mod chores;
mod counters;
mod fair;
mod follower;
mod gate;
mod node;
mod options;
mod recorder;
mod report;
mod shared;
mod sink;
mod stores;
mod throttle;
mod timetable;

/// Threads for calls of the file system that a process needs at most: they wait for one disk, and
/// each more costs memory.
pub const BLOCKING_THREADS: usize = 32;

pub use counters::{Counters, Counts};
pub use node::Daemon;
pub use options::Options;
pub use stores::{NotOpened, SECRET_PREFIX, Stores, is_below};
pub use timetable::{Timetable, TimetableError};
