//! Listings: ListObjectsV2 and the older ListObjects, over any sorted source of keys.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::reply::S3Error;
use super::xml;

/// What `encoding-type=url` leaves as it is.
const URL_TYPE: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// One object in a listing.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    /// Bytes of the object.
    pub(super) size: u64,
    /// Without quotes.
    pub(super) etag: Cow<'a, str>,
    /// As in `2026-11-24T11:10:56.000Z`.
    pub(super) modified: String,
}

/// A listing request, of either version.
#[derive(Debug)]
pub(super) struct Query {
    v2: bool,
    pub(super) prefix: String,
    delimiter: Option<String>,
    /// Keys up to and including this one are left out.
    after: Option<String>,
    /// Where the previous page ended: also leaves out what that common prefix stands for.
    resume: Option<String>,
    keys_max: usize,
    url_encoded: bool,
    token: Option<String>,
    start_after: Option<String>,
}

impl Query {
    /// Reads the parameters; `get` finds one by name.
    pub(super) fn parse<'a>(
        get: impl Fn(&str) -> Option<&'a str>,
        page_size: usize,
    ) -> Result<Self, S3Error> {
        let v2 = get("list-type") == Some("2");
        let text = |name: &str| get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let keys_max = match get("max-keys") {
            Some(max) => max.parse::<usize>().map_err(|_| invalid("max-keys is not a number"))?,
            None => page_size,
        };
        let token = text("continuation-token").filter(|_| v2);
        let start_after = text("start-after").filter(|_| v2);
        let resume = match &token {
            Some(token) => Some(decode_token(token)?),
            None => text("marker").filter(|_| !v2),
        };
        Ok(Self {
            v2,
            prefix: text("prefix").unwrap_or_default(),
            delimiter: text("delimiter"),
            after: if resume.is_none() { start_after.clone() } else { None },
            resume,
            keys_max: keys_max.min(page_size),
            url_encoded: get("encoding-type") == Some("url"),
            token,
            start_after,
        })
    }

    /// Least key that can be on the page: where the source of keys should begin.
    pub(super) fn first_key(&self) -> &str {
        let after = self.after.as_deref().or(self.resume.as_deref()).unwrap_or_default();
        after.max(self.prefix.as_str())
    }

    /// The common prefix that stands for `key`, if there is one.
    fn group<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter.as_deref()?;
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        key.get(..end)
    }

    fn is_passed(&self, key: &str, name: &str) -> bool {
        self.after.as_deref().is_some_and(|after| key <= after)
            || self.resume.as_deref().is_some_and(|resume| name <= resume)
    }

    /// Writes one page.
    ///
    /// `entries` are sorted by bytes of the key and begin at [`Query::first_key`] or before it.
    pub(super) fn page<'a>(
        &self,
        bucket: &str,
        entries: impl Iterator<Item = Entry<'a>>,
    ) -> String {
        let mut contents = String::new();
        let mut prefixes = String::new();
        let mut count = 0;
        let mut last = String::new();
        let mut truncated = false;
        for entry in entries {
            if !entry.key.starts_with(&self.prefix) {
                if entry.key > self.prefix.as_str() {
                    break;
                }
                continue;
            }
            let group = self.group(entry.key);
            let name = group.unwrap_or(entry.key);
            if self.is_passed(entry.key, name) || (group.is_some() && last == name) {
                continue;
            }
            if count == self.keys_max {
                truncated = count > 0;
                break;
            }
            count += 1;
            last.clear();
            last.push_str(name);
            match group {
                Some(group) => prefixes.push_str(&format!(
                    "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>",
                    self.encode(group)
                )),
                None => self.push_contents(&mut contents, &entry),
            }
        }
        self.document(bucket, (count, truncated, &last), &contents, &prefixes)
    }

    fn push_contents(&self, contents: &mut String, entry: &Entry<'_>) {
        contents.push_str(&format!(
            "<Contents><Key>{}</Key><LastModified>{}</LastModified>\
             <ETag>&quot;{}&quot;</ETag><Size>{}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            self.encode(entry.key),
            entry.modified,
            entry.etag,
            entry.size
        ));
    }

    fn document(
        &self,
        bucket: &str,
        (count, truncated, last): (usize, bool, &str),
        contents: &str,
        prefixes: &str,
    ) -> String {
        let mut head = xml::element("Name", bucket);
        let mut add = |name: &str, value: &str| {
            head.push_str(&format!("<{name}>{value}</{name}>"));
        };
        add("Prefix", &self.encode(&self.prefix));
        add("MaxKeys", &self.keys_max.to_string());
        add("IsTruncated", &truncated.to_string());
        if let Some(delimiter) = &self.delimiter {
            add("Delimiter", &self.encode(delimiter));
        }
        if self.url_encoded {
            add("EncodingType", "url");
        }
        if self.v2 {
            add("KeyCount", &count.to_string());
            if let Some(token) = &self.token {
                add("ContinuationToken", &xml::escape(token));
            }
            if let Some(start_after) = &self.start_after {
                add("StartAfter", &self.encode(start_after));
            }
            if truncated {
                add("NextContinuationToken", &BASE64.encode(last));
            }
        } else {
            add("Marker", &self.encode(self.resume.as_deref().unwrap_or_default()));
            // Amazon sends it only with a delimiter; with it always, no client has to guess.
            if truncated {
                add("NextMarker", &self.encode(last));
            }
        }
        xml::document("ListBucketResult", &format!("{head}{contents}{prefixes}"))
    }

    fn encode(&self, text: &str) -> String {
        if self.url_encoded {
            utf8_percent_encode(text, &URL_TYPE).to_string()
        } else {
            xml::escape(text)
        }
    }
}

