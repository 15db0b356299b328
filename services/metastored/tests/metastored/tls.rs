//! TLS: clients with a certificate that is known are answered, and nobody else is.

use std::path::Path;
use std::sync::Arc;

use driftless_metastored::{Limits, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{parse, texts};
use crate::place::Place;

struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (pem, der) = (certificate.pem(), certificate.der().clone());
    Authority { pem, der, issuer: Issuer::new(params, key) }
}

impl Authority {
    /// A certificate for `localhost` and its key.
    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// What a client is answered; `None` where the service wants none of it.
async fn ask(
    address: std::net::SocketAddr,
    server: &Authority,
    own: Option<&Authority>,
) -> Option<Vec<String>> {
    let mut roots = RootCertStore::empty();
    roots.add(server.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let (certificate, key) = own.issue();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            config.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    stream.write_all(&texts("get_all_databases", &[])).await.ok()?;
    let mut answer = vec![0; 1_024];
    let read = stream.read(&mut answer).await.ok().filter(|read| *read > 0)?;
    let (answer, _) = parse(&answer[..read])?;
    Some(answer.texts())
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_with_a_known_certificate_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (server, clients, others) = (authority(), authority(), authority());
    let (certificate, key) = server.issue();
    let certificate = write(folder.path(), "server.pem", &certificate.pem());
    let key = write(folder.path(), "key.pem", &key.serialize_pem());
    let ca = write(folder.path(), "ca.pem", &clients.pem);
    let place = Place::new().await;

    let open = Tls::load(&certificate, &key, None).unwrap();
    let service = place.serve_over("east", Limits::default(), Some(open)).await;
    assert_eq!(ask(service.address, &server, None).await, Some(vec!["default".to_owned()]));
    // A client that does not speak TLS is told nothing.
    let mut plain = TcpStream::connect(service.address).await.unwrap();
    plain.write_all(&texts("get_all_databases", &[])).await.unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest).await;
    assert!(!rest.windows(7).any(|bytes| bytes == b"default"), "{rest:?}");
    service.stop().await;

    let mutual = Tls::load(&certificate, &key, Some(&ca)).unwrap();
    let service = place.serve_over("east", Limits::default(), Some(mutual)).await;
    let known = ask(service.address, &server, Some(&clients)).await;
    assert_eq!(known, Some(vec!["default".to_owned()]));
    assert_eq!(ask(service.address, &server, Some(&others)).await, None);
    assert_eq!(ask(service.address, &server, None).await, None);
    service.stop().await;
}

#[test]
fn files_that_hold_no_keys_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = authority().issue();
    let certificate = write(folder.path(), "server.pem", &certificate.pem());
    let key = write(folder.path(), "key.pem", &key.serialize_pem());
    let empty = write(folder.path(), "empty.pem", "");
    let (_, other) = authority().issue();
    let other = write(folder.path(), "other.pem", &other.serialize_pem());
    let missing = folder.path().join("missing.pem");
    for (certificate, key, ca, expect) in [
        (&missing, &key, None, "read "),
        (&empty, &key, None, "find a certificate in "),
        (&certificate, &empty, None, "find a private key in "),
        (&certificate, &other, None, "use "),
        (&certificate, &key, Some(empty.as_path()), "find a certificate in "),
    ] {
        let error = Tls::load(certificate, key, ca).err().unwrap().to_string();
        assert!(error.starts_with(expect), "{error}");
    }
}
