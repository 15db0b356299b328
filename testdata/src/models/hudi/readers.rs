//! The readers of one state, which share what they read of its timeline.

use std::rc::Rc;

use super::metadata_table::listing;
use super::table::Table;
use super::view::{self, Facts, Listed, Slicing, View};
use super::{HudiObjects, HudiReader, Loud, Snapshot};

/// What a 1.x reader does with a version 6 log whose base completed, by the time of its timeline
/// object, after the newest instant was requested.
///
/// Both have been seen with released readers, so a replica must be right under both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LateLogs {
    /// It is merged.
    Kept,
    /// It is ignored.
    Ignored,
}

/// Opens the latest snapshot as Spark with Hudi 0.15 does: logs by the base instant in their name.
///
/// # Errors
/// [`Loud::Unsupported`] above version 6, and what cannot be read.
pub fn reader_0x(objects: &HudiObjects) -> Result<Snapshot, Loud> {
    State::open(objects)?.read(HudiReader::Zero)
}

/// Opens the latest snapshot as Spark with Hudi 1.x does, without a metadata table: logs by the
/// completion time of the instant in their name.
///
/// # Errors
/// [`Loud::Unsupported`] above version 9, and what cannot be read.
pub fn reader_1x(objects: &HudiObjects, late: LateLogs) -> Result<Snapshot, Loud> {
    let reader = match late {
        LateLogs::Kept => HudiReader::One,
        LateLogs::Ignored => HudiReader::OneStrict,
    };
    State::open(objects)?.read(reader)
}

/// Opens the latest snapshot as stock Trino does: committed base files only.
///
/// Every folder that holds data counts as a partition, as if the metastore named it.
///
/// # Errors
/// [`Loud::Unsupported`] above version 9, and what cannot be read.
pub fn trino(objects: &HudiObjects) -> Result<Snapshot, Loud> {
    State::open(objects)?.read(HudiReader::Trino)
}

/// Opens the latest snapshot as Spark with Hudi 1.x does when it lists through the metadata table.
///
/// A table that names a metadata table which is not there is listed from storage, as readers do.
///
/// # Errors
/// [`Loud::NoMetadataTable`] if the properties do not name it, [`Loud::ObjectMissing`] if it names
/// a file that is not there, and what cannot be read.
pub fn metadata_table(objects: &HudiObjects) -> Result<Snapshot, Loud> {
    State::open(objects)?.read(HudiReader::MetadataTable)
}

/// One state of a table, its timeline read once for all readers.
pub(super) struct State<'a> {
    objects: &'a HudiObjects,
    table: Table,
    facts: Result<Rc<Facts>, Loud>,
}

impl<'a> State<'a> {
    pub(super) fn open(objects: &'a HudiObjects) -> Result<Self, Loud> {
        let table = Table::open(objects, "")?;
        let facts = Facts::load(objects, &table).map(Rc::new);
        Ok(Self { objects, table, facts })
    }

    pub(super) fn version(&self) -> u32 {
        self.table.version
    }

    pub(super) fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref().ok()
    }

    pub(super) fn read(&self, reader: HudiReader) -> Result<Snapshot, Loud> {
        let newest = if reader == HudiReader::Zero { 6 } else { 9 };
        if self.table.version > newest {
            return Err(Loud::Unsupported { version: self.table.version });
        }
        let list = |markers| view::list(self.objects, &self.table, markers);
        let completion = |ignore_late| Slicing::Completion { ignore_late };
        match reader {
            HudiReader::Zero => Ok(self.view(&list(true))?.snapshot(Slicing::BaseInstant)),
            HudiReader::One => Ok(self.view(&list(true))?.snapshot(completion(false))),
            HudiReader::OneStrict => Ok(self.view(&list(true))?.snapshot(completion(true))),
            HudiReader::Trino => Ok(self.view(&list(false))?.base_files()),
            HudiReader::MetadataTable => {
                let listed = listing(self.objects, &self.table)?;
                let view = self.view(&listed.unwrap_or_else(|| list(true)))?;
                view.whole(completion(false))
            }
        }
    }

    fn view(&self, listed: &[Listed]) -> Result<View<'a>, Loud> {
        let facts = self.facts.clone()?;
        Ok(View::new(self.objects, self.table.clone(), facts, "", listed))
    }
}
