//! Fuzz targets of the Hudi reader: bytes that nobody vouches for, judged by laws.
//!
//! Each module has one `target`. It takes any bytes, never lets a panic through, and asserts what
//! must hold of the answer, mostly against a second and simpler reading of the same bytes. The
//! same functions run under cargo-fuzz (coverage-guided, nightly compiler) and in the crate's test
//! `fuzz` (seeds and mutations of them, stable compiler).
//!
//! # Invariants
//! - Targets are deterministic: equal bytes give an equal verdict.
//! - The readings that judge share no code with the crate under test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub
)]

pub mod archive;
pub mod commit;
mod confined;
pub mod file_name;
pub mod history;
mod java;
pub mod manifest;
mod naive;
pub mod name;
pub mod properties;
pub mod service;

/// Whether the reader took the bytes. Either is fine; a run that never sees one of them is
/// vacuous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes have a meaning.
    Accepted,
    /// The bytes were refused with an error.
    Refused,
}

impl Verdict {
    fn of(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}
