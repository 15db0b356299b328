//! Headroom: when the source may begin to delete what an unpublished commit needs.
//!
//! A file goes once it was removed from the table for longer than the table keeps removed files,
//! and the commit after the oldest unpublished one is the first that can remove what that needs.
//! A commit's own object goes once it is older than the log is kept, where a later commit is
//! there. Of the newest commit nothing goes.
//!
//! # Invariants
//! - Retention is the table's own, as of its newest metadata; what it states is read as Spark
//!   reads it, and what does not read so makes the deadline unknown.
//! - A commit is read once for this, however often it is asked for.
//!
//! Not here: `VACUUM RETAIN` with another time than the table's, which nothing tells in advance.
//!
//! Source: Delta `DeltaConfigs`, `VacuumCommand`, `MetadataCleanup`; Spark `IntervalUtils`.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt as _;
use table_sync_core::{LogObject, Position, SourceError, SourceView};

use crate::action::{Action, Metadata};
use crate::checkpoint::read_head;
use crate::describe::read_commit;
use crate::files::{Origin, Visit, stream_actions};
use crate::listing::Listing;
use crate::log::{DeltaLog, LogReader, key_error};
use crate::name::commit_key;

/// Property: how long removed files are kept.
const FILES_KEPT: &str = "delta.deletedFileRetentionDuration";

/// Property: how long commits are kept.
const LOG_KEPT: &str = "delta.logRetentionDuration";

/// Property: whether old commits are deleted at all.
const LOG_CLEANED: &str = "delta.enableExpiredLogCleanup";

const FILES_KEPT_DEFAULT: &str = "interval 1 week";
const LOG_KEPT_DEFAULT: &str = "interval 30 days";

/// Commits that are read in search of the newest metadata, where no checkpoint tells it.
const COMMITS_MAX: u64 = 256;

/// How long a table keeps what its newest state does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Removed files, ms.
    files_ms: i64,
    /// Commits, ms; `None` = for ever.
    log_ms: Option<i64>,
}

/// The retention as of one commit.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    version: u64,
    /// That commit's object.
    object: LogObject,
    /// `None` = the table states something that does not read.
    retention: Option<Retention>,
}

impl Retention {
    /// From the properties of a table. `None` where one of them does not read.
    fn of(properties: &BTreeMap<String, Option<String>>) -> Option<Self> {
        let stated = |name| properties.get(name).and_then(Option::as_deref);
        let cleaned = stated(LOG_CLEANED).is_none_or(|text| !text.eq_ignore_ascii_case("false"));
        let log_ms = interval_ms(stated(LOG_KEPT).unwrap_or(LOG_KEPT_DEFAULT))?;
        Some(Self {
            files_ms: interval_ms(stated(FILES_KEPT).unwrap_or(FILES_KEPT_DEFAULT))?,
            log_ms: cleaned.then_some(log_ms),
        })
    }

    /// When what a commit needs may go. `oldest_ms`, `next_ms`: when it and the one after it were
    /// made, ms since the epoch.
    fn deadline_ms(&self, oldest_ms: i64, next_ms: i64) -> i64 {
        let files_ms = next_ms.saturating_add(self.files_ms);
        let log_ms = self.log_ms.map(|kept_ms| oldest_ms.saturating_add(kept_ms));
        log_ms.map_or(files_ms, |log_ms| log_ms.min(files_ms))
    }
}

/// When the source may begin to delete what the commit `oldest` needs. See the module.
pub(crate) async fn deadline_ms(
    log: &DeltaLog,
    view: &SourceView,
    oldest: u64,
) -> Result<Option<i64>, SourceError> {
    let mut from = view.commits.iter();
    let oldest = from.find(|commit| commit.position == Position::Version(oldest));
    let (Some(oldest), Some(next)) = (oldest, from.next()) else { return Ok(None) };
    let retention = retention(log, view).await?;
    Ok(retention.map(|kept| kept.deadline_ms(oldest.committed_ms, next.committed_ms)))
}

/// The retention as of the newest commit of a view.
async fn retention(log: &DeltaLog, view: &SourceView) -> Result<Option<Retention>, SourceError> {
    let Some(Position::Version(head)) = view.commits.last().map(|commit| commit.position) else {
        return Ok(None);
    };
    let key = commit_key(head).map_err(key_error)?;
    let Some(object) = view.objects.get(&key).cloned() else { return Ok(None) };
    let known = log.retention.lock().ok().and_then(|known| known.clone());
    let known = match known {
        Some(known) => {
            let key = commit_key(known.version).map_err(key_error)?;
            // Another object there is of another table.
            (view.objects.get(&key) == Some(&known.object)).then_some(known)
        }
        None => None,
    };
    if let Some(known) = known.as_ref().filter(|known| known.version == head) {
        return Ok(known.retention);
    }
    let retention = match newest(log, view, head, known.as_ref()).await? {
        Newest::Stated(metadata) => Retention::of(&metadata.configuration),
        Newest::AsKnown(retention) => retention,
        Newest::Nowhere => None,
    };
    if let Ok(mut known) = log.retention.lock() {
        *known = Some(Known { version: head, object, retention });
    }
    Ok(retention)
}

/// Where the newest metadata was found.
enum Newest {
    Stated(Metadata),
    /// No commit since then holds any.
    AsKnown(Option<Retention>),
    Nowhere,
}

