//! When the cleaner may delete what is pending, over the life of a real table.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use driftless_testdata::fault::{FaultStore, Faults, Op};
use driftless_testdata::models::hudi::{HudiObjects, recorded_tables};
use object_store::local::LocalFileSystem;
use table_sync_core::{SourceLog, SourceView};
use table_sync_hudi::{HudiLog, Options};

const HOUR_MS: i64 = 3_600_000;

/// A table at the end of a step of its recorded life, with the times of its objects.
fn at_step(table: &str, step: &str) -> HudiObjects {
    let table = recorded_tables().into_iter().find(|one| one.name == table).unwrap();
    let mut objects = HudiObjects::new();
    for one in &table.steps {
        for event in &one.events {
            table.apply(event, &mut objects);
        }
        if one.name == step {
            return objects;
        }
    }
    panic!("no step {step}");
}

/// A folder with these objects.
fn write(folder: &Path, objects: &HudiObjects) {
    for (key, object) in objects {
        let path = folder.join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &object.bytes).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let modified = Duration::from_millis(u64::try_from(object.modified_ms).unwrap());
        file.set_modified(std::time::UNIX_EPOCH + modified).unwrap();
    }
}

struct Seen {
    log: HudiLog,
    view: SourceView,
    faults: Faults,
    _folder: tempfile::TempDir,
}

impl Seen {
    async fn of(objects: &HudiObjects) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), objects);
        let faults = Faults::none();
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let store = Arc::new(FaultStore::new(store, faults.clone()));
        let log = HudiLog::new(store, "", Options::default()).unwrap();
        let view = log.observe(None).await.unwrap();
        Self { log, view, faults, _folder: folder }
    }

    /// For the commit with this number in the order of completion.
    async fn deadline(&self, number: usize, now_ms: i64) -> Option<i64> {
        let oldest = self.view.commits[number].position;
        self.log.deadline_ms(&self.view, oldest, now_ms).await.unwrap()
    }

    fn committed(&self, number: usize) -> i64 {
        self.view.commits[number].committed_ms
    }
}

/// The cleaner keeps what the newest commit needs, and the state before it.
async fn check_one_is_kept(table: &str, cleaned: &str) {
    let before = Seen::of(&at_step(table, "insert overwrite")).await;
    assert_eq!(before.deadline(1, 0).await, None, "{table}: nothing tells of a cleaner yet");
    // After the clean of commit 5: 6 and 7 are new.
    let seen = Seen::of(&at_step(table, "re-insert")).await;
    let last_ms = seen.committed(7);
    // The commit after the next pushes a state out.
    assert_eq!(seen.deadline(5, last_ms).await, Some(seen.committed(7)), "{table}");
    assert_eq!(seen.deadline(4, last_ms).await, Some(seen.committed(6)), "{table}");
    assert_eq!(seen.deadline(1, last_ms).await, Some(seen.committed(3)), "{table}");
    // Of 6 it will be the next: expected soon, and later the longer it does not come.
    let soon = seen.deadline(6, last_ms).await.unwrap();
    assert!((last_ms..last_ms + HOUR_MS).contains(&soon), "{table}: {soon}");
    let later = seen.deadline(6, last_ms + 5 * HOUR_MS).await;
    assert_eq!(later, Some(last_ms + 5 * HOUR_MS), "{table}");
    // Nothing replaces the newest state.
    assert_eq!(seen.deadline(7, last_ms).await, None, "{table}");
    let seen = Seen::of(&at_step(table, cleaned)).await;
    assert_eq!(seen.deadline(6, last_ms).await, Some(seen.committed(8)), "{table}");
}

#[tokio::test]
async fn a_cleaner_by_commits() {
    check_one_is_kept("cow_v6", "clean again").await;
    check_one_is_kept("cow_v8", "clean again").await;
    check_one_is_kept("cow_v9", "clean again").await;
}

#[tokio::test]
async fn a_cleaner_by_hours_and_one_by_versions() {
    let mut objects = at_step("cow_v6", "re-insert");
    let clean = ".hoodie/20261124150810169.clean";
    let mut say = |text: &str, hours: i64| {
        let object = objects.get_mut(clean).unwrap();
        object.bytes = text.to_owned().into();
        // When it was planned is when its request was written.
        let request = objects.get_mut(&format!("{clean}.requested")).unwrap();
        request.modified_ms += hours * HOUR_MS;
        objects.clone()
    };
    let by = |policy: &str, retained: &str| {
        format!(
            r#"{{"earliestCommitToRetain":"{retained}","partitionMetadata":
                {{"p":{{"partitionPath":"p","policy":"{policy}"}}}}}}"#
        )
    };
    // It kept the commit before for some seconds, and an hour is the least that it can be set to.
    let kept = by("KEEP_LATEST_BY_HOURS", "20261124150807838");
    let seen = Seen::of(&say(&kept, 0)).await;
    assert_eq!(seen.deadline(5, 0).await, Some(seen.committed(6) + HOUR_MS));
    assert_eq!(seen.deadline(7, 0).await, None);
    // Here it kept it for more than 23 hours.
    let seen = Seen::of(&say(&kept, 23)).await;
    assert_eq!(seen.deadline(5, 0).await, Some(seen.committed(6) + 24 * HOUR_MS));
    // What it let go of may be gone since.
    let gone = seen.deadline(2, 0).await.unwrap();
    assert!(gone < seen.committed(6), "{gone}");
    for (policy, retained) in [("KEEP_LATEST_FILE_VERSIONS", ""), ("SOMETHING_NEW", "")] {
        let seen = Seen::of(&say(&by(policy, retained), 0)).await;
        assert_eq!(seen.deadline(1, 0).await, None, "{policy}");
    }
    // A policy that is not known says no more than what is past.
    let seen = Seen::of(&say(&by("SOMETHING_NEW", "20261124150807838"), 0)).await;
    assert_eq!(seen.deadline(5, 0).await, None);
    assert!(seen.deadline(1, 0).await.is_some());
}

#[tokio::test]
async fn a_clean_is_read_once() {
    let seen = Seen::of(&at_step("cow_v8", "re-insert")).await;
    let requests = || [Op::List, Op::Get, Op::Head].map(|op| seen.faults.count(op));
    let before = requests();
    assert_eq!(seen.deadline(7, 0).await, None);
    assert_eq!(requests(), before, "of the newest state nothing goes");
    seen.deadline(5, 0).await.unwrap();
    let read = requests();
    assert_eq!(read, [before[0], before[1] + 1, before[2]]);
    seen.deadline(4, 0).await.unwrap();
    assert_eq!(requests(), read);
}
