//! One run: parse, start, carry out or be stopped, and say how it ended.

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind;
use driftless_syncd::BLOCKING_THREADS;
use tokio::time::{sleep, timeout};

use crate::args::{Cli, Command, Globals};
use crate::commands::{self, service};
use crate::exit::{CommandError, Exit};
use crate::output::progress::Screen;
use crate::output::{self, Output, OutputError};
use crate::wire::Wire;

/// How long tasks that cannot be stopped in the middle (a file system call) may take to end.
const STOP_PATIENCE: Duration = Duration::from_millis(200);

/// How long what a stopped command had begun at stores may take to be given up.
const GIVE_UP_PATIENCE: Duration = Duration::from_millis(600);

/// How often it is looked whether that is done.
const GIVE_UP_LOOK: Duration = Duration::from_millis(5);

/// What every command is given.
pub(crate) struct Setting {
    pub(crate) wire: Wire,
    pub(crate) globals: Globals,
    pub(crate) output: Output,
    pub(crate) screen: Screen,
}

/// How a command may end without having said so itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// It could not be carried out.
    #[error("{}", .0.message)]
    Error(CommandError),
    /// Nobody takes what it prints.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl From<CommandError> for Ended {
    fn from(error: CommandError) -> Self {
        Self::Error(error)
    }
}

/// Carries out a command line.
pub(crate) fn run(arguments: Vec<OsString>) -> Exit {
    let Cli { globals, command } = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error, &arguments),
    };
    let output = Output::new(&globals);
    let screen = Screen::new(globals.quiet);
    output::log::start(&globals, &screen);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let hint = "free some memory or threads, then run again";
            let error = CommandError::failed("internal", format!("start: {error}"), hint);
            output.error(&error);
            return error.exit;
        }
    };
    let following = matches!(&command, Command::Sync(sync) if sync.follow);
    let serves = matches!(
        &command,
        Command::Serve(_) | Command::Syncd(_) | Command::Catalogd(_) | Command::Metastored(_)
    );
    let exit = runtime.block_on(async {
        let carried_out = carry_out(command, globals, output, screen.clone());
        if serves {
            // A service is asked to stop, and ends in order.
            return carried_out.await;
        }
        tokio::select! {
            biased;
            () = interrupted() => stopped(output, &screen, following),
            exit = carried_out => exit,
        }
    });
    screen.clear();
    runtime.block_on(given_up());
    runtime.shutdown_timeout(STOP_PATIENCE);
    exit
}

async fn carry_out(command: Command, globals: Globals, output: Output, screen: Screen) -> Exit {
    let done = async {
        if let Command::Completions { shell } = command {
            return commands::completions::run(shell).map_err(Ended::from);
        }
        let wire = Wire::new(&globals)?;
        let setting = Setting { wire, globals, output, screen };
        match command {
            Command::Inspect(args) => commands::inspect::run(&setting, &args).await,
            Command::Plan(args) => commands::plan::run(&setting, &args).await,
            Command::Sync(args) => commands::sync::run(&setting, &args).await,
            Command::Verify(args) => commands::verify::run(&setting, &args).await,
            Command::Status(args) => commands::status::run(&setting, &args).await,
            Command::Probe(args) => commands::probe::run(&setting, &args).await,
            Command::Demo(args) => commands::demo::run(&setting, &args).await,
            Command::Serve(args) => service::serve(&setting, &args, interrupted()).await,
            Command::Syncd(args) => service::syncd(&setting, &args, interrupted()).await,
            Command::Catalogd(args) => service::catalogd(&setting, &args, interrupted()).await,
            Command::Metastored(args) => {
                service::metastores::metastored(&setting, &args, interrupted()).await
            }
            Command::Token(args) => service::token::run(&setting, &args).await,
            Command::Catalog(args) => service::catalog::run(&setting, &args).await,
            Command::Put(args) => service::tables::put(&setting, &args).await,
            Command::Table(args) => service::tables::table(&setting, &args).await,
            Command::Engines(args) => service::engines::run(&setting, &args).await,
            Command::Lag(args) => service::tables::lag(&setting, &args).await,
            Command::Watch(args) => service::tables::watch(&setting, &args).await,
            Command::Completions { .. } => Ok(Exit::Done),
        }
    };
    match done.await {
        Ok(exit) => exit,
        Err(Ended::Error(error)) => {
            output.error(&error);
            error.exit
        }
        // Whoever read our output has left: there is nobody to tell.
        Err(Ended::Output(_)) => Exit::Failed,
    }
}

/// Help and version go to standard output and are no failure.
fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> Exit {
    let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if help {
        // When nobody takes the help there is nobody to tell.
        let _ = error.print();
        return Exit::Done;
    }
    if wants_json(arguments) {
        let text = error.render().to_string();
        // The first paragraph says what is wrong; usage follows.
        let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
        let message = lines.collect::<Vec<_>>().join(" ");
        let message = message.trim_start_matches("error: ").to_owned();
        let error = CommandError::arguments(message, "see `driftless --help`");
        // When nobody takes it, the exit code is all that is left.
        let document = output::json::ErrorDocument::of(&error);
        let _ = output::json_line(&document);
        return error.exit;
    }
    let _ = error.print();
    Exit::Usage
}

/// Whether a command line that does not parse asks for JSON.
fn wants_json(arguments: &[OsString]) -> bool {
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    arguments.iter().any(|text| text == "--output=json")
        || pairs.into_iter().any(|(name, value)| name == "--output" && value == "json")
}

/// Completes on Ctrl-C or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<Option<()>>();
    tokio::select! {
        caught = tokio::signal::ctrl_c() => if caught.is_err() { std::future::pending().await },
        _ = terminated => {}
    }
}

/// Waits for the tasks that a dropped command leaves: they abort its unfinished uploads and close
/// its connections.
async fn given_up() {
    let tasks = tokio::runtime::Handle::current().metrics();
    let ended = async {
        while tasks.num_alive_tasks() > 0 {
            sleep(GIVE_UP_LOOK).await;
        }
    };
    if timeout(GIVE_UP_PATIENCE, ended).await.is_err() {
        tracing::debug!(tasks = tasks.num_alive_tasks(), "some work was not given up in time");
    }
}

/// The command's future is dropped: nothing it had begun is visible at any target.
fn stopped(output: Output, screen: &Screen, following: bool) -> Exit {
    screen.clear();
    let error = CommandError {
        exit: Exit::Interrupted,
        code: "interrupted".to_owned(),
        message: "stopped; what was published stays, and nothing half-visible is left".to_owned(),
        hint: "run the same command again to go on".to_owned(),
    };
    // Each pass of --follow has printed its own document.
    if output.is_json() && !following {
        output.error(&error);
    }
    screen.line(&format!("{}\n  {}", error.message, error.hint));
    error.exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_recognised_when_nothing_else_is() {
        let wants = |text: &str| {
            let arguments: Vec<_> = text.split(' ').map(OsString::from).collect();
            wants_json(&arguments)
        };
        assert!(wants("driftless --output json sink"));
        assert!(wants("driftless sink --output=json"));
        assert!(!wants("driftless --output human json"));
        assert!(!wants("driftless sync json --output"));
    }
}
