//! The dashboard for Grafana.

use serde_json::{Value, json};

/// Columns of a dashboard.
const COLUMNS: u64 = 24;

/// One panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// `stat`, `timeseries` or `table`.
    pub kind: &'static str,
    /// Unit as Grafana names it.
    pub unit: &'static str,
    /// Its width, in columns.
    pub width: u64,
    /// Expressions and legends.
    pub queries: &'static [(&'static str, &'static str)],
}

const fn plot(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, description, kind: "timeseries", unit, width: 12, queries }
}

const fn stat(
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, description, kind: "stat", unit, width: 6, queries }
}

/// All panels. `$project`, `$tier` and `$site` are chosen at the top of the dashboard.
pub const PANELS: &[Panel] = &[
    stat(
        "Longest lag",
        "Age of the oldest commit that is not published. Nothing is shown where none waits.",
        "s",
        &[(
            "time() - min(tablesync_oldest_unpublished_commit_timestamp_seconds{project=~\"$project\", tier=~\"$tier\", site=~\"$site\"})",
            "",
        )],
    ),
    stat(
        "Tables that need a person",
        "Blocked, rewound or diverged.",
        "short",
        &[(
            "sum(max by (project, tier, site, status) (tablesync_table_status{project=~\"$project\", tier=~\"$tier\", site=~\"$site\", status=~\"blocked|rewound|diverged\"}))",
            "",
        )],
    ),
    stat(
        "Tables within their lag target",
        "Without paused and held ones.",
        "percentunit",
        &[(
            "sum(max by (project, tier, site) (tablesync_slo_tables{project=~\"$project\", tier=~\"$tier\", site=~\"$site\", paused=\"false\", within_slo=\"true\"})) / sum(max by (project, tier, site, within_slo) (tablesync_slo_tables{project=~\"$project\", tier=~\"$tier\", site=~\"$site\", paused=\"false\"}))",
            "",
        )],
    ),
    stat(
        "Last heartbeat",
        "Since any node was heard of.",
        "s",
        &[("time() - max(tablesync_heartbeat_timestamp_seconds)", "")],
    ),
    plot(
        "Lag by site",
        "Age of the oldest commit that is not published.",
        "s",
        &[(
            "time() - min by (project, tier, site) (tablesync_oldest_unpublished_commit_timestamp_seconds{project=~\"$project\", tier=~\"$tier\", site=~\"$site\"})",
            "{{project}} {{tier}} {{site}}",
        )],
    ),
    plot(
        "Tables by status",
        "At all chosen sites.",
        "short",
        &[(
            "sum by (status) (max by (project, tier, site, status) (tablesync_table_status{project=~\"$project\", tier=~\"$tier\", site=~\"$site\"}))",
            "{{status}}",
        )],
    ),
    Panel {
        title: "Tables with the longest lag",
        description: "The worst few, and those that the configuration names.",
        kind: "table",
        unit: "s",
        width: 24,
        queries: &[(
            "sort_desc(time() - min by (table, site) (tablesync_table_oldest_unpublished_commit_timestamp_seconds{project=~\"$project\", tier=~\"$tier\", site=~\"$site\"}))",
            "",
        )],
    },
    plot(
        "Time from commit to publication",
        "Of the commits that were published.",
        "s",
        &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(tablesync_publish_latency_seconds_bucket[5m])))",
                "p50",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(tablesync_publish_latency_seconds_bucket[5m])))",
                "p99",
            ),
        ],
    ),
    plot(
        "Commits published",
        "Within their lag target, or later.",
        "cps",
        &[(
            "sum by (within_slo) (rate(tablesync_commits_published_total[5m]))",
            "within target: {{within_slo}}",
        )],
    ),
    plot(
        "Throughput",
        "Bytes read from sources and written to sites.",
        "Bps",
        &[
            ("sum(rate(tablesync_source_read_bytes_total[5m]))", "read"),
            ("sum(rate(tablesync_copied_bytes_total[5m]))", "written"),
        ],
    ),
    plot(
        "Waiting",
        "Commits that are not published.",
        "short",
        &[(
            "max by (project, tier, site) (tablesync_pending_versions{project=~\"$project\", tier=~\"$tier\", site=~\"$site\"})",
            "{{project}} {{tier}} {{site}}",
        )],
    ),
    plot(
        "Error budget: how fast it is used up",
        "1 uses it up in exactly 30 days. The recorded series come with the rules.",
        "short",
        &[
            (
                "project_tier_site:tablesync_slo_burn:avg1h{project=~\"$project\", tier=~\"$tier\", site=~\"$site\"}",
                "1h {{project}} {{tier}} {{site}}",
            ),
            (
                "project_tier_site:tablesync_slo_burn:avg3d{project=~\"$project\", tier=~\"$tier\", site=~\"$site\"}",
                "3d {{project}} {{tier}} {{site}}",
            ),
        ],
    ),
    plot(
        "Time until the source may discard what is needed",
        "The nearest few tables, and those that the configuration names.",
        "s",
        &[(
            "min by (table, site) (tablesync_retention_deadline_timestamp_seconds{project=~\"$project\", tier=~\"$tier\", site=~\"$site\"}) - time()",
            "{{table}} {{site}}",
        )],
    ),
    plot(
        "Age of the oldest look at a source",
        "A lag is known only while sources are looked at.",
        "s",
        &[(
            "time() - min by (project, tier) (tablesync_source_last_check_timestamp_seconds{project=~\"$project\", tier=~\"$tier\"})",
            "{{project}} {{tier}}",
        )],
    ),
    plot(
        "Age of what consistency groups show",
        "Up to when all tables of a group can be read together.",
        "s",
        &[(
            "time() - max by (project, group, site) (tablesync_group_as_of_timestamp_seconds{project=~\"$project\", site=~\"$site\"})",
            "{{project}} {{group}} {{site}}",
        )],
    ),
    plot(
        "Trouble",
        "Failed passes, objects that were not what they should be, leases that were lost.",
        "cps",
        &[
            ("sum(rate(tablesync_pass_failures_total[5m]))", "passes failed"),
            ("sum by (kind) (rate(tablesync_verify_failures_total[5m]))", "verify: {{kind}}"),
            ("sum(rate(tablesync_lease_lost_total[5m]))", "leases lost"),
        ],
    ),
    plot(
        "Notifications of the stores",
        "What became of hints, and what a look found that none had told of.",
        "cps",
        &[
            ("sum by (result) (rate(tablesync_hints_total[5m]))", "{{result}}"),
            ("sum(rate(tablesync_reconcile_found_missed_total[5m]))", "missed"),
        ],
    ),
];

