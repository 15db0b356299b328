//! The rules as a file for Prometheus.

use driftless_catalog::Priority;
use driftless_catalog::status::Status;

use super::{ALL, HEARTBEAT_SECONDS, Rule, Severity, Watch, budget};
use crate::metric::{self, Metric};

/// Names of recorded series.
const BUDGET: &str = "tier:tablesync_slo_budget:ratio";
const BAD: &str = "project_tier_site:tablesync_slo_bad:ratio";
const BURN: &str = "project_tier_site:tablesync_slo_burn:avg";

const HEAD: &str = "\
# Made from services/alerts/src/rule.rs: change that, then run its tests with UPDATE_EXPECT=1.
# Every process of one catalog exports the same gauges, so that they are joined with max and min.
";

/// The file `services/alerts/prometheus-rules.yaml`.
pub fn prometheus_yaml() -> String {
    let mut yaml = String::from(HEAD);
    yaml.push_str("groups:\n- name: tablesync-slo\n  interval: 1m\n  rules:\n");
    for tier in Priority::ALL {
        let expr = format!("vector({})", budget(*tier));
        yaml.push_str(&recorded(BUDGET, &expr));
        yaml.push_str(&format!("    labels:\n      tier: {}\n", quoted(tier.as_str())));
    }
    let tables = metric::SLO_TABLES.full_name();
    let bad = format!(
        "max by (project, tier, site) ({tables}{{paused=\"false\", within_slo=\"false\"}}) / \
         (sum by (project, tier, site) (max by (project, tier, site, within_slo) \
         ({tables}{{paused=\"false\"}})) > 0)"
    );
    yaml.push_str(&recorded(BAD, &bad));
    for minutes in Rule::burn_minutes() {
        let window = time(minutes * 60);
        let expr = format!("avg_over_time({BAD}[{window}]) / on (tier) group_left () {BUDGET}");
        yaml.push_str(&recorded(&format!("{BURN}{window}"), &expr));
    }
    yaml.push_str("- name: tablesync-alerts\n  rules:\n");
    for rule in ALL {
        for tiers in like_tiers(rule) {
            yaml.push_str(&alert(rule, &tiers));
        }
    }
    yaml
}

fn recorded(name: &str, expr: &str) -> String {
    format!("  - record: {name}\n    expr: {}\n", quoted(expr))
}

/// The tiers, in parts for which the rule means the same.
fn like_tiers(rule: &Rule) -> Vec<Vec<Priority>> {
    let mut parts: Vec<Vec<Priority>> = Vec::new();
    let key = |tier: &Priority| (rule.hold_seconds.of(*tier), rule.severity.of(*tier));
    for tier in Priority::ALL {
        match parts.iter_mut().find(|part| part.first().map(key) == Some(key(tier))) {
            Some(part) => part.push(*tier),
            None => parts.push(vec![*tier]),
        }
    }
    parts
}

fn alert(rule: &Rule, tiers: &[Priority]) -> String {
    let tier = tiers.first().copied().unwrap_or(Priority::Standard);
    let (hold, severity) = (rule.hold_seconds.of(tier), rule.severity.of(tier));
    let mut yaml = format!("  - alert: {}\n    expr: {}\n", rule.name, quoted(&expr(rule, tiers)));
    if hold > 0 {
        yaml.push_str(&format!("    for: {}\n", time(hold)));
    }
    yaml.push_str("    labels:\n");
    yaml.push_str(&labels(rule, severity));
    // What the expression says as well; rules of one name are told apart by it.
    if let [tier] = tiers {
        yaml.push_str(&format!("      tier: {}\n", quoted(tier.as_str())));
    }
    yaml.push_str("    annotations:\n");
    let summary = rule.summary_of(what(rule), "{{ $labels.site }}");
    for (name, text) in
        [("summary", summary.as_str()), ("description", rule.description), ("action", rule.action)]
    {
        yaml.push_str(&format!("      {name}: {}\n", quoted(text)));
    }
    yaml
}

fn labels(rule: &Rule, severity: Severity) -> String {
    let mut yaml = format!("      severity: {}\n", quoted(severity.as_str()));
    if let Some(status) = rule.status() {
        let paused = if rule.watch == Watch::PausedLag { "true" } else { "false" };
        yaml.push_str(&format!("      status: {}\n", quoted(status.as_str())));
        yaml.push_str(&format!("      paused: {}\n", quoted(paused)));
    }
    yaml
}

fn what(rule: &Rule) -> &'static str {
    match rule.watch {
        Watch::Burn(_) => "tables of {{ $labels.project }} ({{ $labels.tier }})",
        Watch::Status(_) | Watch::PausedLag => {
            "{{ $value }} tables of {{ $labels.project }} ({{ $labels.tier }})"
        }
        Watch::Headroom(_) => "{{ $labels.table }}",
        Watch::Heartbeat => "",
    }
}

fn expr(rule: &Rule, tiers: &[Priority]) -> String {
    let tier = selected(tiers);
    let series = |metric: &Metric, labels: &[String]| {
        let labels: Vec<_> = labels.iter().chain(&tier).map(String::as_str).collect();
        let labels = labels.join(", ");
        match labels.is_empty() {
            true => metric.full_name(),
            false => format!("{}{{{labels}}}", metric.full_name()),
        }
    };
    let of_tables = |metric: &Metric, labels: &[String]| {
        format!("max by (project, tier, site) ({}) > 0", series(metric, labels))
    };
    match rule.watch {
        Watch::Burn(windows) => {
            let labels = tier.as_ref().map(|tier| format!("{{{tier}}}")).unwrap_or_default();
            let burns = |minutes: i64, factor: f64| {
                format!("{BURN}{}{labels} > {factor}", time(minutes * 60))
            };
            let pairs = windows.map(|window| {
                let long = burns(window.long_minutes, window.factor);
                format!("({long} and {})", burns(window.short_minutes, window.factor))
            });
            pairs.join(" or ")
        }
        Watch::Status(status) => {
            let tables = of_tables(&metric::TABLE_STATUS, &[format!("status=\"{status}\"")]);
            match status {
                // Without nodes that is true of every table, and one alert says so.
                Status::Stopped => format!(
                    "{tables} and on () time() - max({}) <= {HEARTBEAT_SECONDS}",
                    metric::HEARTBEAT.full_name()
                ),
                _ => tables,
            }
        }
        Watch::PausedLag => {
            let labels = ["paused=\"true\"".to_owned(), "within_slo=\"false\"".to_owned()];
            of_tables(&metric::SLO_TABLES, &labels)
        }
        Watch::Headroom(hours) => format!(
            "min by (project, tier, site, table) ({}) - time() < {}",
            series(&metric::RETENTION_DEADLINE, &[]),
            hours * 3_600
        ),
        Watch::Heartbeat => {
            let beat = metric::HEARTBEAT.full_name();
            format!("time() - max({beat}) > {HEARTBEAT_SECONDS} or absent({beat})")
        }
    }
}

/// The matcher for these tiers; none where they are all.
fn selected(tiers: &[Priority]) -> Option<String> {
    let names: Vec<_> = tiers.iter().map(|tier| tier.as_str()).collect();
    match tiers {
        all if all.len() == Priority::ALL.len() => None,
        [one] => Some(format!("tier=\"{one}\"")),
        _ => Some(format!("tier=~\"{}\"", names.join("|"))),
    }
}

/// A time as Prometheus writes it, in its largest unit.
pub(super) fn time(seconds: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    match units.iter().find(|(unit, _)| seconds >= *unit && seconds % unit == 0) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// A text in double quotes: what JSON takes is YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
