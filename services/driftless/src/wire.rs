//! Wiring: from text on the command line to opened stores and logs.
//!
//! The only module that knows table formats and store options by name. Nothing is read or written
//! here but the listing that a `*` needs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use table_sync_core::{BlockCode, Blocked, Start, with_causes};
use table_sync_delta::DeltaLog;
use table_sync_engine::{Source, Target};
use table_sync_hudi::{HudiLog, Side, Slices};
use table_sync_store::{
    ExpandError, Location, LocationError, OpenError, Settings, Store, StoreKind, expand, open,
};

use crate::args::{
    Globals, HudiArgs, HudiHistory, HudiMetadata, HudiReaders, HudiV6Window, Paths, Tables,
};
use crate::config::Config;
use crate::exit::CommandError;
use crate::table_log::TableLog;

mod alias;

/// A last path segment that is never read or written: it makes a store's root a location.
const ROOT_STAND_IN: &str = "_";

/// What every command opens tables with.
pub(crate) struct Wire {
    config: Config,
    settings: Settings,
    state: Option<String>,
}

/// One table, opened at its source and at its targets.
pub(crate) struct Table {
    pub(crate) source: Source,
    /// The source's log again, for what only its format can tell.
    pub(crate) log: Arc<TableLog>,
    /// The source as a child process opens it.
    pub(crate) source_place: Place,
    pub(crate) targets: Vec<Target>,
    pub(crate) target_places: Vec<Place>,
    /// Why a target cannot hold a replica of a log with absolute references, where it cannot.
    pub(crate) misplaced: Vec<Option<Blocked>>,
}

/// A table as a child process opens it. Not printable: options hold secrets.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) options: BTreeMap<String, String>,
    /// Certificates trusted beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// HTTP proxy.
    pub(crate) proxy: Option<String>,
}

/// Text for one table: a source and its targets, as they were given.
struct Pair {
    source: String,
    targets: Vec<String>,
}

/// How long a store repeats one request by itself.
const STORE_RETRY: Duration = Duration::from_secs(3);

