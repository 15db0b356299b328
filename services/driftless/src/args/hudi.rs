//! Flags that concern Hudi tables.

use clap::{Args, ValueEnum};
use driftless_wire::HudiOptions;

/// How Hudi tables are replicated.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct HudiArgs {
    /// Releases of Hudi that read the replicas; readers of 1.x need a shorter timeline on version 6
    /// merge-on-read tables
    #[arg(long, value_enum, value_name = "RELEASES", default_value = "both")]
    pub(crate) hudi_readers: HudiReaders,
    /// Where a version 6 merge-on-read table cannot be published in one write: publish it and
    /// report how long readers of 1.x may have seen a mixture, or block the table
    #[arg(long, value_enum, value_name = "POLICY", default_value = "allow")]
    pub(crate) hudi_v6_window: HudiV6Window,
    /// The archived history of copy-on-write tables of version 8 and 9; stock Trino up to 476 fails
    /// where it consults it
    #[arg(long, value_enum, value_name = "POLICY", default_value = "carry")]
    pub(crate) hudi_history: HudiHistory,
    /// The metadata table, through which readers list: drop it at the replica, whose readers list
    /// storage then, or keep a mirror of its files and statistics in step with the table
    #[arg(long, value_enum, value_name = "POLICY", default_value = "drop")]
    pub(crate) hudi_metadata: HudiMetadata,
}

impl Default for HudiArgs {
    fn default() -> Self {
        Self {
            hudi_readers: HudiReaders::Both,
            hudi_v6_window: HudiV6Window::Allow,
            hudi_history: HudiHistory::Carry,
            hudi_metadata: HudiMetadata::Drop,
        }
    }
}

impl HudiArgs {
    /// How Hudi tables are replicated.
    pub(super) fn options(self) -> HudiOptions {
        HudiOptions {
            readers: match self.hudi_readers {
                HudiReaders::Zero => driftless_wire::HudiReaders::Zero,
                HudiReaders::One => driftless_wire::HudiReaders::One,
                HudiReaders::Both => driftless_wire::HudiReaders::Both,
            },
            v6_window: match self.hudi_v6_window {
                HudiV6Window::Allow => driftless_wire::HudiV6Window::Allow,
                HudiV6Window::Refuse => driftless_wire::HudiV6Window::Refuse,
            },
            history: match self.hudi_history {
                HudiHistory::Carry => driftless_wire::HudiHistory::Carry,
                HudiHistory::Omit => driftless_wire::HudiHistory::Omit,
            },
            metadata: match self.hudi_metadata {
                HudiMetadata::Drop => driftless_wire::HudiMetadata::Drop,
                HudiMetadata::Mirror => driftless_wire::HudiMetadata::Mirror,
            },
        }
    }
}

/// Releases of Hudi that read replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HudiReaders {
    /// Up to 0.15.
    #[value(name = "0.x")]
    Zero,
    /// From 1.0 on.
    #[value(name = "1.x")]
    One,
    /// Any.
    Both,
}

/// Policy for windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HudiV6Window {
    /// Published and reported.
    Allow,
    /// The table is blocked.
    Refuse,
}

/// Policy for the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HudiHistory {
    /// Part of the replica.
    Carry,
    /// Left out.
    Omit,
}

/// Policy for the metadata table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HudiMetadata {
    /// None at the replica.
    Drop,
    /// In step with the table.
    Mirror,
}
