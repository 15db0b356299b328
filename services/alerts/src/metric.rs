//! All metrics, in one table.
//!
//! # Invariants
//! - Base units; moments are exported as timestamps, never as the time since them.
//! - The label `table` stands on the worst few tables and on those that the configuration names.
//!
//! Source: Prometheus documentation, "Metric and label naming" and "Instrumentation".

/// Begins the name of every metric.
pub const PREFIX: &str = "tablesync_";

/// Upper bounds of the buckets of [`PUBLISH_LATENCY`], in seconds.
pub const LATENCY_BUCKETS: [f64; 14] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, until the process ends.
    Counter,
    /// Counts by upper bounds.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Name without [`PREFIX`].
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Unit of its values; empty for numbers of things.
    pub unit: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
}

impl Metric {
    /// The name as it is exported.
    pub fn full_name(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $item:ident: $kind:ident $name:literal [$unit:literal] $labels:expr, $help:literal;)+) => {
        $($(#[$doc])* #[doc = $help] pub const $item: Metric = Metric {
            name: $name, kind: Kind::$kind, unit: $unit, labels: &$labels, help: $help,
        };)+

        /// Every metric, in the order of the export.
        pub const ALL: &[Metric] = &[$($item,)+];
    };
}

metrics! {
    TABLE_STATUS: Gauge "table_status" [""] ["project", "tier", "site", "status"],
        "Number of tables that have this status at this site.";
    SLO_TABLES: Gauge "slo_tables" [""] ["project", "tier", "site", "paused", "within_slo"],
        "Number of tables whose lag is known and within its target, or is not. Without tables that are held, or of which nothing is published yet.";
    OLDEST_UNPUBLISHED: Gauge "oldest_unpublished_commit_timestamp_seconds" ["seconds"] ["project", "tier", "site"],
        "When the oldest commit was made that is not published. Absent where there is none.";
    PENDING_VERSIONS: Gauge "pending_versions" [""] ["project", "tier", "site"],
        "Commits that are not published, as far as they are known.";
    PENDING_BYTES: Gauge "pending_bytes" ["bytes"] ["project", "tier", "site"],
        "Bytes of the commits that are not published, as far as they are known.";
    SOURCE_LAST_CHECK: Gauge "source_last_check_timestamp_seconds" ["seconds"] ["project", "tier"],
        "When the source was looked at that was looked at the longest time ago. Sources that were never looked at have the status unknown.";
    RETENTION_DEADLINE: Gauge "retention_deadline_timestamp_seconds" ["seconds"] ["project", "tier", "site", "table"],
        "When the source may discard what is still needed: by the retention of a Delta table, by what the last clean of a Hudi table kept. Absent where that is not known. The first few tables, and those that are named.";
    TABLE_OLDEST_UNPUBLISHED: Gauge "table_oldest_unpublished_commit_timestamp_seconds" ["seconds"] ["project", "tier", "site", "table"],
        "When the table's oldest commit was made that is not published. The worst few tables, and those that are named.";
    TABLE_PENDING_VERSIONS: Gauge "table_pending_versions" [""] ["project", "tier", "site", "table"],
        "The table's commits that are not published. The worst few tables, and those that are named.";
    TABLE_PENDING_BYTES: Gauge "table_pending_bytes" ["bytes"] ["project", "tier", "site", "table"],
        "Bytes of the table's commits that are not published, where they are known. The worst few tables, and those that are named.";
    SOURCE_HEAD_VERSION: Gauge "source_head_version" [""] ["project", "tier", "site", "table"],
        "The newest version at the source, as this site's publisher saw it. Delta tables only: a Hudi instant does not fit a number.";
    SOURCE_HEAD_COMMIT: Gauge "source_head_commit_timestamp_seconds" ["seconds"] ["project", "tier", "site", "table"],
        "When the newest commit at the source was made.";
    PUBLISHED_VERSION: Gauge "published_version" [""] ["project", "tier", "site", "table"],
        "The newest version that is published. Delta tables only.";
    PUBLISHED_COMMIT: Gauge "published_commit_timestamp_seconds" ["seconds"] ["project", "tier", "site", "table"],
        "When the newest published commit was made at the source.";
    GROUP_AS_OF: Gauge "group_as_of_timestamp_seconds" ["seconds"] ["project", "group", "site"],
        "The moment up to which all tables of a consistency group can be read together at this site. Absent where there is none.";
    HEARTBEAT: Gauge "heartbeat_timestamp_seconds" ["seconds"] ["node"],
        "The last heartbeat of a node.";
    COMMITS_PUBLISHED: Counter "commits_published_total" [""] ["within_slo"],
        "Commits that this process published, within their table's lag target or later.";
    PUBLISH_LATENCY: Histogram "publish_latency_seconds" ["seconds"] [],
        "Time from a commit at the source to its publication by this process.";
    SOURCE_READ_BYTES: Counter "source_read_bytes_total" ["bytes"] [],
        "Bytes that this process read from sources.";
    COPIED_BYTES: Counter "copied_bytes_total" ["bytes"] [],
        "Bytes that this process wrote to sites.";
    COPIED_FILES: Counter "copied_files_total" [""] [],
        "Files that this process wrote to sites.";
    SOURCE_LOOKS: Counter "source_looks_total" [""] [],
        "Looks at sources that found nothing new.";
    PASSES: Counter "passes_total" [""] [],
        "Passes over tables.";
    PASS_FAILURES: Counter "pass_failures_total" [""] [],
        "Passes that failed or were blocked, by site.";
    VERIFY_FAILURES: Counter "verify_failures_total" [""] ["kind"],
        "Objects at a site that were not what they should be when a pass looked at them; `diverged`: of a replica's log.";
    HINTS: Counter "hints_total" [""] ["result"],
        "Records of storage notifications that arrived, by what became of them.";
    RECONCILE_FOUND_MISSED: Counter "reconcile_found_missed_total" [""] [],
        "Commits that a look or a pass found before any notification told of them.";
    LEASE_LOST: Counter "lease_lost_total" [""] [],
        "Leases of this process that another node took over.";
    BUILD_INFO: Gauge "build_info" [""] ["version"],
        "1; the release stands in the label.";
}

