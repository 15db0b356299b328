//! A naive reading of `java.util.Properties`: one character at a time, as the class's own
//! documentation tells it.

use std::collections::BTreeMap;
use std::ops::Range;

/// One pair, and the bytes of its lines with their last line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) range: Range<usize>,
}

/// Every pair of a text, in its order; `None` where Java throws.
pub(crate) fn pairs(bytes: &[u8]) -> Option<Vec<Pair>> {
    let mut pairs = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        while bytes.get(at).is_some_and(is_blank) {
            at += 1;
        }
        match bytes.get(at) {
            None => break,
            Some(b'\n' | b'\r') => at = behind_line_end(bytes, at),
            Some(b'#' | b'!') => {
                while bytes.get(at).is_some_and(|byte| !matches!(byte, b'\n' | b'\r')) {
                    at += 1;
                }
                at = behind_line_end(bytes, at);
            }
            Some(_) => {
                let line = logical_line(bytes, &mut at);
                let (key, value) = split(&line)?;
                pairs.push(Pair { key, value, range: start..at });
            }
        }
    }
    Some(pairs)
}

/// The last value of each key.
pub(crate) fn map(pairs: &[Pair]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

fn is_blank(byte: &u8) -> bool {
    [b' ', b'\t', b'\x0c'].contains(byte)
}

fn behind_line_end(bytes: &[u8], at: usize) -> usize {
    let two = bytes.get(at..at + 2) == Some(b"\r\n");
    (at + if two { 2 } else { 1 }).min(bytes.len())
}

/// Reads on to the end of a line that no backslash continues.
fn logical_line(bytes: &[u8], at: &mut usize) -> Vec<u8> {
    let mut line = Vec::new();
    while let Some(byte) = bytes.get(*at) {
        match byte {
            b'\n' | b'\r' => {
                *at = behind_line_end(bytes, *at);
                break;
            }
            b'\\' => match bytes.get(*at + 1) {
                // At the very end it stands for nothing.
                None => *at += 1,
                Some(b'\n' | b'\r') => {
                    *at = behind_line_end(bytes, *at + 1);
                    while bytes.get(*at).is_some_and(is_blank) {
                        *at += 1;
                    }
                }
                Some(escaped) => {
                    line.extend_from_slice(&[b'\\', *escaped]);
                    *at += 2;
                }
            },
            byte => {
                line.push(*byte);
                *at += 1;
            }
        }
    }
    line
}

fn split(line: &[u8]) -> Option<(String, String)> {
    let mut end = 0;
    while let Some(byte) = line.get(end) {
        if is_blank(byte) || b"=:".contains(byte) {
            break;
        }
        end += if *byte == b'\\' { 2 } else { 1 };
    }
    let end = end.min(line.len());
    let mut value = end;
    while line.get(value).is_some_and(is_blank) {
        value += 1;
    }
    if line.get(value).is_some_and(|byte| b"=:".contains(byte)) {
        value += 1;
        while line.get(value).is_some_and(is_blank) {
            value += 1;
        }
    }
    Some((convert(&line[..end])?, convert(&line[value..])?))
}

fn convert(text: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        if *byte != b'\\' {
            units.push(u16::from(*byte));
            continue;
        }
        let escaped = text.get(at).copied();
        at += 1;
        units.push(match escaped? {
            b'u' => {
                let digits = text.get(at..at + 4)?;
                let sound = digits.iter().all(u8::is_ascii_hexdigit);
                at += 4;
                let digits = std::str::from_utf8(digits).ok().filter(|_| sound)?;
                u16::from_str_radix(digits, 16).ok()?
            }
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            other => u16::from(other),
        });
    }
    Some(String::from_utf16_lossy(&units))
}
