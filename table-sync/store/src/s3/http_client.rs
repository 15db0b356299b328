//! Connections: pooled HTTP/1.1, over TLS or a proxy where needed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use table_sync_core::BoxError;

use crate::settings::Settings;

/// Shorter than servers and load balancers keep an idle connection, so that a request rarely
/// meets one that is being closed.
const IDLE: Duration = Duration::from_secs(15);

pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A pool of connections to one endpoint.
#[derive(Clone)]
pub(crate) enum HttpClient {
    Direct(Client<HttpsConnector<HttpConnector>, RequestBody>),
    Tunnelled(Client<HttpsConnector<Tunnel<HttpConnector>>, RequestBody>),
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("read the certificates of {path}")]
    Certificates { path: PathBuf, source: BoxError },
    #[error("set up TLS")]
    Tls(#[source] BoxError),
}

impl HttpClient {
    pub(crate) fn new(endpoint: &Uri, settings: &Settings) -> Result<Self, ClientError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.connect_timeout));
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(settings)?)
            .https_or_http()
            .enable_http1();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
        let proxies = match &settings.proxy {
            Some(proxy) => Matcher::builder().all(proxy.as_str()).build(),
            None => Matcher::from_env(),
        };
        let Some(proxy) = proxies.intercept(endpoint) else {
            return Ok(Self::Direct(builder.build(https.wrap_connector(tcp))));
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Ok(Self::Tunnelled(builder.build(https.wrap_connector(tunnel))))
    }

    pub(crate) async fn request(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Error> {
        match self {
            Self::Direct(client) => client.request(request).await,
            Self::Tunnelled(client) => client.request(request).await,
        }
    }
}

fn tls(settings: &Settings) -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    // Certificates of the system that do not parse are not trusted; that is all.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &settings.ca_file {
        let failed = |source: BoxError| ClientError::Certificates { path: path.clone(), source };
        let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
        let certificates: Result<Vec<CertificateDer<'static>>, _> =
            rustls_pemfile::certs(&mut pem.as_slice()).collect();
        for certificate in certificates.map_err(|error| failed(error.into()))? {
            roots.add(certificate).map_err(|error| failed(error.into()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Tls(error.into()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
