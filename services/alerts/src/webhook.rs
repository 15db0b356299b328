//! One POST to a receiver, signed where it has a secret.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use sha2::Sha256;
use tokio::time::timeout;

/// How long one request may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// What of an answer is read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

const SIGNATURE: &str = "x-driftless-signature";

/// Connections to one receiver.
#[derive(Clone)]
pub(crate) enum Webhook {
    Direct(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    Tunnelled(Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>),
}

/// Why a message did not arrive. Nothing of the URL is in it, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    #[error("get an answer within {} seconds", TIMEOUT.as_secs())]
    Late,
    #[error("reach it")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("make the request")]
    Request(#[from] http::Error),
}

impl NotSent {
    /// Whether another message would fare no better now.
    pub(crate) fn is_receiver_down(&self) -> bool {
        match self {
            Self::Late | Self::Unreachable(_) => true,
            Self::Refused(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Request(_) => false,
        }
    }
}

impl Webhook {
    /// The client for a receiver; its host is reached as the environment says.
    pub(crate) fn new(uri: &Uri) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(TIMEOUT / 2));
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls()?).https_or_http().enable_http1();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(Duration::from_secs(15)).pool_timer(TokioTimer::new());
        let Some(proxy) = Matcher::from_env().intercept(uri) else {
            return Ok(Self::Direct(builder.build(https.wrap_connector(tcp))));
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Ok(Self::Tunnelled(builder.build(https.wrap_connector(tunnel))))
    }

    /// Sends one message. `secret`: the key of its signature, and the time in it.
    pub(crate) async fn post(
        &self,
        uri: &Uri,
        (content_type, body): (&'static str, Bytes),
        (secret, now_ms): (Option<&str>, i64),
    ) -> Result<(), NotSent> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(CONTENT_TYPE, content_type)
            .header(USER_AGENT, concat!("driftless/", env!("CARGO_PKG_VERSION")));
        if let Some(secret) = secret {
            request = request.header(SIGNATURE, signature(secret, now_ms, &body));
        }
        let request = request.body(Full::new(body))?;
        let answer = timeout(TIMEOUT, self.send(request)).await.map_err(|_| NotSent::Late)?;
        match answer.map_err(NotSent::Unreachable)? {
            status if status.is_success() => Ok(()),
            status => Err(NotSent::Refused(status)),
        }
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<StatusCode, hyper_util::client::legacy::Error> {
        let answer: http::Response<Incoming> = match self {
            Self::Direct(client) => client.request(request).await?,
            Self::Tunnelled(client) => client.request(request).await?,
        };
        let status = answer.status();
        // What it says beside the status does not matter, nor does where it breaks off.
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(status)
    }
}

fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    // Certificates of the system that do not parse are not trusted; that is all.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// `t=SECONDS,v1=HEX`, over `SECONDS.BODY`: a body cannot be sent again later with another time.
fn signature(secret: &str, now_ms: i64, body: &[u8]) -> String {
    let seconds = now_ms.div_euclid(1_000);
    // A key of any length will do: a longer one than a block is hashed first.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checked against `printf '1764500000.{}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn signatures_are_what_others_compute() {
        let expect =
            "t=1764500000,v1=6196654f086ef723e89440c0d453da008bb9fb0750da7ec6b3861c50782707af";
        assert_eq!(signature("key", 1_764_500_000_999, b"{}"), expect);
    }
}