/// A location and the text that named it.
struct Named {
    text: String,
    location: Location,
}

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
        if let Some(text) = &globals.state {
            root_location(text, "", &config)?;
        }
        Ok(Self { config, settings, state: globals.state.clone() })
    }

    /// Opens the table that `inspect` looks at.
    ///
    /// # Errors
    /// A location or options that make no sense.
    pub(crate) fn source(&self, text: &str, paths: &Paths) -> Result<Table, CommandError> {
        let location = self.locate(text)?;
        let named = Named { text: text.to_owned(), location };
        self.open_table(named, &[], paths, Slices::Latest)
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
        let slices = if start == Start::Earliest { Slices::All } else { Slices::Latest };
        let mut opened = Vec::new();
        for pair in pairs(tables)? {
            let location = self.locate(&pair.source)?;
            if !location.has_glob() {
                let named = Named { text: pair.source, location };
                opened.push(self.open_table(named, &pair.targets, &tables.paths, slices)?);
                continue;
            }
            let found = expand(&location, &self.settings).await.map_err(expand_error)?;
            if found.is_empty() {
                let message = format!("no table matches {}; check the pattern", location.url());
                return Err(CommandError::blocked(BlockCode::NotATable, message));
            }
            for table in found {
                let name = name_below(location.table(), table.table());
                let targets: Vec<_> =
                    pair.targets.iter().map(|target| below(target, &name)).collect();
                let named = Named { text: pair.source.clone(), location: table };
                opened.push(self.open_table(named, &targets, &tables.paths, slices)?);
            }
        }
        refuse_twins(&opened)?;
        Ok(opened)
    }

    /// Opens the store of a table, or of a folder of tables, and the store that keeps its state.
    ///
    /// # Errors
    /// A location or options that make no sense.
    pub(crate) fn store(&self, text: &str) -> Result<(Store, Store), CommandError> {
        let location = match Location::parse(text, &self.config.stores) {
            Err(LocationError::NoTable { .. }) => root_location(text, "", &self.config)?,
            other => other.map_err(location_error)?,
        };
        let store = open(&location, &self.settings).map_err(open_error)?;
        let state = self.state_of(&store)?;
        Ok((store, state))
    }

    fn locate(&self, text: &str) -> Result<Location, CommandError> {
        Location::parse(text, &self.config.stores).map_err(location_error)
    }

    fn open_table(
        &self,
        source: Named,
        targets: &[String],
        paths: &Paths,
        slices: Slices,
    ) -> Result<Table, CommandError> {
        let store = open(&source.location, &self.settings).map_err(open_error)?;
        let url = source.location.url().to_owned();
        let policy = alias::policy(paths)?;
        let reads = |replica: Option<&str>| table_sync_delta::Options {
            absolute_paths: policy.clone(),
            table_url: Some(url.clone()),
            replica_url: replica.map(str::to_owned),
            ..table_sync_delta::Options::default()
        };
        let delta = open_log(&store, &source.location, reads(None))?;
        let hudi = |store: &Store, location: &Location, side| {
            open_hudi(store, location, paths, (slices, side))
        };
        let hudi_log = hudi(&store, &source.location, Side::Source)?;
        let log = Arc::new(TableLog::source(delta, hudi_log, paths.format));
        let mut table = Table {
            source: Source {
                log: Arc::clone(&log) as _,
                store,
                table: source.location.table().to_owned(),
                roots: self.source_roots(&source, &policy)?,
                url: url.clone(),
            },
            log: Arc::clone(&log),
            source_place: self.place(&source)?,
            targets: Vec::new(),
            target_places: Vec::new(),
            misplaced: Vec::new(),
        };
        for text in targets {
            let location = self.locate(text)?;
            if location.has_glob() {
                return Err(CommandError::arguments(
                    format!("use {text} as a target: it has a *"),
                    "only SOURCE may have a *; each table goes to TARGET/<name>",
                ));
            }
            let store = open(&location, &self.settings).map_err(open_error)?;
            // A replica holds the source's log unchanged, and so the source's own references.
            let delta = open_log(&store, &location, reads(Some(location.url())))?;
            let misplaced = delta.misplaced();
            let log = Arc::new(TableLog::replica(
                delta,
                hudi(&store, &location, Side::Replica)?,
                &table.log,
            ));
            let named = Named { text: text.clone(), location };
            table.misplaced.push(misplaced);
            table.targets.push(Target {
                log: Arc::clone(&log) as _,
                reader: log,
                state: self.state_of(&store)?,
                store,
                table: named.location.table().to_owned(),
                roots: self.roots(&named, &policy)?,
                url: named.location.url().to_owned(),
            });
            table.target_places.push(self.place(&named)?);
        }
        Ok(table)
    }

    /// The store that keeps what we remember about a target.
    fn state_of(&self, store: &Store) -> Result<Store, CommandError> {
        let Some(state) = &self.state else { return Ok(store.clone()) };
        // One folder for each target store: what is remembered there is about one store, and two
        // stores may hold tables of one name.
        let location = root_location(state, &slug(store.url()), &self.config)?;
        open(&location, &self.settings).map_err(open_error)
    }

    /// How a child process opens a table: with the options of its store, or with those that the
    /// environment gives.
    fn place(&self, named: &Named) -> Result<Place, CommandError> {
        let url = named.location.url().to_owned();
        let named_store = named.text.split_once(':').filter(|(_, path)| !path.starts_with("//"));
        let store = named_store.and_then(|(name, _)| self.config.stores.get(name));
        let mut options = BTreeMap::new();
        for (option, secret) in store.iter().flat_map(|store| &store.options) {
            let value = secret.reveal().map_err(|error| {
                let message = format!("read the store option {option}: {}", with_causes(&error));
                CommandError::configuration(message, "set it, or change the configuration")
            })?;
            options.insert(option.to_ascii_lowercase(), value);
        }
        let configured = options.keys().any(|name| is_credential(name));
        for (name, value) in environment(&url) {
            if !(configured && is_credential(&name)) {
                options.entry(name).or_insert(value);
            }
        }
        // As when this program opens the store: plain HTTP needs no saying on this machine.
        let endpoint = ["aws_endpoint", "endpoint"].iter().find_map(|name| options.get(*name));
        if endpoint.is_some_and(|endpoint| is_loopback_http(endpoint)) {
            options.entry("aws_allow_http".to_owned()).or_insert_with(|| "true".to_owned());
        }
        let endpoint = ["azure_storage_endpoint", "azure_endpoint"];
        let endpoint = endpoint.iter().find_map(|name| options.get(*name));
        if endpoint.is_some_and(|endpoint| is_loopback_http(endpoint)) {
            options.entry("azure_allow_http".to_owned()).or_insert_with(|| "true".to_owned());
        }
        let Settings { ca_file, proxy, .. } = self.settings.clone();
        Ok(Place { url, options, ca_file, proxy })
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

/// The root of a store, or a folder below it, as a location.
fn root_location(text: &str, folder: &str, config: &Config) -> Result<Location, CommandError> {
    let named = text.split_once(':').filter(|(_, path)| !path.starts_with("//"));
    let store = named.and_then(|(name, path)| Some((name, path, config.stores.get(name)?)));
    let parsed = match store {
        Some((name, path, store)) => {
            let mut store = store.clone();
            store.url = join(&join(&store.url, path), folder);
            let stores = BTreeMap::from([(name.to_owned(), store)]);
            Location::parse(&format!("{name}:{ROOT_STAND_IN}"), &stores)
        }
        None => {
            let text = join(&join(text, folder), ROOT_STAND_IN);
            Location::parse(&text, &config.stores)
        }
    };
    parsed.map_err(location_error)
}

/// The name that a table found by a pattern gets at a target: its path below the last folder
/// in front of the first `*`.
fn name_below(pattern: &str, table: &str) -> String {
    let stem = pattern.find('*').and_then(|at| pattern.get(..at)).unwrap_or_default();
    let folder = stem.rfind('/').and_then(|at| stem.get(..=at)).unwrap_or_default();
    table.strip_prefix(folder).unwrap_or(table).to_owned()
}

/// A table below a target that was given as a folder.
fn below(target: &str, name: &str) -> String {
    if target.ends_with(':') { format!("{target}{name}") } else { join(target, name) }
}

fn join(left: &str, right: &str) -> String {
    match right.trim_start_matches('/') {
        "" => left.to_owned(),
        right => format!("{}/{right}", left.trim_end_matches('/')),
    }
}

/// A URL as one path segment, different for different URLs.
fn slug(url: &str) -> String {
    let mut slug = String::with_capacity(url.len());
    for byte in url.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => slug.push(char::from(byte)),
            other => slug.push_str(&format!("_{other:02x}")),
        }
    }
    slug
}

