//! `hoodie.properties`: reading it, and the edits of a replica.
//!
//! # Laws
//! - Keys and values are those of a naive reading of `java.util.Properties`.
//! - An edit says what was asked for, and no other key changes.
//! - Bytes of lines that an edit does not name stay, in their order; only line ends are added, and
//!   only at the end.
//! - A valid checksum stays valid. Editing twice is editing once.
//! - Folders that the text names lie in the metadata folder.

use std::collections::BTreeMap;

use table_sync_hudi::instant::Layout;
use table_sync_hudi::properties::{Checksum, Properties, TARGET_SIDE_KEYS, key, parse_bytes};

use super::Verdict;
use super::confined::assert_confined;
use super::java::{self, Pair};

/// Reads the bytes as properties, and edits them.
pub fn target(data: &[u8]) -> Verdict {
    let naive = java::pairs(data);
    let properties = match parse_bytes(data) {
        Ok(properties) => properties,
        Err(error) => {
            assert_eq!(naive, None, "refused: {error}");
            return Verdict::Refused;
        }
    };
    let pairs = naive.expect("Java throws");
    let map = java::map(&pairs);
    assert_eq!(owned(properties.to_map()), map);
    assert_eq!(&properties.bytes()[..], data);
    for (key, value) in &map {
        assert_eq!(properties.get(key), Some(value.as_str()));
    }
    let mut meaning = map.clone();
    meaning.retain(|key, _| !TARGET_SIDE_KEYS.contains(&key.as_str()));
    assert_eq!(owned(properties.meaning()), meaning);
    assert_folders(&properties);
    for edit in edits(data, &map) {
        assert_edit(&properties, &pairs, &edit);
    }
    Verdict::Accepted
}

fn owned(map: BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    map.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn assert_folders(properties: &Properties) {
    let table = properties.table();
    for layout in [Layout::V1, Layout::V2] {
        for folder in [table.timeline_folder(layout), table.archive_folder(layout)] {
            let Ok(folder) = folder else { continue };
            assert_confined(&folder);
            let text = folder.as_str();
            assert!(text == ".hoodie" || text.starts_with(".hoodie/"), "{text}");
        }
    }
    let lists = [
        table.metadata_partitions(),
        table.partition_fields(),
        table.record_key_fields(),
        table.ordering_fields(),
    ];
    let length = properties.bytes().len();
    assert!(lists.iter().all(|list| list.len() <= length + 1));
    // A version without a layout of its own has that of its generation.
    let stated = properties.get(key::LAYOUT_VERSION).is_some();
    if let (Some(version), false) = (table.version(), stated) {
        let newer = if version < 8 { Layout::V1 } else { Layout::V2 };
        assert_eq!(table.layout(), Some(newer));
    }
}

/// What is removed, and what is set.
#[derive(Debug, Default)]
struct Edit {
    remove: Vec<String>,
    set: Vec<(String, String)>,
}

/// The edit that replicas make, a renaming, and edits of keys and values that the bytes choose.
fn edits(data: &[u8], map: &BTreeMap<String, String>) -> Vec<Edit> {
    let text = |pair: (&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
    let folder = text((key::TIMELINE_PATH, "timeline_7"));
    let replica = Edit {
        remove: [key::METADATA_PARTITIONS, key::METADATA_PARTITIONS_INFLIGHT]
            .map(str::to_owned)
            .into(),
        set: vec![folder],
    };
    let hash = data.iter().fold(7_usize, |n, byte| n.wrapping_mul(31) ^ usize::from(*byte));
    let chosen = |salt: usize| map.keys().nth(hash.wrapping_add(salt) % map.len().max(1)).cloned();
    let value = {
        let start = hash % data.len().max(1);
        let end = data.len().min(start + hash % 40);
        String::from_utf8_lossy(&data[start.min(end)..end]).into_owned()
    };
    let renamed = Edit { remove: Vec::new(), set: vec![text((key::NAME, &value))] };
    let of_data = Edit {
        remove: chosen(0).into_iter().collect(),
        set: chosen(1).into_iter().map(|key| (key, value.clone())).collect(),
    };
    let new_key =
        Edit { remove: Vec::new(), set: vec![text((&value, "\u{1f9ca} a=b ")), text(("a", ""))] };
    vec![Edit::default(), replica, renamed, of_data, new_key]
}

fn assert_edit(properties: &Properties, pairs: &[Pair], edit: &Edit) {
    let remove: Vec<&str> = edit.remove.iter().map(String::as_str).collect();
    let set: Vec<(&str, &str)> = edit.set.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let edited = properties.edit(&remove, &set);
    let mut expected = java::map(pairs);
    expected.retain(|key, _| !edit.remove.contains(key));
    expected.extend(edit.set.iter().cloned());
    let mut touched: Vec<&str> = remove.iter().copied().chain(set.iter().map(|s| s.0)).collect();
    let named = |key: &&str| [key::NAME, key::DATABASE].contains(key);
    let had = properties.get(key::CHECKSUM).is_some();
    let renames = touched.iter().any(named) && had && !touched.contains(&key::CHECKSUM);
    if let (true, Some(name)) = (renames, expected.get(key::NAME)) {
        let database = expected.get(key::DATABASE).map_or("", String::as_str);
        let sum = crc32(format!("{database}.{name}").as_bytes());
        expected.insert(key::CHECKSUM.to_owned(), sum.to_string());
        touched.push(key::CHECKSUM);
    }
    let pairs_after = java::pairs(&edited).expect("Java throws at an edited text");
    assert_eq!(java::map(&pairs_after), expected, "{edit:?} gives {:?}", edited.escape_ascii());
    let kept = without(properties.bytes(), pairs, &touched);
    let after = without(&edited, &pairs_after, &touched);
    let added = after.strip_prefix(kept.as_slice()).expect("bytes that the edit does not name");
    assert!([&b""[..], b"\n", b"\n\n"].contains(&added), "{:?}", added.escape_ascii());
    let again = parse_bytes(&edited).expect("an edited text");
    assert_eq!(again.edit(&remove, &set), edited, "a second edit changes something");
    let checksum_left = !touched.contains(&key::CHECKSUM) || renames;
    if properties.checksum() == Checksum::Valid && checksum_left && expected.contains_key(key::NAME)
    {
        assert_eq!(again.checksum(), Checksum::Valid, "{edit:?}");
    }
}

/// The text without the lines of some keys.
fn without(bytes: &[u8], pairs: &[Pair], keys: &[&str]) -> Vec<u8> {
    let mut left = Vec::new();
    let mut at = 0;
    for pair in pairs.iter().filter(|pair| keys.contains(&pair.key.as_str())) {
        left.extend_from_slice(&bytes[at..pair.range.start]);
        at = pair.range.end;
    }
    left.extend_from_slice(&bytes[at..]);
    left
}

/// CRC-32 of zlib, by its table.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |n: u32, _| if n & 1 == 1 { 0xedb8_8320 ^ (n >> 1) } else { n >> 1 };
    let entry = |n: u32| (0..8).fold(n, step);
    let next = |crc: u32, byte: &u8| entry((crc ^ u32::from(*byte)) & 0xff) ^ (crc >> 8);
    bytes.iter().fold(u32::MAX, next) ^ u32::MAX
}
