//! A table as a child process opens it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use table_sync_store::{Location, Settings, StoreConfig};

use crate::OpenError;

/// A table as a child process opens it. Not printable: options hold secrets.
#[derive(Clone)]
pub struct Place {
    /// The table's URL.
    pub url: String,
    /// Options of its store, or those that the environment gives.
    pub options: BTreeMap<String, String>,
    /// Certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// HTTP proxy.
    pub proxy: Option<String>,
}

/// How a child process opens the table at a location of `store`.
pub(crate) fn place(
    location: &Location,
    store: Option<&StoreConfig>,
    settings: &Settings,
) -> Result<Place, OpenError> {
    let url = location.url().to_owned();
    let mut options = BTreeMap::new();
    for (option, secret) in store.iter().flat_map(|store| &store.options) {
        let value = secret
            .reveal()
            .map_err(|source| OpenError::Secret { option: option.clone(), source })?;
        options.insert(option.to_ascii_lowercase(), value);
    }
    let configured = options.keys().any(|name| is_credential(name));
    for (name, value) in environment(&url) {
        if !(configured && is_credential(&name)) {
            options.entry(name).or_insert(value);
        }
    }
    // As when this program opens the store: plain HTTP needs no saying on this machine.
    for (endpoints, allow_http) in [
        (["aws_endpoint", "endpoint"], "aws_allow_http"),
        (["azure_storage_endpoint", "azure_endpoint"], "azure_allow_http"),
    ] {
        let endpoint = endpoints.iter().find_map(|name| options.get(*name));
        if endpoint.is_some_and(|endpoint| is_loopback_http(endpoint)) {
            options.entry(allow_http.to_owned()).or_insert_with(|| "true".to_owned());
        }
    }
    let Settings { ca_file, proxy, .. } = settings.clone();
    Ok(Place { url, options, ca_file, proxy })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        assert!(is_loopback_http("http://127.0.0.1:9000"));
        assert!(is_loopback_http("http://localhost"));
        assert!(!is_loopback_http("https://127.0.0.1:9000"));
        assert!(!is_loopback_http("http://127.0.0.1.example.com"));
        assert!(!is_loopback_http("http://store.example.com:9000"));
    }
}
