//! Who calls, and what each route asks of a caller.
//!
//! What a route asks stands beside it in the OpenAPI document: a role, and `all_projects` where a
//! token of one project is not enough. A route that says nothing asks for the most.
//!
//! Stores send hints, and Trino fetches keys, from where no header can be set. These routes
//! therefore take a token in the URL as well; only one of the role that is made for the route and
//! may do nothing else, since URLs end up in logs.

use std::collections::HashMap;

use driftless_catalog::{Catalog, Millis, Role};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::error::{Answer, ApiError};
use crate::token;

/// Roles whose tokens may be in the URL, each on its own routes. The OpenAPI document has a security
/// scheme of the name of each.
pub(crate) const IN_URL: [Role; 2] = [Role::Hint, Role::Engine];

/// The parameter that such a token is in.
pub(crate) const URL_PARAMETER: &str = "token";

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Everybody who reaches the socket may do everything. For a loopback address only: requests
    /// from elsewhere, or sent by a web page of another origin, are refused.
    Open,
    /// By bearer tokens.
    Tokens,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Identifies the caller: a token's id.
    pub(crate) id: String,
    /// Its name in the audit.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The only project that it sees.
    pub(crate) project: Option<String>,
}

impl Caller {
    fn local() -> Self {
        let (id, name) = ("local".to_owned(), "local".to_owned());
        Self { id, name, role: Role::Admin, project: None }
    }

    /// Whoever needs no token.
    pub(crate) fn nobody() -> Self {
        let (id, name) = ("-".to_owned(), "-".to_owned());
        Self { id, name, role: Role::Reader, project: None }
    }

    /// Whether it sees things of this project.
    pub(crate) fn sees(&self, project: &str) -> bool {
        self.project.as_deref().is_none_or(|own| own == project)
    }

    /// The project to look in, where `asked` is what the request names: `Err` = in none.
    pub(crate) fn within(&self, asked: Option<&str>) -> Result<Option<String>, NoProject> {
        match (&self.project, asked) {
            (Some(own), Some(asked)) if own != asked => Err(NoProject),
            (Some(own), _) => Ok(Some(own.clone())),
            (None, asked) => Ok(asked.map(str::to_owned)),
        }
    }

    /// What decides how much of a resource it is shown.
    pub(crate) fn shape(&self) -> String {
        format!("{}/{}", self.role, self.project.as_deref().unwrap_or("*"))
    }
}

/// The caller sees nothing of what it asks for.
#[derive(Debug)]
pub(crate) struct NoProject;

/// Finds out who calls. `in_url`: the query, and the role that a token in it must have, on routes
/// that take one there.
pub(crate) async fn authenticate(
    auth: Auth,
    catalog: &Catalog,
    (headers, in_url): (&HeaderMap, Option<(&str, Role)>),
    now_ms: Millis,
) -> Answer<Caller> {
    match auth {
        Auth::Open => {
            check_page(headers)?;
            Ok(Caller::local())
        }
        Auth::Tokens => {
            let header = in_header(headers);
            let in_url = in_url.filter(|_| header.is_none());
            let secret = header.or_else(|| in_query(in_url?.0));
            let secret = secret.filter(|secret| token::is_one(secret));
            let secret = secret.ok_or_else(ApiError::unauthenticated)?;
            // The digest is what is compared: no time tells how much of a guess was right.
            let token = catalog.token(&token::sha256(&secret), now_ms).await?;
            let token = token.ok_or_else(ApiError::unauthenticated)?;
            if let Some((_, role)) = in_url.filter(|(_, role)| *role != token.role) {
                let message = format!("a token in this URL has the role {role}, and no other");
                return Err(ApiError::forbidden(message));
            }
            let (id, name) = (token.id, token.name);
            Ok(Caller { id, name, role: token.role, project: token.project })
        }
    }
}

/// The token of a header; an empty one where the header is there and has none.
fn in_header(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, secret) = header.split_once(' ').unwrap_or_default();
    let bearer = scheme.eq_ignore_ascii_case("bearer");
    Some(if bearer { secret.trim().to_owned() } else { String::new() })
}

fn in_query(query: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == URL_PARAMETER).map(|(_, secret)| secret.into_owned())
}

/// Refuses what a web page makes a browser send: without tokens, nothing else tells it from its
/// user. A name that resolves to loopback is not taken for loopback either.
fn check_page(headers: &HeaderMap) -> Answer<()> {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str());
    let host = match text(HOST) {
        None => None,
        Some(Ok(host)) if is_loopback(host) => Some(host),
        Some(_) => {
            let message = "without tokens, the service is reached by a loopback address only";
            return Err(ApiError::forbidden(message));
        }
    };
    let own = |origin: &str| host.is_some_and(|host| origin == format!("http://{host}"));
    match text(ORIGIN) {
        None => Ok(()),
        Some(Ok(origin)) if own(origin) => Ok(()),
        Some(_) => Err(ApiError::forbidden("a page of another origin sent this request")),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    address || name.eq_ignore_ascii_case("localhost")
}

/// What one route asks of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The method and the path, as the audit names them.
    pub(crate) action: String,
    /// `None` = no token is needed.
    role: Option<Role>,
    all_projects: bool,
    /// The role that is made for this route: it is enough, and its token may be in the URL.
    pub(crate) own: Option<Role>,
    /// Query parameters that it knows.
    pub(crate) query: Vec<String>,
}

