//! Hudi tables that Spark wrote, replayed object by object, against the rows that Spark read
//! after each completed instant; and the corpus, which must open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use table_sync_rows::RowsError;
use table_sync_rows::hudi::{self, Place, RowSummary};
use tempfile::TempDir;
use url::Url;

/// Tables of this project with an instant that the judge cannot read, and what it lacks.
const UNSUPPORTED: [(&str, &str); 3] = [
    // Log files on top of a compaction that has not completed.
    ("mor_v6_pending_compaction", "in its slice"),
    ("mor_v6_rollback", "in its slice"),
    ("schema_evolution_v8", "schema on read"),
];

/// Tables of the corpus that the judge cannot read, and why.
const CORPUS_UNREADABLE: [(&str, &str); 5] = [
    // Versions before 6, which Driftless refuses as well.
    ("hudi_cow_pt_tbl.zip", "Found: 5"),
    ("hudi_non_part_cow.zip", "Found: 5"),
    ("/stock_ticks_cow.zip", "Found: 3"),
    ("/stock_ticks_mor.zip", "Found: 3"),
    // Its entries are called otherwise in the file than in the table's schema.
    ("hudi_comprehensive_types_v6_mor.zip", "type of column col_map_struct_with_array"),
];

#[derive(Deserialize)]
struct History {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Event {
    Put { put: String, object: String, modified_ms: u64 },
    Delete { delete: String },
}

#[derive(Deserialize)]
struct Expected {
    instants: Vec<ExpectedInstant>,
    #[serde(default)]
    unreadable: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ExpectedInstant {
    instant: String,
    action: String,
    completion: Option<String>,
    rows: Option<ExpectedRows>,
    /// Where readers of different Hudi versions see different rows, by version.
    #[serde(default)]
    otherwise: BTreeMap<String, Otherwise>,
}

#[derive(Deserialize)]
struct Otherwise {
    rows: ExpectedRows,
}

impl ExpectedInstant {
    /// What the newest reader sees: hudi-core follows its rules.
    fn rows(&mut self) -> Option<ExpectedRows> {
        let newest = std::mem::take(&mut self.otherwise).into_values().next_back();
        newest.map(|it| it.rows).or_else(|| self.rows.take())
    }
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
struct ExpectedRows {
    count: u64,
    hash: String,
}

fn place(table: &Path) -> Place {
    Place {
        url: Url::from_directory_path(table).unwrap(),
        options: BTreeMap::new(),
        network: Default::default(),
    }
}

async fn read(table: &Path, position: Option<&str>) -> Result<RowSummary, RowsError> {
    hudi::read(&place(table), position).await
}

/// Folders of the test tables by name; empty, and said so, if they are not generated.
fn tables() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/hudi");
    let Ok(entries) = fs::read_dir(folder) else {
        eprintln!("SKIPPED: there are no Hudi test tables, run `./dev testdata` to make them");
        return BTreeMap::new();
    };
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("expected.json").exists())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect()
}

/// The id of the instant that an object completes, if it does.
fn completed(path: &str) -> Option<&str> {
    let (folder, name) = path.rsplit_once('/')?;
    let (times, action) = name.split_once('.')?;
    let timeline = matches!(folder, ".hoodie" | ".hoodie/timeline");
    let state = action.contains('.') || matches!(action, "inflight" | "requested");
    let instant = times.split('_').next()?;
    let digits = instant.len() >= 14 && instant.bytes().all(|byte| byte.is_ascii_digit());
    (timeline && !state && digits).then_some(instant)
}

/// A table as it is replayed into a folder.
struct Replay<'a> {
    name: &'a str,
    fixture: &'a Path,
    scratch: TempDir,
    expected: std::vec::IntoIter<ExpectedInstant>,
    ids: BTreeSet<String>,
    /// Positions that were right when they were the newest, and their rows.
    seen: Vec<(String, ExpectedRows)>,
    wrong: Vec<String>,
    checked: usize,
    unsupported: usize,
}

impl Replay<'_> {
    fn apply(&self, event: &Event) {
        let root = self.scratch.path();
        match event {
            Event::Put { put, object, modified_ms } => {
                let path = root.join(put);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::copy(self.fixture.join("objects").join(object), &path).unwrap();
                let modified = UNIX_EPOCH + Duration::from_millis(*modified_ms);
                let file = fs::File::options().append(true).open(path).unwrap();
                file.set_modified(modified).unwrap();
            }
            Event::Delete { delete } => fs::remove_file(root.join(delete)).unwrap(),
        }
    }

    /// Reads the table at the instant that has just completed.
    async fn check(&mut self, step: &str, instant: &str, unreadable: bool) {
        let mut expected = self.expected.next().unwrap();
        assert_eq!(expected.instant, instant, "{}: expected.json is of another history", self.name);
        let read = read(self.scratch.path(), None).await;
        let label = format!("{} {} of '{step}' ({instant})", self.name, expected.action);
        match (read, expected.rows()) {
            (Ok(rows), Some(expected_rows)) => {
                let position = rows.position.clone().unwrap_or_default();
                let completion = expected.completion.unwrap_or_default();
                let named = position.starts_with(&completion);
                // An upgrade writes instants anew; they are not the newest then.
                let again = !self.ids.insert(instant.to_owned());
                if !again && (!named || !position.ends_with(&format!("_{instant}"))) {
                    self.wrong.push(format!("{label}: the newest position is {position}"));
                }
                let got = ExpectedRows { count: rows.count, hash: rows.hash };
                if got == expected_rows {
                    self.checked += 1;
                } else {
                    self.wrong.push(format!("{label}: {got:?}, not {expected_rows:?}"));
                }
                self.seen.push((position, expected_rows));
            }
            (Ok(_), None) => assert!(unreadable, "{label}: neither rows nor a reason"),
            (Err(error), rows) => self.fail(&label, &error, rows.is_none()),
        }
    }

    fn fail(&mut self, label: &str, error: &RowsError, unreadable: bool) {
        let lacks = UNSUPPORTED.iter().find(|(table, _)| *table == self.name);
        let text = error.with_causes();
        match (error, lacks) {
            (RowsError::Unsupported { .. }, Some((_, lacks))) if text.contains(lacks) => {
                self.unsupported += 1;
            }
            _ if unreadable => {}
            _ => self.wrong.push(format!("{label}: {} {text}", error.code())),
        }
    }

    /// Reads the table as it ended at each earlier position: right, or an error that says that
    /// the position is gone.
    async fn check_earlier(&mut self) -> (usize, usize) {
        let (mut right, mut gone) = (0, 0);
        for (position, expected) in &self.seen {
            match read(self.scratch.path(), Some(position)).await {
                Ok(rows) => {
                    let got = ExpectedRows { count: rows.count, hash: rows.hash };
                    if got == *expected {
                        right += 1;
                    } else {
                        let text = format!("{} as of {position}: {got:?}", self.name);
                        self.wrong.push(format!("{text}, not {expected:?}"));
                    }
                }
                Err(RowsError::Gone { .. } | RowsError::Missing { .. }) => gone += 1,
                Err(RowsError::Unsupported { .. }) if self.unsupported > 0 => gone += 1,
                Err(error) => {
                    let text = format!("{} as of {position}", self.name);
                    self.wrong.push(format!("{text}: {} {}", error.code(), error.with_causes()));
                }
            }
        }
        (right, gone)
    }
}

