//! Folder objects are left out of listings.
//!
//! Hadoop's file systems (S3A, the connector of Google Cloud Storage) and consoles keep an empty
//! object `a/b/` for a folder `a/b`. A [`Path`](object_store::path::Path) ends in no slash, so
//! `object_store` lists it as `a/b`, which is not there when it is read. Here it leaves the answer
//! before that. (What Azure keeps for a folder has no slash: accounts with a hierarchical namespace say
//! what it is, and `object_store` leaves it out.)
//!
//! Source: Hadoop "Controlling the S3A Directory Marker Behavior"; `object_store` `Path::parse`.

use bytes::Bytes;
use http::Method;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use crate::s3::xml;

/// Clients of S3 and of Google Cloud Storage, whose listings have no folder objects.
#[derive(Debug)]
pub(crate) struct WithoutFolders;

impl HttpConnector for WithoutFolders {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Listings(client)))
    }
}

#[derive(Debug)]
struct Listings(HttpClient);

#[async_trait::async_trait]
impl HttpService for Listings {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let lists = is_listing(&request);
        let response = self.0.execute(request).await?;
        if !lists || !response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let body = without_folders(body.bytes().await?);
        Ok(HttpResponse::from_parts(head, body.into()))
    }
}

fn is_listing(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == Method::GET && query.split('&').any(|pair| pair == "list-type=2")
}

/// A page of `ListObjectsV2` without its folder objects.
fn without_folders(page: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&page) else { return page };
    if !text.contains("/</Key>") {
        return page;
    }
    const OPEN: &str = "<Contents>";
    const CLOSE: &str = "</Contents>";
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(OPEN) {
        let Some((element, after)) = behind.split_once(CLOSE) else { break };
        kept.push_str(before);
        if !xml::text(element, "Key").is_some_and(|key| key.ends_with('/')) {
            kept.extend([OPEN, element, CLOSE]);
        }
        rest = after;
    }
    kept.push_str(rest);
    Bytes::from(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(page: &str, expect: &str) {
        assert_eq!(without_folders(Bytes::from(page.to_owned())), expect);
    }

    #[test]
    fn only_keys_that_end_in_a_slash_are_left_out() {
        let object = |key: &str| format!("<Contents><Size>0</Size><Key>{key}</Key></Contents>");
        let page = |objects: &[String]| {
            let folders = "<CommonPrefixes><Prefix>t/c/</Prefix></CommonPrefixes>";
            format!("<R><KeyCount>3</KeyCount>{}{folders}</R>", objects.concat())
        };
        let (file, odd) = (object("t/a.parquet"), object("t/a&amp;b"));
        check(&page(&[file.clone(), odd.clone()]), &page(&[file.clone(), odd.clone()]));
        let mixed = [object("t/"), file.clone(), object("t/b/"), odd.clone(), object("t/d/")];
        check(&page(&mixed), &page(&[file, odd]));
        check(&page(&[object("t/b/")]), &page(&[]));
    }

    #[test]
    fn what_is_no_whole_listing_stays_as_it_is() {
        for text in ["", "<R><Contents><Key>a/</Key>", "<Key>a/</Key>", "\u{0}/</Key>"] {
            check(text, text);
        }
    }
}
