//! Benchmark tables on disk, streamed: memory does not grow with the number of files.
//!
//! Everything follows from the seed and the number of a file, so that a removal can name a file
//! without a list of them. Paths are 83 bytes in 12 x 28 partitions; one file in twenty has a
//! deletion vector.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::builder::deletion_vector::z85;
use crate::builder::metadata::{Metadata, Protocol};
use crate::builder::random::{content_rng, uuid};
use crate::builder::{LAST_CHECKPOINT_KEY, commit_key, stats, version_ms};

mod rows;

/// One file in this many has a deletion vector.
const VECTOR_EVERY: u64 = 20;

/// Files that each commit after the checkpoint adds, and removes.
const TAIL_FILES: u64 = 2;

/// Bytes of a data file that are made at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Shape of a generated table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Columns with statistics; 11 make about 700 bytes per file, 0 leaves them out.
    pub stats_columns: usize,
    /// Version of the checkpoint of [`million`].
    pub checkpoint_version: u64,
    /// Commits of [`million`] after the checkpoint.
    pub tail_commits: u64,
    /// Row groups of the checkpoint.
    pub row_groups: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 7, stats_columns: 11, checkpoint_version: 10, tail_commits: 3, row_groups: 10 }
    }
}

/// Writes the log of a table of `files` live files at `path`: one classic checkpoint, its own
/// commit and checksum, `_last_checkpoint`, and a few commits after it that add as many files as
/// they remove. The data files are not made.
///
/// # Errors
/// The file system's.
pub fn million(path: &Path, files: u64, options: &Options) -> io::Result<()> {
    let log = create_log(path)?;
    let version = options.checkpoint_version;
    let table = table_lines(options);
    let checkpoint = log.join(format!("{version:020}.checkpoint.parquet"));
    let table_bytes = rows::write_checkpoint(&checkpoint, &table, files, options)?;

    // The checkpoint's own commit added the last of its files.
    let mut lines = vec![info(version)];
    lines.extend((files.saturating_sub(TAIL_FILES)..files).map(|n| add(n, version, options)));
    write_lines(&path.join(commit_key(version)), &lines)?;
    write_checksum(&log, version, files, table_bytes, &table)?;
    for step in 0..options.tail_commits {
        let version = version + 1 + step;
        let first = step * TAIL_FILES;
        let mut lines = vec![info(version)];
        for n in first..first + TAIL_FILES {
            lines.push(add(files + n, version, options));
            if n < files {
                lines.push(remove(n, version, options));
            }
        }
        write_lines(&path.join(commit_key(version)), &lines)?;
    }
    let hint = json!({
        "version": version,
        "size": files + table.len() as u64,
        "sizeInBytes": fs::metadata(&checkpoint)?.len(),
        "numOfAddFiles": files,
    });
    fs::write(path.join(LAST_CHECKPOINT_KEY), hint.to_string())
}

/// Writes a table at `path` whose only commit, version 0, has `actions` adds. The data files are
/// not made. With 11 columns of statistics an action is about 950 bytes of JSON.
///
/// # Errors
/// The file system's.
pub fn commit_of(path: &Path, actions: u64, options: &Options) -> io::Result<()> {
    create_log(path)?;
    let mut file = BufWriter::new(File::create(path.join(commit_key(0)))?);
    write_line(&mut file, &info(0))?;
    for line in table_lines(options) {
        write_line(&mut file, &line)?;
    }
    let mut text = String::new();
    for n in 0..actions {
        text.clear();
        FileRow::new(n, options).write_add(&mut text, 0)?;
        file.write_all(text.as_bytes())?;
    }
    file.flush()
}

