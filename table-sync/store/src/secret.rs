//! Values that must not be seen: store options, and text that might repeat them.
//!
//! # Invariants
//! - A [`Secret`] has no `Display`, and its `Debug` shows nothing.
//! - Text of a library below reaches an error of ours only through [`Redactor::clean`].

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

/// Longest text of a library or a server that an error carries, in characters.
const TEXT_CHARS_MAX: usize = 800;
/// Shorter values would garble messages when they are blanked, and protect nothing.
const SECRET_CHARS_MIN: usize = 4;

/// The value of a store option: plain, or named by where it is kept.
///
/// In a configuration file: `key = "value"`, `key = { env = "NAME" }` or `key = { file = "PATH" }`.
#[derive(Clone, Deserialize)]
#[serde(from = "Written")]
pub struct Secret(Written);

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Bool(bool),
    Number(i64),
    Env(FromEnv),
    File(FromFile),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FromEnv {
    env: String,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FromFile {
    file: PathBuf,
}

impl From<Written> for Secret {
    fn from(written: Written) -> Self {
        Self(written)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Written::Text(text.to_owned()))
    }
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The environment variable is not set, or not UTF-8.
    #[error("read the environment variable {name}: it is not set")]
    Env {
        /// Name of the variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("read the secret from {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Secret {
    /// A plain value.
    pub fn plain(text: impl Into<String>) -> Self {
        Self(Written::Text(text.into()))
    }

    /// The value of an environment variable, read when it is needed.
    pub fn from_env(name: impl Into<String>) -> Self {
        Self(Written::Env(FromEnv { env: name.into() }))
    }

    /// The content of a file, read when it is needed.
    pub fn from_file(file: impl Into<PathBuf>) -> Self {
        Self(Written::File(FromFile { file: file.into() }))
    }

    /// The value. A file's trailing line break is not part of it.
    ///
    /// # Errors
    /// [`SecretError`] when the variable is not set or the file cannot be read.
    pub fn reveal(&self) -> Result<String, SecretError> {
        match &self.0 {
            Written::Text(text) => Ok(text.clone()),
            Written::Bool(flag) => Ok(flag.to_string()),
            Written::Number(number) => Ok(number.to_string()),
            Written::Env(FromEnv { env }) => {
                std::env::var(env).map_err(|_| SecretError::Env { name: env.clone() })
            }
            Written::File(FromFile { file }) => std::fs::read_to_string(file)
                .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
                .map_err(|source| SecretError::File { path: file.clone(), source }),
        }
    }

    /// Whether the value was named by its place: then it is secret whatever the option is.
    fn is_indirect(&self) -> bool {
        matches!(self.0, Written::Env(_) | Written::File(_))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Blanks known secrets, and the query strings of URLs, in text of libraries and servers.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    secrets: Arc<[String]>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Learns the values of options that are secret by name, or by how they were given.
    pub(crate) fn of<'a>(options: impl Iterator<Item = (&'a str, &'a Secret, &'a str)>) -> Self {
        let mut secrets: Vec<String> = options
            .filter(|(name, secret, _)| secret.is_indirect() || is_secret_name(name))
            .flat_map(|(_, _, value)| std::iter::once(value.to_owned()).chain(inner(value)))
            .collect();
        secrets.extend(
            std::env::vars()
                .filter(|(name, _)| {
                    let cloud = ["AWS_", "AZURE_", "GOOGLE_"];
                    cloud.iter().any(|prefix| name.starts_with(prefix)) && is_secret_name(name)
                })
                .map(|(_, value)| value),
        );
        secrets.retain(|value| value.chars().count() >= SECRET_CHARS_MIN);
        // Longest first: a secret that holds another one is blanked whole.
        secrets.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self { secrets: secrets.into() }
    }

    /// The text without secrets and query strings, cut to a bounded length.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in self.secrets.iter() {
            if clean.contains(secret.as_str()) {
                clean = clean.replace(secret.as_str(), "***");
            }
        }
        let clean = without_queries(&clean);
        match clean.char_indices().nth(TEXT_CHARS_MAX) {
            Some((at, _)) => format!("{}...", clean.get(..at).unwrap_or_default()),
            None => clean,
        }
    }

    /// The cleaned text of an error and of all its causes that add something.
    pub(crate) fn error(&self, error: &(dyn std::error::Error + 'static)) -> Foreign {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        Foreign(self.clean(&text))
    }
}

