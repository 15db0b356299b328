//! Real servers, started for one test and stopped with it.
//!
//! Each function prints why it answers `None`; with `DRIFTLESS_REQUIRE_SERVERS=1` a missing program
//! fails the test instead.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;

/// A server on loopback.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its port.
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
#[allow(clippy::print_stderr, reason = "a skipped test must be visible")]
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

#[expect(clippy::disallowed_methods, reason = "a test that waits for its server has nothing else")]
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

/// Key id of [`versitygw`].
pub const KEY_ID: &str = "driftless-test";
/// Secret of [`versitygw`].
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

/// Azurite's account.
pub const ACCOUNT: &str = "devstoreaccount1";
/// Azurite's well-known account key, published in its documentation.
pub const ACCOUNT_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/\
                               K1SZFPTOtr/KBHBeksoGMGw==";

/// An Azurite with one container, `lake`.
pub fn azurite(test: &str) -> Option<Server> {
    let cached = ["bin/azurite-blob", "azurite/node_modules/.bin/azurite-blob"];
    let program = program("azurite-blob", &cached, test)?;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
    command.args(["--inMemoryPersistence", "--skipApiVersionCheck", "--silent"]);
    command.args(["--disableTelemetry"]);
    let server = start(command, port, folder);
    create_container(&server, "lake");
    Some(server)
}

/// Makes a container: no library of ours can.
fn create_container(server: &Server, name: &str) {
    #[expect(clippy::disallowed_methods, reason = "the server compares it with its own clock")]
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06\n");
    let resource = format!("/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container");
    let to_sign = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}{resource}");
    let key = STANDARD.decode(ACCOUNT_KEY).unwrap();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(to_sign.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let request = format!(
        "PUT /{ACCOUNT}/{name}?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\
         x-ms-date: {date}\r\nx-ms-version: 2021-08-06\r\n\
         Authorization: SharedKey {ACCOUNT}:{signature}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n",
        server.port
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 201"), "{reply}");
}
