//! Projects, and the namespaces in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::{Extension, Json};
use driftless_catalog::{Namespace, NewProject, Project, check_identifier, check_label};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Answer, ApiError};
use crate::etag::{Expect, Tag};
use crate::page::Page;

/// Largest share.
const SHARE_MAX: u32 = 1_000;

/// Sites at which one project has readers.
const READERS_MAX: usize = 1_000;

/// A project to be made or changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectRequest {
    /// The organisation that it belongs to: `default` where it is left out.
    #[serde(default)]
    #[schema(max_length = 128)]
    organisation: Option<String>,
    /// Part of bandwidth and transfers, beside other projects: 1 where it is left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    share: Option<u32>,
    /// For each site, the store whose keys engines read the project's replicas there with: one
    /// that lies in the site's bucket and is open to the project. Its keys are handed to engines, so
    /// that they should read the project's folder, and nothing else.
    #[serde(default)]
    readers: BTreeMap<String, String>,
}

/// A page of projects.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectList {
    /// By name.
    projects: Vec<Project>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// A page of namespaces.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamespaceList {
    /// By name.
    namespaces: Vec<Namespace>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which part of the list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProjectQuery {
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) page_size: Option<u32>,
    /// Of the page before.
    pub(crate) page_token: Option<String>,
}

fn tag(project: &Project, caller: &Caller) -> Tag {
    let thing = ["project", &project.name, &project.created_ms.to_string()];
    Tag::new(&thing, project.revision, &[&caller.shape()])
}

fn namespace_tag(namespace: &Namespace) -> Tag {
    let made = namespace.created_ms.to_string();
    let thing = ["namespace", &namespace.project, &namespace.name, &made];
    Tag::new(&thing, namespace.revision, &[])
}

/// The revision that a change is meant for.
async fn meant(
    (api, caller): (&Service, &Caller),
    name: &str,
    expect: &Expect,
) -> Answer<Option<i64>> {
    let there = api.catalog().project(name).await?;
    expect.revision(there.map(|project| tag(&project, caller)).as_ref())
}

/// List projects
#[utoipa::path(get, path = "/v1/projects", tag = "projects", operation_id = "list_projects",
    params(ProjectQuery), responses((status = 200, description = "Projects", body = ProjectList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ProjectQuery>,
) -> Answer<Json<ProjectList>> {
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::open(&api, ("projects", &caller.project), asked)?;
    let mut all = api.catalog().projects().await?;
    all.retain(|project| caller.sees(&project.name));
    let (projects, next_page_token) = page.of(all, |project| &project.name);
    Ok(Json(ProjectList { projects, next_page_token }))
}

/// Get a project
#[utoipa::path(get, path = "/v1/projects/{project}", tag = "projects",
    operation_id = "get_project",
    params(("project" = String, Path, description = "Name of the project")),
    responses((status = 200, description = "The project", body = Project)),
    security(("token" = ["reader"])))]
