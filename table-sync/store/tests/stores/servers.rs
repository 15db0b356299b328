//! Stores over the real servers of the test data crate.

use std::collections::BTreeMap;

pub use driftless_testdata::servers::{
    ACCOUNT, ACCOUNT_KEY, KEY_ID, SECRET, Server, azurite, versitygw, versitygw_with,
};
use table_sync_store::{Location, Secret, Settings, Store, StoreConfig, open};

/// Opens what a server keeps.
pub trait Opens {
    /// The bucket `lake` of an S3 server, rooted at `prefix`.
    fn s3(&self, prefix: &str, settings: &Settings) -> Store;
}

impl Opens for Server {
    fn s3(&self, prefix: &str, settings: &Settings) -> Store {
        let options = [
            ("endpoint", format!("http://127.0.0.1:{}", self.port)),
            ("region", "us-east-1".to_owned()),
            ("access_key_id", KEY_ID.to_owned()),
            ("secret_access_key", SECRET.to_owned()),
        ];
        named(&format!("s3://lake/{prefix}"), &options, settings)
    }
}

/// Opens a store with options.
pub fn named(url: &str, options: &[(&str, String)], settings: &Settings) -> Store {
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Secret::plain(value.as_str())))
        .collect();
    let config = StoreConfig { url: url.to_owned(), options };
    let stores: BTreeMap<String, StoreConfig> = [("site".to_owned(), config)].into();
    open(&Location::parse("site:table", &stores).unwrap(), settings).unwrap()
}
