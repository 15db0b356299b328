//! The little XML that multipart uploads, their listing and error replies need.

/// Text of the first `<name>...</name>`, with entities resolved. Replies of S3 have neither
/// attributes on these elements nor other markup inside them.
pub(crate) fn text(xml: &str, name: &str) -> Option<String> {
    let text = elements(xml, name).next()?;
    Some(unescape(text.trim()))
}

/// Raw content of each `<name>...</name>`, in order; elements of that name do not nest.
pub(crate) fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, behind) = rest.split_once(&open)?;
        let (content, behind) = behind.split_once(&close)?;
        rest = behind;
        Some(content)
    })
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

/// Entities that are unknown stay as they are.
fn unescape(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let resolved = piece.split_once(';').and_then(|(name, rest)| Some((entity(name)?, rest)));
        match resolved {
            Some((character, rest)) => {
                plain.push(character);
                plain.push_str(rest);
            }
            None => {
                plain.push('&');
                plain.push_str(piece);
            }
        }
    }
    plain
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
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
        assert_eq!(elements(xml, "ETag").count(), 2);
        assert_eq!(elements("<A>1</A><A>2", "A").collect::<Vec<_>>(), ["1"]);
        assert_eq!(unescape("a&#39;b&#x26;amp;&&none;&apos;"), "a'b&amp;&&none;'");
        assert!(!is_error(xml));
        assert!(is_error("  <?xml version=\"1.0\"?>\n <Error><Code>x</Code></Error>"));
        assert_eq!(escape("\"a<b>&\""), "&quot;a&lt;b&gt;&amp;&quot;");
    }
}
