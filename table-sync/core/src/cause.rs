//! Errors with their causes, for people.

/// The messages of an error and its causes, joined by colons, without those that the text before
/// them holds already: some libraries repeat their causes.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut link = error.source();
    while let Some(cause) = link {
        let next = cause.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        link = cause.source();
    }
    text
}
