//! Files that are made from the tables, and what Prometheus says of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use driftless_alerts::{dashboard, metric, rule};
use expect_test::expect_file;

/// The program, unless it is not installed.
pub(crate) fn promtool() -> Option<Command> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&on_path).any(|folder| folder.join("promtool").is_file()) {
        return Some(Command::new("promtool"));
    }
    let required = std::env::var_os("DRIFTLESS_REQUIRE_SERVERS").is_some();
    assert!(!required, "no promtool: install the package prometheus");
    eprintln!("SKIPPED: no promtool");
    None
}

#[test]
fn files_are_what_the_tables_say() {
    expect_file!["../../prometheus-rules.yaml"].assert_eq(&rule::prometheus_yaml());
    expect_file!["../../grafana-dashboard.json"].assert_eq(&dashboard::json());
    expect_file!["../../../../docs/metrics.md"].assert_eq(&metric::markdown());
    expect_file!["../../../../docs/alerts.md"].assert_eq(&rule::markdown());
}

#[test]
fn prometheus_takes_the_rules_and_they_fire() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for arguments in [
        &["check", "rules", "--lint-fatal", "prometheus-rules.yaml"][..],
        &["test", "rules", "prometheus-rules.test.yaml"],
    ] {
        let Some(mut promtool) = promtool() else { return };
        let output = promtool.args(arguments).current_dir(folder).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&said));
    }
}

/// Names of series in an expression.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let inside = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | ':');
    text.split(move |char| !inside(char)).filter(|word| word.contains("tablesync_"))
}

fn read(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_series_that_is_named_exists() {
    let rules = read("prometheus-rules.yaml");
    let recorded = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let mut known: BTreeSet<String> = recorded.map(str::to_owned).collect();
    assert_eq!(known.len(), 2 + 7);
    for metric in metric::ALL {
        known.insert(metric.full_name());
        if metric.kind == metric::Kind::Histogram {
            let parts = ["bucket", "sum", "count"];
            known.extend(parts.map(|part| format!("{}_{part}", metric.full_name())));
        }
    }
    let files = ["prometheus-rules.yaml", "prometheus-rules.test.yaml", "grafana-dashboard.json"];
    for file in files {
        let text = read(file);
        let mut found = 0;
        for name in names(&text) {
            assert!(known.contains(name), "{file} names {name}");
            found += 1;
        }
        assert!(found > 10, "{file}");
    }
    assert_eq!(
        names("rate(tablesync_nonsense_total[5m])").next(),
        Some("tablesync_nonsense_total")
    );
    // Labels, too: a panel that groups by a label which is not there shows nothing.
    for panel in dashboard::PANELS {
        for (expr, _) in panel.queries {
            let of_metric = |metric: &&metric::Metric| {
                names(expr).any(|name| name.starts_with(&metric.full_name()))
            };
            let labels: BTreeSet<&str> = metric::ALL
                .iter()
                .filter(of_metric)
                .flat_map(|metric| metric.labels.iter().copied())
                .chain(["le"])
                .collect();
            for by in expr.split(" by (").skip(1).filter_map(|rest| rest.split_once(')')) {
                for label in by.0.split(", ") {
                    assert!(labels.contains(label), "{}: {label}", panel.title);
                }
            }
        }
    }
}

#[test]
fn every_alert_is_explained() {
    let page = rule::markdown();
    for rule in rule::ALL {
        assert_eq!(page.matches(&format!("\n## {}\n", rule.name)).count(), 1, "{}", rule.name);
        assert!(!rule.summary.ends_with('.') && rule.action.ends_with('.'), "{}", rule.name);
    }
}
