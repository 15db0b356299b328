//! Commands that speak to the service: `table`, `lag`, `watch`, `put`.

use std::fmt::Display;
use std::io::Read as _;

use http_body_util::BodyExt as _;
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::args::{Kind, Lag, Named, Put, Register, Table, Watch};
use crate::client::Client;
use crate::exit::{CommandError, Exit};
use crate::output::Paint;
use crate::run::{Ended, Setting};

/// How often an operation is looked at.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(300);

/// All but what RFC 3986 leaves unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Tables of one answer.
const PAGE: usize = 500;

pub(crate) async fn table(setting: &Setting, args: &Table) -> Result<Exit, Ended> {
    match args {
        Table::Register(args) => register(setting, args).await,
        Table::List { project, site, status, server } => {
            let client = Client::new(server)?;
            let mut query = vec![format!("page_size={PAGE}")];
            for (name, value) in [("project", project), ("site", site), ("status", status)] {
                query.extend(value.as_ref().map(|value| format!("{name}={}", encoded(value))));
            }
            let tables = pages(&client, "/v1/tables", "tables", &query, usize::MAX).await?;
            let lines = tables.iter().map(|table| lines_of(setting.output.paint(), table));
            let text = lines.collect::<String>();
            setting.output.print(&json!({ "tables": tables }), text)?;
            Ok(Exit::Done)
        }
        Table::Show(named) => answer(setting, named, Method::GET, "").await,
        Table::Pause(named) => answer(setting, named, Method::POST, "/pause").await,
        Table::Resume(named) => answer(setting, named, Method::POST, "/resume").await,
        Table::Plan(named) => {
            let client = Client::new(&named.server)?;
            let plan = client.call(Method::GET, &path(named, "/plan"), None).await?;
            let text = format!("{}\n", serde_json::to_string_pretty(&plan).unwrap_or_default());
            setting.output.print(&plan, text)?;
            Ok(Exit::Done)
        }
        Table::Sync(named) => operation(setting, named, Method::POST, "/sync", None).await,
        Table::Resync { named, site, accept } => {
            let body = json!({ "site": site, "accept": accept });
            operation(setting, named, Method::POST, "/resync", Some(body)).await
        }
        Table::Unregister { named, delete_replicas, grace, accept } => {
            let client = Client::new(&named.server)?;
            if !delete_replicas {
                return operation(setting, named, Method::DELETE, "", None).await;
            }
            let query = format!("?replicas=delete&grace_seconds={}", grace.as_secs());
            let dry = format!("{query}&dry_run=true");
            let shown = client.call(Method::DELETE, &path(named, &dry), None).await?;
            if !accept {
                let text =
                    format!("{}\n", serde_json::to_string_pretty(&shown).unwrap_or_default());
                let text = format!("would be deleted:\n{text}repeat with --accept\n");
                setting.output.print(&shown, text)?;
                return Ok(Exit::Done);
            }
            let confirm = shown.get("confirm").and_then(Value::as_str).unwrap_or_default();
            let query = format!("{query}&confirm={}", encoded(confirm));
            operation(setting, named, Method::DELETE, &query, None).await
        }
    }
}

async fn register(setting: &Setting, args: &Register) -> Result<Exit, Ended> {
    let client = Client::new(&args.server)?;
    let policy = args.policy.as_deref().map(parse_json).transpose()?;
    let mut body = json!({
        "name": args.table,
        "source": args.source,
        "sites": args.site,
        "paused": args.paused,
    });
    if let (Some(policy), Some(fields)) = (policy, body.as_object_mut()) {
        fields.insert("policy".to_owned(), policy);
    }
    let path = if args.dry_run { "/v1/tables?dry_run=true" } else { "/v1/tables" };
    let table = client.call(Method::POST, path, Some(&body)).await?;
    let text = match args.dry_run {
        true => format!("{}\n", serde_json::to_string_pretty(&table).unwrap_or_default()),
        false => lines_of(setting.output.paint(), &table),
    };
    setting.output.print(&table, text)?;
    Ok(Exit::Done)
}

/// `driftless put`
pub(crate) async fn put(setting: &Setting, args: &Put) -> Result<Exit, Ended> {
    let client = Client::new(&args.server)?;
    let mut text = args.document.clone();
    if text == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text).map_err(|error| {
            CommandError::arguments(format!("read standard input: {error}"), "give a document")
        })?;
    }
    let kinds = match args.kind {
        Kind::Store => "stores",
        Kind::Site => "sites",
        Kind::Project => "projects",
        Kind::Rule => "rules",
    };
    let path = format!("/v1/{kinds}/{}", encoded(&args.name));
    let made = client.call(Method::PUT, &path, Some(&parse_json(&text)?)).await?;
    let text = format!("{}\n", serde_json::to_string_pretty(&made).unwrap_or_default());
    setting.output.print(&made, text)?;
    Ok(Exit::Done)
}

fn parse_json(text: &str) -> Result<Value, CommandError> {
    serde_json::from_str(text).map_err(|error| {
        CommandError::arguments(format!("read the document: {error}"), "give a JSON object")
    })
}

/// `driftless lag`
pub(crate) async fn lag(setting: &Setting, args: &Lag) -> Result<Exit, Ended> {
    let client = Client::new(&args.server)?;
    let mut query = vec!["sort=-lag_seconds".to_owned()];
    query.push(format!("page_size={}", args.top.clamp(1, PAGE)));
    query.extend(args.project.as_ref().map(|project| format!("project={}", encoded(project))));
    let rows = pages(&client, "/v1/lag", "lag", &query, args.top).await?;
    let paint = setting.output.paint();
    let line = |row: &Value| {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let lag = seconds(row.get("lag_seconds"));
        format!(
            "{lag:>10}  {}  {} at {}\n",
            status(paint, &text("status")),
            text("table"),
            text("site")
        )
    };
    setting.output.print(&json!({ "lag": rows }), rows.iter().map(line).collect::<String>())?;
    Ok(Exit::Done)
}

