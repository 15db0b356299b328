//! The demo's writer and reader, and the reader against commits that were torn on purpose.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use table_sync_rows::demo::{self, DemoTable, ReadOptions, WriteOptions};
use table_sync_rows::{RowsError, commit_versions};
use tempfile::TempDir;

use crate::{local, read_local};

pub(crate) const SEED: u64 = 7;

pub(crate) fn lines(out: &[u8]) -> Vec<Value> {
    out.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn delta(table: &Path) -> DemoTable {
    let (store, url) = local(table);
    DemoTable::Delta { store, url }
}

/// Commits to `table` until `commits` lines are written; returns the lines.
pub(crate) async fn write(table: &DemoTable, commits: usize, seed: u64) -> Vec<Value> {
    println!("seed {seed}");
    let options = WriteOptions {
        interval: Duration::from_millis(1),
        duration: Duration::from_secs(3_600),
        seed,
        batch_rows: 40,
    };
    let (done, stop) = tokio::sync::oneshot::channel::<()>();
    let mut out = StopAfter { lines: commits, done: Some(done), bytes: Vec::new() };
    let stopped = async {
        // A dropped sender means the same as a sent word.
        let _ = stop.await;
    };
    demo::write(table, options, stopped, &mut out).await.unwrap();
    lines(&out.bytes)
}

/// Collects lines and says when there are enough.
struct StopAfter {
    lines: usize,
    done: Option<tokio::sync::oneshot::Sender<()>>,
    bytes: Vec<u8>,
}

impl std::io::Write for StopAfter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        if lines(&self.bytes).len() >= self.lines {
            self.done.take();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads `table` once with the demo's reader; returns its lines, the summary last.
async fn read_once(table: &Path) -> Vec<Value> {
    let table = delta(table);
    let options = ReadOptions { interval: Duration::from_secs(1), duration: Duration::ZERO };
    let mut out = Vec::new();
    demo::read(&table, options, std::future::pending(), &mut out).await.unwrap();
    lines(&out)
}

fn copy(table: &Path, to: &TempDir) -> PathBuf {
    let target = to.path().join("copy");
    for folder in ["", "_delta_log", "region=north", "region=south", "region=east", "region=west"] {
        fs::create_dir_all(target.join(folder)).unwrap();
        for entry in fs::read_dir(table.join(folder)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), target.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    target
}

fn commit(table: &Path, version: u64) -> PathBuf {
    table.join(format!("_delta_log/{version:020}.json"))
}

/// Removes every trace of versions above `version` from the log.
fn rewind(table: &Path, version: u64) {
    for entry in fs::read_dir(table.join("_delta_log")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let above = name.get(..20).and_then(|v| v.parse::<u64>().ok()).is_some_and(|v| v > version);
        if above || name == "_last_checkpoint" {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_reads_as_the_writer_says() {
    let folder = TempDir::new().unwrap();
    let table = folder.path().join("accounts");
    assert_eq!(read_once(&table).await[0]["waiting"], true);

    let mut written = write(&delta(&table), 24, SEED).await;
    // A second run goes on where the first one stopped.
    written.extend(write(&delta(&table), 8, SEED + 1).await);

    let (store, url) = local(&table);
    let versions = commit_versions(store, url).await.unwrap();
    let reported: Vec<_> = written.iter().map(|line| line["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, reported);
    for operation in ["CREATE TABLE", "WRITE", "UPDATE", "DELETE", "OPTIMIZE"] {
        assert!(written.iter().any(|line| line["operation"] == operation), "no {operation}");
    }
    assert!(table.join("_delta_log/_last_checkpoint").exists());

    for line in written.iter().rev() {
        let version = line["version"].as_u64().unwrap();
        let rows = read_local(&table, Some(version)).await.unwrap();
        assert_eq!(line["rows"].as_u64(), Some(rows.count), "{line}");
        rewind(&table, version);
        let read = &read_once(&table).await[0];
        assert_eq!(read["ok"], true, "{read}");
        for part in ["version", "rows", "sum"] {
            assert_eq!(read[part], line[part], "{part} of {read}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_lacks_one_action_is_torn() {
    let folder = TempDir::new().unwrap();
    let table = folder.path().join("accounts");
    let written = write(&delta(&table), 24, SEED).await;
    let mut torn_actions = 0;
    for line in written.iter().filter(|line| line["operation"] != "CREATE TABLE") {
        let version = line["version"].as_u64().unwrap();
        let log = fs::read_to_string(commit(&table, version)).unwrap();
        let actions: Vec<_> = log.lines().collect();
        let adds_and_removes =
            |action: &&str| action.starts_with("{\"add\"") || action.starts_with("{\"remove\"");
        // The first and the last are a remove and an add wherever a commit has both.
        let chosen: Vec<_> = actions.iter().copied().filter(adds_and_removes).collect();
        for lost in [chosen.first().unwrap(), chosen.last().unwrap()] {
            let scratch = TempDir::new().unwrap();
            let copy = copy(&table, &scratch);
            rewind(&copy, version);
            let left: Vec<_> = actions.iter().filter(|action| action != &lost).copied().collect();
            fs::write(commit(&copy, version), left.join("\n")).unwrap();
            let checkpoint = format!("_delta_log/{version:020}.checkpoint.parquet");
            // A checkpoint of the version itself would hide the torn commit.
            if copy.join(&checkpoint).exists() {
                fs::remove_file(copy.join(checkpoint)).unwrap();
            }
            let read = read_once(&copy).await;
            assert_eq!(read[0]["ok"], false, "{line} without {lost}: {}", read[0]);
            assert_eq!(read[1]["torn"], 1);
            torn_actions += 1;
        }
    }
    assert!(torn_actions > 20, "{torn_actions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_file_that_is_not_there_is_missing() {
    let folder = TempDir::new().unwrap();
    let table = folder.path().join("accounts");
    write(&delta(&table), 2, SEED).await;
    let file = fs::read_dir(table.join("region=east")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&file).unwrap();

    let error = read_local(&table, None).await.unwrap_err();
    let RowsError::Missing { path } = &error else { panic!("{}", error.with_causes()) };
    assert!(path.ends_with(file.file_name().unwrap().to_str().unwrap()), "{path}");
    let read = read_once(&table).await;
    assert_eq!(read[0]["error"]["code"], "missing", "{}", read[0]);
    assert_eq!(read[1]["errors"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_row_changes_the_hash() {
    let folder = TempDir::new().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    for table in [&ours, &theirs] {
        write(&delta(table), 4, SEED).await;
    }
    let same = read_local(&ours, None).await.unwrap();
    assert_eq!(read_local(&theirs, None).await.unwrap(), same);

    let (store, url) = local(&theirs);
    let table = deltalake::DeltaTableBuilder::from_url(url.clone())
        .unwrap()
        .with_storage_backend(store, url)
        .load()
        .await
        .unwrap();
    let update = table.update().with_predicate("account = 3");
    update.with_update("balance_cents", "balance_cents + 1").await.unwrap();
    let changed = read_local(&theirs, None).await.unwrap();
    assert_eq!(changed.count, same.count);
    assert_ne!(changed.hash, same.hash);
    assert_eq!(read_local(&theirs, Some(same.version)).await.unwrap(), same);
}
