//! The clock of the double: the one place where it asks for the time of day.

use chrono::{DateTime, Utc};

/// Time of day. A server has its own clock, which no test of a client may control.
#[expect(clippy::disallowed_methods, reason = "stands for the clock of another machine")]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}
