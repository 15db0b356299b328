//! Opening: from a location to a store, with its options, time limits and credentials.

use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, Certificate, ClientConfigKey, ClientOptions, RetryConfig};
use sha2::{Digest as _, Sha256};

use crate::file::{FileObjects, Folder};
use crate::folders::WithoutFolders;
use crate::location::{Location, Scheme};
use crate::s3::{S3, S3Error};
use crate::secret::{Redactor, Secret, SecretError};
use crate::settings::Settings;
use crate::store::{Parts, Store, StoreKind};
use table_sync_core::BoxError;

/// Why a store could not be opened. No request was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A value that is kept elsewhere is not there.
    #[error("read the store option {option}")]
    Secret {
        /// Name of the option.
        option: String,
        /// The cause.
        source: SecretError,
    },
    /// No store of this kind has such an option.
    #[error("open {url}: unknown store option {option}")]
    Option {
        /// URL of the root.
        url: String,
        /// Name of the option.
        option: String,
    },
    /// The certificates cannot be read.
    #[error("read the certificates of {path}")]
    Certificates {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: BoxError,
    },
    /// Options are missing or contradict each other.
    #[error("open {url}")]
    Build {
        /// URL of the root.
        url: String,
        /// The cause.
        source: BoxError,
    },
}

/// Options with their values, and what is needed to keep those out of sight.
struct Options {
    url: String,
    values: Vec<(String, String)>,
    redactor: Redactor,
}

/// Opens the store at a location's root. Makes no request.
///
/// A store given by name is opened with its options; what they leave open, and everything for a
/// bare URL, comes from the environment as the clouds' own tools name it. Configured credentials
/// are never mixed with those of the environment.
///
/// # Errors
/// [`OpenError`]; its text holds no option values.
pub fn open(location: &Location, settings: &Settings) -> Result<Store, OpenError> {
    let root = location.root();
    let options = Options::of(location)?;
    let mut parts = Parts {
        url: root.url().to_owned(),
        kind: StoreKind::File,
        realm: String::new(),
        prefix: root.prefix.clone(),
        objects: Arc::new(object_store::memory::InMemory::new()),
        bulk: None,
        patience: settings.request_timeout,
        s3: None,
        folder: None,
        redactor: options.redactor.clone(),
        meter: Arc::default(),
    };
    match root.scheme {
        Scheme::File => {
            let folder = Folder::new(root.folder());
            parts.objects = Arc::new(FileObjects(folder.clone()));
            parts.folder = Some(folder);
        }
        Scheme::S3 => {
            parts.kind = StoreKind::S3;
            open_s3(&root.authority, &options, settings, &mut parts)?;
        }
        Scheme::Gcs => {
            parts.kind = StoreKind::Gcs;
            open_gcs(&root.authority, &options, settings, &mut parts)?;
        }
        Scheme::Azure => {
            parts.kind = StoreKind::Azure;
            open_azure(&options, settings, &mut parts)?;
        }
    }
    Ok(Store::assemble(parts))
}

impl Options {
    fn of(location: &Location) -> Result<Self, OpenError> {
        let mut revealed: Vec<(&str, &Secret, String)> = Vec::new();
        for (option, secret) in location.options() {
            let value = secret
                .reveal()
                .map_err(|source| OpenError::Secret { option: option.clone(), source })?;
            revealed.push((option, secret, value));
        }
        let redactor = Redactor::of(
            revealed.iter().map(|(name, secret, value)| (*name, *secret, value.as_str())),
        );
        let values = revealed.into_iter().map(|(name, _, value)| (name.to_owned(), value));
        Ok(Self { url: location.store_url().to_owned(), values: values.collect(), redactor })
    }

    /// Options by key; the first unknown one is an error.
    fn keyed<K: FromStr>(&self) -> Result<Vec<(K, String)>, OpenError> {
        let parse = |(name, value): &(String, String)| match name.to_ascii_lowercase().parse() {
            Ok(key) => Ok((key, value.clone())),
            Err(_) => Err(OpenError::Option { url: self.url.clone(), option: name.to_owned() }),
        };
        self.values.iter().map(parse).collect()
    }

    fn has_credentials(&self) -> bool {
        let words = [
            "access_key",
            "account_key",
            "token",
            "credential",
            "service_account",
            "sas",
            "secret",
        ];
        let named = |name: &str| words.iter().any(|word| name.contains(word));
        self.values.iter().any(|(name, _)| named(&name.to_ascii_lowercase()))
    }

    fn failed(&self, error: &object_store::Error) -> OpenError {
        let source = Box::new(self.redactor.error(error));
        OpenError::Build { url: self.url.clone(), source }
    }