/// Looks for the newest metadata, from the newest commit down.
async fn newest(
    log: &DeltaLog,
    view: &SourceView,
    head: u64,
    known: Option<&Known>,
) -> Result<Newest, SourceError> {
    let near = |known: &&Known| head.saturating_sub(known.version) <= COMMITS_MAX;
    if let Some(known) = known.filter(near) {
        for version in (known.version.saturating_add(1)..=head).rev() {
            if let Some(metadata) = stated(&log.reader, version).await? {
                return Ok(Newest::Stated(metadata));
            }
        }
        return Ok(Newest::AsKnown(known.retention));
    }
    let listing = log.covering(view, head).await?;
    for version in (head.saturating_sub(COMMITS_MAX)..=head).rev() {
        let there = listing.commits.contains(&version);
        if there && let Some(metadata) = stated(&log.reader, version).await? {
            return Ok(Newest::Stated(metadata));
        }
        if let Some(metadata) = at_checkpoint(&log.reader, &listing, version).await? {
            return Ok(Newest::Stated(metadata));
        }
        if !there {
            break;
        }
    }
    Ok(Newest::Nowhere)
}

/// The metadata that a commit states. Nothing else of it is judged: a table that waits for a
/// person is the one whose headroom matters.
async fn stated(reader: &LogReader, version: u64) -> Result<Option<Metadata>, SourceError> {
    let Some(read) = read_commit(reader, version).await? else { return Ok(None) };
    let origin = Origin::Commit { version, modified_ms: read.object.modified_ms };
    let visit: Visit<Metadata> = Arc::new(|action, found| {
        if let Action::Metadata(metadata) = action {
            found.push(*metadata);
        }
        Ok(())
    });
    let mut found = None;
    let mut chunks = stream_actions(read.bytes, origin, visit);
    while let Some(chunk) = chunks.try_next().await? {
        found = chunk.into_iter().next_back().or(found);
    }
    Ok(found)
}

/// The metadata of a checkpoint, where there is one that reads.
async fn at_checkpoint(
    reader: &LogReader,
    listing: &Listing,
    version: u64,
) -> Result<Option<Metadata>, SourceError> {
    for set in listing.checkpoints_of(version) {
        match read_head(reader, set).await {
            Ok(head) if head.metadata.is_some() => return Ok(head.metadata),
            // The commits below tell the same.
            Ok(_) | Err(SourceError::Missing { .. } | SourceError::Blocked(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// An interval as Spark reads it, in ms: `interval 1 week`, `30 days`, `1 day 12 hours`. `None`
/// for anything else, months and years among it: Delta takes no interval of unsure length.
fn interval_ms(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let mut words = text.split_whitespace().peekable();
    words.next_if_eq(&"interval");
    let mut total = None;
    while let Some(number) = words.next() {
        let number: i64 = number.parse().ok()?;
        let part = number.checked_mul(unit_us(words.next()?)?)?;
        total = Some(total.unwrap_or(0i64).checked_add(part)?);
    }
    total.filter(|us| *us >= 0).map(|us| us / 1_000)
}

/// A unit of time, in microseconds.
fn unit_us(name: &str) -> Option<i64> {
    const SECOND: i64 = 1_000_000;
    Some(match name.strip_suffix('s').unwrap_or(name) {
        "microsecond" => 1,
        "millisecond" => 1_000,
        "second" => SECOND,
        "minute" => 60 * SECOND,
        "hour" => 3_600 * SECOND,
        "day" => 86_400 * SECOND,
        "week" => 7 * 86_400 * SECOND,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn intervals_are_read_as_spark_reads_them() {
        for (text, expect) in [
            ("interval 1 week", Some(7 * DAY)),
            ("INTERVAL 168 HOURS", Some(7 * DAY)),
            (" 30 days ", Some(30 * DAY)),
            ("interval 1 day 12 hours", Some(36 * HOUR)),
            ("interval 2 weeks -1 day", Some(13 * DAY)),
            ("interval 0 days", Some(0)),
            ("interval 1500 microseconds", Some(1)),
            ("interval -1 day", None),
            ("interval 1 month", None),
            ("interval one day", None),
            ("interval 1", None),
            ("interval", None),
            ("", None),
            ("interval 9223372036854775807 weeks", None),
        ] {
            assert_eq!(interval_ms(text), expect, "{text:?}");
        }
    }

    #[track_caller]
    fn check(properties: &[(&str, Option<&str>)], expect: Option<i64>) {
        let owned = |(name, value): &(&str, Option<&str>)| {
            ((*name).to_owned(), value.map(ToOwned::to_owned))
        };
        let retention = Retention::of(&properties.iter().map(owned).collect());
        // The oldest commit is of day 0, the next one of day 2.
        assert_eq!(retention.map(|kept| kept.deadline_ms(0, 2 * DAY)), expect, "{properties:?}");
    }

    #[test]
    fn files_go_by_the_next_commit_and_the_log_by_its_own() {
        check(&[], Some(9 * DAY));
        check(&[(FILES_KEPT, None)], Some(9 * DAY));
        check(&[(FILES_KEPT, Some("interval 1 day"))], Some(3 * DAY));
        check(&[(FILES_KEPT, Some("interval 60 days"))], Some(30 * DAY));
        check(&[(LOG_KEPT, Some("interval 5 days"))], Some(5 * DAY));
        let never = (LOG_CLEANED, Some("false"));
        check(&[(LOG_KEPT, Some("interval 5 days")), never], Some(9 * DAY));
        check(&[(FILES_KEPT, Some("some time"))], None);
        check(&[(LOG_KEPT, Some("some time"))], None);
    }
}
