#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::expect_used)]
use futures::StreamExt as _;
use std::collections::BTreeMap;
use table_sync_store::*;
#[tokio::main(worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (source, target, count, streams): (&str, &str, usize, usize) =
        (&args[1], &args[2], args[3].parse().unwrap(), args[4].parse().unwrap());
    let open_at = |ep: &str, root: &str| {
        let o = [("endpoint", ep), ("access_key_id", "a"), ("secret_access_key", "b")];
        let options = o.iter().map(|(k, v)| (k.to_string(), Secret::plain(*v))).collect();
        let c = StoreConfig { url: format!("s3://bucket/{root}"), options };
        let stores: BTreeMap<_, _> = [("s".to_owned(), c)].into();
        open(&Location::parse("s:t", &stores).unwrap(), &Settings::default()).unwrap()
    };
    let (s, t) = (open_at(source, "in"), open_at(target, "out"));
    let start = std::time::Instant::now();
    futures::stream::iter(0..count)
        .for_each_concurrent(streams, |i| {
            let (s, t) = (s.clone(), t.clone());
            async move {
                let key = format!("{i:08}");
                let r = s.read(&key, None, None).await.unwrap();
                let size = r.object_bytes;
                let body = r.body.map(|c| Ok(c?)).boxed();
                t.upload(&key, size, body, Precondition::Absent).await.unwrap();
            }
        })
        .await;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = stat.split(' ').collect();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let hwm = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    println!("wall {:?} user {} sys {} ticks(10ms) {hwm} {:?}", start.elapsed(), f[13], f[14], t.counters());
}
