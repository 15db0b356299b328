//! Logs on standard error, which they share with the progress bars.
//!
//! # Invariants
//! - Libraries never log below `warn` but at `trace`, and never above `info` then: some of them
//!   log headers at lower levels.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::no_color;
use super::progress::Screen;
use crate::args::{Globals, LogFormat, LogLevel};

/// Crates whose level `--log-level` sets.
const OURS: &[&str] =
    &["driftless", "table_sync_core", "table_sync_store", "table_sync_delta", "table_sync_engine"];

/// Starts logging. A second call changes nothing.
pub(crate) fn start(globals: &Globals, screen: &Screen) {
    let filter = EnvFilter::builder().parse_lossy(directives(globals.log_level, globals.quiet));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(!no_color() && screen.is_terminal())
        .with_writer(Writer(screen.clone()));
    // Fails only when somebody else logs already: then their setting holds.
    let _ = match globals.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

fn directives(level: LogLevel, quiet: bool) -> String {
    let (ours, others) = match level {
        LogLevel::Off => ("off", "off"),
        _ if quiet => ("error", "error"),
        LogLevel::Error => ("error", "error"),
        LogLevel::Warn => ("warn", "error"),
        LogLevel::Info => ("info", "warn"),
        LogLevel::Debug => ("debug", "warn"),
        LogLevel::Trace => ("trace", "info"),
    };
    let ours = OURS.iter().map(|name| format!(",{name}={ours}"));
    format!("{others}{}", ours.collect::<String>())
}

struct Writer(Screen);

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.0)
    }
}

struct Line<'a>(&'a Screen);

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_stay_quiet() {
        let debug = directives(LogLevel::Debug, false);
        assert!(debug.starts_with("warn,driftless=debug,"), "{debug}");
        assert!(directives(LogLevel::Trace, false).starts_with("info,"));
        assert!(directives(LogLevel::Debug, true).starts_with("error,driftless=error,"));
        assert!(directives(LogLevel::Off, false).starts_with("off,driftless=off,"));
    }
}
