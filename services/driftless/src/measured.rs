//! Metrics of this process: what the catalog knows, and what the daemon counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use driftless_alerts::{Config, Counts, Format, Latency, render};
use driftless_catalog::Catalog;
use driftless_catalogd::{HintCounts, Metrics, MetricsError};
use driftless_syncd::Counters;
use table_sync_core::with_causes;

use crate::commands::service::now_ms;

/// See the module.
pub(crate) struct Measured {
    catalog: Catalog,
    /// Tables that have series of their own.
    tables: Vec<String>,
    /// `None` = this process works on no tables.
    counters: Option<Arc<Counters>>,
    latency: Mutex<Latency>,
}

impl Measured {
    pub(crate) fn new(
        catalog: Catalog,
        tables: Vec<String>,
        counters: Option<Arc<Counters>>,
    ) -> Self {
        Self { catalog, tables, counters, latency: Mutex::default() }
    }

    fn counts(&self, hints: HintCounts) -> Counts {
        let HintCounts { matched, unmatched, refused } = hints;
        let hints = named([("matched", matched), ("unmatched", unmatched), ("refused", refused)]);
        let Some(counters) = &self.counters else { return Counts { hints, ..Counts::default() } };
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        for latency_ms in counters.take_latencies_ms() {
            let latency_ms = u32::try_from(latency_ms.max(0)).unwrap_or(u32::MAX);
            latency.observe(f64::from(latency_ms) / 1_000.0);
        }
        let counted = counters.counts();
        Counts {
            published_within: counted.published_within,
            published_late: counted.published_late,
            publish_latency: *latency,
            source_read_bytes: counted.read_bytes,
            copied_bytes: counted.copied_bytes,
            copied_files: counted.copied_files,
            source_looks: counted.looks,
            passes: counted.passes,
            pass_failures: counted.failures,
            verify_failures: named([
                ("size", counted.other_sizes),
                ("checksum", counted.other_checksums),
                ("diverged", counted.other_writers),
            ]),
            hints,
            reconcile_found_missed: counted.missed,
            leases_lost: counted.leases_lost,
        }
    }
}

fn named<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[async_trait::async_trait]
impl Metrics for Measured {
    async fn render(
        &self,
        accept: &str,
        hints: HintCounts,
    ) -> Result<(&'static str, String), MetricsError> {
        let format = Format::of_accept(accept);
        let config = Config { tables: self.tables.clone(), format, ..Config::default() };
        let text = render(&self.catalog, &self.counts(hints), now_ms(), &config).await;
        let text = text.map_err(|error| MetricsError { message: with_causes(&error) })?;
        Ok((format.content_type(), text))
    }
}
