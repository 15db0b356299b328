//! The demo's Hudi table, in a folder and in S3: every commit reads as its writer says.

use std::collections::{BTreeMap, BTreeSet};

use driftless_testdata::s3::{Config, S3Double};
use serde_json::Value;
use table_sync_rows::RowsError;
use table_sync_rows::demo::{self, DemoTable, ReadOptions};
use table_sync_rows::hudi::{self, Place};
use tempfile::TempDir;
use url::Url;

use crate::demo::{SEED, lines, write};

fn place(url: Url, options: &[(&str, &str)]) -> Place {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Place { url, options: options.collect(), network: Default::default() }
}

async fn read_once(table: &DemoTable) -> Vec<Value> {
    let options = ReadOptions { interval: Default::default(), duration: Default::default() };
    let mut out = Vec::new();
    demo::read(table, options, std::future::pending(), &mut out).await.unwrap();
    lines(&out)
}

/// Writes in two runs, reads every commit by its position and the newest with the demo's reader.
async fn check(place: Place, commits: usize) -> BTreeSet<String> {
    let table = DemoTable::Hudi(place.clone());
    assert_eq!(read_once(&table).await[0]["waiting"], true);
    let mut written = write(&table, commits, SEED).await;
    // A second run goes on where the first one stopped.
    written.extend(write(&table, 4, SEED + 1).await);

    let newest = written.last().unwrap();
    let read = &read_once(&table).await[0];
    assert_eq!(read["ok"], true, "{read}");
    for part in ["version", "rows", "sum"] {
        assert_eq!(read[part], newest[part], "{part} of {read}");
    }
    let mut archived = 0;
    for line in &written {
        match hudi::read(&place, line["version"].as_str()).await {
            Ok(rows) => assert_eq!(line["rows"].as_u64(), Some(rows.count), "{line}"),
            Err(RowsError::Gone { .. }) => archived += 1,
            Err(error) => panic!("{line}: {}", error.with_causes()),
        }
    }
    println!("{} commits read back, {archived} archived", written.len() - archived);
    assert!(archived < written.len() / 2, "{archived} of {} archived", written.len());
    written.iter().map(|line| line["operation"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_in_a_folder_reads_as_the_writer_says() {
    let folder = TempDir::new().unwrap();
    let url = Url::from_directory_path(folder.path().join("accounts")).unwrap();
    let operations = check(place(url, &[]), 24).await;
    let all = ["BULK_INSERT", "UPSERT", "DELETE", "COMPACT"].map(str::to_owned);
    assert_eq!(operations, BTreeSet::from(all));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_in_s3_reads_as_the_writer_says() {
    let s3 = S3Double::start(Config::default());
    s3.create_bucket("lake");
    let endpoint = s3.endpoint();
    let options = [
        ("aws_endpoint", endpoint.as_str()),
        ("aws_access_key_id", "judge"),
        ("aws_secret_access_key", "judge"),
        ("aws_region", "us-east-1"),
    ];
    check(place(Url::parse("s3://lake/demo/accounts/").unwrap(), &options), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_says_nothing_about_the_table() {
    let options = [
        ("aws_endpoint", "http://127.0.0.1:1"),
        ("aws_access_key_id", "judge"),
        ("aws_secret_access_key", "judge"),
        ("aws_region", "us-east-1"),
        ("timeout", "1s"),
    ];
    let place = place(Url::parse("s3://lake/accounts/").unwrap(), &options);
    let error = hudi::read(&place, None).await.unwrap_err();
    assert!(matches!(error, RowsError::Store { .. }), "{}", error.with_causes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_file_that_is_not_there_is_missing() {
    let folder = TempDir::new().unwrap();
    let url = Url::from_directory_path(folder.path().join("accounts")).unwrap();
    let place = place(url, &[]);
    write(&DemoTable::Hudi(place.clone()), 1, SEED).await;
    let rows = hudi::read(&place, None).await.unwrap();
    let region = folder.path().join("accounts/region=east");
    let files: BTreeMap<_, _> = std::fs::read_dir(region)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    let (name, path) = files.iter().find(|(name, _)| name.ends_with(".parquet")).unwrap();
    std::fs::remove_file(path).unwrap();
    let error = hudi::read(&place, rows.position.as_deref()).await.unwrap_err();
    let RowsError::Missing { path } = &error else { panic!("{}", error.with_causes()) };
    assert!(path.ends_with(name), "{path}");
}
