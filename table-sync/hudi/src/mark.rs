//! What a look leaves behind so that a later one, of another process too, can tell in at most two
//! requests whether anything may have changed.
//!
//! Layout 2: a LIST that starts at the earliest instant which is not settled, and a HEAD of the
//! properties. Layout 1: a LIST of one level, where the properties lie as well.
//!
//! # Invariants
//! - A mark stands only while each object that it covers is there as it was, and no other.
//! - What is settled is not looked at: that archival removed it, or that a writer with a slow
//!   clock began an older instant, is seen by the next look that lists everything.

use std::fmt;

use sha2::{Digest as _, Sha256};
use table_sync_core::{InstantTime, LogObject, RelPath, Sha256Digest, SourceError};

use crate::instant::Layout;
use crate::log::{HudiLog, io_error};
use crate::poll;
use crate::timeline::{Timeline, name_in, properties_key};

/// See the module. Its text is `<layout>:<first id>:<digest>:<folder>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    layout: Layout,
    /// Where it begins: the earliest instant that may not be settled.
    from: InstantTime,
    /// Of the properties, and of the instants from there on.
    seen: Sha256Digest,
    /// Folder of the active timeline.
    folder: RelPath,
}

impl Mark {
    pub(crate) fn of(log: &HudiLog, timeline: &Timeline) -> Result<Self, SourceError> {
        let (from, folder) = (poll::from(timeline), timeline.folder.clone());
        let first = first(&folder, from)?;
        let covered = timeline.objects_from(&first);
        let covered = covered.filter(|(key, _)| timeline.name_of(key).is_some());
        let seen = digest(log, &timeline.properties_read.object, covered);
        Ok(Self { layout: timeline.layout, from, seen, folder })
    }

    /// `None` where it is none of this release's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ':');
        let layout = match parts.next()? {
            "1" => Layout::V1,
            "2" => Layout::V2,
            _ => return None,
        };
        let from = InstantTime::parse(parts.next()?)?;
        let seen = Sha256Digest::parse(parts.next()?)?;
        let folder = RelPath::parse(parts.next()?).ok()?;
        Some(Self { layout, from, seen, folder })
    }

    /// Whether all that it covers is as it was.
    pub(crate) async fn stands(&self, log: &HudiLog) -> Result<bool, SourceError> {
        let (key, name) = (properties_key()?, self.from.to_string());
        let mut objects = match self.layout {
            Layout::V1 => log.level(self.folder.as_str()).await?.objects,
            Layout::V2 => log.list_from(self.folder.as_str(), &name).await?,
        };
        let properties = match objects.remove(&key) {
            Some(properties) => Some(properties),
            None => log.head(&key).await?,
        };
        let Some(properties) = properties else { return Ok(false) };
        // The history and what writers keep beside instants (locks, heartbeats) change without a
        // commit.
        let covered = objects.range(first(&self.folder, self.from)?..);
        let covered = covered.filter(|(key, _)| name_in(&self.folder, key, self.layout).is_some());
        Ok(digest(log, &properties, covered) == self.seen)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = match self.layout {
            Layout::V1 => 1,
            Layout::V2 => 2,
        };
        write!(f, "{layout}:{}:{}:{}", self.from, self.seen, self.folder)
    }
}

/// The first key of a folder that a mark covers.
fn first(folder: &RelPath, from: InstantTime) -> Result<RelPath, SourceError> {
    RelPath::parse(&format!("{folder}/{from}")).map_err(|error| io_error(folder, error))
}

fn digest<'a>(
    log: &HudiLog,
    properties: &LogObject,
    instants: impl Iterator<Item = (&'a RelPath, &'a LogObject)>,
) -> Sha256Digest {
    let mut hasher = Sha256::new();
    // With other options, other objects belong into a replica.
    hasher.update(format!("{:?}\n", log.options()));
    // Its time is not part of it: a listing may show it more exactly than a HEAD.
    hasher.update(tag(properties));
    for (key, object) in instants {
        // In layout 1 the time of an object is the order of its commit.
        hasher.update(format!("\n{key}\0{}\0{}", tag(object), object.modified_ms));
    }
    Sha256Digest(hasher.finalize().into())
}

fn tag(object: &LogObject) -> String {
    let identity = &object.identity;
    match &identity.e_tag {
        Some(tag) => format!("{tag}\0{}", identity.size_bytes),
        None => format!("{}\0{}", object.modified_ms / 1_000, identity.size_bytes),
    }
}
