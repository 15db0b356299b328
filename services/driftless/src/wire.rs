//! Wiring: from arguments to opened stores and logs.

use std::time::Duration;

use driftless_wire::{ErrorKind, OpenError, Opener, Place, Table, TableOptions, refuse_twins};
use table_sync_core::{BlockCode, Start, with_causes};
use table_sync_store::{Location, Settings, Store};

use crate::args::{Globals, Paths, Tables};
use crate::config::Config;
use crate::exit::CommandError;

/// What every command opens tables with.
pub(crate) struct Wire {
    opener: Opener,
    settings: Settings,
    config: Config,
}

/// Text for one table: a source and its targets, as they were given.
struct Pair {
    source: String,
    targets: Vec<String>,
}

/// How long a store repeats one request by itself.
const STORE_RETRY: Duration = Duration::from_secs(3);

impl Wire {
    /// Reads the configuration. Opens nothing.
    ///
    /// # Errors
    /// A configuration or a `--state` that cannot be used.
    pub(crate) fn new(globals: &Globals) -> Result<Self, CommandError> {
        let config = Config::load(globals.config.as_deref())?;
        let mut settings = Settings::default();
        // The engine's budget is what `--timeout` says; the stores only smooth over a hiccup, so
        // that the two do not multiply.
        settings.retry_timeout = STORE_RETRY.min(globals.timeout);
        settings.request_timeout = settings.request_timeout.min(globals.timeout);
        settings.connect_timeout = settings.connect_timeout.min(globals.timeout);
        settings.ca_file.clone_from(&globals.ca_file);
        settings.proxy.clone_from(&globals.proxy);
        let (stores, state) = (config.stores.clone(), globals.state.clone());
        let opener = Opener::new(settings.clone(), stores, state)?;
        Ok(Self { opener, settings, config })
    }

    /// How requests to stores are made.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The configuration.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Opens the table that `inspect` looks at.
    ///
    /// # Errors
    /// A location or options that make no sense.
    pub(crate) fn source(&self, text: &str, paths: &Paths) -> Result<Table, CommandError> {
        Ok(self.opener.table(text, &[], &paths.options(Start::Latest))?)
    }

    /// Opens every table that the arguments name, in the order given; `*` is expanded.
    ///
    /// # Errors
    /// As [`Wire::source`], and a `*` that matches no table.
    pub(crate) async fn tables(&self, tables: &Tables) -> Result<Vec<Table>, CommandError> {
        self.tables_from(tables, Start::Latest).await
    }

    /// As [`Wire::tables`], for replicas that start there.
    ///
    /// # Errors
    /// As [`Wire::tables`].
    pub(crate) async fn tables_from(
        &self,
        tables: &Tables,
        start: Start,
    ) -> Result<Vec<Table>, CommandError> {
        let options: TableOptions = tables.paths.options(start);
        let mut opened = Vec::new();
        for pair in pairs(tables)? {
            opened.extend(self.opener.tables(&pair.source, &pair.targets, &options).await?);
        }
        refuse_twins(&opened)?;
        Ok(opened)
    }

    /// Opens the store of a table, or of a folder of tables, and the store that keeps its state.
    ///
    /// # Errors
    /// A location or options that make no sense.
    pub(crate) fn store(&self, text: &str) -> Result<(Store, Store), CommandError> {
        Ok(self.opener.store(text)?)
    }

    /// How a child process opens the table at a location.
    ///
    /// # Errors
    /// An option whose value is not there.
    pub(crate) fn place(&self, location: &Location) -> Result<Place, CommandError> {
        Ok(self.opener.place(location)?)
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        let (message, hint) = (with_causes(&error), error.hint());
        match error.kind() {
            ErrorKind::Arguments => Self::arguments(message, hint),
            ErrorKind::Configuration => Self::configuration(message, hint),
            ErrorKind::NotATable => Self::blocked(BlockCode::NotATable, message),
            ErrorKind::SourceUnavailable => Self::failed("source_unavailable", message, hint),
        }
    }
}

/// The tables of the arguments, as text.
fn pairs(tables: &Tables) -> Result<Vec<Pair>, CommandError> {
    if let Some(source) = &tables.source {
        return Ok(vec![Pair { source: source.clone(), targets: tables.targets.clone() }]);
    }
    let mut pairs = Vec::new();
    for text in &tables.table {
        let pair = text.split_once('=').filter(|(_, targets)| !targets.contains('='));
        let pair = pair.map(|(source, targets)| Pair {
            source: source.to_owned(),
            targets: targets.split(',').map(str::to_owned).collect(),
        });
        pairs.push(pair.ok_or_else(|| {
            CommandError::arguments(
                format!("read --table {text}: it needs exactly one ="),
                "write --table SOURCE=TARGET or --table SOURCE=TARGET,TARGET",
            )
        })?);
    }
    Ok(pairs)
}
