//! The service: its processes, and the commands that speak to it.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use driftless_catalog::{Role, TableName};
use driftless_syncd::Timetable;

use crate::commands::service::metastores::parse_metastore;
use crate::units::{parse_duration, parse_rate};

/// Where the catalog is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Database {
    /// Folder that holds the embedded catalog
    #[arg(long, value_name = "DIR", default_value = "driftless-data", env = "DRIFTLESS_DATA")]
    pub(crate) data: PathBuf,
    /// Database of the catalog, instead of an embedded one: postgres://user@host/name
    #[arg(long, value_name = "URL", env = "DRIFTLESS_DATABASE", hide_env_values = true)]
    pub(crate) database: Option<String>,
}

/// What a process that answers requests is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct Api {
    /// Address that the API and the console listen at
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8640")]
    pub(crate) listen: SocketAddr,
    /// Ask nobody who they are; only for an address of this machine alone
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// Let everybody read /metrics
    #[arg(long)]
    pub(crate) open_metrics: bool,
    /// URL under which people reach this process, for links in alerts
    #[arg(long, value_name = "URL")]
    pub(crate) external_url: Option<String>,
}

/// What a process that works on tables is told.
#[derive(Debug, Clone, Args)]
pub(crate) struct Work {
    /// Name of this node [default: the host's]
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// A folder of this machine below which tables and sites may lie; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) allow_files: Vec<PathBuf>,
    /// Folder of the files that stores may name for a secret
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
    /// Tables that are worked on at once
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) passes: NonZeroUsize,
    /// Files in flight at once, over all tables
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) transfers: NonZeroUsize,
    /// Read sources no faster than this, by time of day (UTC): 2Gbps, or 08:00-18:00 2Gbps,...
    #[arg(long, value_name = "TIMETABLE", value_parser = parse_timetable)]
    pub(crate) bandwidth: Option<Timetable>,
    /// The least wait between two looks at one source
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) poll: Duration,
    /// How long another node waits for a sign of life of this one before it takes over
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_duration)]
    pub(crate) lease: Duration,
    /// How long records of the audit are kept
    #[arg(long, value_name = "DURATION", default_value = "400d", value_parser = parse_duration)]
    pub(crate) audit_kept: Duration,
}

/// Metastores by which engines find tables.
#[derive(Debug, Clone, Args)]
pub(crate) struct Engines {
    /// A Hive Metastore for engines at a site, with a project's tables; may be repeated
    #[arg(
        long = "metastore",
        value_name = "PROJECT@SITE=ADDRESS",
        value_parser = parse_metastore
    )]
    pub(crate) metastores: Vec<Metastore>,
    /// How long columns and partitions of a Hudi table are told again without a look
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) metastore_fresh: Duration,
    /// How long a dropped partition can still be fetched
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub(crate) metastore_grace: Duration,
    /// Catalog under which Trino has the Delta tables: what views of earlier versions select from
    #[arg(long, value_name = "NAME", default_value = "delta")]
    pub(crate) metastore_trino_catalog: String,
    /// Certificates of the metastores, PEM: they speak TLS then
    #[arg(long, value_name = "FILE", requires = "metastore_key")]
    pub(crate) metastore_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "metastore_cert")]
    pub(crate) metastore_key: Option<PathBuf>,
    /// Only clients whose certificate one of these signed are answered, PEM
    #[arg(long, value_name = "FILE", requires = "metastore_cert")]
    pub(crate) metastore_client_ca: Option<PathBuf>,
}

/// One metastore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metastore {
    pub(crate) project: String,
    pub(crate) site: String,
    pub(crate) address: SocketAddr,
}

impl fmt::Display for Metastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}={}", self.project, self.site, self.address)
    }
}

/// `driftless metastored`
#[derive(Debug, Args)]
pub(crate) struct Metastored {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(flatten)]
    pub(crate) engines: Engines,
    /// A folder of this machine below which sites may lie; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) allow_files: Vec<PathBuf>,
    /// Folder of the files that stores may name for a secret
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
}