    /// What tells one store under one identity from another, without saying what it is.
    fn realm(&self, place: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(place);
        for (name, value) in &self.values {
            digest.update([0]);
            digest.update(name.to_ascii_lowercase());
            digest.update([1]);
            digest.update(value);
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn open_s3(
    bucket: &str,
    options: &Options,
    settings: &Settings,
    parts: &mut Parts,
) -> Result<(), OpenError> {
    let base = if options.has_credentials() {
        without_credentials(AmazonS3Builder::from_env())
    } else {
        AmazonS3Builder::from_env()
    };
    let allow_http = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
    let from_env = base.get_config_value(&allow_http);
    let mut builder = base
        .with_bucket_name(bucket)
        .with_retry(retry(settings))
        .with_client_options(client_options(settings)?)
        .with_http_connector(WithoutFolders);
    if let Some(value) = from_env {
        builder = builder.with_config(allow_http, value);
    }
    for (key, value) in options.keyed::<AmazonS3ConfigKey>()? {
        builder = builder.with_config(key, value);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    if endpoint.as_deref().is_some_and(is_loopback_http) {
        builder = builder.with_allow_http(true);
    }
    let whole = builder.clone();
    let s3 = builder.build().map_err(|error| options.failed(&error))?;
    let opened = S3::open(&whole, &s3, settings, parts).map_err(|error| match error {
        S3Error::Certificates { path, source } => OpenError::Certificates { path, source },
        error => OpenError::Build { url: options.url.clone(), source: error.into() },
    })?;
    parts.realm = options.realm(&opened.place());
    parts.objects = Arc::new(s3);
    parts.s3 = Some(opened);
    Ok(())
}

/// The builder as the environment sets it, but for its credentials.
fn without_credentials(from_env: AmazonS3Builder) -> AmazonS3Builder {
    use AmazonS3ConfigKey as Key;
    let keep = [Key::Region, Key::DefaultRegion, Key::Endpoint, Key::S3Endpoint];
    let kept = keep.into_iter().filter_map(|key| {
        let value = from_env.get_config_value(&key)?;
        Some((key, value))
    });
    kept.fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value))
}

fn is_loopback_http(endpoint: &str) -> bool {
    let Ok(url) = url::Url::parse(endpoint) else { return false };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    url.scheme() == "http" && loopback
}

fn open_gcs(
    bucket: &str,
    options: &Options,
    settings: &Settings,
    parts: &mut Parts,
) -> Result<(), OpenError> {
    let build = |client: ClientOptions| {
        let base = if options.has_credentials() {
            GoogleCloudStorageBuilder::new()
        } else {
            GoogleCloudStorageBuilder::from_env()
        };
        let mut builder = base
            .with_bucket_name(bucket)
            .with_retry(retry(settings))
            .with_client_options(client)
            .with_http_connector(WithoutFolders);
        for (key, value) in options.keyed::<GoogleConfigKey>()? {
            builder = builder.with_config(key, value);
        }
        builder.build().map_err(|error| options.failed(&error))
    };
    let client = client_options(settings)?;
    parts.objects = Arc::new(build(client.clone())?);
    parts.bulk = Some(Arc::new(build(client.with_timeout_disabled())?));
    parts.realm = options.realm(&format!("gs://{bucket}"));
    Ok(())
}

fn open_azure(options: &Options, settings: &Settings, parts: &mut Parts) -> Result<(), OpenError> {
    // Scheme and container, without the path below it.
    let url = parts.url.split('/').take(3).collect::<Vec<_>>().join("/");
    let build = |client: ClientOptions| {
        let base = if options.has_credentials() {
            MicrosoftAzureBuilder::new()
        } else {
            MicrosoftAzureBuilder::from_env()
        };
        let allow_http = AzureConfigKey::Client(ClientConfigKey::AllowHttp);
        let from_env = base.get_config_value(&allow_http);
        let endpoint = base.get_config_value(&AzureConfigKey::Endpoint);
        let mut builder =
            base.with_url(&url).with_retry(retry(settings)).with_client_options(client);
        if let Some(value) = from_env {
            builder = builder.with_config(allow_http, value);
        }
        if endpoint.as_deref().is_some_and(is_loopback_http) {
            builder = builder.with_allow_http(true);
        }
        for (key, value) in options.keyed::<AzureConfigKey>()? {
            if key == AzureConfigKey::Endpoint && is_loopback_http(&value) {
                builder = builder.with_allow_http(true);
            }
            builder = builder.with_config(key, value);
        }
        builder.build().map_err(|error| options.failed(&error))
    };
    let client = client_options(settings)?;
    parts.objects = Arc::new(build(client.clone())?);
    parts.bulk = Some(Arc::new(build(client.with_timeout_disabled())?));
    parts.realm = options.realm(&url);
    Ok(())
}

fn retry(settings: &Settings) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 10,
        retry_timeout: settings.retry_timeout,
    }
}

fn client_options(settings: &Settings) -> Result<ClientOptions, OpenError> {
    let mut options = ClientOptions::new()
        .with_connect_timeout(settings.connect_timeout)
        .with_timeout(settings.request_timeout)
        .with_allow_http(false);
    if let Some(path) = &settings.ca_file {
        let failed = |source: BoxError| OpenError::Certificates { path: path.clone(), source };
        let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.into()))?;
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    if let Some(proxy) = &settings.proxy {
        options = options.with_proxy_url(proxy);
    }
    Ok(options)
}
