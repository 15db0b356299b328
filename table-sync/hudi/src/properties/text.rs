//! The syntax of `java.util.Properties`: logical lines, separators, escapes.
//!
//! Bytes are ISO-8859-1, as `Properties.load(InputStream)` takes them: every byte is a character,
//! and anything else is a `\uXXXX` escape of a UTF-16 unit.

use std::ops::Range;

/// A logical line with a key: comments and blank lines are none.
pub(super) struct LogicalLine {
    /// Its bytes, with the line end.
    pub(super) range: Range<usize>,
    /// Where its line end starts.
    pub(super) end: usize,
    /// Its characters without leading blanks, continuations joined, escapes as they were.
    pub(super) text: Vec<u8>,
}

/// Splits a text into logical lines.
pub(super) fn lines(bytes: &[u8]) -> Vec<LogicalLine> {
    let mut lines = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let (content, mut end) = natural_line(bytes, &mut at);
        let content = trim_start(content);
        if matches!(content.first(), None | Some(b'#' | b'!')) {
            continue;
        }
        let mut text = content.to_vec();
        while goes_on(&text) {
            text.pop();
            if at >= bytes.len() {
                break;
            }
            let (content, next_end) = natural_line(bytes, &mut at);
            end = next_end;
            let content = trim_start(content);
            text.extend_from_slice(content);
            if content.is_empty() {
                break;
            }
        }
        lines.push(LogicalLine { range: start..at, end, text });
    }
    lines
}

/// One line of the file and where its line end starts; moves `at` behind the line end.
fn natural_line<'a>(bytes: &'a [u8], at: &mut usize) -> (&'a [u8], usize) {
    let rest = bytes.get(*at..).unwrap_or_default();
    let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
    let (content, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    let end = *at + length;
    *at = end
        + match after {
            [b'\r', b'\n', ..] => 2,
            [_, ..] => 1,
            [] => 0,
        };
    (content, end)
}

fn trim_start(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| is_blank(**byte)).count();
    line.get(blanks..).unwrap_or_default()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

/// Whether a line ends in an odd number of backslashes.
fn goes_on(line: &[u8]) -> bool {
    line.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Splits a logical line at its separator and decodes both sides.
pub(super) fn key_value(line: &[u8]) -> Result<(String, String), &'static str> {
    let mut escaped = false;
    let is_end = |byte: &u8| {
        if escaped {
            escaped = false;
            return false;
        }
        escaped = *byte == b'\\';
        is_blank(*byte) || matches!(byte, b'=' | b':')
    };
    let key_end = line.iter().position(is_end).unwrap_or(line.len());
    let (key, rest) = line.split_at_checked(key_end).unwrap_or((line, &[]));
    let rest = trim_start(rest);
    let value = match rest {
        [b'=' | b':', value @ ..] => trim_start(value),
        value => value,
    };
    Ok((unescape(key)?, unescape(value)?))
}

fn unescape(text: &[u8]) -> Result<String, &'static str> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            units.push(byte.into());
            continue;
        }
        // A backslash at the very end of the text stands for nothing.
        let Some(byte) = bytes.next() else { break };
        units.push(match byte {
            b't' => u16::from(b'\t'),
            b'n' => u16::from(b'\n'),
            b'r' => u16::from(b'\r'),
            b'f' => 0x0c,
            b'u' => {
                let mut unit = 0u16;
                for _ in 0..4 {
                    let digit = bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                    let digit = digit.and_then(|digit| u16::try_from(digit).ok());
                    unit = unit << 4 | digit.ok_or("malformed \\uxxxx escape")?;
                }
                unit
            }
            other => other.into(),
        });
    }
    Ok(String::from_utf16_lossy(&units))
}

/// Writes a line without its end, as `Properties.store` does.
pub(super) fn write_line(line: &mut Vec<u8>, key: &str, value: &str) {
    escape(line, key, true);
    line.push(b'=');
    escape(line, value, false);
}

/// Ends the last line where it has no end, or where a backslash makes it go on.
pub(super) fn end_line(text: &mut Vec<u8>) {
    let line = match text.as_slice() {
        [] => return,
        [line @ .., b'\r', b'\n'] | [line @ .., b'\n' | b'\r'] => line,
        line => line,
    };
    let (has_end, goes_on) = (line.len() < text.len(), goes_on(line));
    if !has_end {
        text.push(b'\n');
    }
    if goes_on {
        // A line feed alone would only complete a carriage return.
        text.extend_from_slice(if text.ends_with(b"\r") { b"\n\n" } else { b"\n" });
    }
}

fn escape(line: &mut Vec<u8>, text: &str, is_key: bool) {
    for (index, unit) in text.encode_utf16().enumerate() {
        let Ok(byte) = u8::try_from(unit) else {
            line.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
            continue;
        };
        match byte {
            b' ' if is_key || index == 0 => line.extend_from_slice(b"\\ "),
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            0x0c => line.extend_from_slice(b"\\f"),
            b'\\' | b'=' | b':' | b'#' | b'!' => line.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => line.push(byte),
            other => line.extend_from_slice(format!("\\u{other:04X}").as_bytes()),
        }
    }
}