/// `driftless serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(flatten)]
    pub(crate) api: Api,
    #[command(flatten)]
    pub(crate) work: Work,
    #[command(flatten)]
    pub(crate) engines: Engines,
}

/// `driftless syncd`
#[derive(Debug, Args)]
pub(crate) struct Syncd {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(flatten)]
    pub(crate) work: Work,
}

/// `driftless catalogd`
#[derive(Debug, Args)]
pub(crate) struct Catalogd {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(flatten)]
    pub(crate) api: Api,
    /// A folder of this machine below which tables and sites may lie; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) allow_files: Vec<PathBuf>,
    /// Folder of the files that stores may name for a secret
    #[arg(long, value_name = "DIR")]
    pub(crate) secrets: Option<PathBuf>,
}

/// `driftless token`
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token, and print its secret once
    Create {
        /// Its name, as the audit shows it
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What it allows
        #[arg(long, value_enum, value_name = "ROLE")]
        role: RoleArg,
        /// The only project that it is good for
        #[arg(long, value_name = "PROJECT")]
        project: Option<String>,
        /// When it ends
        #[arg(
            long,
            value_name = "DURATION",
            default_value = "90d",
            value_parser = parse_duration
        )]
        expires: Duration,
        #[command(flatten)]
        database: Database,
    },
    /// List all tokens; secrets are not kept
    List {
        #[command(flatten)]
        database: Database,
    },
    /// End a token now
    Revoke {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        database: Database,
    },
}

/// See [`Role`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Send hints, and nothing else; it may be in the URL.
    Hint,
    /// Fetch the keys that engines read with, and nothing else; it may be in the URL.
    Engine,
    /// Look at things.
    Reader,
    /// Change tables.
    Operator,
    /// Change everything.
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Hint => Self::Hint,
            RoleArg::Engine => Self::Engine,
            RoleArg::Reader => Self::Reader,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

/// `driftless catalog`
#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    /// Copy an embedded catalog to a file, while it is in use
    Backup {
        /// The file; it must not be there yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        #[command(flatten)]
        database: Database,
    },
    /// Register again what a site holds, from the descriptors beside its replicas
    Rebuild {
        /// Name of a site that the catalog has
        #[arg(long, value_name = "SITE")]
        from: String,
        #[command(flatten)]
        database: Database,
        /// A folder of this machine below which tables and sites may lie; may be repeated
        #[arg(long, value_name = "DIR")]
        allow_files: Vec<PathBuf>,
        /// Folder of the files that stores may name for a secret
        #[arg(long, value_name = "DIR")]
        secrets: Option<PathBuf>,
    },
}

/// The service that a command speaks to.
#[derive(Debug, Clone, Args)]
pub(crate) struct Server {
    /// URL of the service
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8640",
        env = "DRIFTLESS_SERVER"
    )]
    pub(crate) server: String,
    /// Token, made with `driftless token create`
    #[arg(long, value_name = "TOKEN", env = "DRIFTLESS_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

/// `driftless engines`
#[derive(Debug, Args)]
pub(crate) struct EnginesOf {
    /// Which engine
    #[arg(value_enum, value_name = "ENGINE")]
    pub(crate) engine: Engine,
    /// Name of the site that it reads
    #[arg(value_name = "SITE")]
    pub(crate) site: String,
    /// The metastore of a project at that site: see `driftless serve --metastore`
    #[arg(long, value_name = "URI", default_value = "thrift://127.0.0.1:9083")]
    pub(crate) metastore: String,
    /// Let Trino take the keys of each project from this service, in place of keys of its own
    #[arg(long)]
    pub(crate) security_mapping: bool,
    /// Which Spark
    #[arg(long, value_enum, value_name = "VERSION", default_value = "3.5")]
    pub(crate) spark: SparkVersion,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// An engine that reads replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// Catalogs for Delta and Hudi.
    Trino,
    /// Defaults for Spark.
    Spark,
    /// Statements; Delta only.
    Duckdb,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trino => "trino",
            Self::Spark => "spark",
            Self::Duckdb => "duckdb",
        }
    }
}

