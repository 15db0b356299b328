//! The console in a real browser: the real binary, real tables, a headless Chromium.
//!
//! `console.mjs` has the scenarios. What they need (Node, Chromium, two npm packages in the cache)
//! is installed by `./dev test`; where it is missing the test says so and does nothing, and with
//! `DRIFTLESS_REQUIRE_SERVERS=1` it fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Commits of the table that moves which come while the console is open.
const HELD: u64 = 2;

/// A table whose log asks for a feature whose name is markup.
const HOSTILE: &str = concat!(
    r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"#,
    r#""readerFeatures":["<img src=x onerror=window.pwned=1>"],"#,
    r#""writerFeatures":["<img src=x onerror=window.pwned=1>"]}}"#,
    "\n",
    r#"{"metaData":{"id":"8f0b7a3e-0c43-4f39-9d0e-6d4f8b6f6a01","#,
    r#""format":{"provider":"parquet","options":{}},"#,
    r#""schemaString":"{\"type\":\"struct\",\"fields\":[]}","#,
    r#""partitionColumns":[],"configuration":{},"createdTime":0}}"#,
    "\n",
);

/// Arguments of a server with its catalog in its folder.
fn serve<'a>(folder: &'a Path, listen: &'a str) -> [&'a str; 9] {
    let folder = folder.to_str().unwrap();
    ["serve", "--output", "json", "--data", "data", "--allow-files", folder, "--listen", listen]
}

/// A server of its own: a catalog, sources and sites in one folder.
struct Service {
    child: Child,
    url: String,
    folder: TempDir,
    token: Option<String>,
    // Open until the server has ended, so that it can write.
    _stdout: BufReader<ChildStdout>,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn driftless(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DRIFTLESS_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).env("HOME", folder).env("XDG_CONFIG_HOME", folder);
    command
}

/// Runs a command that must end well: its document.
#[track_caller]
fn done(mut command: Command) -> Value {
    let output = command.args(["--output", "json"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

impl Service {
    /// Starts one in this folder; it says where it listens.
    fn start(folder: TempDir, arguments: &[&str], token: Option<String>) -> Self {
        let at = folder.path();
        let mut command = driftless(at);
        command.args(serve(at, "127.0.0.1:0")).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("said {line:?}"));
        let url = said["listening"].as_str().unwrap().to_owned();
        Self { child, url, folder, token, _stdout: stdout }
    }

    /// Runs a command against it.
    #[track_caller]
    fn ask(&self, arguments: &[&str]) {
        let mut command = driftless(self.folder.path());
        command.args(arguments).args(["--server", &self.url]);
        if let Some(token) = &self.token {
            command.env("DRIFTLESS_TOKEN", token);
        }
        done(command);
    }

    fn path(&self, at: &str) -> PathBuf {
        self.folder.path().join(at)
    }

    fn place(&self, at: &str) -> String {
        format!("file://{}", self.path(at).display())
    }

    /// A project and its sites.
    fn furnish(&self, sites: &[&str]) {
        self.ask(&["put", "project", "lake", "{}"]);
        for site in sites {
            let url = json!({ "url": self.place(site), "region": "here" });
            self.ask(&["put", "site", site, &url.to_string()]);
        }
    }

    fn register(&self, name: &str, sites: &[&str]) {
        let source = self.place(&format!("lake/{name}"));
        let table = format!("lake.sales.{name}");
        let mut arguments = vec!["table", "register", &table, &source];
        for site in sites {
            arguments.extend(["--site", site]);
        }
        self.ask(&arguments);
    }

    /// A copy of one of the project's Spark tables.
    fn add(&self, name: &str, table: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/delta");
        copy(&from.join(table).join("table"), &self.path(&format!("lake/{name}")));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Takes the newest commits of a table away: where they are, and where they belong.
fn hold(service: &Service, name: &str) -> Vec<Value> {
    let log = service.path(&format!("lake/{name}/_delta_log"));
    let versions = fs::read_dir(&log).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".json")?.parse::<u64>().ok()
    });
    let newest = versions.max().unwrap();
    let held = (newest + 1 - HELD..=newest).map(|version| {
        let to = log.join(format!("{version:020}.json"));
        let from = service.path(&format!("held-{version}"));
        fs::rename(&to, &from).unwrap();
        json!({ "from": from, "to": to })
    });
    held.collect()
}

/// A server without tokens, with tables in step, one that is none, and one that is hostile.
fn open() -> (Service, Vec<Value>) {
    let service = Service::start(tempfile::tempdir().unwrap(), &["--no-auth"], None);
    let sites = ["east", "west"];
    service.furnish(&sites);
    let tables = [
        ("moving", "history"),
        ("orders", "partitions"),
        ("returns", "deletion_vectors"),
        ("stock", "schema_evolution"),
    ];
    for (name, table) in tables {
        service.add(name, table);
    }
    let held = hold(&service, "moving");
    fs::create_dir_all(service.path("lake/nothing")).unwrap();
    fs::create_dir_all(service.path("lake/hostile/_delta_log")).unwrap();
    fs::write(service.path("lake/hostile/_delta_log/00000000000000000000.json"), HOSTILE).unwrap();
    for name in ["moving", "orders", "returns", "stock", "nothing", "hostile"] {
        service.register(name, &sites);
    }
    (service, held)
}

/// A server with tokens of two roles.
fn closed() -> (Service, [String; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let token = |role: &str| {
        let mut command = driftless(folder.path());
        command.args(["token", "create", "--name", role, "--role", role, "--data", "data"]);
        done(command)["secret"].as_str().unwrap().to_owned()
    };
    let [admin, reader, operator] = ["admin", "reader", "operator"].map(token);
    let service = Service::start(folder, &[], Some(admin));
    service.furnish(&["east"]);
    service.add("kept", "partitions");
    service.register("kept", &["east"]);
    (service, [reader, operator])
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&folders).collect();
    let places = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|path| path.is_file())
}

