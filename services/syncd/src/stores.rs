//! Stores: how a table of the catalog is opened on this node.
//!
//! # Invariants
//! - A secret is read from the environment of this process, or from its folder of secrets, and
//!   from nowhere else, whatever the catalog says.
//! - Of the local file system, nothing is opened outside the folders that this node was given.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use driftless_catalog::{
    AbsolutePaths, Catalog, CatalogError, FromEnv, FromFile, HudiHistory, HudiMetadata,
    HudiReaders, HudiV6Window, OptionValue, Policy, Site, StoreRecord,
};
use driftless_wire::{HudiOptions, OpenError, Opener, Table, TableOptions, parse_start};
use table_sync_core::{Start, with_causes};
use table_sync_store::{Secret, SecretError, Store, StoreConfig};
use tokio::time::Instant;

use crate::Options;

/// Environment variables that the catalog's stores may name begin so.
pub const SECRET_PREFIX: &str = "DRIFTLESS_STORE_";

/// The catalog's stores are read again after this long.
const FRESH: Duration = Duration::from_secs(1);

/// Why a table cannot be opened on this node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotOpened {
    /// The catalog did not answer.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A location or options that make no sense.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A secret that this node may not read.
    #[error(
        "read the option {option} of the store {store}: {what}; name a variable that begins with \
         {SECRET_PREFIX}, or a file of the folder that --secrets names"
    )]
    Secret {
        /// The store.
        store: String,
        /// The option.
        option: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A folder of this machine that this node was not given.
    #[error("{url} is on this machine's disk: allow its folder with --allow-files")]
    Outside {
        /// The location.
        url: String,
    },
}

impl NotOpened {
    /// The message with its causes.
    pub fn message(&self) -> String {
        with_causes(self)
    }
}

/// See the module.
pub struct Stores {
    catalog: Catalog,
    options: Options,
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    read: Instant,
    records: Vec<StoreRecord>,
    sites: Vec<Site>,
    opener: Arc<Opener>,
    /// Stores that this node cannot open: with the option, and why.
    refused: Vec<(StoreRecord, String, &'static str)>,
}

impl Known {
    /// A place in a store that cannot be opened stops whoever needs that place, and nobody else.
    fn check<'a>(&self, places: impl IntoIterator<Item = &'a str>) -> Result<(), NotOpened> {
        for place in places {
            let holds = |(record, ..): &&(StoreRecord, String, &str)| record.holds(place);
            if let Some((record, option, what)) = self.refused.iter().find(holds) {
                return Err(refuse(record, option, what));
            }
        }
        Ok(())
    }
}

impl Stores {
    /// Opens nothing yet.
    pub fn new(options: &Options) -> Self {
        Self { catalog: options.catalog.clone(), options: options.clone(), known: Mutex::default() }
    }

