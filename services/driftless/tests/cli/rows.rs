//! Rows, read at both sides by the judge. It takes long to build: where it is not there, these
//! tests say so and pass; `DRIFTLESS_REQUIRE_ROWS=1` makes its absence a failure.

use std::path::PathBuf;

use crate::{World, s3};

/// The judge, by its variable or beside the binary under test.
pub(crate) fn judge() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_driftless")).with_file_name("driftless-rows");
    let named = std::env::var_os("DRIFTLESS_ROWS").map(PathBuf::from);
    let found = named.into_iter().chain([beside]).find(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var_os("DRIFTLESS_REQUIRE_ROWS").is_some();
        assert!(!required, "driftless-rows is not built: run `./dev build`");
        eprintln!("SKIPPED: driftless-rows is not built");
    }
    found
}

/// Runs with the judge; gives the code and the document.
#[track_caller]
pub(crate) fn run(world: &World, judge: &PathBuf, line: &str) -> (Option<i32>, serde_json::Value) {
    let arguments: Vec<_> = line.split(' ').collect();
    let output = world.command(&arguments).env("DRIFTLESS_ROWS", judge).output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), document)
}

#[test]
fn rows_are_compared() {
    let Some(judge) = judge() else { return };
    let world = World::with("history");
    world.done("sync source/t target/t");
    let line = "verify source/t target/t --level rows --output json";
    let (code, document) = run(&world, &judge, line);
    assert_eq!(code, Some(0), "{document}");
    let rows = &document["targets"][0]["rows"];
    assert_eq!(rows["source"], rows["target"]);
    assert_eq!(document["targets"][0]["equal"], true);
    let older = run(&world, &judge, &format!("{line} --version-at 11")).1;
    assert_eq!(older["targets"][0]["version"], 11);
}

#[test]
fn rows_of_a_named_store_are_read_with_its_options() {
    let Some(judge) = judge() else { return };
    let world = World::with("deletion_vectors");
    let _double = s3::start(&world);
    world.done("sync source/t lake:deep/t");
    let line = "verify source/t lake:deep/t --level rows --output json";
    let (code, document) = run(&world, &judge, line);
    assert_eq!(code, Some(0), "{document}");
    assert_eq!(document["targets"][0]["equal"], true);
}

#[test]
fn rows_that_the_judge_cannot_read_end_with_3() {
    let Some(judge) = judge() else { return };
    let world = World::with("type_widening");
    world.done("sync source/t target/t");
    let line = "verify source/t target/t --level rows --output json";
    let (code, document) = run(&world, &judge, line);
    assert_eq!(code, Some(3), "{document}");
    let blocked = &document["targets"][0]["blocked"];
    assert_eq!(blocked["code"], "unsupported_reader_feature");
    assert!(blocked["message"].as_str().unwrap().contains("typeWidening"), "{blocked}");
}

#[test]
fn rows_that_differ_end_with_4() {
    let Some(judge) = judge() else { return };
    let world = World::with("partitions");
    world.done("sync source/t target/t --start earliest");
    // The rows of one file under another file's name.
    let mut files = Vec::new();
    parquet_files(&world.path("target/t"), &mut files);
    files.sort();
    let (one, two) = (&files[0], &files[1]);
    let bytes = std::fs::read(one).unwrap();
    std::fs::copy(two, one).unwrap();
    std::fs::write(two, bytes).unwrap();
    let line = "verify source/t target/t --level rows --output json";
    let (code, document) = run(&world, &judge, line);
    assert!(matches!(code, Some(4 | 1)), "{document}");
    assert_ne!(document["targets"][0]["equal"], true);
}

fn parquet_files(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("_delta_log") {
            parquet_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
}

#[test]
fn the_demo_ends_well() {
    let Some(judge) = judge() else { return };
    let world = World::new();
    let (code, document) = run(&world, &judge, "demo --seconds 6 --output json");
    assert_eq!(code, Some(0), "{document}");
    assert_eq!(document["verdict"], "ok");
    assert_eq!(document["torn"], 0);
    assert_eq!(document["rows"]["source"], document["rows"]["target"]);
}

#[test]
fn a_missing_judge_is_named_with_the_way_to_build_it() {
    let world = World::with("history");
    world.done("sync source/t target/t");
    let line = ["verify", "source/t", "target/t", "--level", "rows", "--output", "json"];
    let output = world.command(&line).env("DRIFTLESS_ROWS", "/no/such/judge").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["error"]["message"].as_str().unwrap().contains("DRIFTLESS_ROWS"));
}
