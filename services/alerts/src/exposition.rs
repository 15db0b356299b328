//! The export: all metrics as text.
//!
//! Source: Prometheus documentation, "Exposition formats" (text format 0.0.4); OpenMetrics 1.0.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use driftless_catalog::status::Status;
use driftless_catalog::{Catalog, Result, Standing, StandingsPage, Table, TableName};
use table_sync_core::Position;

use crate::burn::{Group, slo};
use crate::metric::{self, LATENCY_BUCKETS, Metric};

/// Tables that are read with one statement.
const PAGE: usize = 2_000;

/// Exported as zero until they occur, so that a rate sees their first one.
const VERIFY_FAILURES: [&str; 3] = ["checksum", "diverged", "size"];
const HINT_RESULTS: [&str; 3] = ["matched", "refused", "unmatched"];

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What a scraper that sends this `Accept` header takes.
    pub fn of_accept(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Tables with the longest lag, and with the nearest deadline, that have series of their own.
    pub worst_tables: usize,
    /// Tables that have series of their own: `project.namespace.table`, or `project.*`.
    pub tables: Vec<String>,
    /// How the text is written.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { worst_tables: 20, tables: Vec::new(), format: Format::default() }
    }
}

/// The tables that the configuration names.
#[derive(Debug)]
struct Named<'a> {
    projects: BTreeSet<&'a str>,
    tables: BTreeSet<&'a str>,
}

impl<'a> Named<'a> {
    fn of(config: &'a Config) -> Self {
        let mut named = Self { projects: BTreeSet::new(), tables: BTreeSet::new() };
        for text in &config.tables {
            match text.strip_suffix(".*") {
                Some(project) => named.projects.insert(project),
                None => named.tables.insert(text),
            };
        }
        named
    }

    fn has(&self, name: &TableName) -> bool {
        self.projects.contains(name.project())
            || (!self.tables.is_empty() && self.tables.contains(name.to_string().as_str()))
    }
}

/// What one process has done since it was started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// Commits published within their table's lag target.
    pub published_within: u64,
    /// Commits published later than that.
    pub published_late: u64,
    /// Times from commit to publication.
    pub publish_latency: Latency,
    /// Bytes read from sources.
    pub source_read_bytes: u64,
    /// Bytes written to sites.
    pub copied_bytes: u64,
    /// Files written to sites.
    pub copied_files: u64,
    /// Looks at sources that found nothing new.
    pub source_looks: u64,
    /// Passes over tables.
    pub passes: u64,
    /// Passes that failed or were blocked, by site.
    pub pass_failures: u64,
    /// Objects that were not what they should be, by `checksum`, `diverged` (of
    /// a replica's log) or `size`.
    pub verify_failures: BTreeMap<String, u64>,
    /// Storage notifications, by `matched`, `refused` or `unmatched`.
    pub hints: BTreeMap<String, u64>,
    /// Commits that a look or a pass found before any notification told of them.
    pub reconcile_found_missed: u64,
    /// Leases that another node took over.
    pub leases_lost: u64,
}

/// A histogram over [`LATENCY_BUCKETS`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Latency {
    /// Observations in each bucket, not added up; the last are those beyond all bounds.
    pub buckets: [u64; LATENCY_BUCKETS.len() + 1],
    /// The sum of all observations, in seconds.
    pub sum_seconds: f64,
}

impl Latency {
    /// Counts one publication.
    pub fn observe(&mut self, seconds: f64) {
        let at = LATENCY_BUCKETS.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket += 1;
        }
        self.sum_seconds += seconds;
    }
}

