//! What receivers are sent. Pure.
//!
//! Source: `prometheus/alertmanager:docs/configuration.md`, `webhook_config`, version 4 of its
//! body; CloudEvents 1.0, "JSON Event Format".

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use driftless_catalog::{Alert, AlertState, Due};
use serde::Serialize;
use table_sync_core::Sha256Digest;

use crate::receiver::{Receiver, ReceiverKind};

/// Alerts of one message.
const ALERTS_MAX: usize = 200;

/// Alerts that one text names.
const LINES_MAX: usize = 20;

/// The end of an alert that goes on.
const NEVER: &str = "0001-01-01T00:00:00Z";

type Labels = BTreeMap<String, String>;

/// One request's worth of alerts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) dues: Vec<Due>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
    status: &'static str,
    receiver: &'a str,
    group_labels: Labels,
    common_labels: Labels,
    common_annotations: Labels,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<BodyAlert<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyAlert<'a> {
    status: &'static str,
    labels: &'a Labels,
    annotations: &'a Labels,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: &'a str,
}

/// The messages that tell a receiver all this: alerts of one rule, one project and one
/// severity together.
pub(crate) fn messages(receiver: &Receiver, dues: Vec<Due>, external_url: &str) -> Vec<Message> {
    let mut groups: BTreeMap<(String, Option<String>, String), Vec<Due>> = BTreeMap::new();
    for due in dues {
        let alert = &due.alert;
        let key = (alert.name.clone(), alert.project.clone(), alert.severity.clone());
        groups.entry(key).or_default().push(due);
    }
    let parts = groups
        .into_values()
        .flat_map(|group| group.chunks(ALERTS_MAX).map(<[Due]>::to_vec).collect::<Vec<_>>());
    parts.map(|dues| message(receiver, dues, external_url)).collect()
}

fn message(receiver: &Receiver, dues: Vec<Due>, external_url: &str) -> Message {
    let (content_type, body) = match receiver.kind {
        ReceiverKind::Alertmanager => {
            ("application/json", json(&body(receiver, &dues, external_url)))
        }
        ReceiverKind::Slack => {
            ("application/json", json(&serde_json::json!({ "text": text(&dues) })))
        }
        ReceiverKind::CloudEvents => {
            let content_type = "application/cloudevents+json; charset=utf-8";
            (content_type, json(&cloud_event(receiver, &dues, external_url)))
        }
    };
    Message { dues, content_type, body }
}

fn json(value: &impl Serialize) -> Bytes {
    // Texts and numbers: nothing that JSON does not take.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn body<'a>(receiver: &'a Receiver, dues: &'a [Due], external_url: &'a str) -> Body<'a> {
    let group_labels = group_labels(dues);
    let pairs: Vec<_> =
        group_labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    Body {
        version: "4",
        group_key: format!("{{}}:{{{}}}", pairs.join(", ")),
        truncated_alerts: 0,
        status: status(dues).as_str(),
        receiver: &receiver.name,
        common_labels: common(dues, |alert| &alert.labels),
        common_annotations: common(dues, |alert| &alert.annotations),
        group_labels,
        external_url,
        alerts: dues.iter().map(|due| body_alert(due, external_url)).collect(),
    }
}

fn body_alert<'a>(due: &'a Due, external_url: &str) -> BodyAlert<'a> {
    let alert = &due.alert;
    BodyAlert {
        status: due.state.as_str(),
        labels: &alert.labels,
        annotations: &alert.annotations,
        starts_at: time(alert.starts_ms),
        ends_at: alert.ends_ms.map_or_else(|| NEVER.to_owned(), time),
        generator_url: match alert.labels.get("table") {
            Some(table) => format!("{external_url}/#/tables/{table}"),
            None => format!("{external_url}/#/"),
        },
        fingerprint: &alert.fingerprint,
    }
}

fn group_labels(dues: &[Due]) -> Labels {
    let of_group = |name: &&str| matches!(*name, "alertname" | "project" | "severity");
    let Some(first) = dues.first() else { return Labels::new() };
    let labels = first.alert.labels.iter().filter(|(name, _)| of_group(&name.as_str()));
    labels.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn status(dues: &[Due]) -> AlertState {
    match dues.iter().any(|due| due.state == AlertState::Firing) {
        true => AlertState::Firing,
        false => AlertState::Resolved,
    }
}

/// What all alerts have.
fn common(dues: &[Due], of: impl Fn(&Alert) -> &Labels) -> Labels {
    let Some((first, rest)) = dues.split_first() else { return Labels::new() };
    let mut common = of(&first.alert).clone();
    for due in rest {
        let labels = of(&due.alert);
        common.retain(|name, value| labels.get(name) == Some(value));
    }
    common
}

fn time(at_ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn cloud_event(receiver: &Receiver, dues: &[Due], external_url: &str) -> serde_json::Value {
    let status = status(dues);
    let body = body(receiver, dues, external_url);
    // The same message sent again has the same id.
    let id = Sha256Digest::of(&json(&body)).to_string();
    let newest =
        dues.iter().filter_map(|due| due.alert.ends_ms.or(Some(due.alert.starts_ms))).max();
    serde_json::json!({
        "specversion": "1.0",
        "id": id,
        "source": external_url,
        "type": format!("driftless.alert.{status}"),
        "time": time(newest.unwrap_or_default()),
        "datacontenttype": "application/json",
        "data": body,
    })
}

/// The alerts as a text for a chat.
fn text(dues: &[Due]) -> String {
    let Some(first) = dues.first() else { return String::new() };
    let mut text = String::new();
    for (state, word) in [(AlertState::Firing, "FIRING"), (AlertState::Resolved, "RESOLVED")] {
        let of_state: Vec<&Due> = dues.iter().filter(|due| due.state == state).collect();
        if of_state.is_empty() {
            continue;
        }
        text.push_str(&format!(
            "*[{word}:{}] {}* ({})\n",
            of_state.len(),
            escaped(&first.alert.name),
            first.alert.severity
        ));
        for due in of_state.iter().take(LINES_MAX) {
            text.push_str(&format!("\u{2022} {}\n", line(&due.alert)));
        }
        if of_state.len() > LINES_MAX {
            text.push_str(&format!("and {} more\n", of_state.len() - LINES_MAX));
        }
    }
    if let (AlertState::Firing, Some(action)) =
        (status(dues), first.alert.annotations.get("action"))
    {
        text.push_str(&format!("What to do: {}", escaped(action)));
    }
    text.trim_end().to_owned()
}

fn line(alert: &Alert) -> String {
    let get = |name| alert.annotations.get(name).map(|text| escaped(text));
    let summary = get("summary").unwrap_or_default();
    match get("reason") {
        Some(reason) => format!("{summary}: {reason}"),
        None => summary,
    }
}

/// The three characters that mean something to Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
