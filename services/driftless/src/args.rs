//! The command line: what may be asked for, with help that teaches.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use driftless_wire::TableOptions;
use table_sync_core::{Position, Start};

use crate::units::{parse_duration, parse_price, parse_rate};

mod help;
mod hudi;
mod service;

use self::help::{
    AFTER_HELP, CATALOG_HELP, CATALOGD_HELP, COMPLETIONS_HELP, DEMO_HELP, ENGINES_HELP,
    INSPECT_HELP, LAG_HELP, METASTORED_HELP, PLAN_HELP, PROBE_HELP, PUT_HELP, SERVE_HELP,
    STATUS_HELP, SYNC_HELP, SYNCD_HELP, TABLE_HELP, TOKEN_HELP, VERIFY_HELP, WATCH_HELP,
};
use self::hudi::HudiArgs;
pub(crate) use self::service::{
    Api, Catalog, Catalogd, Database, Engine, Engines, EnginesOf, Kind, Lag, Metastore, Metastored,
    Named, Put, Register, Serve, Server, SparkVersion, Syncd, Table, Token, Watch, Work,
};

const LONG_ABOUT: &str = "\
Keeps lakehouse tables identical across stores.

Driftless reads a table's transaction log at the source, copies exactly the files that committed \
versions need, proves that they arrived, and then publishes each version at every target with one \
atomic write. A reader at a target opens a whole committed version at any instant, never half of \
one.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "driftless",
    version,
    about = "Keeps lakehouse tables identical across stores",
    long_about = LONG_ABOUT,
    after_help = AFTER_HELP,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that may stand before or after the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Configuration file [default: driftless/driftless.toml in the user's configuration folder]
    #[arg(long, global = true, value_name = "FILE", env = "DRIFTLESS_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// What is printed on standard output; json prints exactly one document
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value = "human")]
    pub(crate) output: OutputForm,
    /// Neither progress nor logs below errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// How much is logged on standard error
    #[arg(long, global = true, value_enum, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log_level: LogLevel,
    /// How it is logged
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Keep our own objects here instead of under _driftless/ beside the tables of each target
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) state: Option<String>,
    /// Certificates (PEM) that are trusted besides the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// HTTP proxy, http://host:port
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// How long one operation is retried before it counts as failed
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        default_value = "60s",
        value_parser = parse_duration
    )]
    pub(crate) timeout: Duration,
}

/// What is printed on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// For people.
    Human,
    /// One JSON document.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// What a person must act on.
    Error,
    /// What a person may want to know.
    Warn,
    /// What is done.
    Info,
    /// How it is done.
    Debug,
    /// Every step.
    Trace,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How a command with tables is written.
macro_rules! usage {
    ($command:literal) => {
        concat!(
            "driftless ",
            $command,
            " [OPTIONS] <SOURCE> <TARGET>...\n       driftless ",
            $command,
            " [OPTIONS] --table <SOURCE=TARGET[,TARGET]>..."
        )
    };
}

/// What is done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a table is, and whether it can be replicated
    #[command(after_help = INSPECT_HELP)]
    Inspect(Inspect),
    /// Show what a sync would do; write nothing
    #[command(after_help = PLAN_HELP, override_usage = usage!("plan"))]
    Plan(Plan),
    /// Publish what is new at the source
    #[command(after_help = SYNC_HELP, override_usage = usage!("sync"))]
    Sync(Sync),
    /// Hold targets against their source
    #[command(after_help = VERIFY_HELP, override_usage = usage!("verify"))]
    Verify(Verify),
    /// Show how far targets are behind
    #[command(after_help = STATUS_HELP, override_usage = usage!("status"))]
    Status(Status),
    /// Find out what a store really does, and whether it may be a target
    #[command(after_help = PROBE_HELP)]
    Probe(Probe),
    /// See it work: a live table, its replica, and a reader that never sees half a version
    #[command(after_help = DEMO_HELP)]
    Demo(Demo),
    /// Run the service: keep registered tables in step, with an API and a console
    #[command(after_help = SERVE_HELP)]
    Serve(Serve),
    /// Run a node of the service that works on tables
    #[command(after_help = SYNCD_HELP)]
    Syncd(Syncd),
    /// Run the API and the console of the service
    #[command(after_help = CATALOGD_HELP)]
    Catalogd(Catalogd),
    /// Run metastores by which engines find tables
    #[command(after_help = METASTORED_HELP)]
    Metastored(Metastored),
    /// Tokens for the API
    #[command(subcommand, after_help = TOKEN_HELP)]
    Token(Token),
    /// The catalog itself
    #[command(subcommand, after_help = CATALOG_HELP)]
    Catalog(Catalog),
    /// Make a store, a site, a project or a discovery rule of the service
    #[command(after_help = PUT_HELP)]
    Put(Put),
    /// Tables of the service
    #[command(subcommand, after_help = TABLE_HELP)]
    Table(Table),
    /// Print ready configuration for an engine that reads a site
    #[command(after_help = ENGINES_HELP)]
    Engines(EnginesOf),
    /// Show which tables of the service are behind, the longest lag first
    #[command(after_help = LAG_HELP)]
    Lag(Lag),
    /// Print what happens in the service, until stopped
    #[command(after_help = WATCH_HELP)]
    Watch(Watch),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// The tables that a command works on.
