//! Commit bytes to actions.
//!
//! # Laws
//! - How the bytes arrive, in one piece or one by one, changes nothing.
//! - What serde_json reads whole gives the same adds as a naive reading, or is refused.
//! - What is plain and well formed is not refused.
//! - Nothing nested deeper than the limit is accepted.

use std::convert::Infallible;
use std::io::Read;

use table_sync_core::limits::JSON_DEPTH_MAX;
use table_sync_delta::action::Action;
use table_sync_delta::commit::{FramingError, for_each, parse_all};

use super::Verdict;
use super::naive::{self, NaiveAdd};

/// Actions whose form the reader looks into. Objects without them are taken whatever they hold.
const LOOKED_INTO: &[&str] = &["remove", "cdc", "metaData", "protocol", "commitInfo", "sidecar"];

/// Reads the bytes as a commit.
pub fn target(data: &[u8]) -> Verdict {
    let whole = read(data);
    let trickled = read(Trickle { rest: data, step: 1 + data.len() % 7 });
    assert_eq!(shown(&whole), shown(&trickled), "pieces change the outcome");
    let counted = parse_all(data);
    assert_eq!(counted.is_ok(), whole.is_ok());
    let Some(objects) = naive::objects(data) else { return Verdict::of(whole.is_ok()) };
    let expect = naive::adds(&objects);
    match &whole {
        Ok(adds) => {
            assert_eq!(Some(adds), expect.as_ref(), "another reading than the naive one");
            let deepest = objects.iter().map(|o| naive::depth(&o.clone().into())).max();
            assert!(deepest.unwrap_or(0) <= JSON_DEPTH_MAX, "nested {deepest:?} deep");
            let counts = counted.unwrap();
            assert_eq!(counts.get("add").copied().unwrap_or(0), adds.len() as u64);
        }
        Err(error) => {
            let plain =
                objects.iter().all(|o| !LOOKED_INTO.iter().any(|name| o.contains_key(*name)));
            assert!(!(plain && expect.is_some()), "a good commit is refused: {error}");
        }
    }
    Verdict::of(whole.is_ok())
}

fn read(source: impl Read) -> Result<Vec<NaiveAdd>, FramingError> {
    let mut adds = Vec::new();
    let visited = for_each::<Infallible>(source, &mut |action| {
        if let Action::Add(add) = action {
            let vector = add.deletion_vector.map(|vector| {
                let text = |text: std::borrow::Cow<'_, str>| text.into_owned();
                (text(vector.storage_type), text(vector.value), vector.offset)
            });
            adds.push(NaiveAdd { path: add.path.into_owned(), size: add.size, vector });
        }
        Ok(())
    })?;
    match visited {
        Ok(()) => Ok(adds),
        Err(never) => match never {},
    }
}

fn shown(outcome: &Result<Vec<NaiveAdd>, FramingError>) -> Result<&Vec<NaiveAdd>, String> {
    outcome.as_ref().map_err(ToString::to_string)
}

/// Gives a few bytes at a time.
struct Trickle<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let taken = self.step.min(self.rest.len()).min(buffer.len());
        let (now, rest) = self.rest.split_at(taken);
        buffer[..taken].copy_from_slice(now);
        self.rest = rest;
        Ok(taken)
    }
}