pub(crate) async fn get(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<Response> {
    let project = api.catalog().project(&name).await?;
    let project = project.filter(|project| caller.sees(&project.name));
    let project = project.ok_or_else(|| ApiError::not_found("project", &name))?;
    Ok(tag(&project, &caller).on(Json(project)))
}

/// Make or change a project
#[utoipa::path(put, path = "/v1/projects/{project}", tag = "projects",
    operation_id = "put_project",
    params(("project" = String, Path, description = "Name of the project")),
    request_body = ProjectRequest,
    responses(
        (status = 200, description = "It was changed", body = Project),
        (status = 201, description = "It was made", body = Project)),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn put(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    expect: Expect,
    Body(request): Body<ProjectRequest>,
) -> Answer<Response> {
    check_label("project", &name).map_err(|error| ApiError::invalid(error.to_string()))?;
    let share = request.share.unwrap_or(1);
    if !(1..=SHARE_MAX).contains(&share) {
        return Err(ApiError::invalid(format!("share is {share}: use 1 to {SHARE_MAX}")));
    }
    if request.readers.len() > READERS_MAX {
        return Err(ApiError::invalid(format!("readers: name {READERS_MAX} sites at most")));
    }
    let expect = meant((&api, &caller), &name, &expect).await?;
    let ProjectRequest { organisation, readers, .. } = request;
    let (name, organisation) = (name.as_str(), organisation.as_deref());
    let wanted = NewProject { name, organisation, share, readers };
    let project = api.catalog().put_project(wanted, expect, api.now_ms()).await?;
    Ok(tag(&project, &caller).on_put(Json(project)))
}

/// Remove a project
///
/// One that has namespaces stays.
#[utoipa::path(delete, path = "/v1/projects/{project}", tag = "projects",
    operation_id = "delete_project",
    params(("project" = String, Path, description = "Name of the project")),
    responses((status = 204, description = "It is gone")),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn delete(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    expect: Expect,
) -> Answer<StatusCode> {
    let expect = meant((&api, &caller), &name, &expect).await?;
    api.catalog().remove_project(&name, expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The namespaces of a project that the caller sees.
async fn seen(api: &Service, caller: &Caller, project: &str) -> Answer<Vec<Namespace>> {
    match caller.sees(project) {
        true => Ok(api.catalog().namespaces(project).await?),
        false => Err(ApiError::not_found("project", project)),
    }
}

/// List the namespaces of a project
#[utoipa::path(get, path = "/v1/projects/{project}/namespaces", tag = "projects",
    operation_id = "list_namespaces",
    params(("project" = String, Path, description = "Name of the project"), ProjectQuery),
    responses((status = 200, description = "Namespaces", body = NamespaceList)),
    security(("token" = ["reader"])))]
pub(crate) async fn namespaces(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    Query(query): Query<ProjectQuery>,
) -> Answer<Json<NamespaceList>> {
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::open(&api, ("namespaces", &project), asked)?;
    let all = seen(&api, &caller, &project).await?;
    let (namespaces, next_page_token) = page.of(all, |namespace| &namespace.name);
    Ok(Json(NamespaceList { namespaces, next_page_token }))
}

/// Make a namespace, unless it is there
#[utoipa::path(put, path = "/v1/projects/{project}/namespaces/{namespace}", tag = "projects",
    operation_id = "put_namespace",
    params(
        ("project" = String, Path, description = "Name of the project"),
        ("namespace" = String, Path, description = "Name of the namespace")),
    responses((status = 200, description = "The namespace", body = Namespace)),
    security(("token" = ["admin"])))]
pub(crate) async fn put_namespace(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path((project, name)): Path<(String, String)>,
    expect: Expect,
) -> Answer<Response> {
    check_identifier("namespace", &name).map_err(|error| ApiError::invalid(error.to_string()))?;
    let all = seen(&api, &caller, &project).await?;
    let there = all.iter().find(|namespace| namespace.name == name).map(namespace_tag);
    expect.revision(there.as_ref())?;
    let namespace = api.catalog().put_namespace(&project, &name, api.now_ms()).await?;
    Ok(namespace_tag(&namespace).on(Json(namespace)))
}

/// Remove a namespace
///
/// One that has tables stays.
#[utoipa::path(delete, path = "/v1/projects/{project}/namespaces/{namespace}", tag = "projects",
    operation_id = "delete_namespace",
    params(
        ("project" = String, Path, description = "Name of the project"),
        ("namespace" = String, Path, description = "Name of the namespace")),
    responses((status = 204, description = "It is gone")),
    security(("token" = ["admin"])))]
pub(crate) async fn delete_namespace(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path((project, name)): Path<(String, String)>,
    expect: Expect,
) -> Answer<StatusCode> {
    let all = seen(&api, &caller, &project).await?;
    let there = all.iter().find(|namespace| namespace.name == name).map(namespace_tag);
    expect.revision(there.as_ref())?;
    api.catalog().remove_namespace(&project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