/// All metrics, as text.
///
/// # Errors
/// What the catalog says.
pub async fn render(
    catalog: &Catalog,
    counts: &Counts,
    now_ms: i64,
    config: &Config,
) -> Result<String> {
    let named = Named::of(config);
    let mut census = Census::default();
    let mut page = StandingsPage::default();
    loop {
        let standings = catalog.standings(&mut page, PAGE).await?;
        for standing in &standings {
            census.count(standing, &named, now_ms);
        }
        if standings.len() < PAGE {
            break;
        }
    }
    let mut export = Export::default();
    census.write(&mut export);
    let chosen = census.chosen(config.worst_tables);
    let mut ids: Vec<&str> = chosen.keys().map(|(table, _)| table.as_str()).collect();
    ids.dedup();
    for table in catalog.tables_by_id(&ids).await? {
        write_table(&mut export, &table, &chosen);
    }
    write_groups(&mut export, catalog).await?;
    let mut beats: BTreeMap<String, i64> = BTreeMap::new();
    for node in catalog.nodes().await? {
        let beat = beats.entry(node.name).or_insert(node.beat_ms);
        *beat = node.beat_ms.max(*beat);
    }
    for (node, beat_ms) in &beats {
        export.moment(&metric::HEARTBEAT, &[node], Some(*beat_ms));
    }
    write_counts(&mut export, counts);
    Ok(export.finish(config.format))
}

async fn write_groups(export: &mut Export, catalog: &Catalog) -> Result<()> {
    for group in catalog.groups(None, None).await? {
        for site in group.sites() {
            let as_of_ms = catalog.snapshot(&group, site).await?.as_of_ms;
            export.moment(&metric::GROUP_AS_OF, &[&group.project, &group.name, site], as_of_ms);
        }
    }
    Ok(())
}

/// Why a table at a site has series of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Chosen {
    lag: bool,
    deadline: bool,
}

type Place = (String, String);

#[derive(Debug, Default)]
struct Census {
    groups: HashMap<Group, Totals>,
    checked: BTreeMap<(String, &'static str), i64>,
    late: Vec<(i64, Place)>,
    deadlines: Vec<(i64, Place)>,
    named: Vec<Place>,
}

#[derive(Debug, Default)]
struct Totals {
    statuses: [u64; Status::ALL.len()],
    /// By `paused`, then by `within_slo`.
    slo: [[u64; 2]; 2],
    oldest_ms: Option<i64>,
    versions: i64,
    bytes: i64,
}

impl Census {
    fn count(&mut self, standing: &Standing, named: &Named<'_>, now_ms: i64) {
        let status = standing.status(now_ms);
        let progress = &standing.progress;
        let totals = self.groups.entry(Group::of(standing)).or_default();
        for (known, count) in Status::ALL.iter().zip(&mut totals.statuses) {
            *count += u64::from(*known == status);
        }
        if let Some(slo) = slo(standing, status, now_ms) {
            let [running, paused] = &mut totals.slo;
            let [beyond, within] = if slo.is_paused { paused } else { running };
            *(if slo.is_within { within } else { beyond }) += 1;
        }
        totals.versions = totals.versions.saturating_add(progress.pending_versions.unwrap_or(0));
        totals.bytes = totals.bytes.saturating_add(progress.pending_bytes.unwrap_or(0));
        totals.oldest_ms = earlier(totals.oldest_ms, progress.oldest_pending_ms);
        if let Some(checked_ms) = progress.checked_ms {
            let key = (standing.name.project().to_owned(), standing.policy.priority.as_str());
            let oldest = self.checked.entry(key).or_insert(checked_ms);
            *oldest = checked_ms.min(*oldest);
        }
        let place = || (standing.table.clone(), standing.site.clone());
        if let Some(oldest_ms) = progress.oldest_pending_ms {
            self.late.push((oldest_ms, place()));
        }
        if let Some(deadline_ms) = progress.deadline_ms {
            self.deadlines.push((deadline_ms, place()));
        }
        if named.has(&standing.name) {
            self.named.push(place());
        }
    }

    fn write(&self, export: &mut Export) {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(group, _)| *group);
        for (group, totals) in groups {
            let [project, tier, site] = [&*group.project, group.tier.as_str(), &*group.site];
            for (status, count) in Status::ALL.iter().zip(&totals.statuses) {
                let labels = [project, tier, site, status.as_str()];
                export.number(&metric::TABLE_STATUS, &labels, *count);
            }
            for (paused, counts) in ["false", "true"].into_iter().zip(&totals.slo) {
                for (within, count) in ["false", "true"].into_iter().zip(counts) {
                    let labels = [project, tier, site, paused, within];
                    export.number(&metric::SLO_TABLES, &labels, *count);
                }
            }
            let labels = [project, tier, site];
            export.moment(&metric::OLDEST_UNPUBLISHED, &labels, totals.oldest_ms);
            export.number(&metric::PENDING_VERSIONS, &labels, totals.versions);
            export.number(&metric::PENDING_BYTES, &labels, totals.bytes);
        }
        for ((project, tier), checked_ms) in &self.checked {
            export.moment(&metric::SOURCE_LAST_CHECK, &[project, tier], Some(*checked_ms));
        }
    }