/// Makes the timeline as young as a replica's, whose store does not keep the source's times.
fn copied(table: &Path) {
    for entry in fs::read_dir(table.join(".hoodie")).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            let file = fs::File::options().append(true).open(entry.path()).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.set_modified(modified + Duration::from_secs(3_600)).unwrap();
        }
    }
}

async fn replay(name: &str, fixture: &Path) -> Vec<String> {
    let parse = |file| fs::read(fixture.join(file)).unwrap();
    let history: History = serde_json::from_slice(&parse("history.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&parse("expected.json")).unwrap();
    let unreadable = expected.unreadable;
    let mut replay = Replay {
        name,
        fixture,
        scratch: TempDir::new().unwrap(),
        expected: expected.instants.into_iter(),
        ids: BTreeSet::new(),
        seen: Vec::new(),
        wrong: Vec::new(),
        checked: 0,
        unsupported: 0,
    };
    for step in &history.steps {
        for event in &step.events {
            replay.apply(event);
            let Event::Put { put, .. } = event else { continue };
            let Some(instant) = completed(put) else { continue };
            replay.check(&step.name, instant, unreadable.contains_key(instant)).await;
        }
    }
    let (right, gone) = replay.check_earlier().await;
    copied(replay.scratch.path());
    let as_replica = replay.check_earlier().await;
    if as_replica != (right, gone) {
        replay.wrong.push(format!("{name}: {right} and {gone}, but {as_replica:?} as a replica"));
    }
    println!(
        "{name}: {} instants right as they completed, {} unsupported; {right} again at the end, \
         {gone} gone by then",
        replay.checked, replay.unsupported
    );
    if UNSUPPORTED.iter().any(|(table, _)| *table == name) && replay.unsupported == 0 {
        replay.wrong.push(format!("{name}: readable by now, take it off the list"));
    }
    replay.wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_instant_of_every_hudi_table_has_the_rows_that_spark_read() {
    let mut wrong = Vec::new();
    for (name, fixture) in tables() {
        wrong.extend(replay(&name, &fixture).await);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Roots of the tables in a folder; a metadata table is part of its table.
fn roots(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.join(".hoodie/hoodie.properties").is_file() {
        return found.push(folder.to_owned());
    }
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            roots(&entry.path(), found);
        }
    }
}

fn archives(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            archives(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "zip") {
            found.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_tables_open() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/hudi");
    let unzips = Command::new("unzip").arg("-v").output().is_ok();
    if !corpus.is_dir() || !unzips {
        eprintln!("SKIPPED: no corpus of Hudi tables beside the project, or no unzip");
        return;
    }
    let mut zips = Vec::new();
    archives(&corpus, &mut zips);
    zips.sort();
    let (mut wrong, mut rows_read) = (Vec::new(), 0);
    for zip in &zips {
        let scratch = TempDir::new().unwrap();
        let unzip = Command::new("unzip").arg("-q").arg(zip).arg("-d").arg(scratch.path()).status();
        assert!(unzip.unwrap().success(), "{}", zip.display());
        let mut tables = Vec::new();
        roots(scratch.path(), &mut tables);
        for table in tables {
            let archive = zip.strip_prefix(&corpus).unwrap().display();
            let name = format!("{archive}:{}", table.file_name().unwrap().to_str().unwrap());
            let lacks = CORPUS_UNREADABLE.iter().find(|(table, _)| name.contains(table));
            match (read(&table, None).await, lacks) {
                (Ok(rows), None) => {
                    println!("{name}: {} rows at {:?}", rows.count, rows.position);
                    rows_read += rows.count;
                }
                (Ok(_), Some(_)) => wrong.push(format!("{name}: readable, take it off the list")),
                (Err(error), Some((_, why))) if error.with_causes().contains(why) => {
                    println!("{name}: {} {}", error.code(), error.with_causes());
                }
                (Err(error), _) => {
                    wrong.push(format!("{name}: {} {}", error.code(), error.with_causes()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(rows_read > 0);
}
