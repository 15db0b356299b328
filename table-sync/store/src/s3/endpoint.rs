//! Where a bucket is reached, and what every request to it carries.

use http::{HeaderName, HeaderValue, Uri};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};

use super::sign::encode_key;

/// A bucket's address.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// `http` or `https`.
    scheme: String,
    /// Host and port as in the `Host` header.
    pub(crate) host: String,
    /// Path before the key, escaped, without a trailing slash: holds the bucket in path style.
    base: String,
    pub(crate) bucket: String,
    pub(crate) region: String,
    /// Headers of requests that make an object.
    pub(crate) on_create: Vec<(HeaderName, HeaderValue)>,
    /// The requester pays.
    pub(crate) requester_pays: bool,
    pub(crate) anonymous: bool,
}

/// Why a bucket cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("read the endpoint: give a URL such as https://host:port")]
    Endpoint,
    #[error("use the plain http endpoint: set allow_http = true if that is wanted")]
    PlainHttp,
    #[error("use the store option {0}: it is not supported")]
    Unsupported(&'static str),
    #[error("read the store option {0}")]
    Value(&'static str),
}

impl Endpoint {
    pub(crate) fn of(builder: &AmazonS3Builder) -> Result<Self, EndpointError> {
        let value = |key: Key| builder.get_config_value(&key);
        let is_set = |key: Key| value(key).is_some_and(|text| is_true(&text));
        if is_set(Key::S3Express) {
            return Err(EndpointError::Unsupported("s3_express"));
        }
        let bucket = value(Key::Bucket).unwrap_or_default();
        let region = value(Key::Region).unwrap_or_else(|| "us-east-1".to_owned());
        let virtual_hosted = is_set(Key::VirtualHostedStyleRequest);
        let whole = match value(Key::S3Endpoint).or_else(|| value(Key::Endpoint)) {
            Some(endpoint) if virtual_hosted => endpoint,
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            None if virtual_hosted => format!("https://{bucket}.s3.{region}.amazonaws.com"),
            None => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        };
        let uri: Uri = whole.parse().map_err(|_| EndpointError::Endpoint)?;
        let scheme = uri.scheme_str().unwrap_or_default().to_owned();
        let host = uri.authority().ok_or(EndpointError::Endpoint)?.as_str().to_owned();
        if !["http", "https"].contains(&scheme.as_str()) || host.contains('@') {
            return Err(EndpointError::Endpoint);
        }
        let allow_http = Key::Client(object_store::ClientConfigKey::AllowHttp);
        if scheme == "http" && !is_set(allow_http) {
            return Err(EndpointError::PlainHttp);
        }
        Ok(Self {
            scheme,
            host,
            base: uri.path().trim_end_matches('/').to_owned(),
            bucket,
            region,
            on_create: encryption(builder)?,
            requester_pays: is_set(Key::RequestPayer),
            anonymous: is_set(Key::SkipSignature),
        })
    }

    /// Escaped path of a key below the bucket.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("{}/{}", self.base, encode_key(key))
    }

    pub(crate) fn uri(&self, path: &str, query: &str) -> Result<Uri, http::Error> {
        let path_and_query =
            if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Uri::builder()
            .scheme(self.scheme.as_str())
            .authority(self.host.as_str())
            .path_and_query(path_and_query)
            .build()
    }

    /// Names the bucket, for comparing stores.
    pub(crate) fn place(&self) -> String {
        format!("{}://{}{}#{}", self.scheme, self.host, self.base, self.bucket)
    }
}

fn is_true(text: &str) -> bool {
    ["true", "1", "on", "yes", "y"].contains(&text.to_ascii_lowercase().as_str())
}

/// Headers that ask for encryption at rest.
fn encryption(builder: &AmazonS3Builder) -> Result<Vec<(HeaderName, HeaderValue)>, EndpointError> {
    // The type of these keys has no public name; their text does.
    let value = |name: &str| builder.get_config_value(&name.parse::<Key>().ok()?);
    if value("aws_sse_customer_key_base64").is_some() {
        return Err(EndpointError::Unsupported("aws_sse_customer_key_base64"));
    }
    let prefix = "x-amz-server-side-encryption";
    let named = [
        (prefix.to_owned(), value("aws_server_side_encryption")),
        (format!("{prefix}-aws-kms-key-id"), value("aws_sse_kms_key_id")),
        (format!("{prefix}-bucket-key-enabled"), value("aws_sse_bucket_key_enabled")),
    ];
    let mut headers = Vec::new();
    for (name, value) in named {
        let Some(value) = value else { continue };
        let failed = |_| EndpointError::Value("aws_server_side_encryption");
        let value = HeaderValue::from_str(&value).map_err(failed)?;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| EndpointError::Value("aws_server_side_encryption"))?;
        headers.push((name, value));
    }
    Ok(headers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn builder(options: &[(Key, &str)]) -> AmazonS3Builder {
        let base = AmazonS3Builder::new().with_bucket_name("lake");
        options.iter().fold(base, |builder, (key, value)| builder.with_config(*key, *value))
    }

    #[track_caller]
    fn check(options: &[(Key, &str)], expect: &str) {
        let endpoint = Endpoint::of(&builder(options)).unwrap();
        let path = endpoint.path("p=1/a b");
        assert_eq!(endpoint.uri(&path, "x=1").unwrap().to_string(), expect);
    }

    #[test]
    fn path_and_virtual_style() {
        check(&[], "https://s3.us-east-1.amazonaws.com/lake/p%3D1/a%20b?x=1");
        check(
            &[(Key::Region, "eu-west-1"), (Key::VirtualHostedStyleRequest, "true")],
            "https://lake.s3.eu-west-1.amazonaws.com/p%3D1/a%20b?x=1",
        );
        check(
            &[(Key::Endpoint, "https://vast.example:8443/")],
            "https://vast.example:8443/lake/p%3D1/a%20b?x=1",
        );
        check(
            &[(Key::Endpoint, "https://lake.vast"), (Key::VirtualHostedStyleRequest, "true")],
            "https://lake.vast/p%3D1/a%20b?x=1",
        );
        check(&[(Key::Endpoint, "https://h/base")], "https://h/base/lake/p%3D1/a%20b?x=1");
    }

    #[test]
    fn plain_http_must_be_wanted() {
        let plain = [(Key::Endpoint, "http://h:9000")];
        assert!(matches!(Endpoint::of(&builder(&plain)), Err(EndpointError::PlainHttp)));
        let wanted = builder(&plain).with_allow_http(true);
        assert_eq!(Endpoint::of(&wanted).unwrap().host, "h:9000");
        let secret = [(Key::Endpoint, "https://u:p@h")];
        assert!(matches!(Endpoint::of(&builder(&secret)), Err(EndpointError::Endpoint)));
    }
}
