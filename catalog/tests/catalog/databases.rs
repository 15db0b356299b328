//! Databases for tests: a SQLite file, and a PostgreSQL server of our own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use driftless_catalog::{Catalog, database_url};
use tempfile::TempDir;

/// Times of tests begin here.
pub(crate) const NOW: i64 = 1_764_500_000_000;

/// A SQLite database in a folder that goes away.
pub(crate) struct Sqlite(TempDir);

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn url(&self) -> String {
        database_url(&self.0.path().join("state/catalog.db"))
    }

    pub(crate) async fn open(&self) -> Catalog {
        Catalog::open(&self.url()).await.unwrap()
    }
}

/// A database of its own in a server that all tests of this process share.
pub(crate) struct Postgres {
    url: String,
}

impl Postgres {
    /// `None`, and a line that says so, where there is no PostgreSQL.
    pub(crate) async fn new() -> Option<Self> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let Some(server) = server() else {
            let required = std::env::var_os("DRIFTLESS_REQUIRE_SERVERS").is_some();
            assert!(!required, "no PostgreSQL: install the package postgresql");
            eprintln!("SKIPPED: no PostgreSQL");
            return None;
        };
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("catalog_{}_{number}", std::process::id());
        let create = Command::new(server.bin.join("createdb"))
            .args(["-h", &server.socket, "-U", "postgres", &name])
            .status()
            .unwrap();
        assert!(create.success());
        let socket = server.socket.replace('/', "%2F");
        Some(Self { url: format!("postgres://postgres@{socket}/{name}") })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn open(&self) -> Catalog {
        Catalog::open(&self.url).await.unwrap()
    }
}

struct Server {
    bin: PathBuf,
    /// Folder of its socket; it listens nowhere else.
    socket: String,
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(start).as_ref()
}

/// Starts a server in a folder of its own. It ends when this process does: a shell waits for its
/// standard input to be closed.
fn start() -> Option<Server> {
    let bin = binaries()?;
    let folder = tempfile::Builder::new().prefix("dlpg").tempdir().unwrap().keep();
    let data = folder.join("data");
    // A server refuses to run as root.
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if root {
        let owned = Command::new("chown").arg("postgres").arg(&folder).status().unwrap();
        assert!(owned.success(), "PostgreSQL needs the user postgres");
    }
    let run = |script: String| {
        let mut command = match root {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--", "sh", "-c", &script]);
                command
            }
            false => {
                let mut command = Command::new("sh");
                command.args(["-c", &script]);
                command
            }
        };
        command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let (bin_text, data, socket) = (bin.display(), data.display(), folder.display());
    let mut init = run(format!("{bin_text}/initdb -D {data} -U postgres -A trust -E UTF8 -N"));
    assert!(init.status().unwrap().success(), "initdb");
    let settings = "-c listen_addresses= -c fsync=off -c max_connections=200";
    let script = format!(
        "{bin_text}/pg_ctl -D {data} -w -l {socket}/log -o '-k {socket} {settings}' start \
         >{socket}/start && echo ready && cat >/dev/null; \
         {bin_text}/pg_ctl -D {data} -m immediate stop >{socket}/stop; rm -rf {socket}"
    );
    let mut child = run(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "PostgreSQL did not start");
    // Its end of the pipe is closed when this process ends, however it does.
    std::mem::forget(child);
    Some(Server { bin, socket: folder.display().to_string() })
}

/// The newest release's programs.
fn binaries() -> Option<PathBuf> {
    let releases = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut bins: Vec<_> =
        releases.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    bins.retain(|bin| has_all(bin));
    bins.sort();
    bins.pop()
}

fn has_all(bin: &Path) -> bool {
    ["initdb", "pg_ctl", "pg_isready", "createdb"].iter().all(|name| bin.join(name).exists())
}