    /// The tables that have series of their own.
    fn chosen(self, worst: usize) -> BTreeMap<Place, Chosen> {
        let mut chosen: BTreeMap<Place, Chosen> = BTreeMap::new();
        for place in first(self.late, worst) {
            chosen.entry(place).or_default().lag = true;
        }
        for place in first(self.deadlines, worst) {
            chosen.entry(place).or_default().deadline = true;
        }
        for place in self.named {
            chosen.insert(place, Chosen { lag: true, deadline: true });
        }
        chosen
    }
}

fn first(mut all: Vec<(i64, Place)>, count: usize) -> impl Iterator<Item = Place> {
    if count < all.len() {
        all.select_nth_unstable(count);
        all.truncate(count);
    }
    all.into_iter().map(|(_, place)| place)
}

fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.into_iter().chain(b).min()
}

fn write_table(export: &mut Export, table: &Table, chosen: &BTreeMap<Place, Chosen>) {
    let name = table.name.to_string();
    for replica in &table.replicas {
        let place = (table.id.clone(), replica.site.clone());
        let Some(why) = chosen.get(&place) else { continue };
        let tier = table.policy.priority.as_str();
        let labels = [table.name.project(), tier, &replica.site, &name];
        let progress = &replica.progress;
        if why.deadline {
            export.moment(&metric::RETENTION_DEADLINE, &labels, progress.deadline_ms);
        }
        if !why.lag {
            continue;
        }
        let oldest_ms = progress.oldest_pending_ms;
        export.moment(&metric::TABLE_OLDEST_UNPUBLISHED, &labels, oldest_ms);
        for (metric, value) in [
            (&metric::TABLE_PENDING_VERSIONS, progress.pending_versions),
            (&metric::TABLE_PENDING_BYTES, progress.pending_bytes),
        ] {
            if let Some(value) = value {
                export.number(metric, &labels, value);
            }
        }
        for (metric, position) in [
            (&metric::SOURCE_HEAD_VERSION, progress.source_head),
            (&metric::PUBLISHED_VERSION, progress.head),
        ] {
            if let Some(Position::Version(version)) = position {
                export.number(metric, &labels, version);
            }
        }
        export.moment(&metric::SOURCE_HEAD_COMMIT, &labels, progress.source_head_ms);
        export.moment(&metric::PUBLISHED_COMMIT, &labels, progress.head_committed_ms);
    }
}

fn write_counts(export: &mut Export, counts: &Counts) {
    export.number(&metric::COMMITS_PUBLISHED, &["false"], counts.published_late);
    export.number(&metric::COMMITS_PUBLISHED, &["true"], counts.published_within);
    export.histogram(&metric::PUBLISH_LATENCY, &counts.publish_latency);
    for (metric, value) in [
        (&metric::SOURCE_READ_BYTES, counts.source_read_bytes),
        (&metric::COPIED_BYTES, counts.copied_bytes),
        (&metric::COPIED_FILES, counts.copied_files),
        (&metric::SOURCE_LOOKS, counts.source_looks),
        (&metric::PASSES, counts.passes),
        (&metric::PASS_FAILURES, counts.pass_failures),
        (&metric::RECONCILE_FOUND_MISSED, counts.reconcile_found_missed),
        (&metric::LEASE_LOST, counts.leases_lost),
    ] {
        export.number(metric, &[], value);
    }
    for (metric, known, found) in [
        (&metric::VERIFY_FAILURES, VERIFY_FAILURES, &counts.verify_failures),
        (&metric::HINTS, HINT_RESULTS, &counts.hints),
    ] {
        let mut all: BTreeMap<&str, u64> = known.into_iter().map(|name| (name, 0)).collect();
        all.extend(found.iter().map(|(name, count)| (name.as_str(), *count)));
        for (name, count) in all {
            export.number(metric, &[name], count);
        }
    }
    export.number(&metric::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1);
}

