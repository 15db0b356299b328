//! Names of data files: from partition values to an object key, and from a key to the log.
//!
//! Two encodings follow each other, as in Spark: the directory escapes the value (Hive rules),
//! and the log percent-encodes the whole relative path as a URI. So the value `50%` is the key
//! `p=50%25` and the log path `p=50%2525`.
//!
//! Source: Spark `ExternalCatalogUtils.escapePathName`; `java.net.URI` quoting; Delta protocol,
//! "Add File and Remove File".

use std::fmt::Write as _;

/// What Hive writes as the directory value of a null or empty partition value.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The Hive directory name of one partition value: `column=value`, both escaped.
pub fn partition_directory(column: &str, value: Option<&str>) -> String {
    let value = match value {
        None | Some("") => NULL_PARTITION.to_owned(),
        Some(value) => hive_escaped(value),
    };
    format!("{}={value}", hive_escaped(column))
}

fn hive_escaped(text: &str) -> String {
    let special =
        |c: char| matches!(c, '\u{1}'..='\u{1f}' | '\u{7f}') || "\"#%'*/:=?\\{[]^".contains(c);
    escaped(text, special)
}

/// The path that the log writes for the object `key`: a URI reference as `java.net.URI` makes it.
///
/// Letters, digits and the legal path characters stay, non-ASCII letters stay raw, all else is
/// percent-encoded. Decoding the result once gives `key` back. A colon in the first segment is
/// encoded too, since it would end a scheme (RFC 3986, section 4.2).
pub fn log_path(key: &str) -> String {
    let legal = |c: char, marks: &str| {
        if c.is_ascii() {
            c.is_ascii_alphanumeric() || marks.contains(c)
        } else {
            !c.is_whitespace() && !c.is_control()
        }
    };
    let (first, rest) = key.split_at(key.find('/').unwrap_or(key.len()));
    let first = escaped(first, |c| !legal(c, "-_.!~*'()@&=+$,;"));
    first + &escaped(rest, |c| !legal(c, "-_.!~*'()@&=+$,;:/"))
}

fn escaped(text: &str, special: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut utf8 = [0_u8; 4];
    for c in text.chars() {
        if special(c) {
            for byte in c.encode_utf8(&mut utf8).bytes() {
                write!(out, "%{byte:02X}").expect("a string takes every write");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Option<&str>, key: &str, in_log: &str) {
        let directory = partition_directory("p", value);
        assert_eq!(directory, key);
        assert_eq!(log_path(&directory), in_log);
        let decoded = percent_encoding::percent_decode_str(in_log).decode_utf8().unwrap();
        assert_eq!(decoded, key);
    }

    #[test]
    fn colon_is_encoded_where_a_scheme_would_end() {
        assert_eq!(log_path("a:b/c:d"), "a%3Ab/c:d");
    }

    #[test]
    fn values_are_escaped_twice() {
        check(Some("2024-03-01"), "p=2024-03-01", "p=2024-03-01");
        check(Some("50%"), "p=50%25", "p=50%2525");
        check(Some("a b"), "p=a b", "p=a%20b");
        check(Some("a/b:c"), "p=a%2Fb%3Ac", "p=a%252Fb%253Ac");
        check(Some("ü😈"), "p=ü😈", "p=ü😈");
        check(Some(""), "p=__HIVE_DEFAULT_PARTITION__", "p=__HIVE_DEFAULT_PARTITION__");
        check(None, "p=__HIVE_DEFAULT_PARTITION__", "p=__HIVE_DEFAULT_PARTITION__");
    }
}
