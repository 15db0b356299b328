//! Keys that are too long for a target's store, found before they are written.
//!
//! A path that fits everywhere by itself may not fit below a replica's location. What one target
//! cannot take is no reason to stop the others, nor to leave out what comes before it.

use std::sync::{Arc, OnceLock};

use futures::stream::TryStreamExt as _;
use table_sync_core::{BlockCode, Blocked, Description, FileRef, PlannedKind, Position};
use table_sync_store::KeyTooLong;

use crate::lane::Lane;
use crate::options::object_key;

/// The targets of one position, and why some of them cannot take it.
pub(super) struct KeyLengths {
    position: Position,
    /// Index of the run, and its lane.
    lanes: Vec<(usize, Arc<Lane>)>,
    /// By place in `lanes`.
    refused: Vec<OnceLock<Blocked>>,
}

impl KeyLengths {
    /// Looks at what a position writes, and at the files of an append. The files of a base are
    /// looked at as they come: reading it twice is dear.
    pub(super) async fn of(
        description: &Description,
        kind: PlannedKind,
        lanes: Vec<(usize, Arc<Lane>)>,
    ) -> Self {
        let position = description.publication.position;
        let refused = lanes.iter().map(|_| OnceLock::new()).collect();
        let lengths = Self { position, lanes, refused };
        if !lengths.lanes.iter().any(|(_, lane)| lane.target.store.limits_keys()) {
            return lengths;
        }
        for step in &description.publication.steps {
            lengths.look(|lane| {
                let key = object_key(&lane.target.table, step.key.as_str());
                lane.target.store.check_key_length(&key)
            });
        }
        if kind == PlannedKind::Append {
            let mut needs = (description.needs)();
            // An error shows when the files are copied.
            while let Ok(Some(chunk)) = needs.try_next().await {
                lengths.look_at(&chunk);
            }
        }
        lengths
    }

    /// Looks at files before they are copied.
    pub(super) fn look_at(&self, files: &[FileRef]) {
        for file in files {
            self.look(|lane| match lane.target.object(file) {
                Ok((store, key)) => store.check_key_length(&key),
                // Copying says so.
                Err(_) => Ok(()),
            });
        }
    }

    fn look(&self, check: impl Fn(&Lane) -> Result<(), KeyTooLong>) {
        for ((_, lane), refused) in self.lanes.iter().zip(&self.refused) {
            let Err(too_long) = check(lane) else { continue };
            let message = format!(
                "{too_long}: version {} cannot be written to {}; replicate to a location with a \
                 shorter path",
                self.position, lane.target.url
            );
            // The first one is named.
            let _ = refused.set(Blocked::at(BlockCode::LimitExceeded, self.position, message));
        }
    }

    /// The lanes that take everything that was looked at so far.
    pub(super) fn taking(&self) -> Arc<[Arc<Lane>]> {
        let both = self.lanes.iter().zip(&self.refused);
        both.filter(|(_, refused)| refused.get().is_none())
            .map(|((_, lane), _)| Arc::clone(lane))
            .collect()
    }

    /// Why the lane of this run cannot take the position.
    pub(super) fn refusal(&self, index: usize) -> Option<&Blocked> {
        let at = self.lanes.iter().position(|(of, _)| *of == index)?;
        self.refused.get(at)?.get()
    }
}
