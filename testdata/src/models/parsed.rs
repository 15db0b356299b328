//! Parsed log objects, remembered by the identity of their bytes.
//!
//! An oracle opens a table after every mutation; without memory a history of N commits would be
//! parsed N times over.
//!
//! # Invariants
//! - An entry keeps its bytes alive, so that address and length identify them.
//! - Nothing but time depends on what is remembered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;

use super::action::{self, Action};
use super::{OpenError, checkpoint};
use crate::Objects;

/// Entries before the memory is emptied.
const ENTRIES_MAX: usize = 8192;

type Parsed = Result<Rc<Vec<Action>>, String>;

thread_local! {
    static PARSED: RefCell<HashMap<(usize, usize), (Bytes, Parsed)>> = RefCell::default();
}

/// Actions of one log object, JSON or Parquet by its name.
pub(super) fn actions(objects: &Objects, key: &str) -> Result<Rc<Vec<Action>>, OpenError> {
    let missing = || OpenError::ObjectMissing { key: key.to_owned() };
    let bytes = objects.get(key).ok_or_else(missing)?;
    let id = (bytes.as_ptr() as usize, bytes.len());
    let known = PARSED.with_borrow(|parsed| parsed.get(&id).map(|(_, actions)| actions.clone()));
    let parsed = known.unwrap_or_else(|| {
        let json = key.ends_with(".json");
        let actions = if json { action::parse_json(bytes) } else { checkpoint::parse(bytes) };
        let actions = actions.map(Rc::new);
        PARSED.with_borrow_mut(|parsed| {
            if parsed.len() >= ENTRIES_MAX {
                parsed.clear();
            }
            parsed.insert(id, (bytes.clone(), actions.clone()));
        });
        actions
    });
    parsed.map_err(|reason| OpenError::Unreadable { key: key.to_owned(), reason })
}
