#![allow(clippy::all, clippy::unwrap_used, clippy::print_stdout, missing_docs, clippy::indexing_slicing, clippy::panic)]
use std::sync::Arc;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use table_sync_core::*;
use table_sync_delta::{DeltaLog, Options};
fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = s.rsplit(") ").next().unwrap().split(' ').collect(); (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0 }
fn rss() -> String { let s = std::fs::read_to_string("/proc/self/status").unwrap(); s.lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned() }
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let path = std::env::args().nth(1).unwrap();
    let what = std::env::args().nth(2).unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(&path).unwrap());
    let log = DeltaLog::new(store, "", Options::default()).unwrap();
    let view = SourceLog::observe(&log, None).await.unwrap();
    println!("observe cpu {:.2} {} head {:?} bases {:?}", cpu(), rss(), view.head(), view.bases);
    let c = cpu();
    if what == "digest" {
        let d = log.live_digest(&view, view.head().unwrap()).await.unwrap();
        println!("digest {} cpu {:.2} {}", d.count(), cpu() - c, rss());
        return;
    }
    let planned = if what == "jump" { Planned { position: view.bases.last().unwrap().position, kind: PlannedKind::Jump } } else { Planned { position: view.commits.last().unwrap().position, kind: PlannedKind::Append } };
    let d = log.describe(&view, &planned).await.unwrap();
    println!("describe cpu {:.2} {}", cpu() - c, rss());
    let mut n = 0; let mut bytes = 0; let mut files = (d.needs)();
    while let Some(chunk) = files.try_next().await.unwrap() { n += chunk.len(); bytes += chunk.iter().map(|f| f.size_bytes.unwrap_or(0)).sum::<u64>(); }
    println!("needs {n} {bytes} cpu {:.2} {}", cpu() - c, rss());
}
