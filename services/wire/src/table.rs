//! One table, opened at its source and at its targets.

use std::sync::Arc;

use table_sync_core::{Blocked, Start};
use table_sync_delta::DeltaLog;
use table_sync_engine::{Source, Target};
use table_sync_hudi::{HudiLog, Side, Slices};
use table_sync_store::{Location, Store, StoreKind};

use crate::{
    HudiHistory, HudiMetadata, HudiReaders, HudiV6Window, OpenError, Opener, TableLog,
    TableOptions, alias,
};

/// One table, opened at its source and at its targets.
pub struct Table {
    /// The source, as the engine takes it.
    pub source: Source,
    /// The source's log again, for what only its format can tell.
    pub log: Arc<TableLog>,
    /// The targets, as the engine takes them, in the order given.
    pub targets: Vec<Target>,
    /// For each target, why it cannot hold a replica of a log with absolute references, where it
    /// cannot.
    pub misplaced: Vec<Option<Blocked>>,
    /// Where the source is.
    pub source_location: Location,
    /// Where each target is.
    pub target_locations: Vec<Location>,
}

/// Opens a table and adds its targets.
pub(crate) fn open(
    opener: &Opener,
    location: Location,
    targets: &[String],
    options: &TableOptions,
) -> Result<Table, OpenError> {
    let store = opener.open(&location)?;
    let policy = alias::policy(options)?;
    let delta = delta_log(&store, &location, delta_options(&policy, &location, None))?;
    let hudi = hudi_log(&store, &location, options, Side::Source)?;
    let log = Arc::new(TableLog::source(delta, hudi, options.format));
    let source = Source {
        log: Arc::clone(&log) as _,
        store,
        table: location.table().to_owned(),
        roots: opener.source_roots(&location, &policy)?,
        url: location.url().to_owned(),
    };
    let mut table = Table {
        source,
        log,
        targets: Vec::with_capacity(targets.len()),
        misplaced: Vec::with_capacity(targets.len()),
        source_location: location,
        target_locations: Vec::with_capacity(targets.len()),
    };
    for text in targets {
        add_target(&mut table, opener, text, &policy, options)?;
    }
    Ok(table)
}

fn add_target(
    table: &mut Table,
    opener: &Opener,
    text: &str,
    policy: &table_sync_delta::AbsolutePaths,
    options: &TableOptions,
) -> Result<(), OpenError> {
    let location = opener.locate(text)?;
    if location.has_glob() {
        return Err(OpenError::PatternTarget { text: text.to_owned() });
    }
    let store = opener.open(&location)?;
    // A replica holds the source's log unchanged, and so the source's own references.
    let reads = delta_options(policy, &table.source_location, Some(location.url()));
    let delta = delta_log(&store, &location, reads)?;
    table.misplaced.push(delta.misplaced());
    let hudi = hudi_log(&store, &location, options, Side::Replica)?;
    let log = Arc::new(TableLog::replica(delta, hudi, &table.log));
    table.targets.push(Target {
        log: Arc::clone(&log) as _,
        reader: log,
        state: opener.state_of(&store)?,
        store,
        table: location.table().to_owned(),
        roots: opener.roots(&location, policy)?,
        url: location.url().to_owned(),
    });
    table.target_locations.push(location);
    Ok(())
}

fn delta_options(
    policy: &table_sync_delta::AbsolutePaths,
    source: &Location,
    replica: Option<&str>,
) -> table_sync_delta::Options {
    table_sync_delta::Options {
        absolute_paths: policy.clone(),
        table_url: Some(source.url().to_owned()),
        replica_url: replica.map(str::to_owned),
        ..table_sync_delta::Options::default()
    }
}

fn delta_log(
    store: &Store,
    location: &Location,
    options: table_sync_delta::Options,
) -> Result<DeltaLog, OpenError> {
    let lists_in_order = matches!(store.kind(), StoreKind::S3 | StoreKind::Gcs);
    let options = table_sync_delta::Options { lists_in_order, ..options };
    let log = DeltaLog::new(store.object_store(), location.table(), options);
    log.map_err(|error| OpenError::Log {
        url: location.url().to_owned(),
        folder: "_delta_log",
        source: error.into(),
    })
}

fn hudi_log(
    store: &Store,
    location: &Location,
    options: &TableOptions,
    side: Side,
) -> Result<HudiLog, OpenError> {
    let hudi = options.hudi;
    let options = table_sync_hudi::Options {
        readers: match hudi.readers {
            HudiReaders::Zero => table_sync_hudi::Readers::Zero,
            HudiReaders::One => table_sync_hudi::Readers::One,
            HudiReaders::Both => table_sync_hudi::Readers::Both,
        },
        v6_window: match hudi.v6_window {
            HudiV6Window::Allow => table_sync_hudi::V6Window::Allow,
            HudiV6Window::Refuse => table_sync_hudi::V6Window::Refuse,
        },
        history: match hudi.history {
            HudiHistory::Carry => table_sync_hudi::History::Carry,
            HudiHistory::Omit => table_sync_hudi::History::Omit,
        },
        metadata_table: match hudi.metadata {
            HudiMetadata::Drop => table_sync_hudi::MetadataTable::Drop,
            HudiMetadata::Mirror => table_sync_hudi::MetadataTable::Mirror,
        },
        slices: if options.start == Start::Earliest { Slices::All } else { Slices::Latest },
        side,
    };
    let log = HudiLog::new(store.object_store(), location.table(), options);
    log.map_err(|error| OpenError::Log {
        url: location.url().to_owned(),
        folder: ".hoodie",
        source: error.into(),
    })
}

/// A table that is written to must not be read from, nor written twice.
///
/// # Errors
/// The first target that is a source, or inside one, or that is given twice.
pub fn refuse_twins(tables: &[Table]) -> Result<(), OpenError> {
    let sources: Vec<_> = tables.iter().map(|t| (&t.source.store, &t.source.url)).collect();
    let targets: Vec<_> =
        tables.iter().flat_map(|t| &t.targets).map(|t| (&t.store, &t.url)).collect();
    for (at, (store, url)) in targets.iter().enumerate() {
        let inside = |other: &str| {
            let rest = url.strip_prefix(other.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if sources.iter().any(|(other, there)| store.can_copy_from(other) && inside(there)) {
            return Err(OpenError::TargetIsSource { url: (*url).clone() });
        }
        let mut earlier = targets.iter().take(at);
        if earlier.any(|(other, there)| store.can_copy_from(other) && inside(there)) {
            return Err(OpenError::TargetTwice { url: (*url).clone() });
        }
    }
    Ok(())
}
