//! Tables, as callers see them.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::{Extension, Json};
use driftless_catalog::status::{self, Circumstances, Condition, Status};
use driftless_catalog::transition::Desired;
use driftless_catalog::{
    Policy, PositionSchema, Priority, Replica, Serving, Table, TableFilter, TableName,
};
use serde::{Deserialize, Serialize};
use table_sync_core::Position;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Service;
use crate::action::action;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Answer, ApiError};
use crate::etag::{Expect, Tag};
use crate::page::Page;

/// Tables that are read at once while a page is filled.
const BATCH: usize = 500;

/// Tables that are looked at for one page: a status is not in an index.
const LOOKS_MAX: usize = 5_000;

/// A registered table.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Table)]
pub(crate) struct TableView {
    /// Identifies it for good: a name that is given again is another table.
    id: String,
    /// `project.namespace.table`.
    name: TableName,
    /// Its project.
    project: String,
    /// Its namespace.
    namespace: String,
    /// Where it is: a URL, or `STORE:path`.
    source: String,
    /// Its format, once it is known.
    format: Option<String>,
    /// How it is to be kept in step.
    policy: Policy,
    /// What is wanted of it.
    desired: Desired,
    /// The discovery rule that registered it.
    rule: Option<String>,
    /// The node that works on it.
    owner: Option<String>,
    /// Fencing number of the newest owner.
    epoch: u64,
    /// Grows with each change that a caller made.
    revision: i64,
    /// When it was registered.
    created_ms: i64,
    /// Its tier.
    priority: Priority,
    /// The lag that is late, in seconds.
    lag_target_seconds: u64,
    /// One for each site.
    sites: Vec<SiteView>,
}

/// A table at one site.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TableAtSite)]
pub(crate) struct SiteView {
    /// The site.
    pub(crate) site: String,
    /// Where it is: a URL, or `STORE:path`.
    location: String,
    /// How often it was begun anew.
    incarnation: u32,
    /// What readers are shown instead, while it is begun anew and not whole yet.
    serving: Option<ServingView>,
    /// What the table is doing there.
    pub(crate) status: Status,
    /// Age of the oldest commit that is not published, in seconds; `null` = not known.
    pub(crate) lag_seconds: Option<f64>,
    /// Commits not yet published.
    pub(crate) pending_versions: Option<i64>,
    /// Their bytes.
    pub(crate) pending_bytes: Option<i64>,
    /// When the oldest of them was committed.
    pub(crate) oldest_pending_ms: Option<i64>,
    /// The newest position that is published.
    #[schema(value_type = Option<PositionSchema>)]
    pub(crate) head: Option<Position>,
    /// When it was committed at the source.
    head_committed_ms: Option<i64>,
    /// When it was published.
    published_ms: Option<i64>,
    /// The lowest position that readers can open.
    #[schema(value_type = Option<PositionSchema>)]
    earliest_readable: Option<Position>,
    /// The newest position at the source.
    #[schema(value_type = Option<PositionSchema>)]
    source_head: Option<Position>,
    /// When it was committed.
    source_head_ms: Option<i64>,
    /// When the source was looked at last, with success.
    checked_ms: Option<i64>,
    /// How the last pass ended.
    condition: Condition,
    /// Since when the condition is what it is.
    since_ms: i64,
    /// Why the table is not in step, where there is a reason.
    reason: Option<Reason>,
    /// Time until the source may discard what is still needed; `null` = not known, or nothing is.
    pub(crate) headroom_seconds: Option<f64>,
}

/// The replica that readers are shown until the one that takes its place is whole.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServedMeanwhile)]
pub(crate) struct ServingView {
    /// Where it is: a URL, or `STORE:path`.
    location: String,
    /// How often it was begun anew.
    incarnation: u32,
    /// The newest position that is published there.
    #[schema(value_type = Option<PositionSchema>)]
    head: Option<Position>,
    /// When that was committed at the source.
    head_committed_ms: Option<i64>,
}

