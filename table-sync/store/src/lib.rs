//! Object stores: open a location, see what the store really does, read and write.
//!
//! One [`Store`] stands for a bucket, a container or a folder. What a table's replication needs
//! of it is small: list in key order, read one content of a key, create if absent, replace what
//! was observed, and stream large bodies without holding them. [`probe()`] asks a real store
//! whether it keeps these promises before anything relies on them.
//!
//! # Invariants
//! - Nothing outside the store root is read or written: keys are confined, and in a folder
//!   symbolic links too.
//! - A write whose outcome is unknown is reported as such, and never repeated here.
//! - No credential reaches a message, a `Debug` text or a URL that this crate gives out.

mod body;
mod bulk;
mod clock;
mod control;
mod counters;
mod error;
mod expand;
mod file;
mod folders;
mod key;
mod location;
mod objects;
mod open;
mod probe;
mod s3;
mod secret;
mod settings;
mod store;

pub use body::{Body, Facts, Listed, Precondition, Reading, Uploaded, verify_crc32c};
pub use counters::Counters;
pub use error::{ReadError, WriteError};
pub use expand::{ExpandError, expand};
pub use key::KeyTooLong;
pub use location::{Location, LocationError};
pub use open::{OpenError, open};
pub use probe::{Check, Outcome, ProbeError, ProbeReport, Verdict, probe};
pub use secret::{Secret, SecretError};
pub use settings::{Settings, StoreConfig};
pub use store::{Store, StoreKind};
