//! Names of data files.
//!
//! # Laws
//! - A name is written as it was, whatever it is taken for.
//! - A name is a base file's or a log's exactly when a naive reading by Hudi's pattern says so.

use table_sync_core::InstantTime;
use table_sync_hudi::file_name::{FileName, parse_bytes};

use super::Verdict;

/// Reads the bytes as a name.
pub fn target(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else {
        assert_eq!(parse_bytes(data), None);
        return Verdict::Refused;
    };
    let name = parse_bytes(data).expect("text is a name of some kind");
    assert_eq!(name, FileName::parse(text));
    assert_eq!(name.to_string(), text);
    match &name {
        FileName::Base { file_id, write_token, instant, extension } => {
            let expected = naive_base(text).expect("a base file by the pattern");
            let found = (&**file_id, &**write_token, &*instant.to_string(), &**extension);
            assert_eq!(found, expected);
        }
        FileName::Log { file_id, instant, version, write_token, is_cdc } => {
            let expected = naive_log(text).expect("a log by the pattern");
            let token = write_token.as_deref();
            let found = (&**file_id, &*instant.to_string(), *version, token, *is_cdc);
            assert_eq!(found, expected);
        }
        FileName::Other(whole) => {
            assert_eq!(&**whole, text);
            assert_eq!(naive_base(text), None, "a base file that was not seen");
            assert_eq!(naive_log(text), None, "a log that was not seen");
        }
    }
    assert_eq!(name.file_id().is_some(), name.instant().is_some());
    assert!(!name.is_cdc() || name.is_log());
    Verdict::of(!matches!(name, FileName::Other(_)))
}

/// `<fileId>_<token>_<instant>.<extension>`: file id, token, instant, extension.
fn naive_base(text: &str) -> Option<(&str, &str, &str, &str)> {
    if text.starts_with('.') {
        return None;
    }
    let dot = text.find('.')?;
    let (stem, extension) = (&text[..dot], &text[dot + 1..]);
    let parts: Vec<&str> = stem.split('_').collect();
    let [.., token, instant] = parts.as_slice() else { return None };
    let tail = token.len() + instant.len() + 2;
    let file_id = stem.len().checked_sub(tail).map(|end| &stem[..end])?;
    let sound = !file_id.is_empty() && !extension.is_empty() && parts.len() > 2;
    (sound && is_token(token) && is_instant(instant))
        .then_some((file_id, token, instant, extension))
}

type Log<'a> = (&'a str, &'a str, u32, Option<&'a str>, bool);

/// `.<fileId>_<instant>.log.<version>[_<token>[.cdc]]`.
fn naive_log(text: &str) -> Option<Log<'_>> {
    let text = text.strip_prefix('.')?;
    let at = text.rfind(".log.")?;
    let (stem, rest) = (&text[..at], &text[at + 5..]);
    let under = stem.rfind('_')?;
    let (file_id, instant) = (&stem[..under], &stem[under + 1..]);
    let cdc = rest.ends_with(".cdc");
    let rest = if cdc { &rest[..rest.len() - 4] } else { rest };
    let (version, token) = match rest.find('_') {
        Some(under) => (&rest[..under], Some(&rest[under + 1..])),
        None => (rest, None),
    };
    let number: u32 = version.parse().ok()?;
    let canonical = number.to_string() == version && number > 0;
    let token_sound = token.map_or(!cdc, is_token);
    (canonical && token_sound && !file_id.is_empty() && is_instant(instant))
        .then_some((file_id, instant, number, token, cdc))
}

fn is_instant(text: &str) -> bool {
    let sized = matches!(text.len(), 1..=17 | 20);
    let digits = sized && text.chars().all(|c| c.is_ascii_digit());
    assert_eq!(InstantTime::parse(text).is_some(), digits);
    digits
}

fn is_token(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(number)
}