/// Writes a table at `path` whose version 1 is one line of about `line_bytes` bytes: an add with
/// huge statistics. A reader that holds a whole line in memory must refuse it.
///
/// # Errors
/// The file system's.
pub fn long_line(path: &Path, line_bytes: u64, options: &Options) -> io::Result<()> {
    commit_of(path, 1, options)?;
    let mut file = BufWriter::new(File::create(path.join(commit_key(1)))?);
    write!(
        file,
        "{{\"add\":{{\"path\":\"part-0\",\"partitionValues\":{{}},\"size\":1,\
         \"modificationTime\":{},\"dataChange\":true,\"stats\":\"",
        version_ms(1),
    )?;
    io::copy(&mut io::repeat(b'x').take(line_bytes), &mut file)?;
    file.write_all(b"\"}}\n")?;
    file.flush()
}

/// Writes a table at `path` with `files` data files of `size_bytes` random bytes each, which
/// exist, and one commit. The data files are not Parquet.
///
/// # Errors
/// The file system's.
pub fn copy_set(path: &Path, files: u64, size_bytes: u64, options: &Options) -> io::Result<()> {
    create_log(path)?;
    let mut log = BufWriter::new(File::create(path.join(commit_key(0)))?);
    write_line(&mut log, &info(0))?;
    write_line(&mut log, &Protocol::new(1, 2, &[], &[]).line())?;
    write_line(&mut log, &metadata(options, &[]))?;
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    for n in 0..files {
        let id = uuid(&mut row_rng(n, options));
        let key = format!("part-{n:05}-{id}.c000.snappy.parquet");
        write_data(&path.join(&key), &mut content_rng(options.seed, &key), size_bytes, &mut chunk)?;
        let line = json!({"add": {
            "path": key,
            "partitionValues": {},
            "size": size_bytes,
            "modificationTime": version_ms(0),
            "dataChange": true,
            "stats": "{\"numRecords\":1000}",
        }});
        write_line(&mut log, &line)?;
    }
    log.flush()
}

