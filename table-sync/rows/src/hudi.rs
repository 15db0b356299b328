//! Reading a Hudi table: what rows it has at a position of its timeline.
//!
//! Rows come from hudi-core, merged as a snapshot query merges them. Which instants belong to a
//! position is decided here, by their names and their order, and hudi-core is shown no others:
//! its own time travel goes by request, and a table's history goes by completion.
//!
//! # Invariants
//! - Rows are those of all instants that completed at or before the position, and of no other;
//!   a position that the timeline does not hold has no rows, not those of its neighbour.
//! - Every file that these instants' newest slices name is read: a listing that lacks one is
//!   [`RowsError::Missing`], while hudi-core reads on without it.
//! - Files are found by listing the store, never by the table's metadata table: hudi-core does
//!   not decode all kinds of it, and opens it without the store's options. So a metadata table
//!   that disagrees with the store is not seen here.
//! - The table's own columns only: what Hudi adds to each row (`_hoodie_*`) says where a row
//!   is stored, not what it is.

mod timeline;
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use hudi_core::config::HudiConfigs;
use hudi_core::config::util::empty_options;
use hudi_core::error::CoreError;
use hudi_core::file_group::file_slice::FileSlice;
use hudi_core::table::builder::TableBuilder;
use hudi_core::table::{ReadOptions, Table};
use object_store::ObjectStore;
use serde::Serialize;
use table_sync_core::Position;
use url::Url;

use crate::error::RowsError;
use crate::hash::RowHash;
use crate::store::{Network, open_store_over, printable};
use timeline::Listing;
pub use timeline::Order;

/// Rows that a slice hands on at once.
const BATCH_ROWS: usize = 4096;

/// How the columns begin that Hudi adds to a table's own.
const META_PREFIX: &str = "_hoodie_";

/// Present in tables whose files partly lie in another table's folder.
const BOOTSTRAP_KEY: &str = "hoodie.bootstrap.base.path";

/// Tell hudi-core to plan reads with the metadata table.
const METADATA_KEYS: [&str; 2] = ["hoodie.table.metadata.partitions", "hoodie.metadata.enable"];

/// Where a table lies and how its store is reached. No `Debug`: options hold secrets.
#[derive(Clone)]
pub struct Place {
    /// The table's root.
    pub url: Url,
    /// The store's own option names (`aws_endpoint`, ...).
    pub options: BTreeMap<String, String>,
    /// Proxy and certificates.
    pub network: Network,
}

impl Place {
    fn store(&self) -> Result<Arc<dyn ObjectStore>, RowsError> {
        open_store_over(&self.url, &self.options, self.network.clone())
    }

    /// What hudi-core opens its own store with.
    pub(crate) fn storage_options(&self) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        if let Some(proxy) = &self.network.proxy {
            options.insert("proxy_url".to_owned(), proxy.clone());
        }
        let plain = options.iter().any(|(name, value)| {
            name.to_ascii_lowercase().ends_with("endpoint") && is_loopback_http(value)
        });
        if plain {
            options.entry("allow_http".to_owned()).or_insert_with(|| "true".to_owned());
        }
        options
    }
}

/// What the judge saw at one position of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowSummary {
    /// The position that was read, `<completion>_<instant>`; none if nothing has completed.
    pub position: Option<String>,
    /// Number of rows.
    pub count: u64,
    /// [`RowHash`] of all rows, 32 hex digits.
    pub hash: String,
    /// The table's schema at that position as its commit has it, Avro JSON; none before one.
    pub schema: Option<String>,
    /// Which commits the position has, if only this place's clock tells. For [`read_in_order`]
    /// at a replica.
    pub order: Option<Order>,
}

/// Reads every row of the table at `place`, as of `position` or the newest.
///
/// `position` is `<completion>_<instant>`. The instant identifies it; the completion only
/// orders, since version 6 timelines keep it in the store's clock, which a replica's differs
/// from.
///
/// # Errors
/// Any [`RowsError`]; `Unsupported` and `Gone` say nothing about the table's rows.
pub async fn read(place: &Place, position: Option<&str>) -> Result<RowSummary, RowsError> {
    read_in_order(place, position, None).await
}