impl ServingView {
    fn of(serving: Serving) -> Self {
        let Serving { location, incarnation, head, head_committed_ms, .. } = serving;
        Self { location, incarnation, head, head_committed_ms }
    }
}

/// Why a table is not in step at a site.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reason {
    /// Stable code.
    code: String,
    /// What was found.
    message: Option<String>,
    /// The first position that cannot be published.
    position: Option<String>,
    /// What a person does about it.
    action: String,
}

/// What the statuses of a table depend on beside its progress.
pub(crate) fn circumstances(table: &Table, now_ms: i64) -> Circumstances {
    let target = i64::try_from(table.policy.lag_target_seconds()).unwrap_or(i64::MAX);
    Circumstances {
        desired: table.desired,
        owned: table.owned,
        check_fresh_ms: table.policy.check_fresh_ms(),
        lag_target_ms: target.saturating_mul(1_000),
        now_ms,
    }
}

/// Milliseconds as seconds. Exact: times are far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

impl SiteView {
    pub(crate) fn of(replica: &Replica, at: &Circumstances) -> Self {
        let Replica { site, location, incarnation, progress, serving, .. } = replica.clone();
        let reason = progress.reason_code.as_ref().map(|code| Reason {
            action: action(code).to_owned(),
            code: code.clone(),
            message: progress.reason.clone(),
            position: progress.reason_position.clone(),
        });
        Self {
            site,
            location,
            incarnation,
            serving: serving.map(ServingView::of),
            status: status::status(&progress, at),
            lag_seconds: status::lag_ms(&progress, at).map(seconds),
            pending_versions: progress.pending_versions,
            pending_bytes: progress.pending_bytes,
            oldest_pending_ms: progress.oldest_pending_ms,
            head: progress.head,
            head_committed_ms: progress.head_committed_ms,
            published_ms: progress.published_ms,
            earliest_readable: progress.earliest_readable,
            source_head: progress.source_head,
            source_head_ms: progress.source_head_ms,
            checked_ms: progress.checked_ms,
            condition: progress.condition,
            since_ms: progress.since_ms,
            reason,
            headroom_seconds: progress.deadline_ms.map(|end| seconds(end - at.now_ms)),
        }
    }
}

impl TableView {
    pub(crate) fn of(table: &Table, now_ms: i64) -> Self {
        let at = circumstances(table, now_ms);
        Self {
            id: table.id.clone(),
            name: table.name.clone(),
            project: table.name.project().to_owned(),
            namespace: table.name.namespace().to_owned(),
            source: table.source.clone(),
            format: table.format.clone(),
            policy: table.policy.clone(),
            desired: table.desired,
            rule: table.rule.clone(),
            owner: table.lease_node.clone().filter(|_| table.owned),
            epoch: table.epoch,
            revision: table.revision,
            created_ms: table.created_ms,
            priority: table.policy.priority,
            lag_target_seconds: table.policy.lag_target_seconds(),
            sites: table.replicas.iter().map(|replica| SiteView::of(replica, &at)).collect(),
        }
    }
}

/// The tag of a table: its revision, its published heads, what was reported of them, its statuses,
/// and who looks at it. Ages are left out: they grow by themselves.
pub(crate) fn tag(api: &Service, table: &Table, caller: &Caller) -> Tag {
    let at = circumstances(table, api.now_ms());
    let mut shape = vec![caller.shape()];
    for replica in &table.replicas {
        let head = replica.progress.head.map(|head| head.to_string()).unwrap_or_default();
        let status = status::status(&replica.progress, &at);
        shape.push(format!("{}={head}/{}/{status}", replica.site, replica.revision));
    }
    let shape: Vec<_> = shape.iter().map(String::as_str).collect();
    Tag::new(&["table", &table.id], table.revision, &shape)
}

/// Answers with a table and its tag.
pub(crate) fn shown(api: &Service, table: &Table, caller: &Caller) -> Response {
    tag(api, table, caller).on(Json(TableView::of(table, api.now_ms())))
}

