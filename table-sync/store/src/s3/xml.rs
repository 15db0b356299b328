//! The little XML that multipart uploads and error replies need.

/// Text of the first `<name>...</name>`, with entities resolved. Replies of S3 have neither
/// attributes on these elements nor other markup inside them.
pub(crate) fn text(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(unescape(text.trim()))
}

/// Whether the document is an error: its root element says so.
pub(crate) fn is_error(xml: &str) -> bool {
    let body = match xml.split_once("?>") {
        Some((head, rest)) if head.trim_start().starts_with("<?xml") => rest,
        _ => xml,
    };
    body.trim_start().starts_with("<Error")
}

pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'")];
    let plain = named.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    // Last, so that an escaped entity is not resolved twice.
    plain.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_element_is_found_and_unescaped() {
        let xml =
            "<?xml version=\"1.0\"?>\n<R><ETag>&quot;a&amp;lt;-1&#34;</ETag><ETag>b</ETag></R>";
        assert_eq!(text(xml, "ETag").as_deref(), Some("\"a&lt;-1\""));
        assert_eq!(text(xml, "Nope"), None);
        assert!(!is_error(xml));
        assert!(is_error("  <?xml version=\"1.0\"?>\n <Error><Code>x</Code></Error>"));
        assert_eq!(escape("\"a<b>&\""), "&quot;a&lt;b&gt;&amp;&quot;");
    }
}
