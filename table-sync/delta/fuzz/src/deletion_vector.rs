//! Descriptors of deletion vectors to the files that they name.
//!
//! The bytes are three lines: storage type, value, offset.
//!
//! # Laws
//! - The file is strictly below the root, or there is none.
//! - Of an encoded id, encoding the id in the file's name gives the id; the folder stays as it is.
//! - An absolute path is what the path resolver makes of it.
//! - Two descriptors have the same unique id only if their texts are equal.

use table_sync_core::Place;
use table_sync_delta::deletion_vector::DeletionVector;
use table_sync_delta::reference::Reference;

use super::Verdict;
use super::confined::assert_confined;

const Z85: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Resolves the bytes as a descriptor.
pub fn target(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else { return Verdict::Refused };
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (kind, value, offset) = (next(), next(), next().parse::<i64>().ok());
    let reference = Reference::refuse();
    let Ok(vector) = DeletionVector::resolve(kind, value, offset, &reference) else {
        return Verdict::Refused;
    };
    let suffix = offset.map(|offset| format!("@{offset}")).unwrap_or_default();
    assert_eq!(*vector.unique_id, *format!("{kind}{value}{suffix}"));
    match (kind, vector.file) {
        ("i", None) => {}
        ("p", Some(file)) => assert_eq!(reference.resolve(value), Ok(file)),
        ("u", Some(file)) => {
            assert_eq!(file.place, Place::Table);
            let file = file.path;
            assert_confined(&file);
            let (folder, name) = file.as_str().rsplit_once('/').unwrap_or(("", file.as_str()));
            assert_eq!(format!("{folder}{}", encoded_id(name)), value);
        }
        (kind, file) => panic!("a vector of kind {kind:?} names {file:?}"),
    }
    Verdict::Accepted
}

/// The encoded id of a file `deletion_vector_<uuid>.bin`.
fn encoded_id(name: &str) -> String {
    let id = name.strip_prefix("deletion_vector_").and_then(|rest| rest.strip_suffix(".bin"));
    let digits: String = id.expect("the protocol's form").split('-').collect();
    assert_eq!(digits.len(), 32);
    let groups = (0..4).map(|at| u32::from_str_radix(&digits[at * 8..][..8], 16).expect("hex"));
    let letters = |group: u32| {
        let digit = move |power: u32| Z85[(group / 85_u32.pow(power) % 85) as usize];
        (0..5).rev().map(move |power| char::from(digit(power)))
    };
    groups.flat_map(letters).collect()
}