    /// Opens a table at its source and at targets.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub async fn table(
        &self,
        source: &str,
        targets: &[String],
        policy: &Policy,
    ) -> Result<Table, NotOpened> {
        let known = self.read().await?;
        known.check(targets.iter().map(String::as_str).chain([source]))?;
        let targets: Vec<_> = targets.iter().map(|place| at_site(&known.sites, place)).collect();
        let table = known.opener.table(source, &targets, &table_options(policy))?;
        let targets = table.targets.iter().map(|target| target.url.as_str());
        for url in targets.chain([table.source.url.as_str()]) {
            if !allowed(url, &self.options.files) {
                return Err(NotOpened::Outside { url: url.to_owned() });
            }
        }
        Ok(table)
    }

    /// The store of a site, and the store that keeps our own objects beside its tables.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub async fn site(&self, site: &Site) -> Result<(Store, Store), NotOpened> {
        let known = self.read().await?;
        known.check([site.url.as_str()])?;
        if !allowed(&site.url, &self.options.files) {
            return Err(NotOpened::Outside { url: site.url.clone() });
        }
        let place = at_site(&known.sites, &site.place("_"));
        Ok(known.opener.store(&place)?)
    }

    /// The tables that a pattern names: each one's path below the pattern's fixed part, and where it
    /// is. Lists the store.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub async fn expand(&self, pattern: &str) -> Result<Vec<(String, String)>, NotOpened> {
        let known = self.read().await?;
        known.check([pattern])?;
        let found = known.opener.expand(pattern).await?;
        let mut tables = Vec::with_capacity(found.len());
        for (path, location) in found {
            if !allowed(location.url(), &self.options.files) {
                return Err(NotOpened::Outside { url: location.url().to_owned() });
            }
            // In the words of the pattern, so that a store's name stays.
            let place = match location.store_name() {
                Some(name) => format!("{name}:{}", location.table()),
                None => location.url().to_owned(),
            };
            tables.push((path, place));
        }
        Ok(tables)
    }

    /// The stores as the catalog has them now; they stay open until one of them changes.
    async fn read(&self) -> Result<Known, NotOpened> {
        if let Some(known) = &*self.known()
            && known.read.elapsed() < FRESH
        {
            return Ok(known.clone());
        }
        let records = self.catalog.stores().await?;
        let sites = self.catalog.sites().await?;
        if let Some(known) = &mut *self.known()
            && known.records == records
            && known.sites == sites
        {
            known.read = Instant::now();
            return Ok(known.clone());
        }
        let mut stores: BTreeMap<String, StoreConfig> = BTreeMap::new();
        let mut refused = Vec::new();
        for record in &records {
            match self.config(record) {
                Ok(config) => {
                    stores.insert(record.name.clone(), config);
                }
                Err((option, what)) => refused.push((record.clone(), option, what)),
            }
        }
        for site in sites.iter().filter(|site| site.url.contains("://")) {
            let (url, options) = (site.url.clone(), BTreeMap::new());
            stores.insert(store_of_site(site), StoreConfig { url, options });
        }
        let (settings, state) = (self.options.settings.clone(), self.options.state.clone());
        let opener = Arc::new(Opener::new(settings, stores, state)?);
        let known = Known { read: Instant::now(), records, sites, opener, refused };
        *self.known() = Some(known.clone());
        Ok(known)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How a store is opened; or the option that this node cannot read, and why.
    fn config(&self, record: &StoreRecord) -> Result<StoreConfig, (String, &'static str)> {
        let mut options = BTreeMap::new();
        for (name, value) in &record.options {
            let secret = self.secret(value).map_err(|what| (name.clone(), what))?;
            options.insert(name.clone(), secret);
        }
        Ok(StoreConfig { url: record.url.clone(), options })
    }

    /// The value of an option of a store, read now.
    ///
    /// # Errors
    /// [`NotOpened::Secret`], without the value: the store has no such option, or this node cannot
    /// read it.
    pub fn option(&self, record: &StoreRecord, name: &str) -> Result<String, NotOpened> {
        let value = record.options.get(name).ok_or("there is none");
        let secret = value.and_then(|value| self.secret(value));
        let found = secret.and_then(|secret| {
            secret.reveal().map_err(|error| match error {
                SecretError::Env { .. } => "its variable is not set",
                _ => "its file cannot be read",
            })
        });
        found.map_err(|what| refuse(record, name, what))
    }

    /// Where a value is read; or why this node does not.
    fn secret(&self, value: &OptionValue) -> Result<Secret, &'static str> {
        match value {
            OptionValue::Text(text) => Ok(Secret::plain(text)),
            OptionValue::Env(FromEnv { env }) if env.starts_with(SECRET_PREFIX) => {
                Ok(Secret::from_env(env))
            }
            OptionValue::Env(_) => Err("this variable may not be read"),
            OptionValue::File(FromFile { file }) => {
                let folder = self.options.secrets.as_deref();
                let folder = folder.ok_or("there is no folder of secrets")?;
                Ok(Secret::from_file(file_below(folder, file).ok_or("this is no name of a file")?))
            }
        }
    }
}

fn refuse(record: &StoreRecord, option: &str, what: &'static str) -> NotOpened {
    NotOpened::Secret { store: record.name.clone(), option: option.to_owned(), what }
}

/// A site that is a URL is a store of its own, so that our own objects lie at its root. No store of
/// the catalog has capitals in its name.
fn store_of_site(site: &Site) -> String {
    format!("SITE-{}", site.name)
}