/// `driftless watch`: one line an event, until stopped.
pub(crate) async fn watch(setting: &Setting, args: &Watch) -> Result<Exit, Ended> {
    let client = Client::new(&args.server)?;
    let mut query = Vec::new();
    query.extend(args.from.map(|from| format!("from={from}")));
    query.extend(args.table.as_ref().map(|table| format!("table={table}")));
    let path = format!("/v1/watch?{}", query.join("&"));
    let mut body = client.stream(path.trim_end_matches('?')).await?;
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let message = format!("read the events: {}", table_sync_core::with_causes(&error));
            CommandError::failed("server_unavailable", message, "run it again with --from")
        })?;
        text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(at) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=at).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(data) = line.strip_prefix("data:") {
                print_event(setting, data.trim())?;
            }
        }
    }
    Ok(Exit::Failed)
}

fn print_event(setting: &Setting, data: &str) -> Result<(), Ended> {
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let seq = event.get("seq").and_then(Value::as_i64).unwrap_or_default();
    let body = event.get("body").map(Value::to_string).unwrap_or_default();
    let line = format!("{seq}  {}  {} {}  {body}\n", text("kind"), text("table"), text("site"));
    setting.output.print_line(&event, line)?;
    Ok(())
}

/// A request about one table whose answer is the table.
async fn answer(
    setting: &Setting,
    named: &Named,
    method: Method,
    rest: &str,
) -> Result<Exit, Ended> {
    let client = Client::new(&named.server)?;
    let table = client.call(method, &path(named, rest), None).await?;
    setting.output.print(&table, lines_of(setting.output.paint(), &table))?;
    Ok(Exit::Done)
}

/// A request about one table whose answer is an operation, which is waited for.
async fn operation(
    setting: &Setting,
    named: &Named,
    method: Method,
    rest: &str,
    body: Option<Value>,
) -> Result<Exit, Ended> {
    let client = Client::new(&named.server)?;
    let mut operation = client.call(method, &path(named, rest), body.as_ref()).await?;
    let id = operation.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let state = |operation: &Value| {
        operation.get("state").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    while matches!(state(&operation).as_str(), "pending" | "running") {
        tokio::time::sleep(LOOK_EVERY).await;
        operation = client.call(Method::GET, &format!("/v1/operations/{id}"), None).await?;
    }
    let ended = state(&operation);
    let why = operation.get("error").and_then(Value::as_str).unwrap_or_default();
    setting.output.print(&operation, format!("{ended} {why}").trim_end().to_owned() + "\n")?;
    Ok(if ended == "succeeded" { Exit::Done } else { Exit::Failed })
}

/// All pages of a list, up to `most` entries.
async fn pages(
    client: &Client,
    path: &str,
    name: &str,
    query: &[String],
    most: usize,
) -> Result<Vec<Value>, CommandError> {
    let mut all = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut query = query.to_vec();
        query.extend(token.as_ref().map(|token| format!("page_token={}", encoded(token))));
        let page = client.call(Method::GET, &format!("{path}?{}", query.join("&")), None).await?;
        let entries = page.get(name).and_then(Value::as_array);
        all.extend(entries.into_iter().flatten().cloned());
        token = page.get("next_page_token").and_then(Value::as_str).map(str::to_owned);
        if token.is_none() || all.len() >= most {
            all.truncate(most);
            return Ok(all);
        }
    }
}

fn path(named: &Named, rest: &str) -> String {
    format!("/v1/tables/{}{rest}", named.table)
}

/// Percent-encodes a value of a query or a path.
pub(super) fn encoded(text: &str) -> impl Display + '_ {
    utf8_percent_encode(text, RESERVED)
}

/// A table for people: a line, and one for each site.
fn lines_of(paint: Paint, table: &Value) -> String {
    let text = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut lines = format!(
        "{}  {}  {}\n",
        paint.bold(&text(table, "name")),
        text(table, "desired"),
        text(table, "source")
    );
    for site in table.get("sites").and_then(Value::as_array).into_iter().flatten() {
        let head = site.get("head").filter(|head| !head.is_null());
        let head = head.map_or_else(|| "-".to_owned(), |head| head.to_string().replace('"', ""));
        lines.push_str(&format!(
            "  {}  {}  head {head}, lag {}  {}\n",
            text(site, "site"),
            status(paint, &text(site, "status")),
            seconds(site.get("lag_seconds")),
            text(site, "location"),
        ));
        if let Some(serving) = site.get("serving").filter(|serving| !serving.is_null()) {
            let location = text(serving, "location");
            lines.push_str(&format!("    until this is whole, readers are shown {location}\n"));
        }
        if let Some(reason) = site.get("reason").filter(|reason| !reason.is_null()) {
            lines.push_str(&format!("    {}: {}\n", text(reason, "code"), text(reason, "message")));
            lines.push_str(&format!("    {}\n", text(reason, "action")));
        }
    }
    lines
}

fn status(paint: Paint, status: &str) -> String {
    match status {
        "ok" => paint.good(status),
        "catching_up" | "held" | "paused" => paint.warn(status),
        _ => paint.bad(status),
    }
}

fn seconds(value: Option<&Value>) -> String {
    match value.and_then(Value::as_f64) {
        Some(seconds) => {
            let time = std::time::Duration::from_secs_f64(seconds.max(0.0));
            crate::units::show_duration(time)
        }
        None => "unknown".to_owned(),
    }
}
