//! Every public table: replicated once, and held against its source.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use chrono::NaiveDateTime;
use driftless_testdata::models::hudi::{HudiObjects, Object};
use expect_test::expect_file;

use super::rig::{CLOSE_MS, Rig, ending};
use super::scenarios::{is_wrong, judged, settle};

/// The tables of the public corpus, packed or not, by name. A corpus that is not there, or cannot
/// be unpacked, is said and left out.
#[allow(clippy::print_stderr, reason = "a skipped corpus must be visible in the test output")]
fn tables() -> BTreeMap<String, HudiObjects> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/hudi");
    if !corpus.is_dir() {
        eprintln!("SKIPPED: corpus not found beside the repository");
        return BTreeMap::new();
    }
    let mut files = Vec::new();
    walk(&corpus, &mut files);
    let unpacked = tempfile::tempdir().unwrap();
    for zip in files.iter().filter(|file| file.extension().is_some_and(|found| found == "zip")) {
        let target = unpacked.path().join(key(&corpus, zip));
        std::fs::create_dir_all(&target).unwrap();
        let done = Command::new("unzip").arg("-q").arg(zip).arg("-d").arg(target).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: unzip failed for {}", zip.display());
        }
    }
    let mut tables = below(&corpus);
    tables.extend(below(unpacked.path()));
    tables
}

/// Every table below a folder; a metadata table is part of its table.
fn below(folder: &Path) -> BTreeMap<String, HudiObjects> {
    let mut files = Vec::new();
    walk(folder, &mut files);
    let roots = files.iter().filter_map(|file| {
        let is_properties = file.ends_with(".hoodie/hoodie.properties");
        let root = is_properties.then(|| file.parent()?.parent()).flatten()?;
        let own = !root.components().any(|part| part.as_os_str() == ".hoodie");
        own.then(|| root.to_owned())
    });
    let roots: Vec<PathBuf> = roots.collect();
    let table = |root: &PathBuf| {
        let own = files.iter().filter(|file| file.starts_with(root));
        let objects = own.map(|file| {
            let key = key(root, file);
            let bytes = Bytes::from(std::fs::read(file).unwrap());
            let modified_ms = completed_ms(&key);
            (key, Object { bytes, modified_ms })
        });
        (key(folder, root), objects.collect())
    };
    roots.iter().map(table).collect()
}

/// When an object was written, as far as its name tells: an archive keeps no times. A version 6
/// instant completes two seconds after its request.
fn completed_ms(key: &str) -> i64 {
    let name = key.rsplit('/').next().unwrap_or(key);
    let digits = name.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let seconds = digits.get(..14).unwrap_or("20200101000000");
    let time = NaiveDateTime::parse_from_str(seconds, "%Y%m%d%H%M%S");
    time.map_or(0, |time| time.and_utc().timestamp_millis() + 2_000)
}

fn key(root: &Path, file: &Path) -> String {
    let parts = file.strip_prefix(root).unwrap().iter();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Files below a folder, without what an archiver of another system left.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("._") || name == "__MACOSX" || name.ends_with(".crc") {
            continue;
        }
        if entry.is_dir() {
            walk(&entry, files);
        } else {
            files.push(entry);
        }
    }
}

async fn once(objects: HudiObjects) -> String {
    let mut rig = Rig::new();
    rig.feed(objects).await;
    rig.pass_after(CLOSE_MS).await;
    let ended = match settle(&rig).await {
        Ok(report) => ending(&report),
        Err(message) => message,
    };
    judged(&rig, ended).await
}

#[tokio::test(start_paused = true)]
async fn every_public_table_is_replicated_or_refused() {
    let tables = tables();
    if tables.is_empty() {
        return;
    }
    let only = std::env::var("DRIFTLESS_ONLY").ok();
    let (mut text, mut heads) = (String::new(), 0);
    for (name, objects) in &tables {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let ended = once(objects.clone()).await;
        heads += usize::from(ended == "head");
        writeln!(text, "{name}: {ended}").unwrap();
    }
    println!("replicated {heads} of {} public tables", tables.len());
    let wrong: Vec<_> = text.lines().filter(|line| is_wrong(line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if only.is_none() {
        expect_file!["./corpus.txt"].assert_eq(&text);
    }
}