/// Node, Chromium, and the folder of the npm packages; what is missing otherwise.
fn tools() -> Result<[PathBuf; 3], &'static str> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let modules = cache.unwrap_or_else(home).join("driftless/console");
    let node = on_path(&["node"]).ok_or("node")?;
    let chromium = on_path(&["chromium", "chromium-browser", "google-chrome"]).ok_or("chromium")?;
    let package = |name: &str| modules.join("node_modules").join(name).join("package.json");
    match ["puppeteer-core", "axe-core"].into_iter().find(|name| !package(name).is_file()) {
        Some(missing) => Err(missing),
        None => Ok([node, chromium, modules]),
    }
}

#[test]
fn the_console_in_a_browser() {
    let [node, chromium, modules] = match tools() {
        Ok(tools) => tools,
        Err(missing) => {
            let required = std::env::var_os("DRIFTLESS_REQUIRE_SERVERS");
            assert!(required.is_none_or(|value| value != "1"), "{missing} is not installed");
            eprintln!("SKIPPED the console in a browser: {missing} is not installed");
            return;
        }
    };
    let (open, held) = open();
    let (closed, [reader, operator]) = closed();
    let artifacts = std::env::var_os("DRIFTLESS_ARTIFACTS").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("console"),
        PathBuf::from,
    );
    let listen = closed.url.trim_start_matches("http://");
    let mut again = vec![env!("CARGO_BIN_EXE_driftless")];
    again.extend(serve(closed.folder.path(), listen));
    let given = json!({
        "open": { "url": format!("{}/", open.url) },
        "closed": {
            "url": format!("{}/", closed.url),
            "pid": closed.child.id(),
            "again": again,
            "folder": closed.folder.path(),
            "reader": reader,
            "operator": operator,
        },
        "held": held,
        "chromium": chromium,
        "modules": modules,
        "artifacts": artifacts,
    });
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console/console.mjs");
    let output = Command::new(node).arg(scenarios).arg(given.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
}
