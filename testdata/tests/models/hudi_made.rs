//! Hudi tables made by hand: a few objects, named as Hudi names them.

use bytes::Bytes;
use driftless_testdata::models::hudi::{HudiObjects, Object};

/// Instant `n` seconds after the start of 2024.
pub(crate) fn t(n: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms(n)).unwrap();
    time.format("%Y%m%d%H%M%S%3f").to_string()
}

/// The same moment in milliseconds.
pub(crate) fn ms(n: i64) -> i64 {
    1_704_067_200_000 + n * 1000
}

/// A block for a log: instant, and the instant that it rolls back.
pub(crate) type MadeBlock = (i64, Option<i64>);

/// An unpartitioned merge-on-read table.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) objects: HudiObjects,
    version: u32,
    /// Folder of the timeline.
    timeline: String,
}

impl Made {
    pub(crate) fn new(version: u32) -> Self {
        let timeline = if version >= 8 { ".hoodie/timeline" } else { ".hoodie" };
        let made = Self { objects: HudiObjects::new(), version, timeline: timeline.to_owned() };
        made.properties("")
    }

    pub(crate) fn properties(self, more: &str) -> Self {
        let layout = if self.version >= 8 { 2 } else { 1 };
        let text = format!(
            "#Updated at 2024\nhoodie.table.name=t\nhoodie.table.version={}\n\
             hoodie.timeline.layout.version={layout}\nhoodie.table.type=MERGE_ON_READ\n{more}",
            self.version
        );
        self.put(".hoodie/hoodie.properties", text, 0)
    }

    /// Later instants go to another timeline folder.
    pub(crate) fn timeline(mut self, name: &str) -> Self {
        self.timeline = format!(".hoodie/{name}");
        self
    }

    pub(crate) fn put(mut self, key: &str, bytes: impl Into<Bytes>, at: i64) -> Self {
        let object = Object { bytes: bytes.into(), modified_ms: ms(at) };
        self.objects.insert(key.to_owned(), object);
        self
    }

    pub(crate) fn delete(mut self, key: &str) -> Self {
        assert!(self.objects.remove(key).is_some(), "{key} is not there");
        self
    }

    /// Key of a completed instant that was requested at `time` and took a second.
    pub(crate) fn completed_key(&self, time: i64, action: &str) -> String {
        if self.version >= 8 {
            format!("{}/{}_{}.{action}", self.timeline, t(time), t(time + 1))
        } else {
            format!("{}/{}.{action}", self.timeline, t(time))
        }
    }

    pub(crate) fn completed(self, time: i64, action: &str) -> Self {
        let key = self.completed_key(time, action);
        self.put(&key, "", time + 1)
    }

    pub(crate) fn uncompleted(self, time: i64, action: &str) -> Self {
        let key = self.completed_key(time, action);
        self.delete(&key)
    }

    pub(crate) fn replaced(self, time: i64, ids: &[&str]) -> Self {
        let key = self.completed_key(time, "replacecommit");
        let body = serde_json::json!({ "partitionToReplaceFileIds": { "": ids } });
        self.put(&key, body.to_string(), time + 1)
    }

    /// A compaction that is planned and not done.
    pub(crate) fn planned(self, time: i64, ids: &[&str]) -> Self {
        let operation = |id| serde_json::json!({ "partitionPath": "", "fileId": id });
        let operations: Vec<_> = ids.iter().map(operation).collect();
        let body = serde_json::json!({ "operations": operations }).to_string();
        let key = format!("{}/{}.compaction.requested", self.timeline, t(time));
        self.put(&key, body, time)
    }

    pub(crate) fn base_key(id: &str, time: i64) -> String {
        format!("{id}_0-1-2_{}.parquet", t(time))
    }

    pub(crate) fn base(self, id: &str, time: i64) -> Self {
        let key = Self::base_key(id, time);
        self.put(&key, format!("rows of {id} at {time}"), time)
    }

    pub(crate) fn log_key(id: &str, name_time: i64, version: u32) -> String {
        format!(".{id}_{}.log.{version}_0-1-2", t(name_time))
    }

    pub(crate) fn log(self, id: &str, name: i64, version: u32, blocks: &[MadeBlock]) -> Self {
        let bytes: Vec<u8> = blocks.iter().flat_map(|block| block_bytes(*block, b"rows")).collect();
        let at = blocks.last().map_or(name, |(time, _)| *time);
        self.put(&Self::log_key(id, name, version), bytes, at)
    }

    /// Sets the time of a completed instant, as a copy does.
    pub(crate) fn touched(mut self, time: i64, action: &str, at: i64) -> Self {
        let key = self.completed_key(time, action);
        self.objects.get_mut(&key).unwrap().modified_ms = ms(at);
        self
    }
}

/// A data block, or a rollback command.
fn block_bytes((time, target): MadeBlock, content: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut header = vec![(0_u32, t(time))];
    if let Some(target) = target {
        header.push((1, t(target)));
        header.push((3, "0".to_owned()));
    }
    let code: u32 = if target.is_some() { 0 } else { 3 };
    body.extend(1_u32.to_be_bytes());
    body.extend(code.to_be_bytes());
    body.extend((header.len() as u32).to_be_bytes());
    for (key, value) in header {
        body.extend(key.to_be_bytes());
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend((content.len() as u64).to_be_bytes());
    body.extend(content);
    body.extend(0_u32.to_be_bytes());
    let length = body.len() as u64 + 8 + 6 + 8;
    body.extend(length.to_be_bytes());
    let mut bytes = b"#HUDI#".to_vec();
    bytes.extend((body.len() as u64).to_be_bytes());
    bytes.extend(body);
    bytes
}
