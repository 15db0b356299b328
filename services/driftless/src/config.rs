//! The configuration file: named stores, and who the service tells of alerts.
//!
//! Looked up at `--config`, `$DRIFTLESS_CONFIG`, then in the user's configuration folder; never in
//! the current folder, where a table's own files may lie.
//!
//! # Invariants
//! - No value of the file appears in an error: a mistyped line may hold a secret.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use driftless_alerts::Receiver;
use serde::Deserialize;
use table_sync_store::StoreConfig;

use crate::exit::CommandError;

/// File name within the user's configuration folder.
const FILE: &str = "driftless/driftless.toml";

/// What a configuration file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Stores by name: `NAME:path` on the command line.
    #[serde(default)]
    pub(crate) stores: BTreeMap<String, StoreConfig>,
    /// Who the service tells of alerts.
    #[serde(default)]
    pub(crate) receivers: Vec<Receiver>,
    /// Tables whose metrics have series of their own: `project.namespace.table`, or `project.*`.
    #[serde(default)]
    pub(crate) metrics_tables: Vec<String>,
}

impl Config {
    /// Reads the file that was named, or the user's own where there is one.
    ///
    /// # Errors
    /// A named file that is not there, and any file that does not parse.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, CommandError> {
        if let Some(path) = named {
            return Self::read(path);
        }
        let path = user_file(std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"));
        match path {
            Some(path) if path.is_file() => Self::read(&path),
            _ => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self, CommandError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            CommandError::configuration(
                format!("read the configuration {}: {error}", path.display()),
                "name an existing file with --config or $DRIFTLESS_CONFIG",
            )
        })?;
        Self::parse(&text).map_err(|reason| {
            CommandError::configuration(
                format!("read the configuration {}: {reason}", path.display()),
                "see docs/cli.md for what the file may hold",
            )
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
            format!("line {line}: {}", without_values(error.message()))
        })?;
        match config.stores.keys().find(|name| !is_store_name(name)) {
            Some(name) => Err(format!(
                "store {name:?}: a name has letters, digits, - and _, and at least two of them"
            )),
            None => Ok(config),
        }
    }
}

/// One letter would be read as a drive, and `file:` is a scheme.
fn is_store_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.len() >= 2 && name != "file" && name.bytes().all(known)
}

/// A parser's message without the quoted values of the file.
fn without_values(message: &str) -> String {
    let mut clean = String::new();
    for (at, part) in message.split('"').enumerate() {
        clean.push_str(if at % 2 == 0 { part } else { "..." });
    }
    clean.lines().collect::<Vec<_>>().join(" ")
}

/// The file in the user's configuration folder.
fn user_file(config_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let folder = config_home.and_then(absolute);
    let folder = folder.or_else(|| Some(home.and_then(absolute)?.join(".config")))?;
    Some(folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_parses() {
        let config = Config::parse(include_str!("../driftless.sample.toml")).unwrap();
        let names: Vec<_> = config.stores.keys().map(String::as_str).collect();
        assert_eq!(names, ["backup", "lake", "share", "vast"]);
    }

    #[test]
    fn unknown_fields_are_refused() {
        for text in [
            "colour = 1",
            "[stores.lake]\nurl = \"s3://b\"\ncolour = 1",
            "[stores.lake]",
            "[stores.x]\nurl = \"s3://b\"",
            "[stores.\"a b\"]\nurl = \"s3://b\"",
            "[stores.file]\nurl = \"s3://b\"",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_show_the_line_and_no_value() {
        for text in [
            "\n[stores.lake]\nurl = \"s3://b\"\noptions = \"MARKER\"",
            "[stores.lake.options]\naws_secret_access_key = MARKER",
            "[stores.lake.options]\naws_secret_access_key = \"MARKER",
            "[stores.lake.options]\naws_secret_access_key = { env = \"X\", value = \"MARKER\" }",
            "[stores.lake]\nurl = [\"MARKER\"]",
            "stores = \"MARKER\"",
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(!error.contains("MARKER"), "{error}");
            assert!(error.starts_with("line "), "{error}");
        }
    }

    #[test]
    fn the_users_folder_is_looked_up() {
        let path = |config: Option<&str>, home: Option<&str>| {
            user_file(config.map(OsString::from), home.map(OsString::from))
        };
        let expect = |text: &str| Some(PathBuf::from(text));
        assert_eq!(path(Some("/c"), Some("/h")), expect("/c/driftless/driftless.toml"));
        assert_eq!(path(None, Some("/h")), expect("/h/.config/driftless/driftless.toml"));
        // The XDG specification has relative paths ignored.
        assert_eq!(path(Some("c"), Some("/h")), expect("/h/.config/driftless/driftless.toml"));
        assert_eq!(path(None, None), None);
    }
}
