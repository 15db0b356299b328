//! Secrets of tokens, and the routes of tokens.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use driftless_catalog::{NewToken, Role, Token, check_label};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

use crate::body::Body;
use crate::error::{Answer, ApiError};
use crate::etag::{Expect, Tag};
use crate::idempotency::Secret;
use crate::page::Page;
use crate::{Service, hex};

/// What every secret begins with, so that scanners find those that got lost.
const PREFIX: &str = "dl_";

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Makes a secret: `dl_` and 32 random bytes in base64url.
///
/// # Errors
/// The system has no randomness to give.
pub fn secret() -> std::io::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// The digest of a secret that the catalog keeps, in hexadecimal.
pub fn sha256(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Whether a text has the shape of a secret.
pub(crate) fn is_one(text: &str) -> bool {
    let bytes = text.strip_prefix(PREFIX).and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok());
    bytes.is_some_and(|bytes| bytes.len() == SECRET_BYTES)
}

/// Life of a token that asks for none, in seconds: 90 days.
const LIFE_SECONDS: u64 = 90 * 24 * 60 * 60;

/// Longest life of a token, in seconds: a year.
const LIFE_SECONDS_MAX: u64 = 365 * 24 * 60 * 60;

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// Its name, as it stands in the audit.
    #[schema(min_length = 2, max_length = 128, pattern = "^[a-z0-9][a-z0-9_-]*$")]
    name: String,
    /// What it allows.
    role: Role,
    /// The only project that it is good for; left out = all.
    #[serde(default)]
    project: Option<String>,
    /// How long it is good, in seconds: 90 days where it is left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    expires_seconds: Option<u64>,
}

/// A new token, and its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenMade {
    /// The token.
    token: Token,
    /// What callers send. It is shown once and kept nowhere.
    secret: String,
}

/// A page of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenList {
    /// The newest first.
    tokens: Vec<Token>,
    /// Asks for the next page.
    next_page_token: Option<String>,
}

/// Which tokens are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokenQuery {
    /// Items of a page.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<u32>,
    /// Of the page before.
    page_token: Option<String>,
}

/// List tokens
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", operation_id = "list_tokens",
    params(TokenQuery), responses((status = 200, description = "Tokens", body = TokenList)),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn list(
    State(api): State<Arc<Service>>,
    Query(query): Query<TokenQuery>,
) -> Answer<Response> {
    let asked = (query.page_size, query.page_token.as_deref());
    let page = Page::<String>::open(&api, ("tokens", &()), asked)?;
    let before = |token: &Token| page.cursor().is_none_or(|last| token.id < *last);
    let all = api.catalog().tokens().await?;
    let mut tokens: Vec<_> = all.into_iter().filter(before).take(page.size() + 1).collect();
    let next_page_token = page.cut(&mut tokens, |token| token.id.clone());
    Ok(Json(TokenList { tokens, next_page_token }).into_response())
}

/// Make a token
///
/// The secret is in this answer only: it is not remembered for an `Idempotency-Key`, so that a
/// request that is sent again makes another token.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", operation_id = "create_token",
    request_body = TokenRequest,
    responses((status = 201, description = "The token and its secret", body = TokenMade)),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn create(
    State(api): State<Arc<Service>>,
    expect: Expect,
    Body(request): Body<TokenRequest>,
) -> Answer<Response> {
    expect.revision(None)?;
    check_label("token", &request.name).map_err(|error| ApiError::invalid(error.to_string()))?;
    let life = request.expires_seconds.unwrap_or(LIFE_SECONDS);
    if !(1..=LIFE_SECONDS_MAX).contains(&life) {
        let message = format!("expires_seconds is {life}: use 1 to {LIFE_SECONDS_MAX}");
        return Err(ApiError::invalid(message));
    }
    if let Some(project) = &request.project {
        api.catalog().namespaces(project).await?;
    }
    let secret = secret().map_err(|_| ApiError::internal())?;
    let now_ms = api.now_ms();
    let life_ms = i64::try_from(life).unwrap_or(0).saturating_mul(1_000);
    let new = NewToken {
        name: request.name,
        sha256: sha256(&secret),
        role: request.role,
        project: request.project,
        expires_ms: now_ms.saturating_add(life_ms),
    };
    let token = api.catalog().add_token(&new, now_ms).await?;
    let answer = (StatusCode::CREATED, Extension(Secret), Json(TokenMade { token, secret }));
    Ok(answer.into_response())
}

/// Revoke a token
#[utoipa::path(delete, path = "/v1/tokens/{token}", tag = "tokens", operation_id = "revoke_token",
    params(("token" = String, Path, description = "The token's id")),
    responses((status = 204, description = "It is good for nothing any more")),
    security(("token" = ["admin", "all_projects"])))]
pub(crate) async fn revoke(
    State(api): State<Arc<Service>>,
    Path(id): Path<String>,
    expect: Expect,
) -> Answer<StatusCode> {
    let all = api.catalog().tokens().await?;
    let there = all.iter().find(|token| token.id == id);
    expect.revision(there.map(|token| Tag::new(&["token", &token.id], 1, &[])).as_ref())?;
    api.catalog().revoke_token(&id, api.now_ms()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_have_a_shape() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_ne!(one, other);
        assert!(is_one(&one), "{one}");
        for text in ["", "dl_", "dl_abc", &one[3..], &format!("{one}A")] {
            assert!(!is_one(text), "{text}");
        }
        // printf %s dl_ | sha256sum
        let expect = "34e63b22384c5dbf3e76d8cfd23ea09978026405288542f5440812f27ea7757e";
        assert_eq!(sha256("dl_"), expect);
    }
}
