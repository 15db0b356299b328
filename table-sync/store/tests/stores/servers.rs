//! Real servers, started for one test and stopped with it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use table_sync_store::{Location, Secret, Settings, Store, StoreConfig, open};

pub struct Server {
    child: Child,
    pub port: u16,
    /// Where the server keeps objects; removed with it.
    pub folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    base.unwrap_or_else(home).join("driftless")
}

/// The program, on PATH or in one of our cache folders. `None` prints why a test does nothing.
fn program(name: &str, cached: &[&str], test: &str) -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&on_path).map(|folder| folder.join(name));
    let found =
        places.chain(cached.iter().map(|path| cache().join(path))).find(|path| path.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("DRIFTLESS_REQUIRE_SERVERS").is_none_or(|value| value != "1"),
            "{name} is not installed"
        );
        eprintln!("SKIPPED {test}: {name} is not installed");
    }
    found
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(mut command: Command, port: u16, folder: tempfile::TempDir) -> Server {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Server { child, port, folder };
    let until = Instant::now() + Duration::from_secs(60);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

pub const KEY_ID: &str = "driftless-test";
pub const SECRET: &str = "not-so-secret-but-looked-for";

/// A versitygw with one bucket, `lake`.
pub fn versitygw(test: &str, keep_alive: bool) -> Option<Server> {
    let arguments = if keep_alive { vec!["--keep-alive"] } else { Vec::new() };
    versitygw_with(test, &arguments)
}

/// As [`versitygw`], with arguments of the test's own.
pub fn versitygw_with(test: &str, arguments: &[&str]) -> Option<Server> {
    let program = program("versitygw", &["bin/versitygw"], test)?;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("lake")).unwrap();
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["--port", &format!("127.0.0.1:{port}"), "--access", KEY_ID]);
    command.args(["--secret", SECRET, "--quiet"]);
    command.args(arguments);
    command.arg("posix").arg(folder.path());
    Some(start(command, port, folder))
}

impl Server {
    /// The bucket `lake` of an S3 server, rooted at `prefix`.
    pub fn s3(&self, prefix: &str, settings: &Settings) -> Store {
        let options = [
            ("endpoint", format!("http://127.0.0.1:{}", self.port)),
            ("region", "us-east-1".to_owned()),
            ("access_key_id", KEY_ID.to_owned()),
            ("secret_access_key", SECRET.to_owned()),
        ];
        named(&format!("s3://lake/{prefix}"), &options, settings)
    }
}

/// Opens a store with options.
pub fn named(url: &str, options: &[(&str, String)], settings: &Settings) -> Store {
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Secret::plain(value.as_str())))
        .collect();
    let config = StoreConfig { url: url.to_owned(), options };
    let stores: BTreeMap<String, StoreConfig> = [("site".to_owned(), config)].into();
    open(&Location::parse("site:table", &stores).unwrap(), settings).unwrap()
}

pub const ACCOUNT: &str = "devstoreaccount1";
/// Azurite's well-known account key, published in its documentation.
pub const ACCOUNT_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/\
                               K1SZFPTOtr/KBHBeksoGMGw==";

/// An Azurite without containers.
pub fn azurite(test: &str) -> Option<Server> {
    let cached = ["bin/azurite-blob", "azurite/node_modules/.bin/azurite-blob"];
    let program = program("azurite-blob", &cached, test)?;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    command.args(["--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]);
    command.args(["--disableTelemetry"]);
    Some(start(command, port, folder))
}
