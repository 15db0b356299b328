//! The one place that opens an object store.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use url::Url;

use crate::error::RowsError;

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
    match object_store::parse_url_opts(url, options) {
        Ok((store, _path)) => Ok(Arc::from(store)),
        Err(source) => Err(RowsError::Store { url: printable(url), source: Box::new(source) }),
    }
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
