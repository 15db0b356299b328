//! The command line as other programs see it: the real binary on tables in a folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]
#![allow(clippy::too_many_lines, reason = "golden documents are long")]

mod alias;
mod docs;
mod documents;
mod exit_codes;
mod fan_out;
mod hudi;
mod key_lengths;
mod rows;
mod s3;
mod secrets;
mod servers;
mod stop;
mod tables;
mod uploads;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a source and room for targets, and no configuration of the user's.
pub(crate) struct World {
    folder: TempDir,
}

/// How a run ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A world with a copy of one of the project's Spark tables at `source/t`.
    pub(crate) fn with(table: &str) -> Self {
        let world = Self::new();
        world.add("source/t", table);
        world
    }

    /// One more copy of a Spark table.
    pub(crate) fn add(&self, at: &str, table: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/delta");
        copy(&from.join(table).join("table"), &self.path(at));
    }

    pub(crate) fn path(&self, at: &str) -> PathBuf {
        self.folder.path().join(at)
    }

    /// An object of the source's log.
    pub(crate) fn log(&self, version: u64) -> PathBuf {
        self.path(&format!("source/t/_delta_log/{version:020}.json"))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars() {
            if ["AWS_", "DRIFTLESS_CONFIG", "NO_COLOR"].iter().any(|p| name.starts_with(p)) {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.path("home")).env("XDG_CONFIG_HOME", self.path("home/.config"));
        command
    }

    /// Runs to the end; relative paths are below the world's folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self, self.command(arguments).output().unwrap())
    }

    /// Runs a command line that must end well.
    #[track_caller]
    pub(crate) fn done(&self, line: &str) -> Ran {
        self.ends(line, 0)
    }

    /// Runs a command line, split at spaces, that must end with a code.
    #[track_caller]
    pub(crate) fn ends(&self, line: &str, code: i32) -> Ran {
        let ran = self.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, code, "{line}\n{}\n{}", ran.stdout, ran.stderr);
        ran
    }

    /// Every file and folder below `at`, with what shows whether it was touched.
    pub(crate) fn footprint(&self, at: &str) -> BTreeMap<PathBuf, (std::time::SystemTime, u64)> {
        let mut found = BTreeMap::new();
        footprint(&self.path(at), &mut found);
        found
    }

    /// Text with the world's folder as `$WORLD`.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(&self.folder.path().to_string_lossy().into_owned(), "$WORLD")
    }
}

impl Ran {
    fn of(world: &World, output: Output) -> Self {
        let text = |bytes: Vec<u8>| world.redact(&String::from_utf8(bytes).unwrap());
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The one document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("not one document: {error}\n{}\n{}", self.stdout, self.stderr)
        })
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn footprint(at: &Path, found: &mut BTreeMap<PathBuf, (std::time::SystemTime, u64)>) {
    let facts = fs::metadata(at).unwrap();
    found.insert(at.to_owned(), (facts.modified().unwrap(), facts.len()));
    if facts.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            footprint(&entry.unwrap().path(), found);
        }
    }
}

/// The files of a table's folder, without its log.
pub(crate) fn data_files(table: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(table)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|e| e == "parquet"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", table.display());
    files
}

/// Changes one byte and keeps the size.
pub(crate) fn flip_last_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Writes a table whose log has these commits.
pub(crate) fn hand_made(table: &Path, commits: &[&str]) {
    let log = table.join("_delta_log");
    fs::create_dir_all(&log).unwrap();
    for (version, commit) in commits.iter().enumerate() {
        fs::write(log.join(format!("{version:020}.json")), commit).unwrap();
    }
}

/// The action that adds a file.
pub(crate) fn add(path: &str, size_bytes: u64) -> String {
    format!(
        "{{\"add\":{{\"path\":\"{path}\",\"partitionValues\":{{}},\"size\":{size_bytes},\
         \"modificationTime\":0,\"dataChange\":true}}}}\n"
    )
}

/// The first commit of a table that needs a reader feature.
pub(crate) fn needs_feature(feature: &str) -> String {
    format!(
        "{{\"protocol\":{{\"minReaderVersion\":3,\"minWriterVersion\":7,\
         \"readerFeatures\":[\"{feature}\"],\"writerFeatures\":[\"{feature}\"]}}}}\n\
         {{\"metaData\":{{\"id\":\"5f0b6f3e-0000-4000-8000-000000000001\",\
         \"format\":{{\"provider\":\"parquet\",\"options\":{{}}}},\
         \"schemaString\":\"{{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[]}}\",\
         \"partitionColumns\":[],\"configuration\":{{}}}}}}\n"
    )
}