/// A table that is written to must not be read from, nor written twice, in one run.
fn refuse_twins(tables: &[Table]) -> Result<(), CommandError> {
    let sources: Vec<_> = tables.iter().map(|t| (&t.source.store, &t.source.url)).collect();
    let targets: Vec<_> =
        tables.iter().flat_map(|t| &t.targets).map(|t| (&t.store, &t.url)).collect();
    for (at, (store, url)) in targets.iter().enumerate() {
        let inside = |other: &str| {
            let rest = url.strip_prefix(other.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if sources.iter().any(|(other, there)| store.can_copy_from(other) && inside(there)) {
            return Err(CommandError::arguments(
                format!("use {url} as a target: it is a source, or inside one"),
                "name another target",
            ));
        }
        let earlier = targets.iter().take(at);
        if earlier.clone().any(|(other, there)| store.can_copy_from(other) && inside(there)) {
            return Err(CommandError::arguments(
                format!("use {url} as a target: it is given twice, or inside another target"),
                "name each target once",
            ));
        }
    }
    Ok(())
}

fn open_hudi(
    store: &Store,
    location: &Location,
    paths: &Paths,
    (slices, side): (Slices, Side),
) -> Result<HudiLog, CommandError> {
    let HudiArgs { hudi_readers, hudi_v6_window, hudi_history, hudi_metadata } = paths.hudi;
    let options = table_sync_hudi::Options {
        readers: match hudi_readers {
            HudiReaders::Zero => table_sync_hudi::Readers::Zero,
            HudiReaders::One => table_sync_hudi::Readers::One,
            HudiReaders::Both => table_sync_hudi::Readers::Both,
        },
        v6_window: match hudi_v6_window {
            HudiV6Window::Allow => table_sync_hudi::V6Window::Allow,
            HudiV6Window::Refuse => table_sync_hudi::V6Window::Refuse,
        },
        history: match hudi_history {
            HudiHistory::Carry => table_sync_hudi::History::Carry,
            HudiHistory::Omit => table_sync_hudi::History::Omit,
        },
        metadata_table: match hudi_metadata {
            HudiMetadata::Drop => table_sync_hudi::MetadataTable::Drop,
            HudiMetadata::Mirror => table_sync_hudi::MetadataTable::Mirror,
        },
        slices,
        side,
    };
    HudiLog::new(store.object_store(), location.table(), options).map_err(|error| {
        CommandError::arguments(
            format!("open {}: {}", location.url(), with_causes(&error)),
            "name the folder that holds the table's .hoodie",
        )
    })
}

fn open_log(
    store: &Store,
    location: &Location,
    options: table_sync_delta::Options,
) -> Result<DeltaLog, CommandError> {
    let lists_in_order = matches!(store.kind(), StoreKind::S3 | StoreKind::Gcs);
    let options = table_sync_delta::Options { lists_in_order, ..options };
    DeltaLog::new(store.object_store(), location.table(), options).map_err(|error| {
        CommandError::arguments(
            format!("open {}: {}", location.url(), with_causes(&error)),
            "name the folder that holds the table's _delta_log",
        )
    })
}

/// Store options that the environment gives to a store of this URL's kind.
fn environment(url: &str) -> BTreeMap<String, String> {
    let names: &[&str] = match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3") => &[
            "aws_region",
            "aws_default_region",
            "aws_endpoint",
            "aws_endpoint_url",
            "aws_access_key_id",
            "aws_secret_access_key",
            "aws_session_token",
            "aws_allow_http",
        ],
        Some("az" | "abfss") => &[
            "azure_storage_account_name",
            "azure_storage_account_key",
            "azure_storage_sas_token",
            "azure_storage_client_id",
            "azure_storage_client_secret",
            "azure_storage_tenant_id",
            "azure_storage_endpoint",
        ],
        Some("gs") => &["google_application_credentials", "google_service_account"],
        _ => &[],
    };
    let set = |name: &&str| {
        let value = std::env::var(name.to_ascii_uppercase()).ok()?;
        Some(((*name).to_owned(), value))
    };
    names.iter().filter_map(set).collect()
}

