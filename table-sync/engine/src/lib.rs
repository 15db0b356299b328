//! The engine: the only writer. Observes both sides, plans, copies, verifies, publishes.
//!
//! Generic over [`SourceLog`](table_sync_core::SourceLog) and
//! [`ReplicaLog`](table_sync_core::ReplicaLog): it does not know any table format. One [`pass`]
//! brings every target as far as the source allows and then stops; [`follow`] repeats it.
//!
//! # Invariants
//! - Every object that a position needs is at the target, with the size the log states and proven
//!   bytes (see `transfer`), before the first write that reveals the position.
//! - Positions are published in source order, without gaps but by jump.
//! - A commit object is created only if absent; an existing one must hold equal bytes.
//! - A slow or failing target never holds back the others.
//! - Nothing is deleted inside a table, unless retirement is asked for; then only files that no
//!   promised version needs.
//!
//! Not here: choosing what to publish (`table_sync_core::plan`), reading logs (format crates),
//! speaking to stores (`table_sync_store`).

mod clock;
mod descriptor;
mod erase;
mod fanout;
mod follow;
mod gate;
mod headroom;
mod in_flight;
mod lane;
mod options;
mod pass;
mod progress;
mod publish;
mod rate;
mod receipt;
mod registration;
mod report;
mod retry;
mod survey;
mod transfer;
mod verify;
mod windows;

pub use clock::{Clock, SystemClock};
pub use descriptor::{Descriptor, DescriptorError, descriptor_key, descriptors, probe_key};
pub use erase::erase;
pub use follow::follow;
pub use gate::{Admission, TransferGate};
pub use options::{Options, PartitionLead, Root, Source, Target};
pub use pass::pass;
pub use progress::{Event, Mismatch, Progress, Quiet};
pub use receipt::{Pending, Receipt};
pub use registration::{Registration, Sites};
pub use report::{Failure, FailureCode, PassReport, TargetReport};
pub use survey::{Estimate, TargetStatus, estimate, status};
pub use verify::{Difference, Level, VerifyReport, verify};
pub use windows::WindowReport;