fn decode_token(token: &str) -> Result<String, S3Error> {
    BASE64
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| invalid("The continuation token provided is incorrect"))
}

fn invalid(message: &str) -> S3Error {
    S3Error::new(400, "InvalidArgument", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages of a listing: keys, then common prefixes marked by `+`.
    fn list(keys: &[&str], parameters: &[(&str, &str)], page_size: usize) -> Vec<String> {
        let mut pages = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let get = |name: &str| {
                let given = parameters.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
                match name {
                    "list-type" => Some("2"),
                    "continuation-token" => token.as_deref(),
                    _ => given,
                }
            };
            let query = Query::parse(get, page_size).unwrap();
            let entries = keys.iter().filter(|key| **key >= query.first_key()).map(|key| Entry {
                key,
                size: 1,
                etag: "e".into(),
                modified: String::new(),
            });
            let page = query.page("b", entries);
            let mut found: Vec<String> = Vec::new();
            for contents in xml::elements(&page, "Contents") {
                found.extend(xml::text(contents, "Key"));
            }
            for group in xml::elements(&page, "CommonPrefixes") {
                found.extend(xml::text(group, "Prefix").map(|prefix| format!("+{prefix}")));
            }
            pages.push(found.join(" "));
            token = xml::text(&page, "NextContinuationToken");
            if token.is_none() {
                return pages;
            }
            assert!(pages.len() <= keys.len(), "pages without end: {pages:?}");
        }
    }

    const KEYS: [&str; 6] = ["a", "d/1", "d/2", "d/x/3", "d0", "z"];

    #[test]
    fn pages_cover_all_keys_once() {
        assert_eq!(list(&KEYS, &[], 4), ["a d/1 d/2 d/x/3", "d0 z"]);
        assert_eq!(list(&KEYS, &[], 6), ["a d/1 d/2 d/x/3 d0 z"]);
        assert_eq!(list(&KEYS, &[("max-keys", "5")], 1000), ["a d/1 d/2 d/x/3 d0", "z"]);
        assert_eq!(list(&KEYS, &[("max-keys", "0")], 1000), [""]);
    }

    #[test]
    fn a_prefix_and_a_start_bound_the_keys() {
        assert_eq!(list(&KEYS, &[("prefix", "d/")], 10), ["d/1 d/2 d/x/3"]);
        assert_eq!(list(&KEYS, &[("start-after", "d/1")], 10), ["d/2 d/x/3 d0 z"]);
        assert_eq!(list(&KEYS, &[("prefix", "d/"), ("start-after", "d/2")], 1), ["d/x/3"]);
        assert_eq!(list(&KEYS, &[("prefix", "q")], 10), [""]);
    }

    #[test]
    fn a_delimiter_folds_keys_also_across_pages() {
        let delimiter = ("delimiter", "/");
        assert_eq!(list(&KEYS, &[delimiter], 10), ["a d0 z +d/"]);
        assert_eq!(list(&KEYS, &[delimiter], 1), ["a", "+d/", "d0", "z"]);
        assert_eq!(list(&KEYS, &[delimiter, ("prefix", "d/")], 10), ["d/1 d/2 +d/x/"]);
        assert_eq!(list(&KEYS, &[delimiter, ("start-after", "d/1")], 10), ["d0 z +d/"]);
    }

    #[test]
    fn odd_keys_survive_both_encodings() {
        let keys = ["a b", "a&<\u{1}", "p=1/é"];
        assert_eq!(list(&keys, &[], 10), ["a b a&<\u{1} p=1/é"]);
        let url = [("encoding-type", "url")];
        assert_eq!(list(&keys, &url, 10), ["a%20b a%26%3C%01 p%3D1/%C3%A9"]);
    }
}
