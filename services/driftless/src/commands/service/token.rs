//! `driftless token`: made beside the catalog's database, so that the first one needs no other.

use driftless_catalog::{NewToken, Token as Record};
use driftless_catalogd::token;

use super::{catalog_error, now_ms, open_catalog};
use crate::args::Token;
use crate::exit::{CommandError, Exit};
use crate::run::{Ended, Setting};
use crate::units::show_duration;

/// A token ends after a year at most.
const LIFE_MS_MAX: i64 = 366 * 24 * 60 * 60 * 1_000;

pub(crate) async fn run(setting: &Setting, args: &Token) -> Result<Exit, Ended> {
    match args {
        Token::Create { name, role, project, expires, database } => {
            let life_ms = i64::try_from(expires.as_millis()).unwrap_or(i64::MAX);
            if life_ms > LIFE_MS_MAX {
                return Err(CommandError::arguments(
                    "make a token that lives longer than a year",
                    "use --expires 366d at most, and make a new one in time",
                )
                .into());
            }
            let catalog = open_catalog(database).await?;
            let secret = token::secret().map_err(|error| {
                let message = format!("read random bytes: {error}");
                CommandError::failed("internal", message, "check /dev/urandom")
            })?;
            let now_ms = now_ms();
            let new = NewToken {
                name: name.clone(),
                sha256: token::sha256(&secret),
                role: (*role).into(),
                project: project.clone(),
                expires_ms: now_ms + life_ms,
            };
            let made = catalog.add_token(&new, now_ms).await.map_err(catalog_error)?;
            let document = serde_json::json!({ "token": made, "secret": secret });
            let text = format!(
                "{secret}\n  {} for {}, ends in {}; it is not shown again\n",
                made.role,
                made.name,
                show_duration(*expires)
            );
            setting.output.print(&document, text)?;
        }
        Token::List { database } => {
            let catalog = open_catalog(database).await?;
            let tokens = catalog.tokens().await.map_err(catalog_error)?;
            let document = serde_json::json!({ "tokens": tokens });
            setting.output.print(&document, tokens.iter().map(line).collect::<String>())?;
        }
        Token::Revoke { id, database } => {
            let catalog = open_catalog(database).await?;
            catalog.revoke_token(id, now_ms()).await.map_err(catalog_error)?;
            let document = serde_json::json!({ "revoked": id });
            setting.output.print(&document, format!("{id} is no longer valid\n"))?;
        }
    }
    Ok(Exit::Done)
}

fn line(token: &Record) -> String {
    let state = match (token.revoked_ms, token.expires_ms > now_ms()) {
        (Some(_), _) => "revoked",
        (None, true) => "valid",
        (None, false) => "ended",
    };
    let project = token.project.as_deref().unwrap_or("all projects");
    format!("{}  {state}  {}  {project}  {}\n", token.id, token.role, token.name)
}