impl Rule {
    /// Whether no token is needed.
    pub(crate) fn is_public(&self) -> bool {
        self.role.is_none()
    }

    /// Whether it takes hints, by which nothing that a person owns is changed.
    pub(crate) fn takes_hints(&self) -> bool {
        self.own == Some(Role::Hint)
    }

    /// Refuses a caller that may not.
    pub(crate) fn check(&self, caller: &Caller) -> Answer<()> {
        let Some(needed) = self.role else { return Ok(()) };
        if self.own == Some(caller.role) {
            return Ok(());
        }
        if caller.role < needed {
            let message = format!("this needs the role {needed}; the token has {}", caller.role);
            return Err(ApiError::forbidden(message));
        }
        match (self.all_projects, &caller.project) {
            (true, Some(project)) => {
                let message = format!("the token is good for the project {project} only");
                Err(ApiError::forbidden(message))
            }
            _ => Ok(()),
        }
    }
}

/// The rules of all routes.
#[derive(Debug, Default)]
pub(crate) struct Rules(HashMap<String, Rule>);

impl Rules {
    /// Reads them from the OpenAPI document.
    pub(crate) fn of(document: &Value) -> Self {
        let mut rules = HashMap::new();
        let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
        for (path, methods) in object(document.get("paths").unwrap_or(&Value::Null)) {
            for (method, operation) in object(&methods) {
                let action = format!("{} {path}", method.to_ascii_uppercase());
                let (role, all_projects, own) = asked(&operation);
                let mut query = parameters(&operation);
                query.extend(own.map(|_| URL_PARAMETER.to_owned()));
                rules.insert(action.clone(), Rule { action, role, all_projects, own, query });
            }
        }
        Self(rules)
    }

    /// Lets everybody use a route.
    pub(crate) fn open(&mut self, action: &str) {
        if let Some(rule) = self.0.get_mut(action) {
            (rule.role, rule.all_projects) = (None, false);
        }
    }

    /// The rule of a route. HEAD is GET without its body.
    pub(crate) fn get(&self, method: &Method, path: &str) -> Option<&Rule> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(&format!("{method} {path}"))
    }

    /// All routes, as `GET /v1/config` lists them.
    pub(crate) fn actions(&self) -> Vec<String> {
        let mut actions: Vec<_> = self.0.keys().cloned().collect();
        actions.sort_by(|a, b| a.split(' ').rev().cmp(b.split(' ').rev()));
        actions
    }
}

/// The role, whether for all projects, and the role that is made for the route.
fn asked(operation: &Value) -> (Option<Role>, bool, Option<Role>) {
    let most = (Some(Role::Admin), true, None);
    let Some(needs) = operation.get("security").and_then(Value::as_array) else { return most };
    let (need, own) = match needs.as_slice() {
        [need] => (need, None),
        [need, other] => match IN_URL.iter().find(|role| other.get(role.as_str()).is_some()) {
            Some(role) => (need, Some(*role)),
            None => return most,
        },
        _ => return most,
    };
    if own.is_none() && need.as_object().is_some_and(serde_json::Map::is_empty) {
        return (None, false, None);
    }
    let words: Vec<&str> = match need.get("token").and_then(Value::as_array) {
        Some(words) => words.iter().filter_map(Value::as_str).collect(),
        None => return most,
    };
    match words.iter().find_map(|word| Role::parse(word)) {
        Some(role) => (Some(role), words.contains(&"all_projects"), own),
        None => most,
    }
}

fn parameters(operation: &Value) -> Vec<String> {
    let all = operation.get("parameters").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter(|one| one.get("in").and_then(Value::as_str) == Some("query"))
        .filter_map(|one| one.get("name")?.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_says_nothing_asks_for_the_most() {
        let most = (Some(Role::Admin), true, None);
        for (operation, expect) in [
            (r#"{}"#, most),
            (r#"{"security":[]}"#, most),
            (r#"{"security":[{"other":[]}]}"#, most),
            (r#"{"security":[{"token":[]}]}"#, most),
            (r#"{"security":[{},{"token":["reader"]}]}"#, most),
            (r#"{"security":[{},{"hint":[]}]}"#, most),
            (r#"{"security":[{"hint":[]}]}"#, most),
            (r#"{"security":[{"token":["reader"]},{"token":["admin"]}]}"#, most),
            (r#"{"security":[{"token":["reader"]},{"reader":[]}]}"#, most),
            (r#"{"security":[{}]}"#, (None, false, None)),
            (r#"{"security":[{"token":["reader"]}]}"#, (Some(Role::Reader), false, None)),
            (r#"{"security":[{"token":["admin","all_projects"]}]}"#, most),
            (
                r#"{"security":[{"token":["operator"]},{"hint":[]}]}"#,
                (Some(Role::Operator), false, Some(Role::Hint)),
            ),
            (
                r#"{"security":[{"token":["admin","all_projects"]},{"engine":[]}]}"#,
                (Some(Role::Admin), true, Some(Role::Engine)),
            ),
        ] {
            assert_eq!(asked(&serde_json::from_str(operation).unwrap()), expect, "{operation}");
        }
    }

    #[test]
    fn loopback_is_an_address_or_localhost() {
        for (host, expect) in [
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("localhost:1", true),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com:80", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(host), expect, "{host}");
        }
    }
}
