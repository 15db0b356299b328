//! Consistency groups: tables that are read together, and the versions to read them at.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use driftless_catalog::group::{Member, Waiting};
use driftless_catalog::{Group, TableName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::auth::Caller;
use crate::error::{Answer, ApiError};
use crate::page::Page;
use crate::project::ProjectQuery;
use crate::table::seconds;

/// A consistency group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupView {
    /// Its name.
    name: String,
    /// Its tables, by name.
    tables: Vec<TableName>,
    /// Sites that publish any of them.
    sites: Vec<GroupAtSite>,
}

/// A group at a site.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupAtSite {
    /// The site.
    site: String,
    /// The moment up to which all tables can be read there; `null` = there is none.
    as_of_ms: Option<i64>,
    /// Its age, in seconds; `null` = not known.
    lag_seconds: Option<f64>,
    /// Tables that stand in the way, where there is none.
    waits_for: Vec<Waiting>,
}

/// A page of groups.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupList {
    /// By name.
    groups: Vec<GroupView>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// One version of each table of a group, all as of the same moment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupSnapshot {
    /// The group.
    group: String,
    /// The site.
    site: String,
    /// The moment: every commit up to it is in these versions, and none after it, by the clocks of
    /// the sources' stores. `null` = there is none.
    as_of_ms: Option<i64>,
    /// The versions; empty where there is no moment.
    tables: Vec<Member>,
    /// Tables that stand in the way, where there is none.
    waits_for: Vec<Waiting>,
}

/// Where a group is looked at.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SnapshotQuery {
    /// The site.
    site: String,
}

/// The groups of a project that the caller sees.
async fn groups(
    api: &Service,
    caller: &Caller,
    project: &str,
    name: Option<&str>,
) -> Answer<Vec<Group>> {
    let there = caller.sees(project) && api.catalog().project(project).await?.is_some();
    if !there {
        return Err(ApiError::not_found("project", project));
    }
    Ok(api.catalog().groups(Some(project), name).await?)
}

async fn view(api: &Service, group: &Group, now_ms: i64) -> Answer<GroupView> {
    let mut sites = Vec::new();
    for site in group.sites() {
        let snapshot = api.catalog().snapshot(group, site).await?;
        let age_ms = snapshot.as_of_ms.map(|as_of| now_ms.saturating_sub(as_of).max(0));
        sites.push(GroupAtSite {
            site: site.to_owned(),
            as_of_ms: snapshot.as_of_ms,
            lag_seconds: age_ms.map(seconds),
            waits_for: snapshot.waits_for,
        });
    }
    let tables = group.tables.iter().map(|table| table.name.clone()).collect();
    Ok(GroupView { name: group.name.clone(), tables, sites })
}

/// List the consistency groups of a project
///
/// Groups are made by the policies of their tables.
#[utoipa::path(get, path = "/v1/projects/{project}/groups", tag = "groups",
    operation_id = "list_groups",
    params(("project" = String, Path, description = "Name of the project"), ProjectQuery),
    responses((status = 200, description = "Groups", body = GroupList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    Query(query): Query<ProjectQuery>,
) -> Answer<Json<GroupList>> {
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::open(&api, ("groups", &project), asked)?;
    let all = groups(&api, &caller, &project, None).await?;
    let (found, next_page_token) = page.of(all, |group| &group.name);
    let now_ms = api.now_ms();
    let mut groups = Vec::with_capacity(found.len());
    for group in &found {
        groups.push(view(&api, group, now_ms).await?);
    }
    Ok(Json(GroupList { groups, next_page_token }))
}

/// Get the versions that show all tables of a group as of one moment
///
/// Readers that name these versions see the tables as they were together. Retention goes on: pin
/// what is to stay.
#[utoipa::path(get, path = "/v1/projects/{project}/groups/{group}/snapshot", tag = "groups",
    operation_id = "get_group_snapshot",
    params(
        ("project" = String, Path, description = "Name of the project"),
        ("group" = String, Path, description = "Name of the group"),
        SnapshotQuery),
    responses((status = 200, description = "The versions", body = GroupSnapshot)),
    security(("token" = ["reader"])))]
pub(crate) async fn snapshot(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path((project, name)): Path<(String, String)>,
    Query(SnapshotQuery { site }): Query<SnapshotQuery>,
) -> Answer<Json<GroupSnapshot>> {
    let found = groups(&api, &caller, &project, Some(&name)).await?.pop();
    let found = found.ok_or_else(|| ApiError::not_found("group", &name))?;
    if !found.sites().contains(&site.as_str()) {
        return Err(ApiError::not_found("replica at site", &site));
    }
    let shown = api.catalog().snapshot(&found, &site).await?;
    let (as_of_ms, tables, waits_for) = (shown.as_of_ms, shown.tables, shown.waits_for);
    Ok(Json(GroupSnapshot { group: name, site, as_of_ms, tables, waits_for }))
}
