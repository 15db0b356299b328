//! TLS, and with it the only way by which a client is known: a certificate of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Keys of a listener.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file holds nothing of what it is for.
    #[error("find a {what} in {path}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificates that do not go together, or are none.
    #[error("use {path}")]
    Keys {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Tls {
    /// Reads the service's certificates and its key, all PEM. With `client_ca`, clients must show a
    /// certificate that one of its certificates signed.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(
        certificates: &Path,
        key: &Path,
        client_ca: Option<&Path>,
    ) -> Result<Self, TlsError> {
        let keys = |path: &Path, source| TlsError::Keys { path: path.to_owned(), source };
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let config = config.with_safe_default_protocol_versions();
        let config = config.map_err(|error| keys(certificates, error.into()))?;
        let config = match client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for root in read_certificates(path)? {
                    roots.add(root).map_err(|error| keys(path, error.into()))?;
                }
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                config.with_client_cert_verifier(verifier.map_err(|e| keys(path, e.into()))?)
            }
        };
        let config = config.with_single_cert(read_certificates(certificates)?, read_key(key)?);
        let config = config.map_err(|error| keys(key, error.into()))?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = rustls_pemfile::certs(&mut read(path)?.as_slice()).collect();
    let found = found.map_err(|source| TlsError::File { path: path.to_owned(), source })?;
    match found.is_empty() {
        true => Err(TlsError::Empty { path: path.to_owned(), what: "certificate" }),
        false => Ok(found),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let found = rustls_pemfile::private_key(&mut read(path)?.as_slice());
    let found = found.map_err(|source| TlsError::File { path: path.to_owned(), source })?;
    found.ok_or_else(|| TlsError::Empty { path: path.to_owned(), what: "private key" })
}
