//! The instants that a table's active timeline holds, by the names and times of its objects.
//!
//! hudi-core lists commits only; a position can be any completed action.
//!
//! Source: Hudi technical specification, "Timeline"; `InstantFileNameParserV2`,
//! `InstantGeneratorV1`.

use std::collections::BTreeMap;
use std::sync::Arc;

use hudi_core::table::Table;
use hudi_core::timeline::instant::Instant;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};
use table_sync_core::{InstantTime, Position};
use url::Url;

use crate::error::RowsError;
use crate::store::printable;

/// Folder of a table's metadata, and of the active timeline before layout 2.
const FOLDER: &str = ".hoodie";

/// Digits of an instant down to the second.
const SECOND_DIGITS: usize = 14;

/// One completed action, as its object's name and time say.
#[derive(Clone, Copy)]
struct Completed {
    /// From the name in layout 2; the object's time, in UTC, where the name does not say.
    completed: InstantTime,
    named: bool,
    /// A savepoint has the id of the commit that it keeps.
    savepoint: bool,
    bytes: u64,
}

/// Which commits had completed at a position, where a place's clock tells.
///
/// Completion is the object's time in version 6, and a replica's objects have the times of their
/// copies. So what the source says holds for its replicas as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Ids of commits that had completed.
    pub done: Vec<String>,
    /// Ids of commits that completed later.
    pub later: Vec<String>,
}

impl Order {
    /// Whether a commit had completed; none where this does not say.
    fn is_done(&self, commit: &Instant) -> Option<bool> {
        let names = |ids: &[String]| ids.contains(&commit.timestamp);
        names(&self.done).then_some(true).or_else(|| names(&self.later).then_some(false))
    }
}

/// The completed actions of an active timeline, as it was listed.
pub(super) struct Listing {
    store: Arc<dyn ObjectStore>,
    table: Path,
    url: String,
    /// By the id of each.
    completed: BTreeMap<InstantTime, Vec<Completed>>,
    /// Whether the timeline once had instants that are now in its history.
    archived: bool,
    /// Completion is part of the name, so it is the same at source and replica.
    named: bool,
}

impl Listing {
    /// Lists the active timeline where the configuration of `opened` says that it is.
    pub(super) async fn load(
        store: Arc<dyn ObjectStore>,
        url: &Url,
        opened: &Table,
    ) -> Result<Self, RowsError> {
        let printed = printable(url);
        let configs = &opened.hudi_configs;
        let named = configs.get_raw("hoodie.timeline.layout.version") == Some("2");
        let raw = |key, default| configs.get_raw(key).unwrap_or(default).to_owned();
        let table = Path::from_url_path(url.path())
            .map_err(|source| RowsError::Store { url: printed.clone(), source: source.into() })?;
        let mut active = table.clone().join(FOLDER);
        let history = if named {
            active = active.join(raw("hoodie.timeline.path", "timeline"));
            active.clone().join(raw("hoodie.timeline.history.path", "history"))
        } else {
            active.clone().join(raw("hoodie.archivelog.folder", "archived"))
        };
        let list = |folder: Path| {
            let (store, url) = (store.clone(), printed.clone());
            async move {
                let listed = store.list_with_delimiter(Some(&folder)).await;
                listed.map_err(|source| RowsError::Store { url, source: source.into() })
            }
        };
        let objects = list(active).await?.objects;
        let archived = list(history).await?.objects.iter().any(is_archive);
        let mut completed = BTreeMap::<_, Vec<_>>::new();
        for (requested, action) in objects.iter().filter_map(parse) {
            completed.entry(requested).or_default().push(action);
        }
        Ok(Self { store, table, url: printed, completed, archived, named })
    }

    /// The position that `text` names.
    ///
    /// # Errors
    /// [`RowsError::Gone`] if the instant is not completed in the active timeline.
    pub(super) fn find(&self, text: &str) -> Result<Position, RowsError> {
        let gone = || RowsError::Gone { url: self.url.clone(), position: text.to_owned() };
        let Some(position @ Position::Instant { completed, requested }) = Position::parse(text)
        else {
            return Err(gone());
        };
        let here = self.completed.get(&requested).ok_or_else(gone)?;
        match here.iter().any(|action| !action.named || action.completed == completed) {
            true => Ok(position),
            false => Err(gone()),
        }
    }

    /// The action that completed last.
    pub(super) fn newest(&self) -> Option<Position> {
        self.positions().max()
    }

