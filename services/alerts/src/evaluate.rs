//! Which rules apply now. Pure, but for [`Facts::read`].

use std::collections::BTreeMap;

use driftless_catalog::status::Status;
use driftless_catalog::{Catalog, Priority, Result, Standing, StandingsPage};

use crate::burn::{BurnRates, Group, Samples, Verdict, slo};
use crate::rule::{self, Rule, Severity, Watch};

/// Tables that are read with one statement.
const PAGE: usize = 2_000;

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// What rules look at.
#[derive(Debug, Default)]
pub struct Facts {
    /// Every table at every site.
    pub standings: Vec<Standing>,
    /// Whether any node is alive.
    pub is_any_node_alive: bool,
    /// What the tables of each project, tier and site have used up of their budget.
    pub burns: Vec<(Group, BurnRates)>,
}

impl Facts {
    /// Reads them, and takes this minute's sample.
    ///
    /// # Errors
    /// What the catalog says.
    pub async fn read(catalog: &Catalog, samples: &mut Samples, now_ms: i64) -> Result<Self> {
        let mut standings = Vec::new();
        let mut page = StandingsPage::default();
        loop {
            let next = catalog.standings(&mut page, PAGE).await?;
            let is_last = next.len() < PAGE;
            standings.extend(next);
            if is_last {
                break;
            }
        }
        samples.take(&standings, now_ms);
        Ok(Self {
            standings,
            is_any_node_alive: catalog.nodes().await?.iter().any(|node| node.alive),
            burns: samples.rates(&Rule::burn_minutes(), now_ms),
        })
    }
}

/// A rule that applies.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// The rule.
    pub rule: &'static Rule,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// What it means, and what to do.
    pub annotations: BTreeMap<String, String>,
    /// How long it must be so before somebody is told, ms.
    pub hold_ms: i64,
    /// Whether it is sure. If not, an alert that goes on goes on, and none begins.
    pub is_certain: bool,
}

/// The rules that apply.
pub fn evaluate(facts: &Facts, now_ms: i64) -> Vec<Firing> {
    let mut firings = Vec::new();
    for rule in rule::ALL {
        match rule.watch {
            Watch::Heartbeat => {
                if !facts.is_any_node_alive && !facts.standings.is_empty() {
                    firings.push(of_service(rule));
                }
            }
            Watch::Burn(windows) => {
                for (group, rates) in &facts.burns {
                    let verdicts = windows.iter().map(|window| rates.verdict(window, group.tier));
                    let verdict = verdicts.max().unwrap_or(Verdict::Quiet);
                    if verdict != Verdict::Quiet {
                        firings.push(of_group(rule, group, verdict == Verdict::Burning));
                    }
                }
            }
            Watch::Status(_) | Watch::PausedLag | Watch::Headroom(_) => {}
        }
    }
    for standing in &facts.standings {
        let status = standing.status(now_ms);
        for rule in rule::ALL {
            if applies(rule, standing, status, facts.is_any_node_alive, now_ms) {
                firings.push(of_table(rule, standing, status));
            }
        }
    }
    firings
}

fn applies(
    rule: &Rule,
    standing: &Standing,
    status: Status,
    is_any_node_alive: bool,
    now_ms: i64,
) -> bool {
    match rule.watch {
        // Without nodes that is true of every table, and one alert says so.
        Watch::Status(Status::Stopped) => status == Status::Stopped && is_any_node_alive,
        Watch::Status(wanted) => status == wanted,
        Watch::PausedLag => {
            slo(standing, status, now_ms).is_some_and(|slo| slo.is_paused && !slo.is_within)
        }
        Watch::Headroom(hours) => standing
            .progress
            .deadline_ms
            .is_some_and(|deadline_ms| deadline_ms - now_ms < hours * HOUR_MS),
        Watch::Burn(_) | Watch::Heartbeat => false,
    }
}

fn of_table(rule: &'static Rule, standing: &Standing, status: Status) -> Firing {
    let tier = standing.policy.priority;
    let name = standing.name.to_string();
    let is_paused = status == Status::Paused;
    let mut labels = labels(rule, rule.severity.of(tier));
    let mut label = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
    label("project", standing.name.project());
    label("namespace", standing.name.namespace());
    label("table", &name);
    label("site", &standing.site);
    label("tier", tier.as_str());
    label("paused", if is_paused { "true" } else { "false" });
    if let Some(status) = rule.status() {
        label("status", status.as_str());
    }
    let mut annotations = annotations(rule, &name, &standing.site);
    let progress = &standing.progress;
    for (name, value) in [
        ("reason_code", &progress.reason_code),
        ("reason", &progress.reason),
        ("reason_position", &progress.reason_position),
    ] {
        if let Some(value) = value {
            annotations.insert(name.to_owned(), value.clone());
        }
    }
    let hold_ms = rule.hold_seconds.of(tier) * 1_000;
    Firing { rule, labels, annotations, hold_ms, is_certain: true }
}

fn of_group(rule: &'static Rule, group: &Group, is_certain: bool) -> Firing {
    let mut labels = labels(rule, rule.severity.of(group.tier));
    let mut label = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
    label("project", &group.project);
    label("tier", group.tier.as_str());
    label("site", &group.site);
    let what = format!("tables of {} ({})", group.project, group.tier);
    let annotations = annotations(rule, &what, &group.site);
    let hold_ms = rule.hold_seconds.of(group.tier) * 1_000;
    Firing { rule, labels, annotations, hold_ms, is_certain }
}

fn of_service(rule: &'static Rule) -> Firing {
    // What is about no table has no tier: its values are the same for all.
    let hold_ms = rule.hold_seconds.of(Priority::Critical) * 1_000;
    let labels = labels(rule, rule.severity.of(Priority::Critical));
    Firing { rule, labels, annotations: annotations(rule, "", ""), hold_ms, is_certain: true }
}

fn labels(rule: &Rule, severity: Severity) -> BTreeMap<String, String> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    BTreeMap::from([pair("alertname", rule.name), pair("severity", severity.as_str())])
}

fn annotations(rule: &Rule, what: &str, site: &str) -> BTreeMap<String, String> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    BTreeMap::from([
        pair("summary", rule.summary_of(what, site)),
        pair("description", rule.description.to_owned()),
        pair("action", rule.action.to_owned()),
    ])
}
