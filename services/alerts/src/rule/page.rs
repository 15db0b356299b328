//! The rules as a page for people.

use driftless_catalog::Priority;

use super::prometheus::time;
use super::{ALL, Rule, Watch, budget};

/// The page `docs/alerts.md`.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for tier in Priority::ALL {
        let (target, budget) = (tier.lag_target_seconds(), budget(*tier) * 100.0);
        page.push_str(&format!("| {tier} | {} | {budget} % |\n", time_of(target)));
    }
    page.push_str(DELIVERY);
    let mut names: Vec<&str> = ALL.iter().map(|rule| rule.name).collect();
    names.dedup();
    for name in names {
        page.push_str(&section(name));
    }
    page
}

fn section(name: &str) -> String {
    let rules: Vec<&Rule> = ALL.iter().filter(|rule| rule.name == name).collect();
    let mut text = format!("\n## {name}\n");
    let mut said: Option<&str> = None;
    for rule in rules {
        if said != Some(rule.description) {
            let action = format!("**What to do.** {}", rule.action);
            text.push_str(&format!("\n{}\n\n{}\n", wrapped(rule.description), wrapped(&action)));
        }
        said = Some(rule.description);
        let when = format!("{} {}", fires(rule), urgency(rule));
        text.push_str(&format!("\n{}\n", wrapped(&when)));
    }
    text
}

fn fires(rule: &Rule) -> String {
    match rule.watch {
        Watch::Burn(windows) => {
            let pairs = windows.map(|window| {
                format!(
                    "faster than {} times in the last {} and in the last {}",
                    window.factor,
                    time(window.long_minutes * 60),
                    time(window.short_minutes * 60)
                )
            });
            format!("Fires when the budget is used up {}.", pairs.join(", or "))
        }
        Watch::Status(status) => format!("Fires on the status `{status}`."),
        Watch::PausedLag => "Fires when a table is paused and its lag is beyond the target; the \
            label `paused` is `true`."
            .to_owned(),
        Watch::Headroom(hours) => format!("Fires when less than {hours} hours are left."),
        Watch::Heartbeat => "Fires when no node is alive, and in Prometheus also when there is no \
            such metric at all."
            .to_owned(),
    }
}

fn urgency(rule: &Rule) -> String {
    let one = |tier: &Priority| {
        let (severity, hold) = (rule.severity.of(*tier), rule.hold_seconds.of(*tier));
        match hold {
            0 => format!("{severity}, at once"),
            hold => format!("{severity}, after {}", time(hold)),
        }
    };
    let all: Vec<String> = Priority::ALL.iter().map(one).collect();
    match all.as_slice() {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => {
            format!("Severity: {first}.")
        }
        _ => {
            let pairs: Vec<_> = Priority::ALL
                .iter()
                .zip(&all)
                .map(|(tier, text)| format!("{tier}: {text}"))
                .collect();
            format!("Severity by tier: {}.", pairs.join("; "))
        }
    }
}

/// The text in lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < 100 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn time_of(seconds: u64) -> String {
    time(i64::try_from(seconds).unwrap_or(i64::MAX))
}

const INTRODUCTION: &str = "# Alerts

<!-- Made from services/alerts/src/rule.rs: change that, then run its tests with UPDATE_EXPECT=1. -->

The rules below exist twice, from one table: as `services/alerts/prometheus-rules.yaml` for
Prometheus, and in the notifier that is part of the service. The notifier knows every table by name;
Prometheus counts tables by project, tier and site, and names them through the API or the console.

Severities: **page** wants a person now, **ticket** in working hours, **info** is to be known.

## Objectives

The lag of a table is the age of its oldest commit that is not published. The objective is about
time: of all minutes of all tables, at most this part may have a lag beyond the target, or one that is
not known. A policy may set another target for one table. Paused and held tables are not counted, and
none is before its first version is published.

| tier | lag target | error budget |
|---|---|---|
";

const DELIVERY: &str = "
## Delivery

Each receiver is told once when an alert begins, again every four hours while it goes on, and once
when it ends. Several processes on one catalog share this: the database decides who tells. Only if a
process ends between telling and noting that it did, a message may come twice. A receiver that does
not answer is tried again, at first after five seconds and later every five minutes. An alert that
ends before its receiver could be told is not told at all. A new process needs some minutes before it
can judge burn rates; it leaves those that go on as they are.

| kind | body |
|---|---|
| `alertmanager` | the webhook body of Alertmanager, version 4; any receiver of its webhooks takes it |
| `slack` | `{\"text\": ...}`, as incoming webhooks of Slack and Mattermost take it |
| `cloudevents` | a CloudEvent 1.0 in structured mode, with the Alertmanager body as its data |

With a secret, each request has the header `X-Driftless-Signature: t=SECONDS,v1=HEX`: the HMAC-SHA256
of `SECONDS.BODY` under the secret. Compare in constant time, and refuse what is older than five
minutes.

Labels: `alertname`, `severity`, and, as far as they apply, `project`, `namespace`, `table`, `site`,
`tier`, `status` and `paused`. Annotations: `summary`, `description`, `action`, and the reason as the
table's page shows it.
";
