//! Writes a benchmark table to disk.
//!
//! `generate-delta --kind million OUT` writes the log of a table of a million files,
//! `--kind commit` one huge commit, `--kind copyset` real data files with one commit, and
//! `--kind line` a commit of one huge line.

use std::io;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use driftless_testdata::generate::{Options, commit_of, copy_set, long_line, million};

/// What to write.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A log: checkpoint of `--files` files and a few commits after it. No data files.
    Million,
    /// A log: one commit of `--files` adds. No data files.
    Commit,
    /// `--files` data files of `--size` bytes and one commit.
    Copyset,
    /// A log: one commit of a single line of `--size` bytes.
    Line,
}

/// Write a benchmark table in Delta format.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to write.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Number of files in the table [default: 1000000; 100 for copyset]
    #[arg(long)]
    files: Option<u64>,
    /// Bytes of each data file (copyset) or of the line (line).
    #[arg(long, default_value_t = 1 << 20)]
    size: u64,
    /// Columns with statistics; 0 for none.
    #[arg(long, default_value_t = 11)]
    stats_columns: usize,
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Directory of the table; must be new or empty.
    out: PathBuf,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let out = &arguments.out;
    if out.exists() && std::fs::read_dir(out)?.next().is_some() {
        let message = format!("write to {}: it is not empty, name a new directory", out.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let options = Options {
        seed: arguments.seed,
        stats_columns: arguments.stats_columns,
        ..Options::default()
    };
    match arguments.kind {
        Kind::Million => million(out, arguments.files.unwrap_or(1_000_000), &options),
        Kind::Commit => commit_of(out, arguments.files.unwrap_or(1_000_000), &options),
        Kind::Line => long_line(out, arguments.size, &options),
        Kind::Copyset => copy_set(out, arguments.files.unwrap_or(100), arguments.size, &options),
    }
}