/// [`read`], where the source has said which commits the position has.
///
/// # Errors
/// As [`read`].
pub async fn read_in_order(
    place: &Place,
    position: Option<&str>,
    order: Option<&Order>,
) -> Result<RowSummary, RowsError> {
    let snapshot = Snapshot::open_in_order(place, position, order).await?;
    let (mut count, mut hash) = (0, RowHash::default());
    let mut rows = std::pin::pin!(snapshot.rows().await?);
    while let Some(batch) = rows.try_next().await? {
        hash.add(&batch).map_err(RowsError::from_type)?;
        count += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
    }
    // A table to which nothing was written has no schema yet.
    let schema = snapshot.table.get_schema_in_avro_str().await.ok();
    let position = snapshot.position.as_ref().map(Position::to_string);
    let hash = hash.to_string();
    Ok(RowSummary { position, count, hash, schema, order: snapshot.order.clone() })
}

/// A table at a position: its files are known to be there, and no row is read.
pub(crate) struct Snapshot {
    table: Table,
    slices: Vec<FileSlice>,
    /// None if nothing has completed.
    pub(crate) position: Option<Position>,
    order: Option<Order>,
    url: String,
}

impl Snapshot {
    pub(crate) async fn open(place: &Place, position: Option<&str>) -> Result<Self, RowsError> {
        Self::open_in_order(place, position, None).await
    }

    async fn open_in_order(
        place: &Place,
        position: Option<&str>,
        order: Option<&Order>,
    ) -> Result<Self, RowsError> {
        let url = printable(&place.url);
        let listing = Listing::load(place.store()?, &place.url, &open(place).await?).await?;
        // Opened after the listing, so that it has every commit that the listing has.
        let mut table = open(place).await?;
        let mut configs = table.hudi_configs.as_options();
        configs.retain(|key, _| !METADATA_KEYS.contains(&key.as_str()));
        table.hudi_configs = Arc::new(HudiConfigs::new(configs));
        table.timeline.completed_commits.retain(|commit| listing.holds(commit));
        let (position, order) = match position {
            Some(text) => {
                let position = listing.find(text)?;
                (Some(position), listing.rewind(&mut table, position, order)?)
            }
            None => (listing.newest(), None),
        };
        let slices = table.get_file_slices(&ReadOptions::new()).await;
        let slices = slices.map_err(|error| RowsError::from_hudi(&url, error))?;
        whole::check(&table, &listing, &slices, &url).await?;
        Ok(Self { table, slices, position, order, url })
    }

    /// The table's rows in its own columns, slice by slice.
    pub(crate) async fn rows(
        &self,
    ) -> Result<impl Stream<Item = Result<RecordBatch, RowsError>> + Send + '_, RowsError> {
        let failed = |error| RowsError::from_hudi(&self.url, error);
        let options = ReadOptions::new().with_batch_size(BATCH_ROWS).map_err(failed)?;
        let reader = self
            .table
            .create_file_group_reader_with_options(Some(&options), empty_options())
            .await
            .map_err(failed)?;
        let slices = futures::stream::iter(&self.slices).then(move |slice| {
            let (reader, options) = (reader.clone(), options.clone());
            async move { reader.read_file_slice_stream(slice, &options).await }
        });
        Ok(slices
            .try_flatten()
            .and_then(|batch| std::future::ready(own_columns(&batch).map_err(CoreError::from)))
            .map_err(failed))
    }
}

/// Opens the table at `place`, of which the timeline is loaded.
///
/// # Errors
/// Any [`RowsError`].
pub(crate) async fn open(place: &Place) -> Result<Table, RowsError> {
    let url = printable(&place.url);
    let table = TableBuilder::from_base_uri(place.url.as_str())
        .with_storage_options(place.storage_options())
        .build()
        .await
        .map_err(|error| RowsError::from_hudi_open(&url, error))?;
    if table.hudi_configs.contains(BOOTSTRAP_KEY) {
        return Err(RowsError::Unsupported { feature: "bootstrap".to_owned() });
    }
    Ok(table)
}

/// `batch` without the columns that Hudi adds.
fn own_columns(batch: &RecordBatch) -> Result<RecordBatch, deltalake::arrow::error::ArrowError> {
    let schema = batch.schema();
    let fields = schema.fields().iter().enumerate();
    let own: Vec<_> = fields
        .filter(|(_, field)| !field.name().starts_with(META_PREFIX))
        .map(|(index, _)| index)
        .collect();
    batch.project(&own)
}

fn is_loopback_http(endpoint: &str) -> bool {
    let Ok(url) = Url::parse(endpoint) else { return false };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && loopback
}
