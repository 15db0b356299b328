//! The opener: stores by name, each opened once, and the tables below them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use table_sync_store::{
    ExpandError, Location, LocationError, Settings, Store, StoreConfig, expand, open,
};

use crate::place::{Place, place};
use crate::table::{self, Table};
use crate::{OpenError, TableOptions};

/// A last path segment that is never read or written: it makes a store's root a location.
const ROOT_STAND_IN: &str = "_";

/// Opens tables. Stores are opened at most once for each name and root, and then shared: a
/// secret that is kept elsewhere is read when its store is opened first.
pub struct Opener {
    settings: Settings,
    stores: BTreeMap<String, StoreConfig>,
    state: Option<String>,
    /// By name, where there is one, and URL of the root.
    opened: Mutex<HashMap<(Option<String>, String), Store>>,
}

impl Opener {
    /// Opens nothing yet.
    ///
    /// `stores`: what `NAME:PATH` refers to. `state`: where our own objects are kept, instead of
    /// under `_driftless/` at each target's store.
    ///
    /// # Errors
    /// A `state` that is no location.
    pub fn new(
        settings: Settings,
        stores: BTreeMap<String, StoreConfig>,
        state: Option<String>,
    ) -> Result<Self, OpenError> {
        if let Some(text) = &state {
            root_location(text, "", &stores)?;
        }
        Ok(Self { settings, stores, state, opened: Mutex::default() })
    }

    /// Opens one table. A `*` in the source stands for itself here.
    ///
    /// # Errors
    /// A location or options that make no sense.
    pub fn table(
        &self,
        source: &str,
        targets: &[String],
        options: &TableOptions,
    ) -> Result<Table, OpenError> {
        table::open(self, self.locate(source)?, targets, options)
    }

    /// Opens the table at `source`, or, where it has a `*`, every table that matches, in key
    /// order; each of these goes to its path below the pattern's folder, at every target.
    ///
    /// # Errors
    /// As [`Opener::table`], and a `*` that matches no table.
    pub async fn tables(
        &self,
        source: &str,
        targets: &[String],
        options: &TableOptions,
    ) -> Result<Vec<Table>, OpenError> {
        let pattern = self.locate(source)?;
        if !pattern.has_glob() {
            return Ok(vec![table::open(self, pattern, targets, options)?]);
        }
        let mut tables = Vec::new();
        for (name, found) in self.expand(source).await? {
            let targets: Vec<_> = targets.iter().map(|target| below(target, &name)).collect();
            tables.push(table::open(self, found, &targets, options)?);
        }
        if tables.is_empty() {
            return Err(OpenError::NoMatch { url: pattern.url().to_owned() });
        }
        Ok(tables)
    }

    /// The tables that a source with a `*` names, in key order, each with its path below the last
    /// folder in front of the first `*`. Lists the store.
    ///
    /// # Errors
    /// A location that makes no sense, and a store that does not answer.
    pub async fn expand(&self, source: &str) -> Result<Vec<(String, Location)>, OpenError> {
        let pattern = self.locate(source)?;
        let found = expand(&pattern, &self.settings).await.map_err(|error| match error {
            ExpandError::Open(error) => OpenError::Store(error),
            error => OpenError::List(error),
        })?;
        let name = |table: &Location| name_below(pattern.table(), table.table());
        Ok(found.into_iter().map(|table| (name(&table), table)).collect())
    }

    /// Opens the store of a table, or of a folder of tables, and the store that keeps its state.
    ///
    /// # Errors
    /// A location or options that make no sense.
    pub fn store(&self, text: &str) -> Result<(Store, Store), OpenError> {
        let location = match Location::parse(text, &self.stores) {
            Err(LocationError::NoTable { .. }) => root_location(text, "", &self.stores)?,
            other => other?,
        };
        let store = self.open(&location)?;
        let state = self.state_of(&store)?;
        Ok((store, state))
    }

    /// How a child process opens the table at a location: with the options of its store, or with
    /// those that the environment gives.
    ///
    /// # Errors
    /// An option whose value is not there.
    pub fn place(&self, location: &Location) -> Result<Place, OpenError> {
        place(location, self.store_of(location), &self.settings)
    }

    pub(crate) fn locate(&self, text: &str) -> Result<Location, LocationError> {
        Location::parse(text, &self.stores)
    }

    /// The configuration of the named store that a location is in.
    pub(crate) fn store_of(&self, location: &Location) -> Option<&StoreConfig> {
        self.stores.get(location.store_name()?)
    }

    /// The store at a location's root, opened unless it is open.
    pub(crate) fn open(&self, location: &Location) -> Result<Store, OpenError> {
        let key = (location.store_name().map(str::to_owned), location.store_url().to_owned());
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(&key) {
            return Ok(store.clone());
        }
        let store = open(location, &self.settings)?;
        opened.insert(key, store.clone());
        Ok(store)
    }

    /// The store that keeps what we remember about a target.
    pub(crate) fn state_of(&self, store: &Store) -> Result<Store, OpenError> {
        let Some(state) = &self.state else { return Ok(store.clone()) };
        // One folder for each target store: what is remembered there is about one store, and two
        // stores may hold tables of one name.
        let location = root_location(state, &slug(store.url()), &self.stores)?;
        self.open(&location)
    }
}

/// The root of a store, or a folder below it, as a location.
fn root_location(
    text: &str,
    folder: &str,
    stores: &BTreeMap<String, StoreConfig>,
) -> Result<Location, LocationError> {
    let named = text.split_once(':').filter(|(_, path)| !path.starts_with("//"));
    let store = named.and_then(|(name, path)| Some((name, path, stores.get(name)?)));
    match store {
        Some((name, path, store)) => {
            let mut store = store.clone();
            store.url = join(&join(&store.url, path), folder);
            let stores = BTreeMap::from([(name.to_owned(), store)]);
            Location::parse(&format!("{name}:{ROOT_STAND_IN}"), &stores)
        }
        None => Location::parse(&join(&join(text, folder), ROOT_STAND_IN), stores),
    }
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
    fn slugs_differ_as_urls_do() {
        assert_eq!(slug("s3://b/a_b"), "s3_3a_2f_2fb_2fa_5fb");
        assert_ne!(slug("s3://b/a_2f"), slug("s3://b/a/"));
    }

    fn stores() -> BTreeMap<String, StoreConfig> {
        let url = "s3://replicas/lake".to_owned();
        BTreeMap::from([("vast".to_owned(), StoreConfig { url, options: BTreeMap::new() })])
    }

    #[test]
    fn a_state_folder_is_below_what_was_named() {
        let root = |text: &str, folder: &str| {
            root_location(text, folder, &stores()).map(|location| location.store_url().to_owned())
        };
        assert_eq!(root("s3://b", "").unwrap(), "s3://b");
        assert_eq!(root("s3://b/state/", "x").unwrap(), "s3://b/state/x");
        assert_eq!(root("vast:", "x").unwrap(), "s3://replicas/lake/x");
        assert_eq!(root("vast:state", "x").unwrap(), "s3://replicas/lake/state/x");
        let unknown = root("other:state", "x").unwrap_err();
        assert_eq!(OpenError::from(unknown).kind(), crate::ErrorKind::Arguments);
    }
}
