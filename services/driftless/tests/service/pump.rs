//! The pump: lives of tables that real writers have written, lived again in a folder.

use std::path::{Path, PathBuf};

use driftless_testdata::Objects;
use driftless_testdata::models::hudi::{Event, Recorded, recorded_tables};

/// One write or delete of the source's writer.
enum Step {
    Put(String, Vec<u8>),
    Delete(String),
}

/// See the module.
pub(crate) struct Pump {
    root: PathBuf,
    steps: Vec<Step>,
    done: usize,
}

impl Pump {
    /// The life of a recorded Hudi table.
    pub(crate) fn hudi(root: PathBuf, table: &str) -> Self {
        let found: Vec<Recorded> =
            recorded_tables().into_iter().filter(|one| one.name == table).collect();
        let mut steps = Vec::new();
        for event in found[0].steps.iter().flat_map(|step| &step.events) {
            steps.push(match event {
                Event::Put { put, object, .. } => {
                    let bytes =
                        std::fs::read(fixture("hudi").join(table).join("objects").join(object));
                    Step::Put(put.clone(), bytes.unwrap())
                }
                Event::Delete { delete } => Step::Delete(delete.clone()),
            });
        }
        Self { root, steps, done: 0 }
    }

    /// The commits of a Delta table, each behind the files that it names.
    pub(crate) fn delta(root: PathBuf, table: &str) -> Self {
        let objects: Objects =
            driftless_testdata::corpus::load(&fixture("delta").join(table).join("table"));
        let (log, data): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|(key, _)| key.starts_with("_delta_log/"));
        let commit = |key: &str| key.ends_with(".json") && !key.contains("checkpoint");
        let (commits, derived): (Vec<_>, Vec<_>) =
            log.into_iter().partition(|(key, _)| commit(key));
        // Checkpoints and their like come behind the commits that they are derived from.
        let all = data.into_iter().chain(commits).chain(derived);
        let steps = all.map(|(key, bytes)| Step::Put(key, bytes.to_vec())).collect();
        Self { root, steps, done: 0 }
    }

    /// One more write; whether there was one.
    pub(crate) fn step(&mut self) -> bool {
        let Some(step) = self.steps.get(self.done) else { return false };
        self.done += 1;
        match step {
            Step::Put(key, bytes) => put(&self.root.join(key), bytes),
            Step::Delete(key) => {
                let gone = std::fs::remove_file(self.root.join(key));
                gone.unwrap();
            }
        }
        true
    }

    pub(crate) fn finish(&mut self) {
        while self.step() {}
    }
}

/// A store shows an object whole or not at all.
fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let parts =
        path.with_file_name(format!(".{}.writing", path.file_name().unwrap().to_string_lossy()));
    std::fs::write(&parts, bytes).unwrap();
    std::fs::rename(&parts, path).unwrap();
}

fn fixture(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(format)
}
