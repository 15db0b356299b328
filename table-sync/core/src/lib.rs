//! Vocabulary and planner of table replication: no I/O, no runtime, no clock.
//!
//! A format crate (`table-sync-delta`, ...) describes a log in these types; the engine acts on
//! them without knowing the format. The planner is a pure function from what was observed to a
//! [`Plan`] with no choices left in it.
//!
//! # Invariants
//! - Nothing here reads a store, a clock or randomness: equal inputs give equal plans.
//! - A [`RelPath`] is confined to the root that it is below, the table's or a declared one
//!   ([`Place`]); no other type of this crate names an object.
//! - No type of `arrow`, `object_store`, `deltalake` or `tokio` appears here.

mod blocked;
mod cause;
mod digest;
mod disposition;
mod file;
mod instant;
mod lag;
pub mod limits;
mod lint;
mod path;
mod plan;
mod position;
mod publication;
mod replica;
mod source;

pub use blocked::{BlockCode, Blocked};
pub use cause::with_causes;
pub use digest::{ChainHash, SetDigest, Sha256Digest};
pub use disposition::Disposition;
pub use file::{FileKey, FileRef, ObjectIdentity, Place, Role};
pub use instant::InstantTime;
pub use lag::{Lag, TableState};
pub use lint::{LintError, lint};
pub use path::{PathError, RelPath};
pub use plan::{Plan, PlanInput, Planned, PlannedKind, Refusal, Start, plan};
pub use position::Position;
pub use publication::{Body, Expect, Kind, Op, Publication, SpoolFile, Step, Window};
pub use replica::{Farewell, Hint, Pointer, ReplicaError, ReplicaLog, ReplicaView};
pub use source::{
    BaseEntry, CommitEntry, CommitSet, Description, Detail, FileStream, Follows, Late, LogObject,
    Retire, SeenCommit, SourceError, SourceLog, SourceView,
};

/// An error from a library below, kept only as a cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