    /// Takes from `table` every commit that had not completed at `position`, as `order` says of
    /// those that it knows, and else this store's clock. Answers which these are, where this
    /// store holds the very position and names do not tell.
    ///
    /// # Errors
    /// [`RowsError::Gone`] if all that is known of the rows then is archived;
    /// [`RowsError::Unsupported`] if neither tells what had completed.
    pub(super) fn rewind(
        &self,
        table: &mut Table,
        position: Position,
        order: Option<&Order>,
    ) -> Result<Option<Order>, RowsError> {
        let commits = &mut table.timeline.completed_commits;
        let ends = self.ends(position);
        let told = |commit: &Instant| order.and_then(|order| order.is_done(commit));
        let kept = |end: Position| -> Vec<bool> {
            let by_clock = |commit: &Instant| self.position(commit) <= Some(end);
            commits.iter().map(|commit| told(commit).unwrap_or_else(|| by_clock(commit))).collect()
        };
        let unclear = || RowsError::Unsupported { feature: "times of completion".to_owned() };
        let end = *ends.first().ok_or_else(unclear)?;
        let keep = kept(end);
        let untold = commits.iter().filter(|commit| told(commit).is_none());
        if ends.iter().any(|end| kept(*end) != keep) || self.is_tied(untold, position, end) {
            return Err(unclear());
        }
        let own = (!self.named && end == position).then(|| {
            let mut own = Order::default();
            for (commit, keep) in commits.iter().zip(&keep) {
                let ids = if *keep { &mut own.done } else { &mut own.later };
                ids.push(commit.timestamp.clone());
            }
            own
        });
        let mut keep = keep.into_iter();
        commits.retain(|_| keep.next().unwrap_or(false));
        if commits.is_empty() && self.archived {
            return Err(RowsError::Gone { url: self.url.clone(), position: position.to_string() });
        }
        Ok(own)
    }

    /// Whether a commit was completed when the timeline was listed.
    pub(super) fn holds(&self, commit: &Instant) -> bool {
        self.commit(commit).is_some()
    }

    /// Whether a commit's object is there and has no content, as some writers leave it.
    pub(super) fn is_empty(&self, commit: &Instant) -> bool {
        self.commit(commit).is_some_and(|it| it.bytes == 0)
    }

    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// Whether a file of the table is in the store.
    pub(super) async fn has_file(&self, path: &str) -> Result<bool, RowsError> {
        let path = Path::parse(format!("{}/{path}", self.table));
        let head = match &path {
            Ok(path) => self.store.head(path).await,
            Err(_) => return Ok(false),
        };
        match head {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(RowsError::Store { url: self.url.clone(), source: source.into() }),
        }
    }

    fn positions(&self) -> impl Iterator<Item = Position> {
        self.completed.iter().flat_map(|(requested, actions)| {
            let position = |action: &Completed| Position::Instant {
                completed: action.completed,
                requested: *requested,
            };
            actions.iter().map(position)
        })
    }

    fn commit(&self, commit: &Instant) -> Option<Completed> {
        let actions = self.completed.get(&InstantTime::parse(&commit.timestamp)?)?;
        actions.iter().find(|action| !action.savepoint).copied()
    }

    fn position(&self, commit: &Instant) -> Option<Position> {
        let requested = InstantTime::parse(&commit.timestamp)?;
        Some(Position::Instant { completed: self.commit(commit)?.completed, requested })
    }

    /// What `position` may be here: by its name, by the second of its completion, else by its
    /// id alone, as at a replica of a version 6 table.
    fn ends(&self, position: Position) -> Vec<Position> {
        let of_id = || self.positions().filter(|it| it.requested() == position.requested());
        if of_id().any(|it| it == position) {
            return vec![position];
        }
        let same: Vec<_> = of_id().filter(|it| second(*it) == second(position)).collect();
        if same.is_empty() { of_id().collect() } else { same }
    }

    /// Whether a replica wrote a commit with a greater id in the same moment: its clock has not
    /// kept which of the two completed first.
    fn is_tied<'a>(
        &self,
        commits: impl IntoIterator<Item = &'a Instant>,
        position: Position,
        end: Position,
    ) -> bool {
        let Position::Instant { completed: moment, requested } = end else { return false };
        second(position) != second(end)
            && commits.into_iter().filter_map(|commit| self.position(commit)).any(|commit| {
                matches!(commit, Position::Instant { completed, requested: id }
                    if completed == moment && id > requested)
            })
    }
}

/// Completion to the second: stores keep no more of an object's time.
fn second(position: Position) -> Option<String> {
    let Position::Instant { completed, .. } = position else { return None };
    completed.to_string().get(..SECOND_DIGITS).map(str::to_owned)
}

/// The id and completion of a completed action; `None` for anything else in the folder.
fn parse(object: &ObjectMeta) -> Option<(InstantTime, Completed)> {
    let (times, action) = object.location.filename()?.split_once('.')?;
    // `<id>.inflight` is a commit's.
    if action.contains('.') || matches!(action, "inflight" | "requested") {
        return None;
    }
    let (requested, completed, named) = match times.split_once('_') {
        Some((requested, completed)) => (requested, InstantTime::parse(completed)?, true),
        None => {
            let time = object.last_modified.format("%Y%m%d%H%M%S%3f").to_string();
            (times, InstantTime::parse(&time)?, false)
        }
    };
    let requested = InstantTime::parse(requested)?;
    let savepoint = action == "savepoint";
    Some((requested, Completed { completed, named, savepoint, bytes: object.size }))
}

fn is_archive(object: &ObjectMeta) -> bool {
    let name = object.location.filename().unwrap_or_default();
    name.starts_with(".commits_.archive") || name.ends_with(".parquet")
}
