//! `driftless-rows`: one request on standard input, the answer on standard output.
//!
//! The main binary runs it as a child process. The request is one JSON value; secrets come in
//! its `options` and nowhere else. Standard error is for people.
//!
//! Exit codes: 0, done; 1, failed; 5, the judge cannot read a table that may well be fine. A
//! failed request answers `{"error":{"code","message"}}`; a table that has no answer says why
//! in its own place, beside the answers of the others.

// hudi-core's futures nest deeper than the compiler's default limit.
#![recursion_limit = "256"]

mod apart;

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use table_sync_core::with_causes;
use table_sync_rows::demo::{self, DemoError, DemoTable};
use table_sync_rows::hudi::{self, Place};
use table_sync_rows::{Network, RowSummary, RowsError, open_store, open_store_over, read};
use url::Url;

/// Bytes of a request; one names at most a few hundred tables.
const REQUEST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Planning a query recurses deeply, in a development build most of all.
const THREAD_STACK_BYTES: usize = 8 * 1024 * 1024;

/// What is logged if `RUST_LOG` does not say: the kernel logs errors that the answer holds too.
const LOG_FILTER: &str = "error,buoyant_kernel=off,delta_kernel=off";

const FAILED: u8 = 1;
const UNSUPPORTED: u8 = 5;

/// What the main binary asks for. Not printable: options hold secrets.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    /// Count and hash the rows of tables.
    Rows { tables: Vec<TableRequest> },
    /// Write the demo's source table until the time is over or standard input ends.
    WriteDemo {
        table: String,
        #[serde(default)]
        format: Format,
        #[serde(default)]
        options: BTreeMap<String, String>,
        seconds: u64,
        #[serde(default)]
        seed: u64,
        #[serde(default = "write_interval_ms")]
        interval_ms: u64,
        #[serde(default = "batch_rows")]
        batch_rows: i64,
    },
    /// Read the demo's replica until the time is over or standard input ends.
    ReadDemo {
        table: String,
        #[serde(default)]
        format: Format,
        #[serde(default)]
        options: BTreeMap<String, String>,
        seconds: u64,
        #[serde(default = "read_interval_ms")]
        interval_ms: u64,
    },
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TableRequest {
    url: String,
    #[serde(default)]
    options: BTreeMap<String, String>,
    /// Certificates to trust beside the system's.
    ca_file: Option<PathBuf>,
    /// HTTP proxy. May hold a password.
    proxy: Option<String>,
    #[serde(default)]
    format: Format,
    /// Of a Delta table; the newest if there is none.
    version: Option<u64>,
    /// Of a Hudi table, `<completion>_<instant>`; the newest if there is none.
    position: Option<String>,
    /// Which commits of a Hudi table the position has; the answer of a table before this one with
    /// the same position if there is none.
    order: Option<hudi::Order>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Delta,
    Hudi,
}

fn write_interval_ms() -> u64 {
    400
}

fn read_interval_ms() -> u64 {
    500
}

fn batch_rows() -> i64 {
    1_000
}

