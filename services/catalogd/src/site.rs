//! Sites: places where tables are published.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::{Extension, Json};
use driftless_catalog::{Site as SiteRecord, check_label};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Service;
use crate::auth::Caller;
use crate::body::{Body, check_region};
use crate::error::{Answer, ApiError};
use crate::etag::{Expect, Tag};
use crate::page::Page;
use crate::place::{Place, Stores};
use crate::store::check_url;

/// A site. A token of one project sees its name only.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Site {
    /// Name; unique.
    name: String,
    /// Root below which replicas lie: a URL, or `STORE:path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Where it is.
    region: Option<String>,
    /// Grows with each change.
    revision: i64,
    /// When it was made.
    created_ms: i64,
}

impl Site {
    fn of(record: SiteRecord, caller: &Caller) -> Self {
        let SiteRecord { name, url, region, revision, created_ms } = record;
        let url = caller.project.is_none().then_some(url);
        Self { name, url, region, revision, created_ms }
    }
}

fn tag(record: &SiteRecord, caller: &Caller) -> Tag {
    let thing = ["site", &record.name, &record.created_ms.to_string()];
    Tag::new(&thing, record.revision, &[&caller.shape()])
}

/// A site to be made or changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteRequest {
    /// Root below which replicas lie: a URL, or `STORE:path`.
    #[schema(max_length = 4096)]
    url: String,
    /// Where it is.
    #[serde(default)]
    #[schema(max_length = 128)]
    region: Option<String>,
}

/// A page of sites.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteList {
    /// By name.
    sites: Vec<Site>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which sites are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SiteQuery {
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// List sites
#[utoipa::path(get, path = "/v1/sites", tag = "sites", operation_id = "list_sites",
    params(SiteQuery), responses((status = 200, description = "Sites", body = SiteList)),
    security(("token" = ["reader"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<SiteQuery>,
) -> Answer<Json<SiteList>> {
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::open(&api, ("sites", &()), asked)?;
    let (records, next_page_token) = page.of(api.catalog().sites().await?, |site| &site.name);
    let sites = records.into_iter().map(|record| Site::of(record, &caller)).collect();
    Ok(Json(SiteList { sites, next_page_token }))
}

/// The revision that a change is meant for.
async fn meant(
    (api, caller): (&Service, &Caller),
    name: &str,
    expect: &Expect,
) -> Answer<Option<i64>> {
    let there = api.catalog().site(name).await?;
    expect.revision(there.map(|record| tag(&record, caller)).as_ref())
}

/// Get a site
#[utoipa::path(get, path = "/v1/sites/{site}", tag = "sites", operation_id = "get_site",
    params(("site" = String, Path, description = "Name of the site")),
    responses((status = 200, description = "The site", body = Site)),
    security(("token" = ["reader"])))]
pub(crate) async fn get(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<Response> {
    let record = api.catalog().site(&name).await?;
    let record = record.ok_or_else(|| ApiError::not_found("site", &name))?;
    Ok(tag(&record, &caller).on(Json(Site::of(record, &caller))))
}

/// Make or change a site
///
/// The URL of a site that holds tables stays.
#[utoipa::path(put, path = "/v1/sites/{site}", tag = "sites", operation_id = "put_site",
    params(("site" = String, Path, description = "Name of the site")),
    request_body = SiteRequest,
    responses(
        (status = 200, description = "It was changed", body = Site),
        (status = 201, description = "It was made", body = Site)),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn put(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    expect: Expect,
    Body(SiteRequest { url, region }): Body<SiteRequest>,
) -> Answer<Response> {
    check_label("site", &name).map_err(|error| ApiError::invalid(error.to_string()))?;
    check_region(region.as_deref())?;
    match url.contains("://") {
        true => check_url(&api, &url)?,
        false => {
            let stores = Stores::of(api.catalog().stores().await?);
            let refused = |why| ApiError::invalid(format!("url: {why}")).with("field", "url");
            Place::resolve(&url, &stores).map_err(refused)?
        }
    };
    let expect = meant((&api, &caller), &name, &expect).await?;
    let record = SiteRecord { name, url, region, revision: 0, created_ms: 0 };
    let record = api.catalog().put_site(&record, expect, api.now_ms()).await?;
    Ok(tag(&record, &caller).on_put(Json(Site::of(record, &caller))))
}

/// Remove a site
///
/// One that holds tables, or that the readers of a project name, stays.
#[utoipa::path(delete, path = "/v1/sites/{site}", tag = "sites", operation_id = "delete_site",
    params(("site" = String, Path, description = "Name of the site")),
    responses((status = 204, description = "It is gone")),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn delete(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    expect: Expect,
) -> Answer<StatusCode> {
    let expect = meant((&api, &caller), &name, &expect).await?;
    api.catalog().remove_site(&name, expect).await?;
    Ok(StatusCode::NO_CONTENT)
}
