//! Hudi tables as other programs see them: recorded lives of real tables, laid into folders and
//! into an S3 server up to any of their instants. Their times are kept, since version 6 orders
//! instants by them.

mod documents;
mod formats;
mod refused;
mod retire;
mod rows;
mod sync;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use driftless_testdata::models::hudi::{Event, HudiObjects, Recorded, recorded_tables};
use driftless_testdata::s3::S3Double;
use serde_json::Value;

use crate::World;

/// Completed instants that make a life go to its end.
const ALL: usize = usize::MAX;

/// A recorded table on its way from its first object to its last.
struct Life {
    recorded: Recorded,
    state: HudiObjects,
    done: usize,
}

impl Life {
    #[track_caller]
    fn of(name: &str) -> Self {
        let found = recorded_tables().into_iter().find(|table| table.name == name);
        Self::new(found.unwrap_or_else(|| panic!("no recorded table {name}")))
    }

    fn new(recorded: Recorded) -> Self {
        Self { recorded, state: HudiObjects::new(), done: 0 }
    }

    fn events(&self) -> Vec<Event> {
        let steps = self.recorded.steps.iter();
        steps.flat_map(|step| &step.events).skip(self.done).cloned().collect()
    }

    /// Goes on until so many more instants have completed; the events on the way.
    fn go_on(&mut self, instants: usize) -> Vec<Event> {
        let mut passed = Vec::new();
        let mut completed = 0;
        for event in self.events() {
            if completed == instants {
                break;
            }
            self.recorded.apply(&event, &mut self.state);
            self.done += 1;
            completed += usize::from(event.completes());
            passed.push(event);
        }
        passed
    }

    /// Whether nothing is left.
    fn is_over(&self) -> bool {
        self.events().is_empty()
    }

    /// Makes a folder hold exactly the table as it is now.
    fn lay(&self, folder: &Path) {
        let mut here = BTreeSet::new();
        walk(folder, &mut here);
        for path in &here {
            let key = path.strip_prefix(folder).unwrap().to_str().unwrap();
            if !self.state.contains_key(key) {
                fs::remove_file(path).unwrap();
            }
        }
        for key in self.state.keys() {
            self.write(folder, key);
        }
    }

    /// Carries out events in a folder, each object whole at once.
    fn feed(&mut self, folder: &Path, instants: usize) {
        for event in self.go_on(instants) {
            match event {
                Event::Put { put, .. } if self.state.contains_key(&put) => self.write(folder, &put),
                Event::Put { .. } => {}
                Event::Delete { delete } => {
                    let path = folder.join(delete);
                    if path.exists() {
                        fs::remove_file(path).unwrap();
                    }
                }
            }
        }
    }

    /// Carries out events in a bucket.
    fn put(&mut self, double: &S3Double, prefix: &str, instants: usize) {
        for event in self.go_on(instants) {
            match event {
                Event::Put { put, .. } => {
                    if let Some(object) = self.state.get(&put) {
                        let key = format!("{prefix}/{put}");
                        double.put_object("bucket", &key, object.bytes.clone());
                    }
                }
                Event::Delete { delete } => {
                    double.remove("bucket", &format!("{prefix}/{delete}"));
                }
            }
        }
    }

    fn write(&self, folder: &Path, key: &str) {
        let object = &self.state[key];
        let path = folder.join(key);
        let at = Duration::from_millis(u64::try_from(object.modified_ms).unwrap());
        let modified = SystemTime::UNIX_EPOCH + at;
        let same = fs::metadata(&path).is_ok_and(|facts| facts.modified().unwrap() == modified)
            && fs::read(&path).unwrap() == object.bytes;
        if same {
            return;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let written = folder.with_extension("writing");
        fs::write(&written, &object.bytes).unwrap();
        let file = fs::File::options().append(true).open(&written).unwrap();
        file.set_modified(modified).unwrap();
        fs::rename(written, path).unwrap();
    }
}

fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.insert(path);
        }
    }
}

/// A world with a recorded table at `source/t`, as it is after so many completed instants.
fn world(name: &str, instants: usize) -> (World, Life) {
    let world = World::new();
    let mut life = Life::of(name);
    life.go_on(instants);
    life.lay(&world.path("source/t"));
    (world, life)
}

/// The first target of a document.
fn target(document: &Value) -> &Value {
    &document["targets"][0]
}

/// One pass that must end with a code; what it says of its first target.
#[track_caller]
fn sync(world: &World, more: &str, code: i32) -> Value {
    let more = if more.is_empty() { String::new() } else { format!(" {more}") };
    let line = format!("sync source/t target/t --output json{more}");
    target(&world.ends(&line, code).json()).clone()
}

/// Names of a folder's files, without those in folders.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.path().is_file());
    let mut names: Vec<_> =
        files.map(|entry| entry.file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// The id in a position, `COMPLETION_INSTANT`.
#[track_caller]
fn id(position: &Value) -> &str {
    position.as_str().unwrap().split_once('_').unwrap().1
}
