//! Recorded lives, followed by looks that list next to nothing again.
//!
//! Timelines of these tables are short, so that looks would always list them whole; here all but
//! the newest instants are taken for settled.

use std::fmt::Write as _;

use driftless_testdata::fault::Faults;
use driftless_testdata::models::hudi::Recorded;
use table_sync_hudi::{Margin, MetadataTable, Options};

use super::rig::Rig;
use super::scenarios::{Scenario, is_wrong, outcome_in};
use super::tables;

/// Scenarios in which one process looks many times.
const SCENARIOS: [Scenario; 3] = [Scenario::Follow, Scenario::CatchUp, Scenario::Random(7)];

const MARGINS: [Margin; 2] = [Margin { names: 0, commits: 1 }, Margin { names: 8, commits: 2 }];

fn rig(options: &Options) -> Rig {
    Rig::with(Faults::none(), options.clone())
}

/// How a table ends where looks list little, if that is wrong, or not how it ends where each look
/// lists everything.
async fn differs(table: &Recorded, options: &Options) -> String {
    let mut text = String::new();
    for scenario in SCENARIOS {
        let usual = outcome_in(&mut rig(options), table, scenario).await;
        for margin in MARGINS {
            let mut near = rig(options);
            near.restart_near(margin);
            let ended = outcome_in(&mut near, table, scenario).await;
            if is_wrong(&ended) || ended != usual {
                let name = (&table.name, scenario.name());
                writeln!(text, "{name:?}, {margin:?}: {ended}, not {usual}").unwrap();
            }
        }
    }
    text
}

/// No reader sees what the source never showed, and each table ends as it does otherwise.
#[tokio::test(start_paused = true)]
async fn looks_that_list_little_lead_to_the_same_end() {
    let mut wrong = String::new();
    for table in tables().iter().filter(|table| table.table_version >= 8) {
        wrong.push_str(&differs(table, &Options::default()).await);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The same with the metadata table.
#[tokio::test(start_paused = true)]
async fn a_mirrored_metadata_table_is_kept_in_step_by_them() {
    let options = Options { metadata_table: MetadataTable::Mirror, ..Options::default() };
    let mut wrong = String::new();
    for table in tables().iter().filter(|table| table.name.contains("_metadata")) {
        wrong.push_str(&differs(table, &options).await);
    }
    assert!(wrong.is_empty(), "{wrong}");
}
