//! The one place that opens an object store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use table_sync_core::BoxError;
use table_sync_store::{Location, Secret, Settings, StoreConfig, open};
use url::Url;

use crate::error::RowsError;

/// How long the judge repeats a request: it is a check that a person waits for.
const RETRY: Duration = Duration::from_secs(20);

/// Name under which the one store is configured.
const NAME: &str = "judge";

/// How stores are reached. No `Debug`: a proxy's URL may hold a password.
#[derive(Clone, Default)]
pub struct Network {
    /// Certificates (PEM) trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// HTTP proxy, `http://host:port`.
    pub proxy: Option<String>,
}

/// Opens the store that holds `url`, with the store's own option names (`aws_endpoint`, ...).
///
/// The returned store is rooted at the bucket, or at `/` for `file://`.
///
/// # Errors
/// [`RowsError::Store`] if the scheme or an option is not known. Options are never in the text.
pub fn open_store(
    url: &Url,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn ObjectStore>, RowsError> {
    open_store_over(url, options, Network::default())
}

/// As [`open_store`], over a given network.
///
/// # Errors
/// As [`open_store`].
pub fn open_store_over(
    url: &Url,
    options: &BTreeMap<String, String>,
    network: Network,
) -> Result<Arc<dyn ObjectStore>, RowsError> {
    let failed = |source: BoxError| RowsError::Store { url: printable(url), source };
    if url.scheme() == "file" {
        // The library's own folder store: the demo's writer needs all that it does.
        let (store, _path) =
            object_store::parse_url_opts(url, options).map_err(|error| failed(error.into()))?;
        return Ok(Arc::from(store));
    }
    let mut root = url.clone();
    root.set_path("");
    let options = options.iter().map(|(name, value)| (name.clone(), Secret::plain(value.as_str())));
    let config = StoreConfig { url: root.into(), options: options.collect() };
    let stores = BTreeMap::from([(NAME.to_owned(), config)]);
    let location = Location::parse(&format!("{NAME}:table"), &stores);
    let location = location.map_err(|error| failed(error.into()))?;
    let Network { ca_file, proxy } = network;
    let settings = Settings { retry_timeout: RETRY, ca_file, proxy, ..Settings::default() };
    let store = open(&location, &settings).map_err(|error| failed(error.into()))?;
    Ok(store.object_store())
}

/// `url` without user, password, query and fragment.
pub(crate) fn printable(url: &Url) -> String {
    let mut url = url.clone();
    // Only URLs that cannot have them refuse, and those hold none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
