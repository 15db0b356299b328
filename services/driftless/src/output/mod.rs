//! What a run prints: its result on standard output, everything else on standard error.
//!
//! # Invariants
//! - With `--output json` standard output holds exactly one document, or one a line where a
//!   command says so.
//! - No secret is printed: nothing here ever holds one.

pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod progress;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::args::{Globals, OutputForm};
use crate::exit::CommandError;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    form: OutputForm,
    paint: Paint,
}

/// Whether text for people is coloured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

/// Standard output is gone, or refuses what is written.
#[derive(Debug, thiserror::Error)]
#[error("write to standard output: {0}")]
pub(crate) struct OutputError(#[from] io::Error);

impl Output {
    pub(crate) fn new(globals: &Globals) -> Self {
        let paint = Paint(!no_color() && io::stdout().is_terminal());
        Self { form: globals.output, paint }
    }

    /// How text for people is coloured.
    pub(crate) fn paint(self) -> Paint {
        self.paint
    }

    /// Whether results are for machines.
    pub(crate) fn is_json(self) -> bool {
        self.form == OutputForm::Json
    }

    /// Prints a result in the form that was asked for.
    ///
    /// # Errors
    /// [`OutputError`] when nobody takes it.
    pub(crate) fn print(
        self,
        document: &impl Serialize,
        human: impl Display,
    ) -> Result<(), OutputError> {
        match self.form {
            OutputForm::Json => {
                let mut text = serde_json::to_vec_pretty(document).map_err(io::Error::from)?;
                text.push(b'\n');
                write(&text)
            }
            OutputForm::Human => write(human.to_string().as_bytes()),
        }
    }

    /// Prints one of several results: JSON takes one line.
    ///
    /// # Errors
    /// [`OutputError`] when nobody takes it.
    pub(crate) fn print_line(
        self,
        document: &impl Serialize,
        human: impl Display,
    ) -> Result<(), OutputError> {
        match self.form {
            OutputForm::Json => json_line(document),
            OutputForm::Human => write(human.to_string().as_bytes()),
        }
    }

    /// Prints why a command was not carried out.
    pub(crate) fn error(self, error: &CommandError) {
        // When even this cannot be written, the exit code is all that is left.
        let _ = match self.form {
            OutputForm::Json => self.print(&json::ErrorDocument::of(error), ""),
            OutputForm::Human => {
                let text = format!("error: {}\n  hint: {}\n", error.message, error.hint);
                io::stderr().lock().write_all(text.as_bytes()).map_err(OutputError)
            }
        };
    }
}

/// Prints one JSON document on one line.
///
/// # Errors
/// [`OutputError`] when nobody takes it.
pub(crate) fn json_line(document: &impl Serialize) -> Result<(), OutputError> {
    let mut text = serde_json::to_vec(document).map_err(io::Error::from)?;
    text.push(b'\n');
    write(&text)
}

/// Prints text.
///
/// # Errors
/// [`OutputError`] when nobody takes it.
pub(crate) fn write(text: &[u8]) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(())
}

/// Whether the user asked for no colours. See <https://no-color.org>.
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

impl Paint {
    /// Good news.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Bad news.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// News to think about.
    pub(crate) fn warn(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// A heading.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