/// The table of a path: by its name, or by its id. One of another project is not there.
pub(crate) async fn find(api: &Service, caller: &Caller, text: &str) -> Answer<Table> {
    let missing = || ApiError::not_found("table", text);
    let table = match Uuid::try_parse(text) {
        Ok(id) => api.catalog().table_by_id(&id.to_string()).await?,
        Err(_) => {
            let name = TableName::parse(text).map_err(|_| missing())?;
            api.catalog().table(&name).await?
        }
    };
    if caller.sees(table.name.project()) { Ok(table) } else { Err(missing()) }
}

/// A page of tables.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TableList {
    /// By name. A page may be short, or empty, although more follow.
    tables: Vec<TableView>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which tables are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TableQuery {
    /// Of this project.
    project: Option<String>,
    /// Of this namespace.
    namespace: Option<String>,
    /// Published at this site; only this site is shown.
    site: Option<String>,
    /// Registered by this discovery rule.
    rule: Option<String>,
    /// In this status at one of the sites shown.
    status: Option<Status>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// List tables
#[utoipa::path(get, path = "/v1/tables", tag = "tables", operation_id = "list_tables",
    params(TableQuery), responses((status = 200, description = "Tables", body = TableList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<TableQuery>,
) -> Answer<Json<TableList>> {
    let TableQuery { project, namespace, site, rule, status, page_size, page_token } = query;
    let Ok(project) = caller.within(project.as_deref()) else {
        return Ok(Json(TableList { tables: Vec::new(), next_page_token: None }));
    };
    let scope = (&project, &namespace, &site, &rule, &status);
    let page = Page::<String>::open(&api, ("tables", &scope), (page_size, page_token.as_deref()))?;
    let after = page.cursor().and_then(|name| TableName::parse(name).ok());
    let mut filter = TableFilter { project, namespace, site, rule, after };
    let now_ms = api.now_ms();
    let mut tables = Vec::new();
    let mut looks = 0;
    while looks < LOOKS_MAX {
        // Without a status to look for, the first batch fills the page.
        let limit = if status.is_some() { BATCH } else { page.size() + 1 };
        let found = api.catalog().tables(&filter, limit).await?;
        let last = found.len() < limit;
        for table in found {
            if tables.len() == page.size() {
                let next_page_token =
                    filter.after.as_ref().map(|name| page.token(&name.to_string()));
                return Ok(Json(TableList { tables, next_page_token }));
            }
            looks += 1;
            let view = TableView::of(&table, now_ms);
            filter.after = Some(table.name);
            if status.is_none_or(|status| view.sites.iter().any(|site| site.status == status)) {
                tables.push(view);
            }
        }
        if last {
            return Ok(Json(TableList { tables, next_page_token: None }));
        }
    }
    let next_page_token = filter.after.as_ref().map(|name| page.token(&name.to_string()));
    Ok(Json(TableList { tables, next_page_token }))
}

/// Get a table
#[utoipa::path(get, path = "/v1/tables/{table}", tag = "tables", operation_id = "get_table",
    params(("table" = String, Path, description = "Name or id of the table")),
    responses((status = 200, description = "The table", body = TableView)),
    security(("token" = ["reader"])))]
pub(crate) async fn get(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(table): Path<String>,
) -> Answer<Response> {
    let table = find(&api, &caller, &table).await?;
    Ok(shown(&api, &table, &caller))
}

/// Change a table's policy
///
/// The whole policy is replaced: what is left out has its default.
#[utoipa::path(put, path = "/v1/tables/{table}/policy", tag = "tables",
    operation_id = "put_policy",
    params(("table" = String, Path, description = "Name or id of the table")),
    request_body = Policy,
    responses((status = 200, description = "The table", body = TableView)),
    security(("token" = ["operator"])))]
pub(crate) async fn put_policy(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(table): Path<String>,
    expect: Expect,
    Body(policy): Body<Policy>,
) -> Answer<Response> {
    let table = find(&api, &caller, &table).await?;
    let expect = expect.revision(Some(&tag(&api, &table, &caller)))?;
    let table = api.catalog().set_policy(&table.name, &policy, expect, api.now_ms()).await?;
    Ok(shown(&api, &table, &caller))
}