/// The file `services/alerts/grafana-dashboard.json`.
pub fn json() -> String {
    let (mut x, mut y, mut row) = (0, 0, 0);
    let mut panels = Vec::new();
    for (panel, id) in PANELS.iter().zip(1u64..) {
        let height = if panel.kind == "stat" { 4 } else { 8 };
        if x + panel.width > COLUMNS {
            (x, y, row) = (0, y + row, 0);
        }
        let place = json!({ "x": x, "y": y, "w": panel.width, "h": height });
        panels.push(drawn(panel, id, place));
        x += panel.width;
        row = row.max(height);
    }
    let dashboard = json!({
        "title": "Driftless",
        "uid": "driftless",
        "description": "Made from services/alerts/src/dashboard.rs.",
        "tags": ["driftless"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-6h", "to": "now" },
        "templating": { "list": variables() },
        "panels": panels,
    });
    format!("{dashboard:#}\n")
}

fn drawn(panel: &Panel, id: u64, place: Value) -> Value {
    let is_table = panel.kind == "table";
    let source = json!({ "type": "prometheus", "uid": "${datasource}" });
    let queries = panel.queries.iter().zip('A'..).map(|((expr, legend), reference)| {
        json!({
            "refId": reference.to_string(),
            "expr": expr,
            "legendFormat": legend,
            "instant": is_table,
            "format": if is_table { "table" } else { "time_series" },
            "datasource": source,
        })
    });
    json!({
        "id": id,
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0 }, "overrides": [] },
        "options": options(panel.kind),
        "targets": queries.collect::<Vec<_>>(),
    })
}

fn options(kind: &str) -> Value {
    match kind {
        "stat" => json!({ "reduceOptions": { "calcs": ["lastNotNull"] }, "colorMode": "none" }),
        "table" => json!({ "showHeader": true }),
        _ => json!({ "legend": { "displayMode": "list", "placement": "bottom" } }),
    }
}

fn variables() -> Vec<Value> {
    let mut list = vec![json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
    })];
    for (name, label) in [("project", "Project"), ("tier", "Tier"), ("site", "Site")] {
        list.push(json!({
            "name": name,
            "label": label,
            "type": "query",
            "datasource": { "type": "prometheus", "uid": "${datasource}" },
            "query": format!("label_values(tablesync_table_status, {name})"),
            "includeAll": true,
            "allValue": ".*",
            "multi": true,
            "refresh": 2,
            "current": { "text": "All", "value": "$__all" },
        }));
    }
    list
}