/// A replica's place as one in its site's store, where the site is a URL.
fn at_site(sites: &[Site], place: &str) -> String {
    let below = |site: &Site| {
        let root = site.url.trim_end_matches('/');
        let rest = place.strip_prefix(root)?.strip_prefix('/')?;
        site.url.contains("://").then(|| (root.len(), format!("{}:{rest}", store_of_site(site))))
    };
    let found = sites.iter().filter_map(below).max();
    found.map_or_else(|| place.to_owned(), |(_, place)| place)
}

/// A file of a folder, by its plain name.
fn file_below(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name => Some(folder.join(part)),
        _ => None,
    }
}

/// Whether a location is not on this machine's disk, or in a folder that may be used.
fn allowed(url: &str, folders: &[PathBuf]) -> bool {
    url.strip_prefix("file://").is_none_or(|path| is_below(Path::new(path), folders))
}

/// Whether a path lies in one of these folders, whatever is there.
pub fn is_below(path: &Path, folders: &[PathBuf]) -> bool {
    let plain = path.components().all(|part| !matches!(part, Component::ParentDir));
    plain && folders.iter().any(|folder| path.starts_with(folder))
}

/// A policy in the words of the wire.
fn table_options(policy: &Policy) -> TableOptions {
    TableOptions {
        absolute_paths: match policy.absolute_paths {
            AbsolutePaths::Refuse => driftless_wire::AbsolutePaths::Refuse,
            AbsolutePaths::Alias => driftless_wire::AbsolutePaths::Alias,
        },
        alias_roots: policy.alias_roots.clone(),
        format: None,
        hudi: HudiOptions {
            readers: match policy.hudi_readers {
                HudiReaders::Zero => driftless_wire::HudiReaders::Zero,
                HudiReaders::One => driftless_wire::HudiReaders::One,
                HudiReaders::Both => driftless_wire::HudiReaders::Both,
            },
            v6_window: match policy.hudi_v6_window {
                HudiV6Window::Allow => driftless_wire::HudiV6Window::Allow,
                HudiV6Window::Refuse => driftless_wire::HudiV6Window::Refuse,
            },
            history: match policy.hudi_history {
                HudiHistory::Carry => driftless_wire::HudiHistory::Carry,
                HudiHistory::Omit => driftless_wire::HudiHistory::Omit,
            },
            metadata: match policy.hudi_metadata {
                HudiMetadata::Drop => driftless_wire::HudiMetadata::Drop,
                HudiMetadata::Mirror => driftless_wire::HudiMetadata::Mirror,
            },
        },
        start: start_of(policy),
    }
}

/// Where a new replica starts. The catalog has checked the text.
pub(crate) fn start_of(policy: &Policy) -> Start {
    parse_start(&policy.start).unwrap_or(Start::Latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_folders_must_be_given() {
        let folders = [PathBuf::from("/data/lake")];
        for (url, expect) in [
            ("s3://bucket/t", true),
            ("file:///data/lake/t", true),
            ("file:///data/lake", true),
            ("file:///data/lakes/t", false),
            ("file:///data/lake/../secret", false),
            ("file:///etc", false),
        ] {
            assert_eq!(allowed(url, &folders), expect, "{url}");
        }
        assert!(!allowed("file:///data/lake/t", &[]));
    }

    #[test]
    fn a_site_with_a_url_is_a_store_of_its_own() {
        let site = |name: &str, url: &str| {
            let (name, url) = (name.to_owned(), url.to_owned());
            Site { name, url, region: None, revision: 1, created_ms: 0 }
        };
        let sites = [
            site("east", "s3://vast/east/"),
            site("west", "vast:west"),
            site("deep", "s3://vast/east/deep"),
        ];
        for (place, expect) in [
            ("s3://vast/east/lake/t", "SITE-east:lake/t"),
            ("s3://vast/east/deep/t", "SITE-deep:t"),
            ("s3://vast/eastern/t", "s3://vast/eastern/t"),
            ("vast:west/t", "vast:west/t"),
        ] {
            assert_eq!(at_site(&sites, place), expect, "{place}");
        }
    }

    #[test]
    fn secrets_are_plain_names_in_their_folder() {
        let folder = Path::new("/run/secrets");
        assert_eq!(file_below(folder, "key"), Some(PathBuf::from("/run/secrets/key")));
        for name in ["", ".", "..", "/etc/passwd", "a/b", "../key", "./key", "key/"] {
            assert_eq!(file_below(folder, name), None, "{name}");
        }
    }
}
