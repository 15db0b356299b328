//! Hand-made tables: version `v` adds the file `f<v>`, so version `v` has `v + 1` files.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields};
use bytes::Bytes;
use driftless_testdata::Objects;
use driftless_testdata::models::commit_key;
use parquet::arrow::ArrowWriter;

pub(crate) const SCHEMA: &str = r#"{\"type\":\"struct\",\"fields\":[]}"#;

pub(crate) fn prologue() -> String {
    format!(
        "{{\"protocol\":{{\"minReaderVersion\":1,\"minWriterVersion\":2}}}}\n\
         {{\"metaData\":{{\"id\":\"m\",\"schemaString\":\"{SCHEMA}\"}}}}\n"
    )
}

/// A table under construction.
#[derive(Clone, Default)]
pub(crate) struct Table(pub(crate) Objects);

impl Table {
    /// Commits of a range of versions with their data files; version 0 has the prologue.
    pub(crate) fn commits(mut self, versions: std::ops::RangeInclusive<u64>) -> Self {
        for v in versions {
            let size = v + 1;
            self.0.insert(format!("f{v}"), Bytes::from(vec![b'd'; usize::try_from(size).unwrap()]));
            let head = if v == 0 { prologue() } else { String::new() };
            let add = format!("{{\"add\":{{\"path\":\"f{v}\",\"size\":{size}}}}}\n");
            self = self.put(&commit_key(v), &(head + &add));
        }
        self
    }

    /// A commit that carries the prologue again, as RESTORE does.
    pub(crate) fn commit_with_prologue(self, v: u64) -> Self {
        let table = self.commits(v..=v);
        let text = String::from_utf8(table.0[&commit_key(v)].to_vec()).unwrap();
        table.put(&commit_key(v), &(prologue() + &text))
    }

    /// A classic checkpoint.
    pub(crate) fn checkpoint(mut self, v: u64) -> Self {
        let key = format!("_delta_log/{v:020}.checkpoint.parquet");
        self.0.insert(key, parquet_checkpoint(true, 0..=v));
        self
    }

    /// One of the two parts of a multi-part checkpoint.
    pub(crate) fn part(mut self, v: u64, part: u32) -> Self {
        let key = format!("_delta_log/{v:020}.checkpoint.{part:010}.{:010}.parquet", 2);
        let half = v / 2;
        let files = if part == 1 { 0..=half } else { half + 1..=v };
        self.0.insert(key, parquet_checkpoint(part == 1, files));
        self
    }

    pub(crate) fn hint(self, v: u64) -> Self {
        self.put("_delta_log/_last_checkpoint", &format!("{{\"version\":{v},\"size\":{}}}", v + 3))
    }

    pub(crate) fn hint_of_parts(self, v: u64) -> Self {
        let text = format!("{{\"version\":{v},\"size\":{},\"parts\":2}}", v + 3);
        self.put("_delta_log/_last_checkpoint", &text)
    }

    pub(crate) fn put(mut self, key: &str, text: &str) -> Self {
        self.0.insert(key.to_owned(), Bytes::from(text.to_owned()));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.0.remove(key).expect("the key to remove is there");
        self
    }
}

/// Rows: protocol and metadata if wanted, then one add per file. Structs are null where absent.
pub(crate) fn parquet_checkpoint(head: bool, files: std::ops::RangeInclusive<u64>) -> Bytes {
    let heads = if head { 2 } else { 0 };
    let files: Vec<u64> = files.collect();
    let rows = heads + files.len();
    let at = |row: usize| row.checked_sub(heads).map(|index| files[index]);
    let texts = |f: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new((0..rows).map(f).collect::<StringArray>())
    };
    let path = texts(&|row| at(row).map(|v| format!("f{v}")));
    let size: ArrayRef =
        Arc::new((0..rows).map(|r| at(r).map(|v| v as i64 + 1)).collect::<Int64Array>());
    let is = |wanted: usize| move |row: usize| head && row == wanted;
    let version = |n: i32| -> ArrayRef {
        let is = is(0);
        Arc::new((0..rows).map(|row| is(row).then_some(n)).collect::<Int32Array>())
    };
    let (is_head, schema) = (is(1), SCHEMA.replace('\\', ""));
    let id = texts(&|row| is_head(row).then(|| "m".to_owned()));
    let schema = texts(&|row| is_head(row).then(|| schema.clone()));
    let add = group(&[("path", path), ("size", size)], &|row| row >= heads, rows);
    let protocol = [("minReaderVersion", version(1)), ("minWriterVersion", version(2))];
    let protocol = group(&protocol, &is(0), rows);
    let metadata = group(&[("id", id), ("schemaString", schema)], &is(1), rows);
    let columns = [("add", add), ("protocol", protocol), ("metaData", metadata)];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true)));
    let batch = batch.unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn group(columns: &[(&str, ArrayRef)], valid: &dyn Fn(usize) -> bool, rows: usize) -> ArrayRef {
    let field = |(name, column): &(&str, ArrayRef)| {
        let kind: DataType = column.data_type().clone();
        Arc::new(Field::new(*name, kind, true))
    };
    let fields: Fields = columns.iter().map(field).collect();
    let arrays = columns.iter().map(|(_, column)| column.clone()).collect();
    let nulls = (0..rows).map(valid).collect::<Vec<bool>>();
    Arc::new(StructArray::new(fields, arrays, Some(nulls.into())))
}
