//! References of a log to keys below the table root.
//!
//! # Laws
//! - The result is strictly below the root, or there is none.
//! - A reference is decoded exactly once: encoding the key and resolving it gives the same key,
//!   and a naive decoding of the reference is the key.
//! - An absolute reference below the own root names the same key as its relative rest.
//! - An absolute reference below a declared root names a key there, and no part of a log.
//! - A sidecar is one file of its folder.

use table_sync_core::{FileKey, PathError, Place, RelPath};
use table_sync_delta::reference::{Reference, ReferenceError};
use table_sync_delta::{AbsolutePaths, AliasRoot};

use super::Verdict;
use super::confined::assert_confined;

const ROOT: &str = "s3://lake/sales/orders";

/// A root of another table.
const DECLARED: &str = "s3://lake/base";

/// Resolves the bytes as a reference, by every policy.
pub fn target(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else { return Verdict::Refused };
    let relative = own_key(&Reference::refuse(), text);
    if let Some(key) = &relative {
        assert_confined(key);
        assert_eq!(naive_decode(text).as_deref(), Some(key.as_str()), "decoded otherwise");
        assert_decoded_once(key);
    }
    let alias = Reference::new(&AbsolutePaths::own_root(), Some(ROOT));
    let aliased = own_key(&alias, text);
    match (&relative, &aliased) {
        (Some(key), aliased) => assert_eq!(Some(key), aliased.as_ref()),
        (None, Some(key)) => assert_is_below_root(text, key),
        (None, None) => {}
    }
    // A first segment without a colon keeps the rest from looking absolute.
    let inside = own_key(&alias, &format!("{ROOT}/p/{text}"));
    let rest = own_key(&Reference::refuse(), &format!("p/{text}"));
    let declared = AliasRoot::parse(DECLARED).expect("a folder in a bucket");
    let declared = Reference::new(&AbsolutePaths::Alias(vec![declared]), Some(ROOT));
    assert_declared(&declared, text, rest.as_ref());
    if inside.is_some() {
        assert_eq!(inside, rest, "another key than the relative reference");
    } else if !text.contains(['?', '#']) {
        assert_eq!(rest, None, "refused although it is below the root");
    }
    for policy in [Reference::refuse(), alias, declared] {
        if let Ok(key) = policy.sidecar(text) {
            assert_confined(&key);
            let name = key.as_str().strip_prefix("_delta_log/_sidecars/");
            assert!(name.is_some_and(|name| !name.contains('/')), "{key} is elsewhere");
        }
    }
    if let Ok(key) = RelPath::parse(text) {
        assert_eq!(key.as_str(), text);
        assert_confined(&key);
        assert_decoded_once(&key);
    }
    Verdict::of(relative.is_some() || aliased.is_some())
}

/// Resolves where no other root is declared: whatever is taken is the table's own.
fn own_key(reference: &Reference, text: &str) -> Option<RelPath> {
    let FileKey { place, path } = reference.resolve(text).ok()?;
    assert_eq!(place, Place::Table, "{text:?} is of a root that nobody declared");
    Some(path)
}

/// With a declared root: text resolves as before or to a key of it, and text behind the root is
/// the key that it is behind the table's own.
fn assert_declared(declared: &Reference, text: &str, rest: Option<&RelPath>) {
    if let Ok(FileKey { place: Place::Alias(index), path }) = declared.resolve(text) {
        assert_eq!(index, 0);
        assert_confined(&path);
        let decoded = text.split_once("://").and_then(|(_, rest)| naive_decode(rest));
        assert_eq!(decoded, Some(format!("lake/base/{path}")));
    }
    match declared.resolve(&format!("{DECLARED}/p/{text}")) {
        Ok(FileKey { place, path }) => {
            assert_eq!((place, Some(&path)), (Place::Alias(0), rest));
            let log = |segment| ["_delta_log", ".hoodie", "_driftless"].contains(&segment);
            assert!(!path.as_str().split('/').any(log), "{path} is part of a log");
        }
        Err(ReferenceError::Reserved) => assert!(rest.is_some()),
        Err(_) => assert!(rest.is_none() || text.contains(['?', '#'])),
    }
}

/// An absolute reference was taken: it spells the own root, and the key behind it.
fn assert_is_below_root(text: &str, key: &RelPath) {
    assert_confined(key);
    let (scheme, rest) = text.split_once("://").expect("an absolute reference");
    assert!(["s3", "s3a", "s3n"].contains(&scheme.to_ascii_lowercase().as_str()), "{text:?}");
    let decoded = naive_decode(rest).expect("an encoding that decodes");
    assert_eq!(decoded, format!("lake/sales/orders/{key}"));
}

fn assert_decoded_once(key: &RelPath) {
    let every_byte: String = key.as_str().bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(own_key(&Reference::refuse(), &every_byte).as_ref(), Some(key));
    // Writers encode less: of what remains, `%` alone must be. The first segment is put in front
    // lest the key looks absolute.
    let escaped = format!("p/{}", key.as_str().replace('%', "%25"));
    match Reference::refuse().resolve(&escaped) {
        Ok(resolved) => assert_eq!(resolved.path.as_str(), format!("p/{key}")),
        Err(error) => assert_eq!(error, ReferenceError::Path(PathError::TooLong), "{key}"),
    }
}

/// Percent decoding, once; `None` unless every `%` begins an escape and the result is UTF-8.
fn naive_decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}