fn write_data(path: &Path, rng: &mut Rng, size_bytes: u64, chunk: &mut [u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut left_bytes = size_bytes;
    while left_bytes > 0 {
        let bytes = left_bytes.min(chunk.len() as u64);
        let part = &mut chunk[..bytes as usize];
        rng.fill(part);
        file.write_all(part)?;
        left_bytes -= bytes;
    }
    Ok(())
}

/// What the log says of file number `n`.
struct FileRow {
    path: String,
    month: String,
    day: String,
    size: u64,
    /// Empty if there are none.
    stats: String,
    vector: Option<Vector>,
}

/// A deletion vector of the kind `u`, alone in its file.
struct Vector {
    path: String,
    size_bytes: i32,
    cardinality: i64,
}

impl Vector {
    const OFFSET: i32 = 1;
}

impl FileRow {
    fn new(n: u64, options: &Options) -> Self {
        let mut rng = row_rng(n, options);
        let month = format!("{:02}", rng.u8(1..=12));
        let day = format!("{:02}", rng.u8(1..=28));
        let id = uuid(&mut rng);
        let task = n % 100_000;
        let path = format!("month={month}/day={day}/part-{task:05}-{id}.c000.snappy.parquet");
        let size = rng.u64(1 << 20..1 << 28);
        let records = rng.u64(1_000..1_000_000);
        let vector = n.is_multiple_of(VECTOR_EVERY).then(|| Vector {
            path: z85(uuid(&mut rng).as_bytes()),
            size_bytes: rng.i32(34..4_000),
            cardinality: rng.i64(1..1_000),
        });
        let mut stats = String::new();
        if options.stats_columns > 0 {
            stats::write_stats(&mut stats, &mut rng, options.stats_columns, records);
        }
        Self { path, month, day, size, stats, vector }
    }

    /// Appends an `add` line in the order of fields that Spark writes.
    fn write_add(&self, out: &mut String, version: u64) -> io::Result<()> {
        use std::fmt::Write as _;

        // Neither paths nor partition values have characters that JSON escapes; stats do.
        let _ = write!(
            out,
            "{{\"add\":{{\"path\":\"{}\",\"partitionValues\":{{\"month\":\"{}\",\"day\":\"{}\"}},\
             \"size\":{},\"modificationTime\":{},\"dataChange\":true",
            self.path,
            self.month,
            self.day,
            self.size,
            version_ms(version),
        );
        if !self.stats.is_empty() {
            let _ = write!(out, ",\"stats\":{}", serde_json::to_string(&self.stats)?);
        }
        if let Some(vector) = &self.vector {
            let _ = write!(out, ",\"deletionVector\":{}", vector.value());
        }
        out.push_str("}}\n");
        Ok(())
    }
}

impl Vector {
    fn value(&self) -> Value {
        json!({
            "storageType": "u",
            "pathOrInlineDv": self.path,
            "offset": Self::OFFSET,
            "sizeInBytes": self.size_bytes,
            "cardinality": self.cardinality,
        })
    }
}

/// The generator behind everything about file number `n`.
fn row_rng(n: u64, options: &Options) -> Rng {
    // An odd factor spreads neighbours; a plain xor would give related first numbers.
    Rng::with_seed(options.seed ^ n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn add(n: u64, version: u64, options: &Options) -> Value {
    let row = FileRow::new(n, options);
    let mut body = json!({
        "path": row.path,
        "partitionValues": {"month": row.month, "day": row.day},
        "size": row.size,
        "modificationTime": version_ms(version),
        "dataChange": true,
    });
    if !row.stats.is_empty() {
        body["stats"] = row.stats.into();
    }
    if let Some(vector) = row.vector {
        body["deletionVector"] = vector.value();
    }
    json!({ "add": body })
}

fn remove(n: u64, version: u64, options: &Options) -> Value {
    let row = FileRow::new(n, options);
    let mut body = json!({
        "path": row.path,
        "deletionTimestamp": version_ms(version),
        "dataChange": true,
        "extendedFileMetadata": true,
        "partitionValues": {"month": row.month, "day": row.day},
        "size": row.size,
    });
    if let Some(vector) = row.vector {
        body["deletionVector"] = vector.value();
    }
    json!({ "remove": body })
}

fn info(version: u64) -> Value {
    json!({"commitInfo": {
        "timestamp": version_ms(version),
        "operation": "WRITE",
        "operationParameters": {"mode": "Append"},
        "engineInfo": "driftless-testdata",
    }})
}

/// The `protocol` and `metaData` lines of a partitioned table with deletion vectors.
fn table_lines(options: &Options) -> Vec<Value> {
    let features = ["deletionVectors"];
    vec![Protocol::new(3, 7, &features, &features).line(), metadata(options, &["month", "day"])]
}

fn metadata(options: &Options, partition_columns: &[&str]) -> Value {
    let id = uuid(&mut Rng::with_seed(options.seed)).to_string();
    let columns = stats::columns(options.stats_columns.max(1));
    let columns: Vec<(&str, &str)> =
        columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    let mut metadata = Metadata::new(id);
    metadata.columns(&columns).partitioned_by(partition_columns);
    metadata.line(version_ms(0))
}

fn write_checksum(
    log: &Path,
    version: u64,
    files: u64,
    table_bytes: u64,
    table: &[Value],
) -> io::Result<()> {
    let find = |name: &str| table.iter().find_map(|line| line.get(name));
    let body = json!({
        "tableSizeBytes": table_bytes,
        "numFiles": files,
        "numMetadata": 1,
        "numProtocol": 1,
        "metadata": find("metaData"),
        "protocol": find("protocol"),
    });
    fs::write(log.join(format!("{version:020}.crc")), body.to_string())
}

fn create_log(path: &Path) -> io::Result<std::path::PathBuf> {
    let log = path.join("_delta_log");
    fs::create_dir_all(&log)?;
    Ok(log)
}

fn write_lines(path: &Path, lines: &[Value]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for line in lines {
        write_line(&mut file, line)?;
    }
    file.flush()
}

fn write_line(out: &mut impl Write, line: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
