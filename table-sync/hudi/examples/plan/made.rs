//! A large merge-on-read table of version 8, made up name by name.
//!
//! Instant `i` writes the base files of `per_instant` new file groups and one log file for each
//! group of the instant before it. Commits, files and properties are those of a recorded table
//! with other names, so that a reader decodes what Hudi's own writer wrote.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apache_avro::types::Value;
use apache_avro::{Reader, Schema, Writer};
use bytes::Bytes;
use driftless_testdata::models::hudi::{HudiObjects, recorded_tables};

/// Times that a timeline of one instant per second can hold in one day.
pub const INSTANTS_MAX: u64 = 86_400;

/// More names than this for one file are too many for some file systems.
const LINKS_MAX: u64 = 50_000;

/// What the recorded table gives.
struct Template {
    schema: Schema,
    commit: Value,
    base_stat: Value,
    log_stat: Value,
    properties: Bytes,
    marker: Bytes,
    inflight: Bytes,
    base: Bytes,
    log: Bytes,
}

/// A table of so many instants, file groups per instant, and partitions.
#[derive(Clone)]
pub struct Made {
    pub instants: u64,
    per_instant: u64,
    /// At least twice `per_instant`, so that all commits are of one length.
    pub partitions: u64,
    template: Arc<Template>,
    commit_bytes: [u64; 2],
}

/// A data file: its key below the table root, and its bytes.
pub struct File {
    pub key: String,
    pub size: u64,
    is_base: bool,
}

fn time(instant: u64, millis: u64) -> String {
    let (hour, minute, second) = (instant / 3600, instant / 60 % 60, instant % 60);
    format!("20240101{hour:02}{minute:02}{second:02}{millis:03}")
}

fn text(value: String) -> Value {
    Value::Union(1, Box::new(Value::String(value)))
}

/// The value of a field, under its union.
fn field<'v>(record: &'v mut Value, name: &str) -> &'v mut Value {
    let Value::Record(fields) = record else { panic!("{name} is no field of {record:?}") };
    let found = fields.iter_mut().find(|(field, _)| field == name);
    &mut found.unwrap_or_else(|| panic!("the recorded table has no field {name}")).1
}

/// A write statistic of the recorded commit.
fn stat(commit: &Value) -> Value {
    let mut commit = commit.clone();
    let Value::Union(_, stats) = field(&mut commit, "partitionToWriteStats") else { panic!() };
    let Value::Map(stats) = stats.as_mut() else { panic!("write statistics are a map") };
    let Some(Value::Array(stats)) = stats.values_mut().next() else { panic!("nothing written") };
    stats.remove(0)
}

impl Template {
    fn recorded() -> Self {
        let mut tables = recorded_tables().into_iter();
        let table = tables.find(|table| table.name == "mor_v8").expect("mor_v8 is recorded");
        let mut objects = HudiObjects::new();
        for event in table.steps.iter().take(3).flat_map(|step| &step.events) {
            table.apply(event, &mut objects);
        }
        let named = |end: &str, nth: usize| {
            let mut found = objects.iter().filter(|(key, _)| key.ends_with(end));
            found.nth(nth).unwrap_or_else(|| panic!("no {end} is recorded")).1.bytes.clone()
        };
        let (first, third) = (named(".deltacommit", 0), named(".deltacommit", 2));
        let commit = |bytes: &[u8]| Reader::new(bytes).unwrap().next().unwrap().unwrap();
        let log = objects.iter().find(|(key, _)| key.contains(".log.")).unwrap().1.bytes.clone();
        Self {
            schema: Reader::new(first.as_ref()).unwrap().writer_schema().clone(),
            base_stat: stat(&commit(&first)),
            log_stat: stat(&commit(&third)),
            commit: commit(&first),
            properties: named("/hoodie.properties", 0),
            marker: named("/.hoodie_partition_metadata", 0),
            inflight: named(".deltacommit.inflight", 2),
            base: named(".parquet", 0),
            log,
        }
    }
}

impl Made {
    pub fn new(instants: u64, per_instant: u64, partitions: u64) -> Self {
        assert!(instants <= INSTANTS_MAX && partitions >= 2 * per_instant);
        let template = Arc::new(Template::recorded());
        let mut made = Self { instants, per_instant, partitions, template, commit_bytes: [0; 2] };
        made.commit_bytes = [0, 1].map(|instant| made.commit(instant).len() as u64);
        made
    }

    /// The same table at another time of its life.
    pub fn at(&self, instants: u64) -> Self {
        Self { instants, ..self.clone() }
    }

    pub fn groups(&self) -> u64 {
        self.instants * self.per_instant
    }

    pub fn properties(&self) -> Bytes {
        self.template.properties.clone()
    }

    fn file_id(group: u64) -> String {
        format!("{group:08x}-0000-0000-0000-000000000000-0")
    }

    fn folder(&self, group: u64) -> String {
        format!("p={:04}", group % self.partitions)
    }

    fn base(&self, group: u64) -> File {
        let (folder, id) = (self.folder(group), Self::file_id(group));
        let key = format!("{folder}/{id}_0-1-1_{}.parquet", time(group / self.per_instant, 0));
        File { key, size: self.template.base.len() as u64, is_base: true }
    }

