//! A small mutator: one to four changes to a seed, of kinds that break readers of timelines.

use fastrand::Rng;

/// Longest input, in bytes.
const INPUT_BYTES_MAX: usize = 128 << 10;

/// Integers at the edges of what fields hold, and what only looks like one.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "1.0",
    "1e400",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "00000000000000000001",
];

/// Words that mean something to one of the readers.
const WORDS: &[&str] = &[
    "../",
    "..",
    ".",
    "/",
    "//",
    "%2e%2e/",
    "%2F",
    "%",
    "%25",
    ":",
    "s3://lake/t/",
    "file:/etc/",
    "file:///etc/passwd",
    ".hoodie/",
    ".hoodie/metadata/",
    "\u{0}",
    "\n",
    "\r\n",
    "\r",
    "\\\n",
    "\\",
    "\\u0041",
    "\\u00",
    "\\ud800",
    "=",
    " ",
    "\t",
    "#",
    "!",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "null",
    "true",
    "{}",
    "_",
    "-",
    "0-0-0",
    ".requested",
    ".inflight",
    ".commit",
    "deltacommit",
    ".log.",
    ".log.1_0-0-0",
    ".cdc",
    ".parquet",
    "2024010203040506",
    "#HUDI#",
    "Obj\u{1}",
    "hoodie.table.name=t\n",
    "hoodie.table.checksum=0\n",
    "hoodie.table.metadata.partitions=files\n",
    "hoodie.timeline.path=../x\n",
    "\"path\":\"a\",",
    "\"path\":null,",
    "\"partitionPath\":\"..\",",
    "\"fileSizeInBytes\":-1,",
    "e\u{301}",
    "\u{e9}",
    "\u{202e}",
    "\u{85}",
];

/// One input made of the seeds.
pub fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = pick(rng, seeds).clone();
    // Half of the inputs keep their length, so that what lies at an offset stays there.
    let in_place = rng.bool();
    for _ in 0..rng.usize(1..=4) {
        if in_place {
            overwrite(rng, &mut bytes, seeds);
        } else {
            change(rng, &mut bytes, seeds);
            bytes.truncate(INPUT_BYTES_MAX);
        }
    }
    bytes
}

fn overwrite(rng: &mut Rng, bytes: &mut [u8], seeds: &[Vec<u8>]) {
    if bytes.is_empty() {
        return;
    }
    // The end holds the footer of a Parquet file, and is where most of its meaning is.
    let from = if rng.bool() { bytes.len() - bytes.len().min(2_000) } else { 0 };
    let at = rng.usize(from..bytes.len());
    match rng.u8(0..5) {
        0 => bytes[at] ^= 1 << rng.u8(0..8),
        1 => bytes[at] = rng.u8(..),
        2 => bytes[at] = *pick(rng, &[0, 1, 0x7f, 0x80, 0xff]),
        3 => {
            let other = pick(rng, seeds);
            let part = &other[range(rng, other.len(), 16)];
            bytes[at..].iter_mut().zip(part).for_each(|(old, new)| *old = *new);
        }
        _ => {
            let run = rng.usize(1..=8);
            bytes[at..].iter_mut().take(run).for_each(|old| *old = 0xff);
        }
    }
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = rng.usize(..=bytes.len());
    match rng.u8(0..12) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.u8(0..8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(range(rng, bytes.len(), 64))),
        4 => {
            let other = pick(rng, seeds);
            let from = rng.usize(..=other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        5 => {
            let other = pick(rng, seeds);
            let part = other[range(rng, other.len(), 256)].to_vec();
            insert(bytes, at, &part);
        }
        6 => {
            let part = bytes[range(rng, bytes.len(), 64)].to_vec();
            let times = 1 << rng.u32(0..10);
            insert(bytes, at, &part.repeat(times));
        }
        7 => replace_number(rng, bytes, at),
        8 => nest(rng, bytes, at),
        9 => swap_lines(rng, bytes),
        _ => insert(bytes, at, pick(rng, WORDS).as_bytes()),
    }
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}

/// A range of at most `bytes_max` bytes inside `0..len`.
fn range(rng: &mut Rng, len: usize, bytes_max: usize) -> std::ops::Range<usize> {
    let start = rng.usize(..=len);
    start..len.min(start + rng.usize(..=bytes_max))
}

fn insert(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    drop(bytes.splice(at..at, part.iter().copied()));
}

/// Puts another number in the place of the first run of digits behind `at`.
fn replace_number(rng: &mut Rng, bytes: &mut Vec<u8>, at: usize) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|skip| at + skip) else {
        return;
    };
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    drop(bytes.splice(start..start + digits, pick(rng, NUMBERS).bytes()));
}

/// Puts brackets around the JSON value that seems to begin behind `at`.
fn nest(rng: &mut Rng, bytes: &mut Vec<u8>, at: usize) {
    let Some(start) = bytes[at..].iter().position(|b| *b == b':').map(|skip| at + skip + 1) else {
        return;
    };
    let value = bytes[start..].iter().position(|byte| matches!(byte, b',' | b'}' | b'\n'));
    let end = value.map_or(bytes.len(), |skip| start + skip);
    // Around the limit of 128, and far beyond it.
    let depth = *pick(rng, &[1, 2, 120, 125, 126, 127, 128, 129, 1_000, 20_000]);
    let (open, close) = if rng.bool() { ("[", "]") } else { ("{\"a\":", "}") };
    insert(bytes, end, close.repeat(depth).as_bytes());
    insert(bytes, start, open.repeat(depth).as_bytes());
}

fn swap_lines(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    if lines.is_empty() {
        return;
    }
    let (left, right) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
    lines.swap(left, right);
    if rng.bool() {
        lines.push(lines[left]);
    }
    *bytes = lines.concat();
}
