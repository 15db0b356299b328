//! The console: a web page over this API, and who is looking at it.
//!
//! Its files are part of the program and are served as they are: they hold no data, so whoever
//! reaches the socket may have them. What the page shows it asks of `/v1`, with its user's token.
//! None of this is in the OpenAPI document: it is for the page alone, and changes with it.
//!
//! # Invariants
//! - The page asks nobody but its own server, and is shown in no other page: its policy says so.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;

use crate::auth::{self, Auth};
use crate::error::Answer;
use crate::{Service, etag};

const INDEX: &str = include_str!("../console/index.html");

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// The files of the page, below `/console/`.
const FILES: &[(&str, &str, &str)] = &[
    ("console.css", CSS, include_str!("../console/console.css")),
    ("favicon.svg", "image/svg+xml", include_str!("../console/favicon.svg")),
    ("action.js", JS, include_str!("../console/action.js")),
    ("alerts.js", JS, include_str!("../console/alerts.js")),
    ("api.js", JS, include_str!("../console/api.js")),
    ("console.js", JS, include_str!("../console/console.js")),
    ("dom.js", JS, include_str!("../console/dom.js")),
    ("facts.js", JS, include_str!("../console/facts.js")),
    ("format.js", JS, include_str!("../console/format.js")),
    ("lag.js", JS, include_str!("../console/lag.js")),
    ("nodes.js", JS, include_str!("../console/nodes.js")),
    ("operations.js", JS, include_str!("../console/operations.js")),
    ("overview.js", JS, include_str!("../console/overview.js")),
    ("plot.js", JS, include_str!("../console/plot.js")),
    ("receipt.js", JS, include_str!("../console/receipt.js")),
    ("sites.js", JS, include_str!("../console/sites.js")),
    ("status.js", JS, include_str!("../console/status.js")),
    ("table.js", JS, include_str!("../console/table.js")),
    ("throughput.js", JS, include_str!("../console/throughput.js")),
    ("watch.js", JS, include_str!("../console/watch.js")),
];

/// Nothing from elsewhere, no code but the files', nothing that frames the page or that it sends
/// forms to.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; object-src 'none'";

const ISOLATED: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The routes of the page.
pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(index))
        .route("/console", get(index))
        .route("/console/caller", get(caller))
        .route("/console/{file}", get(file))
}

async fn index(headers: HeaderMap) -> Answer<Response> {
    served("text/html; charset=utf-8", INDEX, &headers).await
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Answer<Response> {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => served(kind, text, &headers).await,
        None => Ok(StatusCode::NOT_FOUND.into_response()),
    }
}

/// A file, or that it is as the browser has it: it asks each time, so that an upgrade is seen.
async fn served(kind: &'static str, text: &'static str, headers: &HeaderMap) -> Answer<Response> {
    let head = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (ISOLATED, "same-origin"),
    ];
    etag::finish((head, text).into_response(), headers).await
}

/// Who looks at the page, so that it offers only what its user may do.
#[derive(Debug, Serialize)]
struct Looking {
    name: String,
    role: String,
    project: Option<String>,
    /// Whether callers are known by tokens.
    tokens: bool,
}

async fn caller(
    State(api): State<Arc<Service>>,
    headers: HeaderMap,
) -> Answer<axum::Json<Looking>> {
    let auth = api.options.auth;
    let caller = auth::authenticate(auth, api.catalog(), (&headers, None), api.now_ms()).await?;
    Ok(axum::Json(Looking {
        name: caller.name,
        role: caller.role.to_string(),
        project: caller.project,
        tokens: auth == Auth::Tokens,
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the page's files load: `from "./x.js"` of modules, `"console/x"` of the page.
    fn loaded(text: &str) -> BTreeSet<&str> {
        let begins = ["from \"./", "href=\"console/", "src=\"console/"];
        begins
            .iter()
            .flat_map(|begin| text.split(begin).skip(1))
            .filter_map(|rest| rest.split('"').next())
            .collect()
    }

    #[test]
    fn every_file_is_served_and_loaded() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        let here: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "index.html")
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(here, served);
        let mut asked = loaded(INDEX);
        asked.extend(FILES.iter().flat_map(|(_, _, text)| loaded(text)));
        let asked: BTreeSet<String> = asked.into_iter().map(str::to_owned).collect();
        assert_eq!(asked, served);
    }

    #[test]
    fn no_file_names_another_server_or_writes_markup() {
        for (name, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for word in ["http:", "https:", "//cdn", "@import", "innerHTML", "insertAdjacentHTML"] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}
