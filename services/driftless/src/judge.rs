//! The row judge: another program, with other libraries, that reads rows and writes the demo's
//! table.
//!
//! It is a child process so that its dependencies are linked into nothing else, and so that it
//! shares no code with what it judges.
//!
//! # Invariants
//! - Requests, which may hold secrets, go through standard input; never through arguments.
//! - A child does not outlive its handle.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use driftless_wire::Place;
use serde::{Deserialize, Serialize};
use table_sync_core::Position;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::exit::CommandError;

/// Name of the program.
const PROGRAM: &str = "driftless-rows";

/// Environment variable that names it.
const VARIABLE: &str = "DRIFTLESS_ROWS";

/// Codes of a table that the judge's libraries cannot read, or not at that position any more.
pub(crate) const UNREADABLE: [&str; 2] = ["unsupported", "gone"];

/// What the judge is asked. No `Debug`: options hold secrets.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request<'a> {
    /// Count and hash the rows of tables.
    Rows { tables: Vec<TableRequest<'a>> },
    /// Keep writing the demo's table.
    WriteDemo { table: &'a str, format: &'a str, seconds: u64, seed: u64, interval_ms: u64 },
    /// Keep reading the demo's replica.
    ReadDemo { table: &'a str, format: &'a str, seconds: u64, interval_ms: u64 },
}

#[derive(Serialize)]
pub(crate) struct TableRequest<'a> {
    url: &'a str,
    options: &'a std::collections::BTreeMap<String, String>,
    ca_file: Option<&'a Path>,
    proxy: Option<&'a str>,
    format: &'static str,
    /// Of a Delta table.
    version: Option<u64>,
    /// Of a Hudi table, `COMPLETION_INSTANT`.
    position: Option<String>,
}

impl<'a> TableRequest<'a> {
    pub(crate) fn new(place: &'a Place, position: Position) -> Self {
        let (format, version, position) = match position {
            Position::Version(version) => ("delta", Some(version), None),
            position => ("hudi", None, Some(position.to_string())),
        };
        Self {
            url: &place.url,
            options: &place.options,
            ca_file: place.ca_file.as_deref(),
            proxy: place.proxy.as_deref(),
            format,
            version,
            position,
        }
    }
}

/// What the judge says about one table.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TableAnswer {
    pub(crate) count: Option<u64>,
    pub(crate) hash: Option<String>,
    pub(crate) error: Option<JudgeError>,
}

/// Why the judge has no answer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct JudgeError {
    pub(crate) code: String,
    pub(crate) message: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Tables { tables: Vec<TableAnswer> },
    Failed { error: JudgeError },
}

/// Where the program is.
///
/// # Errors
/// Says how to build it.
pub(crate) fn find() -> Result<PathBuf, CommandError> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        let path = PathBuf::from(path);
        if path.is_file() {
            return Ok(path);
        }
        return Err(CommandError::configuration(
            format!("run {}, which ${VARIABLE} names: no such file", path.display()),
            format!("set ${VARIABLE} to the {PROGRAM} program, or unset it"),
        ));
    }
    let beside = std::env::current_exe().ok().and_then(|path| {
        let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
        Some(path.parent()?.join(name))
    });
    beside.filter(|path| path.is_file()).ok_or_else(|| {
        CommandError::configuration(
            format!("find the row judge {PROGRAM}: it is not beside this program"),
            format!("build it with `./dev build`, or name it with ${VARIABLE}"),
        )
    })
}

/// Asks about tables; one answer for each, in order.
///
/// # Errors
/// When the judge cannot be run, or does not answer.
pub(crate) async fn rows(tables: Vec<TableRequest<'_>>) -> Result<Vec<TableAnswer>, CommandError> {
    let asked = tables.len();
    let mut child = Running::start(&Request::Rows { tables }).await?;
    child.close_input();
    let Some(line) = child.next_line().await? else {
        return Err(broken("it ended without an answer"));
    };
    child.finish().await;
    match serde_json::from_str(&line) {
        Ok(Answer::Tables { tables }) if tables.len() == asked => Ok(tables),
        Ok(Answer::Failed { error }) => {
            Err(broken(&format!("it failed with {}: {}", error.code, error.message)))
        }
        Ok(Answer::Tables { .. }) => Err(broken("its answer leaves out a table")),
        Err(error) => Err(broken(&format!("its answer does not parse: {error}"))),
    }
}

fn broken(reason: &str) -> CommandError {
    CommandError::failed(
        "row_judge_failed",
        format!("ask the row judge: {reason}"),
        "what it wrote on standard error may say more; build it anew with `./dev build`",
    )
}

/// A judge at work; killed when dropped.
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts the program with a request.
    ///
    /// # Errors
    /// When it cannot be found or run.
    pub(crate) async fn start(request: &Request<'_>) -> Result<Self, CommandError> {
        let program = find()?;
        let io = |error: std::io::Error| broken(&error.to_string());
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(io)?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(broken("it has no standard input or output"));
        };
        let mut text = serde_json::to_vec(request).map_err(|error| broken(&error.to_string()))?;
        text.push(b'\n');
        input.write_all(&text).await.map_err(io)?;
        input.flush().await.map_err(io)?;
        Ok(Self { child, input: Some(input), lines: BufReader::new(output).lines() })
    }

    /// Asks it to stop: it ends its work and then its output.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// The next line of its output; `None` after the last one.
    ///
    /// # Errors
    /// When its output cannot be read.
    pub(crate) async fn next_line(&mut self) -> Result<Option<String>, CommandError> {
        self.lines.next_line().await.map_err(|error| broken(&error.to_string()))
    }

    /// Waits for its end; whether it ended well.
    pub(crate) async fn finish(&mut self) -> bool {
        self.close_input();
        self.child.wait().await.is_ok_and(|status| status.success())
    }
}