/// The page `docs/metrics.md`.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for metric in ALL {
        let labels = match metric.labels {
            [] => String::new(),
            labels => format!("`{}`", labels.join("`, `")),
        };
        page.push_str(&format!(
            "| `{}` | {} | {labels} | {} |\n",
            metric.full_name(),
            metric.kind.as_str(),
            metric.help
        ));
    }
    page.push_str(CLOSING);
    page
}

const INTRODUCTION: &str = "# Metrics

<!-- Made from services/alerts/src/metric.rs: change that, then run its tests with UPDATE_EXPECT=1. -->

`GET /metrics` answers in the Prometheus text format, or in OpenMetrics where the scraper asks for it.

What is about tables comes from the catalog, so that every process of one catalog exports the same
numbers: join them with `max by (project, tier, site, ...)`, never with `sum` over instances.
Counters and the histogram are about one process: join those with `sum`.

Moments are timestamps. The lag is `time() - tablesync_oldest_unpublished_commit_timestamp_seconds`;
it goes on growing while nobody exports. Where nothing waits there is no such sample. A lag that is
not known is not zero: look at `tablesync_table_status{status=\"unknown\"}`.

Labels never grow with the number of tables, with one exception: the label `table` stands on the
20 tables with the longest lag (and on the 20 with the nearest deadline), and on tables that the
configuration names. The API has all of them: `GET /v1/lag?sort=-lag_seconds`.

A status that no table has is exported as 0 for each project, tier and site with any table.

| metric | kind | labels | what it is |
|---|---|---|---|
";

const CLOSING: &str = "
Rules for these metrics are in `services/alerts/prometheus-rules.yaml`, a dashboard in
`services/alerts/grafana-dashboard.json`; [alerts.md](alerts.md) says what each alert means.
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_rules() {
        let mut seen = BTreeSet::new();
        for metric in ALL {
            let name = metric.name;
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(!name.contains("since") && !name.contains("_ms"), "{name}");
            let stem = name.strip_suffix("_total").unwrap_or(name);
            assert!(metric.unit.is_empty() || stem.ends_with(metric.unit), "{name}");
            assert!(metric.help.ends_with('.') || metric.help.ends_with("label."), "{name}");
            assert!(!metric.labels.contains(&"table_id"), "{name}");
        }
    }
}
