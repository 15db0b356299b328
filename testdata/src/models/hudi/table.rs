//! `hoodie.properties`: what a reader needs to know before it lists anything.
//!
//! Source: Hudi's `HoodieTableConfig.fetchConfigs`; `java.util.Properties`.

use std::collections::BTreeMap;

use super::{HudiObjects, Loud};

const PROPERTIES: &str = ".hoodie/hoodie.properties";
const BACKUP: &str = ".hoodie/hoodie.properties.backup";

/// The properties of one table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) version: u32,
    /// Timeline layout, 1 or 2.
    pub(super) layout: u32,
    /// Folder of the active timeline, without slash at the end.
    pub(super) timeline: String,
    /// Folder of the LSM history below the timeline.
    pub(super) history: String,
    /// Extension of base files, with dot.
    pub(super) extension: String,
    pub(super) partitioned: bool,
    /// Whether the metadata table holds the file listing.
    pub(super) files_partition: bool,
}

impl Table {
    /// Reads the properties of the table whose `.hoodie` folder lies below `root`, which is empty
    /// or ends with a slash.
    pub(super) fn open(objects: &HudiObjects, root: &str) -> Result<Self, Loud> {
        let read = |key: &str| {
            let text = String::from_utf8_lossy(&objects.get(&format!("{root}{key}"))?.bytes);
            Some(parse(&text)).filter(|found| found.contains_key("hoodie.table.name"))
        };
        // A reader that finds the properties deleted, in the middle of a change, takes the backup.
        let found = read(PROPERTIES).or_else(|| read(BACKUP)).ok_or(Loud::NotATable)?;
        let get = |key: &str| found.get(key).map(String::as_str).filter(|v| !v.is_empty());
        let version = get("hoodie.table.version").and_then(|v| v.parse().ok()).unwrap_or(6);
        if get("hoodie.bootstrap.base.path").is_some() {
            return Err(Loud::Unsupported { version });
        }
        let layout = get("hoodie.timeline.layout.version").and_then(|v| v.parse().ok());
        let layout = layout.unwrap_or(if version >= 8 { 2 } else { 1 });
        let timeline = match layout {
            2 => format!("{root}.hoodie/{}", get("hoodie.timeline.path").unwrap_or("timeline")),
            _ => format!("{root}.hoodie"),
        };
        let history = get("hoodie.timeline.history.path").unwrap_or("history");
        let format = get("hoodie.table.base.file.format").unwrap_or("parquet");
        let partitions = get("hoodie.table.metadata.partitions").unwrap_or("");
        Ok(Self {
            version,
            layout,
            history: format!("{timeline}/{history}"),
            timeline,
            extension: format!(".{}", format.to_ascii_lowercase()),
            partitioned: get("hoodie.table.partition.fields").is_some(),
            files_partition: partitions.split(',').any(|name| name.trim() == "files"),
        })
    }
}

/// Parses the format of `java.util.Properties`, without continuation lines.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut key = String::new();
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => key.extend(escaped(&mut chars)),
                '=' | ':' => break,
                _ => key.push(c),
            }
        }
        let mut value = String::new();
        while let Some(c) = chars.next() {
            if c == '\\' { value.extend(escaped(&mut chars)) } else { value.push(c) }
        }
        found.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    found
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    match chars.next()? {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'u' => {
            let digits: String = chars.by_ref().take(4).collect();
            char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
        }
        c => Some(c),
    }
}
