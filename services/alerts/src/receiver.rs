//! Receivers: who is told.

use std::fmt;

use http::Uri;
use serde::Deserialize;

use crate::rule::Severity;

/// What a receiver understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiverKind {
    /// The webhook body of Alertmanager, version 4.
    #[default]
    Alertmanager,
    /// `{"text": ...}`.
    Slack,
    /// A CloudEvent in structured mode.
    CloudEvents,
}

/// Who is told, and of what.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// Its name: what it was told is remembered by it.
    pub name: String,
    /// Where it listens, `http` or `https`. Often a secret, so that it is never logged.
    pub url: String,
    /// What it understands.
    #[serde(default)]
    pub kind: ReceiverKind,
    /// Key of the signatures.
    #[serde(default)]
    pub secret: Option<String>,
    /// The least urgent that it wants.
    #[serde(default)]
    pub min_severity: Severity,
    /// Projects that it wants; all where there is none. Alerts about no project go to everybody.
    #[serde(default)]
    pub projects: Vec<String>,
}

/// Why a receiver cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiverError {
    /// Its URL is none.
    #[error("receiver {0}: its URL is no http or https URL")]
    Url(String),
    /// Two have one name.
    #[error("receiver {0}: there are two of this name")]
    Twice(String),
}

impl Receiver {
    pub(crate) fn uri(&self) -> Result<Uri, ReceiverError> {
        let uri: Option<Uri> = self.url.parse().ok();
        uri.filter(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")))
            .ok_or_else(|| ReceiverError::Url(self.name.clone()))
    }

    pub(crate) fn severities(&self) -> Vec<&'static str> {
        let wanted = Severity::ALL.into_iter().filter(|severity| *severity >= self.min_severity);
        wanted.map(Severity::as_str).collect()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without URL and secret.
        f.debug_struct("Receiver")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("min_severity", &self.min_severity)
            .field("projects", &self.projects)
            .finish_non_exhaustive()
    }
}
