//! Discovery rules: what looks for tables, and what it found.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::{Extension, Json};
use driftless_catalog::{
    FoundTable, NewOperation, Operation, OperationKind, Rule, RuleSpec, check_label,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::body::Body;
use crate::error::{Answer, ApiError};
use crate::etag::{Expect, Tag};
use crate::page::Page;
use crate::place::{Place, Stores};
use crate::store::check_url;
use crate::{Service, operation};

/// A page of rules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleList {
    /// By name.
    rules: Vec<Rule>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// A page of what a rule found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundList {
    /// By source.
    tables: Vec<FoundTable>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which part of the list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RuleQuery {
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// Looking is no change of the rule, but it is shown.
fn tag(rule: &Rule) -> Tag {
    let thing = ["rule", &rule.name, &rule.created_ms.to_string()];
    let looked = rule.last_run_ms.unwrap_or_default().to_string();
    let shape = [looked.as_str(), rule.last_error.as_deref().unwrap_or_default()];
    Tag::new(&thing, rule.revision, &shape)
}

async fn there(api: &Service, name: &str) -> Answer<Rule> {
    api.catalog().rule(name).await?.ok_or_else(|| ApiError::not_found("rule", name))
}

/// The revision that a change is meant for.
async fn meant(api: &Service, name: &str, expect: &Expect) -> Answer<Option<i64>> {
    expect.revision(api.catalog().rule(name).await?.as_ref().map(tag).as_ref())
}

/// List discovery rules
#[utoipa::path(get, path = "/v1/rules", tag = "rules", operation_id = "list_rules",
    params(RuleQuery), responses((status = 200, description = "Rules", body = RuleList)),
    security(("token" = ["reader", "all_projects"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Query(query): Query<RuleQuery>,
) -> Answer<Json<RuleList>> {
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::open(&api, ("rules", &()), asked)?;
    let (rules, next_page_token) = page.of(api.catalog().rules().await?, |rule| &rule.name);
    Ok(Json(RuleList { rules, next_page_token }))
}

/// Get a discovery rule
#[utoipa::path(get, path = "/v1/rules/{rule}", tag = "rules", operation_id = "get_rule",
    params(("rule" = String, Path, description = "Name of the rule")),
    responses((status = 200, description = "The rule", body = Rule)),
    security(("token" = ["reader", "all_projects"])))]
pub(crate) async fn get(
    State(api): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Answer<Response> {
    let rule = there(&api, &name).await?;
    Ok(tag(&rule).on(Json(rule)))
}

/// Make or change a discovery rule
#[utoipa::path(put, path = "/v1/rules/{rule}", tag = "rules", operation_id = "put_rule",
    params(("rule" = String, Path, description = "Name of the rule")),
    request_body = RuleSpec,
    responses(
        (status = 200, description = "It was changed", body = Rule),
        (status = 201, description = "It was made", body = Rule)),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn put(
    State(api): State<Arc<Service>>,
    Path(name): Path<String>,
    expect: Expect,
    Body(spec): Body<RuleSpec>,
) -> Answer<Response> {
    check_label("rule", &name).map_err(|error| ApiError::invalid(error.to_string()))?;
    spec.check().map_err(ApiError::invalid)?;
    check_pattern(&api, &spec.pattern).await?;
    let sites = api.catalog().sites().await?;
    if let Some(missing) =
        spec.sites.iter().find(|name| !sites.iter().any(|site| site.name == **name))
    {
        return Err(ApiError::invalid(format!("there is no site {missing}")));
    }
    let expect = meant(&api, &name, &expect).await?;
    let rule = api.catalog().put_rule(&name, &spec, expect, api.now_ms()).await?;
    Ok(tag(&rule).on_put(Json(rule)))
}

/// Checks the folder in front of the first `*`.
async fn check_pattern(api: &Service, pattern: &str) -> Answer<()> {
    let fixed = pattern.split('*').next().unwrap_or_default();
    let folder = match fixed.rfind('/').max(fixed.rfind(':')) {
        Some(end) => fixed.get(..=end).unwrap_or_default(),
        None => fixed,
    };
    if folder.contains("://") {
        return check_url(api, folder).map(|_| ());
    }
    let stores = Stores::of(api.catalog().stores().await?);
    let refused = |why| ApiError::invalid(format!("pattern: {why}")).with("field", "pattern");
    Place::resolve(folder, &stores).map(|_| ()).map_err(refused)
}

/// Remove a discovery rule
///
/// The tables that it registered stay.
#[utoipa::path(delete, path = "/v1/rules/{rule}", tag = "rules", operation_id = "delete_rule",
    params(("rule" = String, Path, description = "Name of the rule")),
    responses((status = 204, description = "It is gone")),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn delete(
    State(api): State<Arc<Service>>,
    Path(name): Path<String>,
    expect: Expect,
) -> Answer<StatusCode> {
    let expect = meant(&api, &name, &expect).await?;
    api.catalog().remove_rule(&name, expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Look for tables now
#[utoipa::path(post, path = "/v1/rules/{rule}/run", tag = "rules", operation_id = "run_rule",
    params(("rule" = String, Path, description = "Name of the rule")),
    responses((status = 202, description = "The operation", body = Operation)),
    security(("token" = ["operator", "all_projects"])))]
pub(crate) async fn run(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    expect: Expect,
) -> Answer<Response> {
    let rule = there(&api, &name).await?;
    expect.revision(Some(&tag(&rule)))?;
    let new = NewOperation {
        kind: OperationKind::Discover,
        table_id: None,
        resource: rule.name,
        request: serde_json::json!({}),
        actor: caller.name.clone(),
    };
    operation::begin(&api, &new).await
}

/// List what a discovery rule found
#[utoipa::path(get, path = "/v1/rules/{rule}/tables", tag = "rules",
    operation_id = "list_found_tables",
    params(("rule" = String, Path, description = "Name of the rule"), RuleQuery),
    responses((status = 200, description = "What was found", body = FoundList)),
    security(("token" = ["reader", "all_projects"])))]
pub(crate) async fn found(
    State(api): State<Arc<Service>>,
    Path(name): Path<String>,
    Query(query): Query<RuleQuery>,
) -> Answer<Json<FoundList>> {
    let rule = there(&api, &name).await?;
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::<String>::open(&api, ("found", &rule.name), asked)?;
    let after = page.cursor().map(String::as_str);
    let mut tables = api.catalog().found_tables(&rule.name, after, page.size() + 1).await?;
    let next_page_token = page.cut(&mut tables, |found| found.source.clone());
    Ok(Json(FoundList { tables, next_page_token }))
}
