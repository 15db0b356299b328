//! The little XML that S3 speaks: escaping on the way out, plain extraction on the way in.
//!
//! Extraction knows elements without namespace prefixes, as all known clients send them.

/// Text with the characters of XML escaped, and control characters as references.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c if c < ' ' => escaped.push_str(&format!("&#x{:x};", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Inverse of [`escape`]; also takes decimal references. Unknown entities stay as they are.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(end) = rest.find(';') else { break };
        match entity(&rest[1..end]) {
            Some(c) => plain.push(c),
            None => plain.push_str(&rest[..=end]),
        }
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    plain
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

/// Raw content of each `<name>` element, in order; elements of that name do not nest.
pub(super) fn elements<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let open = format!("<{name}>");
    let close = format!("</{name}>");
    let mut found = Vec::new();
    let mut rest = document;
    while let Some(start) = rest.find(&open) {
        rest = &rest[start + open.len()..];
        let Some(end) = rest.find(&close) else { break };
        found.push(&rest[..end]);
        rest = &rest[end + close.len()..];
    }
    found
}

/// Text of the first `<name>` element.
pub(super) fn text(document: &str, name: &str) -> Option<String> {
    elements(document, name).first().map(|content| unescape(content))
}

/// One element with escaped text.
pub(super) fn element(name: &str, value: &str) -> String {
    format!("<{name}>{}</{name}>", escape(value))
}

/// A document of S3: declaration, root element with the S3 namespace, raw content.
pub(super) fn document(root: &str, content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{content}</{root}>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_escaping() {
        let key = "a&b<c>\"d'\u{1}\n/é=%41;&amp;";
        let xml = element("Key", key);
        assert_eq!(text(&xml, "Key").as_deref(), Some(key));
    }

    #[test]
    fn elements_are_found_in_order() {
        let xml = "<D><Part><PartNumber>1</PartNumber></Part><Part>two</Part></D>";
        assert_eq!(elements(xml, "Part"), ["<PartNumber>1</PartNumber>", "two"]);
        assert_eq!(text(xml, "PartNumber").as_deref(), Some("1"));
        assert_eq!(text(xml, "ETag"), None);
    }
}