#[derive(Debug, Clone, Args)]
pub(crate) struct Tables {
    /// Table to read; a * in its path stands for every table that matches
    #[arg(value_name = "SOURCE", required_unless_present = "table", conflicts_with = "table")]
    pub(crate) source: Option<String>,
    /// Where its replicas are
    #[arg(value_name = "TARGET", required_unless_present = "table")]
    pub(crate) targets: Vec<String>,
    /// One more table, instead of SOURCE TARGET...; may be repeated
    #[arg(long, value_name = "SOURCE=TARGET[,TARGET]")]
    pub(crate) table: Vec<String>,
    #[command(flatten)]
    pub(crate) paths: Paths,
}

/// What happens to absolute references in a log.
#[derive(Debug, Clone, Args)]
pub(crate) struct Paths {
    /// Absolute file references in a log: refuse the table, or take them for the same bucket and
    /// key at every target
    #[arg(long, value_enum, value_name = "POLICY", default_value = "refuse")]
    pub(crate) absolute_paths: AbsolutePaths,
    /// With --absolute-paths alias: a folder of another table that the log may refer to, as the
    /// log spells it; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) alias_root: Vec<String>,
    /// What the tables are; without it a look at the source tells
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    #[command(flatten)]
    pub(crate) hudi: HudiArgs,
}

impl Default for Paths {
    fn default() -> Self {
        let (alias_root, format, hudi) = (Vec::new(), None, HudiArgs::default());
        Self { absolute_paths: AbsolutePaths::Refuse, alias_root, format, hudi }
    }
}

impl Paths {
    /// How tables are opened, for replicas that start there.
    pub(crate) fn options(&self, start: Start) -> TableOptions {
        TableOptions {
            absolute_paths: match self.absolute_paths {
                AbsolutePaths::Refuse => driftless_wire::AbsolutePaths::Refuse,
                AbsolutePaths::Alias => driftless_wire::AbsolutePaths::Alias,
            },
            alias_roots: self.alias_root.clone(),
            format: self.format.map(|format| match format {
                Format::Delta => driftless_wire::Format::Delta,
                Format::Hudi => driftless_wire::Format::Hudi,
            }),
            hudi: self.hudi.options(),
            start,
        }
    }
}

/// Table formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Delta Lake.
    Delta,
    /// Apache Hudi.
    Hudi,
}

/// Policy for absolute references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AbsolutePaths {
    /// The table is blocked.
    Refuse,
    /// References into the table's own folder, and into every --alias-root, are followed; targets
    /// have the source's bucket and path at another endpoint.
    Alias,
}

/// How far a pass goes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Range {
    /// Where a new replica starts: latest, earliest, or a version
    #[arg(long, value_name = "WHERE", default_value = "latest", value_parser = parse_start)]
    pub(crate) start: Start,
    /// Publish nothing above this version
    #[arg(long, value_name = "VERSION", value_parser = parse_position)]
    pub(crate) until: Option<Position>,
}

