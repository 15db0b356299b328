//! One S3 server in this process, and the real program as its client.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use driftless_testdata::Objects;
use driftless_testdata::corpus::project_tables;
use driftless_testdata::s3::{Config, MutationInfo, MutationKind, S3Double};

pub(crate) const BUCKET: &str = "replica";
pub(crate) const TABLE: &str = "wh/orders";
const PROBE: &str = "_driftless/probe.json";

/// An empty target with a configuration that names it.
pub(crate) struct Site {
    pub(crate) double: Arc<S3Double>,
    config: tempfile::NamedTempFile,
}

impl Site {
    /// A site whose store was probed before, so that each child starts with the table.
    pub(crate) fn new() -> Self {
        let site = Self::unprobed();
        site.double.put_object(BUCKET, PROBE, probe_result());
        site
    }

    fn unprobed() -> Self {
        let config = Config { buckets: vec![BUCKET.to_owned()], ..Config::default() };
        let double = Arc::new(S3Double::start(config));
        let text = format!(
            "[stores.site]\nurl = \"s3://{BUCKET}\"\n[stores.site.options]\n\
             aws_endpoint = \"{}\"\naws_allow_http = \"true\"\naws_region = \"us-east-1\"\n\
             aws_access_key_id = \"key\"\naws_secret_access_key = \"secret\"\n",
            double.endpoint()
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Self { double, config: file }
    }

    /// How many writes below the table were applied so far.
    pub(crate) fn writes(&self) -> u64 {
        let mutations = self.double.mutations();
        mutations.iter().filter(|info| info.applied() && is_visible(info)).count() as u64
    }

    fn child(&self, source: &Path, start: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_driftless"))
            .arg("--config")
            .arg(self.config.path())
            .args(["--output", "json", "--timeout", "20s", "sync", "--start", start])
            .arg(source)
            .arg(format!("site:{TABLE}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start driftless")
    }

    /// Runs the program to its end; its report.
    pub(crate) fn run(&self, source: &Path, start: &str) -> serde_json::Value {
        let output = self.child(source, start).wait_with_output().expect("run driftless");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            panic!("{error}: {:?}\n{stderr}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// Runs the program until a hook stops the server, and kills it there; whether one did.
    pub(crate) fn run_until_stopped(&self, source: &Path, start: &str) -> bool {
        let mut child = self.child(source, start);
        let stopped = self.double.wait_stopped(Duration::from_secs(60));
        // SIGKILL on Unix.
        child.kill().expect("kill driftless");
        child.wait().expect("reap driftless");
        self.double.resume();
        stopped.is_some()
    }

    pub(crate) fn replica(&self) -> Objects {
        below(&self.double.objects(BUCKET), TABLE)
    }
}

/// A write that readers of the table may see.
pub(crate) fn is_visible(info: &MutationInfo) -> bool {
    let whole = matches!(
        info.kind,
        MutationKind::Put
            | MutationKind::CompleteUpload
            | MutationKind::Copy
            | MutationKind::Delete
    );
    whole && info.key.starts_with(TABLE)
}

/// The objects below a prefix, keys relative to it.
pub(crate) fn below(objects: &BTreeMap<String, Bytes>, prefix: &str) -> Objects {
    let below = objects.iter().filter_map(|(key, bytes)| {
        let key = key.strip_prefix(prefix)?.strip_prefix('/')?;
        Some((key.to_owned(), bytes.clone()))
    });
    below.collect()
}

/// What a store that was probed before remembers.
fn probe_result() -> Bytes {
    static RESULT: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    let probed = RESULT.get_or_init(|| {
        let table = project_tables().into_iter().next().expect("a table of the project");
        let site = Site::unprobed();
        site.run(&table.root, "latest");
        site.double.object(BUCKET, PROBE).expect("a remembered probe")
    });
    probed.clone()
}

/// Where a report says that the replica stands, and why it stopped there.
pub(crate) fn ending(report: &serde_json::Value) -> (serde_json::Value, serde_json::Value) {
    let target = &report["targets"][0];
    (target["head"].clone(), target["blocked"]["code"].clone())
}

/// Works through a queue with two threads: most of the time children are waited for.
pub(crate) fn in_parallel<T: Send>(queue: Vec<T>, work: impl Fn(T) + Sync) {
    let queue = std::sync::Mutex::new(queue);
    let worker = || {
        while let Some(item) = { queue.lock().unwrap().pop() } {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}
