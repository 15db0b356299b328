//! A client of the service's API, for the commands that speak to it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

use crate::args::Server;
use crate::exit::CommandError;

/// Longest answer that is taken.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How long an answer may take to begin.
const ANSWER_TIME: Duration = Duration::from_secs(60);

type Connector = hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>;

/// See the module.
pub(crate) struct Client {
    http: Hyper<Connector, Full<Bytes>>,
    server: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(server: &Server) -> Result<Self, CommandError> {
        let url = server.server.trim_end_matches('/').to_owned();
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(CommandError::arguments(
                format!("use {url} as a server: it is no http URL"),
                "name it with --server http://host:port",
            ));
        }
        // Named, since a build of the whole workspace has two.
        let provider = rustls::crypto::ring::default_provider();
        let roots =
            hyper_rustls::HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
        let roots = roots.map_err(|error| {
            CommandError::configuration(
                format!("read the system's certificates: {error}"),
                "install the package ca-certificates",
            )
        })?;
        let connector = roots.https_or_http().enable_http1().build();
        let http = Hyper::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, server: url, token: server.token.clone() })
    }

    /// Sends a request and takes the whole answer.
    ///
    /// # Errors
    /// No answer, or one that says why not.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CommandError> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        let limited = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let bytes = limited.collect().await.map_err(|error| self.no_answer(&*error))?.to_bytes();
        let value: Value = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).map_err(|error| self.no_answer(&error))?,
        };
        if status.is_success() { Ok(value) } else { Err(refusal(status.as_u16(), &value)) }
    }

    /// Sends a request whose answer is a stream.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn stream(&self, path: &str) -> Result<Incoming, CommandError> {
        let response = self.send(Method::GET, path, None).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let bytes = response.into_body().collect().await;
        let bytes = bytes.map_err(|error| self.no_answer(&error))?.to_bytes();
        Err(refusal(status.as_u16(), &serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, CommandError> {
        let changes = method != Method::GET;
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if changes {
            request = request.header("idempotency-key", uuid::Uuid::new_v4().to_string());
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.header("content-type", "application/json").body(Full::new(bytes));
        let request = request.map_err(|error| {
            CommandError::arguments(format!("ask {}: {error}", self.server), "check --server")
        })?;
        match timeout(ANSWER_TIME, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.no_answer(&error)),
            Err(error) => Err(self.no_answer(&error)),
        }
    }

    fn no_answer(&self, error: &(dyn std::error::Error + 'static)) -> CommandError {
        CommandError::failed(
            "server_unavailable",
            format!("ask {}: {}", self.server, table_sync_core::with_causes(error)),
            "check that `driftless serve` runs there, or name another one with --server",
        )
    }
}

/// A refusal of the service as an error of the command.
fn refusal(status: u16, answer: &Value) -> CommandError {
    let error = answer.get("error");
    let text = |name: &str| error.and_then(|error| error.get(name)?.as_str());
    let code = text("type").unwrap_or("internal");
    let message = text("message").map_or_else(|| format!("status {status}"), str::to_owned);
    match status {
        401 => CommandError::failed(
            code,
            message,
            "give a token with --token or $DRIFTLESS_TOKEN; `driftless token create` makes one",
        ),
        403 => CommandError::failed(code, message, "use a token with a role that allows it"),
        400 | 422 => CommandError::arguments(message, "see the command's --help"),
        _ => CommandError::failed(code, message, "see the service's log"),
    }
}
