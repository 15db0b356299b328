//! The oracle over real Hudi tables: their recorded lives, object by object.

use driftless_testdata::fault::Faults;
use driftless_testdata::models::hudi::{Recorded, recorded_tables};

use rig::Rig;

mod rig;
mod stamped;

fn tables() -> Vec<Recorded> {
    let only = std::env::var("DRIFTLESS_ONLY").ok();
    let mut tables = recorded_tables();
    tables.retain(|table| only.as_ref().is_none_or(|only| table.name.contains(only.as_str())));
    tables
}

/// Follows a table closely: a pass after every completed instant, half a second behind.
async fn follow(table: &Recorded) -> String {
    let mut rig = Rig::new(Faults::none());
    let mut ending = String::new();
    for step in &table.steps {
        for event in &step.events {
            rig.apply(table, event).await;
            if event.completes() {
                rig.target_times.set_now(rig.source_now() + 500);
                let report = rig.pass().await;
                if std::env::var_os("DRIFTLESS_TELL").is_some() {
                    println!("{event:?}: {:?} {:?}", report.published, report.warnings);
                }
                ending = match (&report.blocked, &report.failure) {
                    (Some(blocked), _) => format!("{}: {}", blocked.code, blocked.message),
                    (None, Some(failure)) => format!("FAILED {}", failure.message),
                    (None, None) => "head".to_owned(),
                };
            }
        }
    }
    let violations = rig.oracle.violations();
    if std::env::var_os("DRIFTLESS_TELL").is_some() {
        rig.oracle.assert_clean();
    }
    if let Some(first) = violations.first() {
        ending.push_str(&format!(" VIOLATIONS {}: {first}", violations.len()));
    } else if ending == "head" {
        rig.oracle.assert_at_head();
    }
    let _ = (rig.reader(), &rig.target_faults);
    ending
}

#[tokio::test(start_paused = true)]
async fn recorded_tables_are_followed_commit_by_commit() {
    for table in tables() {
        println!("{}: {}", table.name, follow(&table).await);
    }
}