#[derive(Serialize)]
struct Answer {
    tables: Vec<TableAnswer>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TableAnswer {
    Read {
        #[serde(flatten)]
        summary: Option<Summary>,
        error: Option<Failure>,
    },
    /// As another process of this program gave it.
    Relayed(serde_json::Value),
}

impl TableAnswer {
    /// Which commits the position has, where the answer says.
    fn order(&self) -> Option<hudi::Order> {
        match self {
            Self::Read { summary: Some(Summary::Hudi(summary)), .. } => summary.order.clone(),
            Self::Relayed(answer) => serde_json::from_value(answer.get("order")?.clone()).ok(),
            Self::Read { .. } => None,
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Summary {
    Delta(RowSummary),
    Hudi(hudi::RowSummary),
}

#[derive(Serialize)]
struct Failed {
    error: Failure,
}

#[derive(Serialize)]
struct Failure {
    code: &'static str,
    message: String,
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG_FILTER));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let code = match run() {
        Ok(code) => code,
        Err(failure) => match print(&Failed { error: failure }) {
            Ok(()) | Err(_) => FAILED,
        },
    };
    ExitCode::from(code)
}

fn run() -> Result<u8, Failure> {
    let request = request()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(THREAD_STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| failure("runtime", &error))?;
    // The watcher of standard input blocks for ever if the caller keeps it open: the runtime is
    // left behind, not waited for.
    let task = runtime.spawn(answer(request));
    let code = runtime.block_on(task).map_err(|error| failure("runtime", &error))?;
    runtime.shutdown_background();
    code
}

async fn answer(request: Request) -> Result<u8, Failure> {
    match request {
        Request::Rows { tables } => rows(tables).await,
        Request::WriteDemo { table, format, options, seconds, seed, interval_ms, batch_rows } => {
            let table = demo_table(&table, format, options)?;
            let options = demo::WriteOptions {
                interval: Duration::from_millis(interval_ms),
                duration: Duration::from_secs(seconds),
                seed,
                batch_rows,
            };
            let written = demo::write(&table, options, stdin_end(), &mut io::stdout()).await;
            written.map(|_| 0).map_err(demo_failure)
        }
        Request::ReadDemo { table, format, options, seconds, interval_ms } => {
            let table = demo_table(&table, format, options)?;
            let options = demo::ReadOptions {
                interval: Duration::from_millis(interval_ms),
                duration: Duration::from_secs(seconds),
            };
            let read = demo::read(&table, options, stdin_end(), &mut io::stdout()).await;
            read.map(|_| 0).map_err(demo_failure)
        }
    }
}

/// Answers for each table in turn; the worst of them gives the exit code.
async fn rows(tables: Vec<TableRequest>) -> Result<u8, Failure> {
    let mut answers = Vec::new();
    let mut code = 0;
    let mut told: Option<(Option<String>, hudi::Order)> = None;
    for mut table in tables {
        if let Some((position, order)) = &told
            && table.order.is_none()
            && table.position == *position
        {
            table.order = Some(order.clone());
        }
        let (answer, table_code) = match &table.ca_file {
            Some(ca_file) if table.format == Format::Hudi => relay(&table, ca_file).await?,
            _ => match judge(&table).await {
                Ok(summary) => (TableAnswer::Read { summary: Some(summary), error: None }, 0),
                Err((code, failure)) => {
                    (TableAnswer::Read { summary: None, error: Some(failure) }, code)
                }
            },
        };
        if table_code != 0 && code != FAILED {
            code = table_code;
        }
        if let Some(order) = answer.order() {
            told = Some((table.position, order));
        }
        answers.push(answer);
    }
    print(&Answer { tables: answers }).map_err(|error| failure("output", &error))?;
    Ok(code)
}

/// The answer for a table whose reader takes certificates only from its environment.
async fn relay(table: &TableRequest, ca_file: &Path) -> Result<(TableAnswer, u8), Failure> {
    let mut request = serde_json::to_value(table).map_err(|error| failure("request", &error))?;
    if let Some(fields) = request.as_object_mut() {
        fields.remove("ca_file");
    }
    let asked = apart::ask(request, ca_file).await.map_err(|error| failure("relay", &error))?;
    Ok((TableAnswer::Relayed(asked.0), asked.1))
}

async fn judge(table: &TableRequest) -> Result<Summary, (u8, Failure)> {
    let url = Url::parse(&table.url).map_err(|error| (FAILED, failure("url", &error)))?;
    let network = Network { ca_file: table.ca_file.clone(), proxy: table.proxy.clone() };
    let read = match table.format {
        Format::Delta => read_delta(table, url, network).await.map(Summary::Delta),
        Format::Hudi => {
            let place = Place { url, options: table.options.clone(), network };
            let (position, order) = (table.position.as_deref(), table.order.as_ref());
            hudi::read_in_order(&place, position, order).await.map(Summary::Hudi)
        }
    };
    read.map_err(|error| {
        let code = match error {
            RowsError::Unsupported { .. } | RowsError::Gone { .. } => UNSUPPORTED,
            _ => FAILED,
        };
        (code, failure(error.code(), &error))
    })
}

async fn read_delta(
    table: &TableRequest,
    url: Url,
    network: Network,
) -> Result<RowSummary, RowsError> {
    read(open_store_over(&url, &table.options, network)?, url, table.version).await
}

fn demo_table(
    table: &str,
    format: Format,
    options: BTreeMap<String, String>,
) -> Result<DemoTable, Failure> {
    let url = demo::table_url(table).map_err(demo_failure)?;
    Ok(match format {
        Format::Delta => {
            let opened = open_store(&url, &options);
            DemoTable::Delta { store: opened.map_err(|error| failure(error.code(), &error))?, url }
        }
        Format::Hudi => DemoTable::Hudi(Place { url, options, network: Network::default() }),
    })
}

/// The first JSON value on standard input; what follows it is left there.
fn request() -> Result<Request, Failure> {
    let input = io::stdin().lock().take(REQUEST_BYTES_MAX);
    match serde_json::Deserializer::from_reader(input).into_iter().next() {
        Some(Ok(request)) => Ok(request),
        Some(Err(error)) => Err(failure("request", &error)),
        None => Err(Failure {
            code: "request",
            message: "read a request: standard input is empty, give one JSON value".to_owned(),
        }),
    }
}

/// Completes when the caller closes standard input, or is gone.
async fn stdin_end() {
    let drain = || io::copy(&mut io::stdin().lock(), &mut io::sink());
    // An unreadable input counts as an ended one.
    let _ = tokio::task::spawn_blocking(drain).await;
}

fn print(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn demo_failure(error: DemoError) -> Failure {
    let code = match &error {
        DemoError::Table(error) => error.code(),
        _ => "demo",
    };
    failure(code, &error)
}

fn failure(code: &'static str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure { code, message: with_causes(error) }
}