fn is_loopback_http(endpoint: &str) -> bool {
    let rest = endpoint.strip_prefix("http://").unwrap_or_default();
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_credential(name: &str) -> bool {
    let words = ["key", "token", "secret", "credential", "service_account", "client_id", "sas"];
    words.iter().any(|word| name.contains(word))
}

fn location_error(error: LocationError) -> CommandError {
    let hint = "a table is a URL, a path, or NAME:path with [stores.NAME] in the configuration";
    CommandError::arguments(with_causes(&error), hint)
}

fn open_error(error: OpenError) -> CommandError {
    CommandError::configuration(
        with_causes(&error),
        "check the store's options and the environment",
    )
}

fn expand_error(error: ExpandError) -> CommandError {
    match error {
        ExpandError::Open(error) => open_error(error),
        error => CommandError::failed(
            "source_unavailable",
            with_causes(&error),
            "check that the source store is reachable, then run again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_a_pattern_keep_their_path_below_it() {
        assert_eq!(name_below("*", "orders"), "orders");
        assert_eq!(name_below("wh/*", "wh/orders"), "orders");
        assert_eq!(name_below("wh/ord*", "wh/orders"), "orders");
        assert_eq!(name_below("wh/*/daily", "wh/eu/daily"), "eu/daily");
        assert_eq!(below("s3://b/replica/", "orders"), "s3://b/replica/orders");
        assert_eq!(below("vast:", "orders"), "vast:orders");
        assert_eq!(below("vast:wh", "eu/daily"), "vast:wh/eu/daily");
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        assert!(is_loopback_http("http://127.0.0.1:9000"));
        assert!(is_loopback_http("http://localhost"));
        assert!(!is_loopback_http("https://127.0.0.1:9000"));
        assert!(!is_loopback_http("http://127.0.0.1.example.com"));
        assert!(!is_loopback_http("http://store.example.com:9000"));
    }

    #[test]
    fn slugs_differ_as_urls_do() {
        assert_eq!(slug("s3://b/a_b"), "s3_3a_2f_2fb_2fa_5fb");
        assert_ne!(slug("s3://b/a_2f"), slug("s3://b/a/"));
    }

    #[test]
    fn a_state_folder_is_below_what_was_named() {
        let config = Config {
            stores: BTreeMap::from([(
                "vast".to_owned(),
                table_sync_store::StoreConfig {
                    url: "s3://replicas/lake".to_owned(),
                    options: BTreeMap::new(),
                },
            )]),
        };
        let root = |text: &str, folder: &str| {
            root_location(text, folder, &config).map(|location| location.store_url().to_owned())
        };
        assert_eq!(root("s3://b", "").unwrap(), "s3://b");
        assert_eq!(root("s3://b/state/", "x").unwrap(), "s3://b/state/x");
        assert_eq!(root("vast:", "x").unwrap(), "s3://replicas/lake/x");
        assert_eq!(root("vast:state", "x").unwrap(), "s3://replicas/lake/state/x");
        assert_eq!(root("other:state", "x").unwrap_err().exit.code(), 2);
    }
}
