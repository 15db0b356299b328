//! Databases that show tables as they were: `NAMESPACE@PIN`.
//!
//! | `PIN` | what is shown of each Delta table of the namespace |
//! |---|---|
//! | `7` | its version 7 |
//! | `20261130T120000Z`, `2026-11-30T12:00:00Z` | what it was at that moment, by the times of its commits |
//! | another word | the version that was pinned by this name |
//!
//! Engines fold names, so that capitals do not matter.
//!
//! # Invariants
//! - What is shown for a version never changes, nor what is shown for a moment as long as commits
//!   come in the order of their times: a table of which it is not known that this site has all commits
//!   up to the moment is not there.
//! - What readers cannot open any more is not there.

use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use driftless_catalog::group::complete_ms;
use driftless_catalog::{Millis, Table, check_label};
use table_sync_core::Position;

/// A database that shows tables as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pinned {
    /// Whose tables.
    pub(crate) namespace: String,
    /// As they were when.
    pub(crate) pin: Pin,
}

/// What a database's name says after the `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pin {
    /// A version of each table.
    Version(u64),
    /// A moment.
    Moment(Millis),
    /// The name of a pin.
    Name(String),
}

/// Reads the name of a database, in small letters; `None` where it shows tables as they are.
///
/// # Errors
/// What names of such databases look like.
pub(crate) fn pinned(database: &str) -> Option<Result<Pinned, String>> {
    let (namespace, text) = database.split_once('@')?;
    let pinned = pin(text).map(|pin| Pinned { namespace: namespace.to_owned(), pin });
    Some(pinned.ok_or_else(|| {
        format!(
            "database {database} does not exist: write {namespace}@7 for version 7 of each table, \
             {namespace}@20261130T120000Z or {namespace}@2026-11-30T12:00:00Z for a moment, or \
             {namespace}@ and the name of a pin"
        )
    }))
}

fn pin(text: &str) -> Option<Pin> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Pin::Version);
    }
    if let Some(moment) = moment(&text.to_uppercase()) {
        return Some(Pin::Moment(moment));
    }
    check_label("pin", text).ok().map(|()| Pin::Name(text.to_owned()))
}

fn moment(text: &str) -> Option<Millis> {
    let compact = || NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok();
    let extended = DateTime::parse_from_rfc3339(text).ok();
    let ms = extended.map(|moment| moment.timestamp_millis());
    ms.or_else(|| compact().map(|moment| moment.and_utc().timestamp_millis()))
}

/// How a table's version at a moment is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is known.
    At(Position),
    /// It is the newest of those that were committed until then: the receipts tell.
    InReceipts,
}

/// The version that a table had at a moment, as a site shows it.
///
/// # Errors
/// Why that is not known there.
pub(crate) fn at_moment(table: &Table, site: &str, at: Millis) -> Result<Found, String> {
    let replica = table.replicas.iter().find(|replica| replica.site == site);
    let served = replica.map(driftless_catalog::Replica::served);
    let (head, head_ms) = served.map_or((None, None), |one| (one.head, one.head_committed_ms));
    if head_ms.is_some_and(|head_ms| head_ms > at) {
        return Ok(Found::InReceipts);
    }
    let until = complete_ms(table, site)
        .map_err(|reason| format!("it is not known up to when {site} is complete: {reason}"))?;
    if until < at {
        let until = DateTime::from_timestamp_millis(until).unwrap_or_default();
        let until = until.to_rfc3339_opts(SecondsFormat::Millis, true);
        return Err(format!("{site} is known to be complete up to {until} only"));
    }
    Ok(match head.filter(|_| head_ms.is_some()) {
        Some(head) => Found::At(head),
        None => Found::InReceipts,
    })
}

/// The version of a Delta table at a position, where readers can open it at a site.
///
/// # Errors
/// Why they cannot.
pub(crate) fn readable(table: &Table, site: &str, at: Position) -> Result<u64, String> {
    let replica = table.replicas.iter().find(|replica| replica.site == site);
    let served = replica.map(driftless_catalog::Replica::served);
    let served = served.and_then(|one| Some((one.head?, one.earliest_readable)));
    let (head, earliest) = served.ok_or_else(|| format!("it is not published at {site}"))?;
    if at > head {
        return Err(format!("{site} has published version {head} only"));
    }
    if let Some(earliest) = earliest.filter(|earliest| at < *earliest) {
        return Err(format!("version {earliest} is the first that can be read at {site}"));
    }
    match at {
        Position::Version(version) => Ok(version),
        _ => Err("it has no versions".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(database: &str, expect: Pin) {
        let found = pinned(database).unwrap().unwrap();
        assert_eq!(found, Pinned { namespace: "sales".to_owned(), pin: expect });
    }

    #[test]
    fn versions_moments_and_pins_have_their_forms() {
        const NOON: Millis = 1_796_040_000_000;
        check("sales@7", Pin::Version(7));
        check("sales@20261130", Pin::Version(20_261_130));
        for moment in [
            "20261130t120000z",
            "2026-11-30t12:00:00z",
            "2026-11-30t14:00:00+02:00",
            "2026-11-30t12:00:00.000z",
        ] {
            check(&format!("sales@{moment}"), Pin::Moment(NOON));
        }
        check("sales@close-2026", Pin::Name("close-2026".to_owned()));
        assert_eq!(pinned("sales"), None);
    }

    #[test]
    fn other_forms_are_told_what_the_forms_are() {
        for text in ["", "-", "2026-11-30t12:00z", "a b", "x", "a@b", "99999999999999999999"] {
            let refused = pinned(&format!("sales@{text}")).unwrap().unwrap_err();
            assert!(refused.contains("sales@20261130T120000Z"), "{text}: {refused}");
        }
    }
}