/// Versions of Spark that are tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SparkVersion {
    /// With Delta 3.3 and Hudi 1.1.
    #[value(name = "3.5")]
    V3_5,
    /// With Delta 4.0.
    #[value(name = "4.0")]
    V4_0,
}

/// `driftless table`
#[derive(Debug, Subcommand)]
pub(crate) enum Table {
    /// Register a table: from now on it is kept in step
    Register(Register),
    /// List tables
    List {
        /// Of this project
        #[arg(long, value_name = "PROJECT")]
        project: Option<String>,
        /// Published at this site
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
        /// In this state at a site
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Show how a table is
    Show(Named),
    /// Leave a table alone; its replicas stay readable
    Pause(Named),
    /// Go on with a table
    Resume(Named),
    /// Bring a table into step now, and wait for it
    Sync(Named),
    /// Show what would be published next
    Plan(Named),
    /// Begin a table's replicas anew at a new place
    Resync {
        #[command(flatten)]
        named: Named,
        /// At this site only
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
        /// Yes: the old replicas are left behind
        #[arg(long)]
        accept: bool,
    },
    /// Forget a table
    Unregister {
        #[command(flatten)]
        named: Named,
        /// Delete the replicas too, after a grace
        #[arg(long)]
        delete_replicas: bool,
        /// How long readers may still use them
        #[arg(
            long,
            value_name = "DURATION",
            default_value = "7d",
            value_parser = parse_duration
        )]
        grace: Duration,
        /// Yes: without it, it is only shown what would be deleted
        #[arg(long)]
        accept: bool,
    },
}

/// A table by its name, at a service.
#[derive(Debug, Clone, Args)]
pub(crate) struct Named {
    /// Its name, project.namespace.table
    #[arg(value_name = "TABLE", value_parser = parse_name)]
    pub(crate) table: TableName,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `driftless table register`
#[derive(Debug, Args)]
pub(crate) struct Register {
    /// Its name, project.namespace.table; the namespace is made where it is missing
    #[arg(value_name = "TABLE", value_parser = parse_name)]
    pub(crate) table: TableName,
    /// Where it is: a URL, or STORE:path
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// A site that publishes it; may be repeated
    #[arg(long, value_name = "SITE", required = true)]
    pub(crate) site: Vec<String>,
    /// Its policy, as a JSON document
    #[arg(long, value_name = "JSON")]
    pub(crate) policy: Option<String>,
    /// Leave it alone at first
    #[arg(long)]
    pub(crate) paused: bool,
    /// Only look whether it could be registered
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `driftless lag`
#[derive(Debug, Args)]
pub(crate) struct Lag {
    /// Of this project
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Option<String>,
    /// How many, the longest lag first
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) top: usize,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `driftless watch`
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// About this table
    #[arg(long, value_name = "TABLE", value_parser = parse_name)]
    pub(crate) table: Option<TableName>,
    /// Begin behind this event; 0 = the oldest [default: what happens from now on]
    #[arg(long, value_name = "SEQ")]
    pub(crate) from: Option<i64>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `driftless put`
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// What: store, site, project, rule
    #[arg(value_enum, value_name = "KIND")]
    pub(crate) kind: Kind,
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What it is, as a JSON document; - reads standard input
    #[arg(value_name = "JSON")]
    pub(crate) document: String,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// What `driftless put` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A named store.
    Store,
    /// A place where tables are published.
    Site,
    /// Owner of tables.
    Project,
    /// A discovery rule.
    Rule,
}

fn parse_name(text: &str) -> Result<TableName, String> {
    TableName::parse(text).map_err(|error| error.to_string())
}

fn parse_timetable(text: &str) -> Result<Timetable, String> {
    Timetable::parse(text, |rate| parse_rate(rate).ok()).map_err(|error| error.to_string())
}