/// Samples by metric.
#[derive(Debug, Default)]
struct Export {
    samples: HashMap<&'static str, String>,
}

impl Export {
    fn number(&mut self, metric: &Metric, labels: &[&str], value: impl std::fmt::Display) {
        let lines = self.samples.entry(metric.name).or_default();
        sample(lines, (metric.name, ""), metric.labels.iter().copied().zip(labels), value);
    }

    /// A moment in ms since the epoch. One that is not known has no sample.
    fn moment(&mut self, metric: &Metric, labels: &[&str], at_ms: Option<i64>) {
        if let Some(at_ms) = at_ms {
            let (seconds, ms) = (at_ms.div_euclid(1_000), at_ms.rem_euclid(1_000));
            self.number(metric, labels, format_args!("{seconds}.{ms:03}"));
        }
    }

    fn histogram(&mut self, metric: &Metric, latency: &Latency) {
        let lines = self.samples.entry(metric.name).or_default();
        let bounds = LATENCY_BUCKETS.iter().map(|bound| format!("{bound:?}"));
        let bounds = bounds.chain(["+Inf".to_owned()]);
        let mut count = 0;
        for (bound, bucket) in bounds.zip(latency.buckets) {
            count += bucket;
            sample(lines, (metric.name, "_bucket"), [("le", &&*bound)].into_iter(), count);
        }
        let none = || [].into_iter();
        sample(lines, (metric.name, "_sum"), none(), latency.sum_seconds);
        sample(lines, (metric.name, "_count"), none(), count);
    }

    fn finish(self, format: Format) -> String {
        let mut text = String::new();
        for metric in metric::ALL {
            let Some(lines) = self.samples.get(metric.name) else { continue };
            let mut name = metric.full_name();
            if format == Format::OpenMetrics {
                // There the family of a counter has no `_total`.
                name = name.strip_suffix("_total").unwrap_or(&name).to_owned();
            }
            // Nothing in a help text needs to be escaped; a test says so.
            text.push_str(&format!("# HELP {name} {}\n", metric.help));
            text.push_str(&format!("# TYPE {name} {}\n", metric.kind.as_str()));
            if format == Format::OpenMetrics && !metric.unit.is_empty() {
                text.push_str(&format!("# UNIT {name} {}\n", metric.unit));
            }
            text.push_str(lines);
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

fn sample<'a>(
    lines: &mut String,
    (name, suffix): (&str, &str),
    labels: impl Iterator<Item = (&'a str, &'a &'a str)>,
    value: impl std::fmt::Display,
) {
    lines.push_str(metric::PREFIX);
    lines.push_str(name);
    lines.push_str(suffix);
    let mut opened = false;
    for (label, value) in labels {
        lines.push(if opened { ',' } else { '{' });
        opened = true;
        lines.push_str(label);
        lines.push_str("=\"");
        escape(lines, value);
        lines.push('"');
    }
    if opened {
        lines.push('}');
    }
    // Writing to a string does not fail.
    let _ = writeln!(lines, " {value}");
}

fn escape(lines: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => lines.push_str("\\\\"),
            '"' => lines.push_str("\\\""),
            '\n' => lines.push_str("\\n"),
            other => lines.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_needs_no_escapes() {
        for metric in metric::ALL {
            assert!(!metric.help.contains(['\\', '\n', '"']), "{}", metric.name);
            assert!(
                metric.kind != metric::Kind::Histogram || metric.labels.is_empty(),
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn label_values_are_escaped() {
        let mut export = Export::default();
        export.number(&metric::HINTS, &["a\"b\\c\nd"], 1);
        let text = export.finish(Format::Prometheus);
        assert!(text.ends_with("tablesync_hints_total{result=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut latency = Latency::default();
        for seconds in [0.05, 0.1, 0.11, 3_600.0, 3_600.1] {
            latency.observe(seconds);
        }
        assert_eq!(latency.buckets[..3], [2, 1, 0]);
        assert_eq!(latency.buckets[13..], [1, 1]);
    }
}