    /// The log of a group, unless the group is of the newest instant.
    fn log(&self, group: u64) -> Option<File> {
        let instant = group / self.per_instant + 1;
        let (folder, id) = (self.folder(group), Self::file_id(group));
        let key = format!("{folder}/.{id}_{}.log.1_0-1-1", time(instant, 0));
        let size = self.template.log.len() as u64;
        (instant < self.instants).then_some(File { key, size, is_base: false })
    }

    /// Data files of a partition.
    pub fn partition(&self, partition: u64) -> impl Iterator<Item = File> {
        let groups = (partition..self.groups()).step_by(self.partitions as usize);
        groups.flat_map(|group| [Some(self.base(group)), self.log(group)].into_iter().flatten())
    }

    /// Size of the object that marks a folder as a partition.
    pub fn marker_bytes(&self) -> u64 {
        self.template.marker.len() as u64
    }

    /// Names of completed instants from an instant on, with their sizes.
    pub fn completed(&self, from: u64) -> impl Iterator<Item = (String, u64)> {
        let [first, other] = self.commit_bytes;
        (from..self.instants).map(move |instant| {
            let size = if instant == 0 { first } else { other };
            (format!("{}_{}.deltacommit", time(instant, 0), time(instant, 500)), size)
        })
    }

    /// Names in the timeline's folder from an instant on, with their sizes: requested, inflight and
    /// completed.
    pub fn timeline(&self, from: u64) -> impl Iterator<Item = (String, u64)> {
        let inflight = self.template.inflight.len() as u64;
        self.completed(from).zip(from..).flat_map(move |(completed, instant)| {
            let requested = time(instant, 0);
            [
                (format!("{requested}.deltacommit.inflight"), inflight),
                (format!("{requested}.deltacommit.requested"), 0),
                completed,
            ]
        })
    }

    /// Which instant has this name, or a name that begins so.
    pub fn instant_of(name: &str) -> u64 {
        let part = |at: usize| name[at..at + 2].parse::<u64>().unwrap();
        part(8) * 3600 + part(10) * 60 + part(12)
    }

    /// A completed instant's bytes.
    pub fn commit(&self, instant: u64) -> Bytes {
        let groups = instant * self.per_instant..(instant + 1) * self.per_instant;
        let mut stats: HashMap<String, Value> = HashMap::new();
        let mut add = |group: u64, file: &File, stat: &Value| {
            let (folder, name) = file.key.split_once('/').unwrap();
            let mut stat = stat.clone();
            *field(&mut stat, "fileId") = text(Self::file_id(group));
            *field(&mut stat, "path") = text(file.key.clone());
            *field(&mut stat, "partitionPath") = text(folder.to_owned());
            *field(&mut stat, "fileSizeInBytes") =
                Value::Union(1, Box::new(Value::Long(file.size as i64)));
            if !file.is_base {
                let base = self.base(group).key.split_once('/').unwrap().1.to_owned();
                *field(&mut stat, "baseFile") = text(base);
                let logs = Value::Array(vec![Value::String(name.to_owned())]);
                *field(&mut stat, "logFiles") = Value::Union(1, Box::new(logs));
                *field(&mut stat, "prevCommit") = text(time(group / self.per_instant, 0));
            }
            let stats = stats.entry(folder.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(stats) = stats else { panic!() };
            stats.push(stat);
        };
        for group in groups.clone() {
            add(group, &self.base(group), &self.template.base_stat);
        }
        let whole = self.at(instant + 1);
        for group in groups.start.saturating_sub(self.per_instant)..groups.start {
            add(group, &whole.log(group).unwrap(), &self.template.log_stat);
        }
        let mut commit = self.template.commit.clone();
        *field(&mut commit, "partitionToWriteStats") = Value::Union(1, Box::new(Value::Map(stats)));
        let mut writer = Writer::new(&self.template.schema, Vec::new());
        writer.append(commit).unwrap();
        writer.into_inner().unwrap().into()
    }

    /// Writes the table to a folder. Data files share their bytes, as further names of one file.
    pub fn write(&self, root: &Path) {
        let timeline = root.join(".hoodie/timeline");
        fs::create_dir_all(&timeline).unwrap();
        fs::write(root.join(".hoodie/hoodie.properties"), &self.template.properties).unwrap();
        for (name, _) in self.timeline(0) {
            let bytes = match name.rsplit_once('.').unwrap().1 {
                "requested" => Bytes::new(),
                "inflight" => self.template.inflight.clone(),
                _ => self.commit(Self::instant_of(&name)),
            };
            fs::write(timeline.join(name), bytes).unwrap();
        }
        let mut linked = [(0_u64, PathBuf::new()), (0, PathBuf::new())];
        for partition in 0..self.partitions {
            let folder = root.join(self.folder(partition));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(".hoodie_partition_metadata"), &self.template.marker).unwrap();
            for file in self.partition(partition) {
                let path = root.join(&file.key);
                let (links, first) = &mut linked[usize::from(file.is_base)];
                if links.is_multiple_of(LINKS_MAX) {
                    let bytes = if file.is_base { &self.template.base } else { &self.template.log };
                    fs::write(&path, bytes).unwrap();
                    *first = path;
                } else {
                    fs::hard_link(first, path).unwrap();
                }
                *links += 1;
            }
        }
    }
}