/// `driftless inspect`
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Table to look at
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) paths: Paths,
}

/// `driftless plan`
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) tables: Tables,
    #[command(flatten)]
    pub(crate) range: Range,
    /// Estimate how long it takes at this speed: 2Gbps, 100MB/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) bandwidth: Option<NonZeroU64>,
    /// Estimate what the source's provider charges
    #[arg(long, value_name = "USD", value_parser = parse_price)]
    pub(crate) egress_usd_per_gib: Option<f64>,
    /// Print the files that the plan needs instead, one JSON document a line
    #[arg(long)]
    pub(crate) files: bool,
}

/// `driftless sync`
#[derive(Debug, Args)]
pub(crate) struct Sync {
    #[command(flatten)]
    pub(crate) tables: Tables,
    #[command(flatten)]
    pub(crate) range: Range,
    /// Keep going until stopped; with --output json one document a pass
    #[arg(long)]
    pub(crate) follow: bool,
    /// Files in flight at once
    #[arg(long, value_name = "N", default_value = "16")]
    pub(crate) transfers: NonZeroUsize,
    /// Read the source no faster than this: 2Gbps, 100MB/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) bandwidth_limit: Option<NonZeroU64>,
    /// Take over a replica that another tool copied, once every byte of it was verified
    #[arg(long)]
    pub(crate) adopt: bool,
    /// Remove files that no version needs which was current within this time [default: never;
    /// 7 days without a value]
    #[arg(
        long,
        value_name = "RETENTION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "7d",
        value_parser = parse_duration
    )]
    pub(crate) retire: Option<Duration>,
}

/// `driftless verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) tables: Tables,
    /// How deep
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "files")]
    pub(crate) level: VerifyLevel,
    /// Version to verify [default: the target's newest]
    #[arg(long, value_name = "VERSION", value_parser = parse_position)]
    pub(crate) version_at: Option<Position>,
}

/// Depth of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyLevel {
    /// Every commit has the same bytes at both sides
    Log,
    /// And the same files are live, each there with its size
    Files,
    /// And every file has the same checksum; reads everything
    Bytes,
    /// Both sides are read with another engine and the rows compared; includes log
    Rows,
}

/// `driftless status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) tables: Tables,
}

/// `driftless probe`
#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// A table, or a place where one would be: its store is asked, with scratch beside it
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
}

/// `driftless demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How long the tables are written, the Delta table and then the Hudi table
    #[arg(
        long,
        value_name = "N",
        default_value = "40",
        value_parser = clap::value_parser!(u64).range(5..=3600)
    )]
    pub(crate) seconds: u64,
    /// Keep the two tables and say where they are
    #[arg(long)]
    pub(crate) keep: bool,
    /// Choose the writer's operations
    #[arg(long, value_name = "N", default_value = "7")]
    pub(crate) seed: u64,
}

fn parse_start(text: &str) -> Result<Start, String> {
    driftless_wire::parse_start(text)
        .ok_or_else(|| "write latest, earliest or a version".to_owned())
}

fn parse_position(text: &str) -> Result<Position, String> {
    Position::parse(text).ok_or_else(|| {
        "write a version number, such as 7, or a Hudi position, COMPLETION_INSTANT".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_ends_with_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }

    /// What a table is opened with when nothing is said is the same here and in the service.
    #[test]
    fn no_flags_are_the_default_options() {
        let cli = Cli::try_parse_from(["driftless", "inspect", "table"]).unwrap();
        let Command::Inspect(inspect) = cli.command else { panic!("inspect was parsed") };
        assert_eq!(inspect.paths.options(Start::Latest), TableOptions::default());
        assert_eq!(Paths::default().options(Start::Latest), TableOptions::default());
    }

    #[test]
    fn starts_and_versions() {
        assert_eq!(parse_start("latest"), Ok(Start::Latest));
        assert_eq!(parse_start("earliest"), Ok(Start::Earliest));
        assert_eq!(parse_start("7"), Ok(Start::At(Position::Version(7))));
        for text in ["", "-1", "+1", "newest", "1.0", "99999999999999999999"] {
            assert!(parse_start(text).is_err(), "{text}");
        }
    }
}
