//! Processes of the service in a folder of their own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// What a test waits for comes within this time, on the slowest machine.
pub(crate) const PATIENCE: u32 = 6_000;

/// Pause between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(30);

pub(crate) struct World {
    folder: TempDir,
    /// Environment of every process.
    env: Vec<(String, String)>,
}

/// A process of the service. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// What it said first.
    pub(crate) said: Value,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["lake", "east", "west"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        Self { folder, env: Vec::new() }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
        command.args(arguments).current_dir(self.folder.path()).env("HOME", self.path("home"));
        for name in ["DRIFTLESS_CONFIG", "DRIFTLESS_SERVER", "DRIFTLESS_TOKEN", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command.envs(self.env.iter().cloned());
        command
    }

    /// Starts a process and waits until it is ready.
    pub(crate) fn start(&self, line: &str) -> Process {
        let mut arguments: Vec<&str> = line.split(' ').collect();
        let files = self.folder.path().display().to_string();
        arguments.extend(["--output", "json", "--log-level", "warn", "--allow-files", &files]);
        let mut command = self.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it said {line:?}"));
        Process { child, said }
    }

    /// The whole service, without tokens, at a port of its own.
    pub(crate) fn serve(&self) -> Process {
        self.start("serve --no-auth --data data --listen 127.0.0.1:0 --poll 100ms --lease 2s")
    }

    /// Runs a command to its end: its exit code and its document.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.command(arguments).args(["--output", "json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let code = output.status.code().unwrap();
        (code, serde_json::from_str(&text).unwrap_or_else(|_| panic!("it printed {text:?}")))
    }

    /// A command that speaks to the service, which must end well.
    #[track_caller]
    pub(crate) fn ask(&self, process: &Process, arguments: &[&str]) -> Value {
        let server = process.url();
        let mut all = arguments.to_vec();
        all.extend(["--server", &server]);
        let (code, document) = self.run(&all);
        assert_eq!(code, 0, "{arguments:?}: {document:#}");
        document
    }

    /// Two sites in folders, and a project.
    pub(crate) fn inventory(&self, process: &Process) {
        self.ask(process, &["put", "project", "lake", "{}"]);
        for site in ["east", "west"] {
            let url = format!("file://{}", self.path(site).display());
            self.ask(process, &["put", "site", site, &json!({ "url": url }).to_string()]);
        }
    }

    pub(crate) fn register(&self, process: &Process, table: &str, policy: &Value) {
        let source = format!("file://{}", self.path("lake").join(table).display());
        let name = format!("lake.sales.{table}");
        let policy = policy.to_string();
        let sites = ["--site", "east", "--site", "west", "--policy", &policy];
        let mut arguments = vec!["table", "register", &name, &source];
        arguments.extend(sites);
        self.ask(process, &arguments);
    }

    pub(crate) fn table(&self, process: &Process, table: &str) -> Value {
        self.ask(process, &["table", "show", &format!("lake.sales.{table}")])
    }

    /// Waits until a table is as it should be at all of its sites.
    pub(crate) fn until(
        &self,
        process: &Process,
        (table, what): (&str, &str),
        holds: impl Fn(&Value) -> bool,
    ) {
        let mut last = Value::Null;
        for _ in 0..PATIENCE {
            last = self.table(process, table);
            if last["sites"].as_array().unwrap().iter().all(&holds) {
                return;
            }
            pause();
        }
        panic!("{table} is not {what}: {last:#}");
    }

    pub(crate) fn until_head(&self, process: &Process, table: &str, head: &Value) {
        let what = format!("at {head}");
        self.until(process, (table, &what), |site| site["head"] == *head && site["status"] == "ok");
    }
}

/// Waits a moment.
#[allow(clippy::disallowed_methods, reason = "the test has nothing else to do")]
pub(crate) fn pause() {
    std::thread::sleep(LOOK);
}

impl Process {
    pub(crate) fn url(&self) -> String {
        self.said["listening"].as_str().unwrap().to_owned()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// SIGTERM; how it ended.
    pub(crate) fn stop(mut self) -> i32 {
        self.signal("TERM");
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that was stopped before stays so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