/// What a library or a server said, cleaned.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Foreign(pub(crate) String);

/// The texts inside a value that is a JSON object, such as a service account's key.
fn inner(value: &str) -> Vec<String> {
    let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(value);
    let fields = object.unwrap_or_default().into_iter();
    let secret = fields.filter(|(name, _)| name.contains("key") || name.contains("secret"));
    secret.filter_map(|(_, value)| value.as_str().map(str::to_owned)).collect()
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["secret", "token", "password", "sas", "credential", "access_key", "account_key"];
    let known = ["access_key_id", "token_file", "credentials_file", "application_credentials"];
    let harmless = known.iter().any(|end| name.ends_with(end));
    name == "aws_access_key_id"
        || name == "access_key_id"
        || (words.iter().any(|word| name.contains(word)) && !harmless)
}

fn without_queries(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut in_url = false;
    let mut skipping = false;
    for (at, character) in text.char_indices() {
        let ends = character.is_whitespace() || matches!(character, '"' | '\'' | '<' | '>' | ')');
        if ends {
            in_url = false;
            skipping = false;
        } else if text.get(at..).is_some_and(|rest| rest.starts_with("://")) {
            in_url = true;
        }
        if in_url && character == '?' && !skipping {
            clean.push_str("?***");
            skipping = true;
        }
        if !skipping {
            clean.push(character);
        }
    }
    clean
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const KNOWN: &str = "wJalrXUtnFEMI/K7MDENG";

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::plain(KNOWN);
        let redactor = Redactor::of([("secret_access_key", &secret, KNOWN)].into_iter());
        for text in [format!("{secret:?}"), format!("{secret:#?}"), format!("{redactor:?}")] {
            assert!(!text.contains(KNOWN), "{text}");
        }
        assert_eq!(secret.reveal().unwrap(), KNOWN);
    }

    #[test]
    fn known_secrets_and_queries_are_blanked() {
        let secret = Secret::plain(KNOWN);
        let redactor = Redactor::of([("secret_access_key", &secret, KNOWN)].into_iter());
        let clean = redactor.clean(&format!("PUT https://h/k?sig={KNOWN}&x=1 failed: {KNOWN}."));
        assert_eq!(clean, "PUT https://h/k?*** failed: ***.");
        assert_eq!(redactor.clean("is it? yes"), "is it? yes");
    }

    #[test]
    fn harmless_options_are_not_blanked() {
        let region = Secret::plain("us-east-1");
        let redactor = Redactor::of([("region", &region, "us-east-1")].into_iter());
        assert_eq!(redactor.clean("region us-east-1"), "region us-east-1");
    }

    #[test]
    fn written_forms() {
        let of = |json: &str| serde_json::from_str::<Secret>(json);
        assert_eq!(of("\"x\"").unwrap().reveal().unwrap(), "x");
        assert_eq!(of("true").unwrap().reveal().unwrap(), "true");
        let missing = of("{\"env\": \"DRIFTLESS_NOT_SET\"}").unwrap().reveal();
        assert!(matches!(missing, Err(SecretError::Env { .. })));
        assert!(matches!(
            of("{\"file\": \"/no/such/file\"}").unwrap().reveal(),
            Err(SecretError::File { .. })
        ));
        let error = of("{\"env\": \"A\", \"file\": \"topsecret\"}").map(drop).unwrap_err();
        assert!(!error.to_string().contains("topsecret"));
    }

    #[test]
    fn long_text_is_cut() {
        let text = Redactor::default().clean(&"x".repeat(10_000));
        assert!(text.chars().count() <= TEXT_CHARS_MAX + 3);
    }
}
