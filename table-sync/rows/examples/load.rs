//! The peer of the planning benchmark: what opening a table costs with deltalake.
//!
//! `load FOLDER` opens the newest version, as an application does. `load FOLDER --step` opens the
//! version before it and then steps to the newest one, which is what a program that follows a
//! table with deltalake pays for each commit. The last line of output is one JSON object.

use std::path::Path;
use std::time::Instant;

use deltalake::{DeltaTable, DeltaTableBuilder};
use url::Url;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Clock ticks per second of `/proc/self/stat`; Linux reports 100 on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of this process so far, in seconds; 0 where `/proc` is not there.
fn cpu_seconds() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return 0.0 };
    // The command's name, in parentheses, may hold spaces; utime and stime are 12 and 13 after it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    f64::from(ticks) / TICKS_PER_SECOND
}

/// Wall and CPU time of one step.
struct Timer {
    wall: Instant,
    cpu_seconds: f64,
}

impl Timer {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu_seconds: cpu_seconds() }
    }

    fn stop(&self) -> serde_json::Value {
        serde_json::json!({
            "wall_seconds": self.wall.elapsed().as_secs_f64(),
            "cpu_seconds": cpu_seconds() - self.cpu_seconds,
        })
    }
}

/// Files that the table's state holds.
fn files(table: &DeltaTable) -> Result<usize, AnyError> {
    Ok(table.snapshot()?.log_data().num_files())
}

async fn run(folder: &str, step: bool) -> Result<serde_json::Value, AnyError> {
    let folder = std::fs::canonicalize(Path::new(folder))?;
    let url = Url::from_directory_path(folder).map_err(|()| "name a folder")?;
    let mut table = DeltaTableBuilder::from_url(url)?.build()?;
    let newest = table.get_latest_version().await?;
    let load = Timer::start();
    table.load_version(newest.saturating_sub(u64::from(step))).await?;
    let mut report = serde_json::json!({
        "version": table.version(),
        "files": files(&table)?,
        "load": load.stop(),
    });
    if step {
        let next = Timer::start();
        table.update_incremental(Some(newest)).await?;
        let stepped = next.stop();
        if let Some(report) = report.as_object_mut() {
            report.insert("stepped_to".to_owned(), serde_json::json!(table.version()));
            report.insert("stepped_files".to_owned(), serde_json::json!(files(&table)?));
            report.insert("step".to_owned(), stepped);
        }
    }
    Ok(report)
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name the folder of a table: load FOLDER [--step]")?;
    let step = arguments.any(|argument| argument == "--step");
    let report = run(&folder, step).await?;
    #[expect(clippy::print_stdout, reason = "the result of this program")]
    {
        println!("{report}");
    }
    Ok(())
}
