//! The recorder: what the loops report, written to the catalog in batches.
//!
//! A commit is one transaction of the database at most, and thousands of tables that were looked
//! at without news are one statement. Nothing that a loop does waits for the database: published
//! is what the targets hold.
//!
//! # Invariants
//! - What is about one replica is written in the order in which it was reported.
//! - While the database does not answer, reports wait here, folded by replica.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use driftless_catalog::{Catalog, Millis, Report, TableId, folded};
use table_sync_engine::Clock;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// Reports that wait for the database at most; beyond that a loop waits with its next pass.
const WAITING_MAX: usize = 4_096;

/// Reports of one transaction.
const BATCH_MAX: usize = 512;

/// How long the first report of a batch waits for others.
const BATCH_WAIT: Duration = Duration::from_millis(20);

/// How often it is written which sources were looked at. Freshness is a minute at least.
const CHECKED_EVERY: Duration = Duration::from_secs(10);

/// Waits between two tries while the database does not answer.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What a loop has to say.
#[derive(Debug)]
pub(crate) enum Said {
    /// See [`Report`].
    Report(Box<Report>),
    /// The source of this table was looked at and had nothing new: since when, in ms. `None` = it
    /// answers, and was not looked at as a whole.
    Checked(TableId, Option<Millis>),
}

/// Where the loops report to. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Recorder(mpsc::Sender<Said>);

/// A report that was refused: its sender is no longer the owner, or not of this incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) table: TableId,
    pub(crate) epoch: u64,
}

impl Recorder {
    /// A recorder, and its work, which ends once all recorders are gone and all is written.
    pub(crate) fn new(
        catalog: Catalog,
        clock: std::sync::Arc<dyn Clock>,
        refused: mpsc::UnboundedSender<Refused>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), write_all(catalog, clock, receiver, refused))
    }

    /// Reports. Waits while the database is far behind.
    pub(crate) async fn report(&self, report: Report) {
        // The work ends last.
        let _ = self.0.send(Said::Report(Box::new(report))).await;
    }

    /// Reports what is also said later: dropped where the database is far behind.
    pub(crate) fn mention(&self, report: Report) {
        let _ = self.0.try_send(Said::Report(Box::new(report)));
    }

    /// Notes that a source answers; dropped where the database is far behind.
    pub(crate) fn mention_checked(&self, table: TableId) {
        let _ = self.0.try_send(Said::Checked(table, None));
    }

    /// Notes that a source was looked at and had nothing new. The look began at `began_ms`.
    pub(crate) async fn checked(&self, table: TableId, began_ms: Millis) {
        let _ = self.0.send(Said::Checked(table, Some(began_ms))).await;
    }
}

async fn write_all(
    catalog: Catalog,
    clock: std::sync::Arc<dyn Clock>,
    mut said: mpsc::Receiver<Said>,
    refused: mpsc::UnboundedSender<Refused>,
) {
    let mut checked: Checked = HashMap::new();
    let mut reports: Vec<Report> = Vec::new();
    let mut flush_checked = Instant::now() + CHECKED_EVERY;
    let mut open = true;
    while open || !reports.is_empty() || !checked.is_empty() {
        let mut batch = Vec::new();
        let received = tokio::select! {
            count = said.recv_many(&mut batch, BATCH_MAX), if open => count,
            () = sleep_until(flush_checked), if open => 1,
            else => 0,
        };
        open = open && received > 0;
        sort(batch, &mut reports, &mut checked);
        if open && !reports.is_empty() {
            sleep(BATCH_WAIT).await;
            let mut more = Vec::new();
            while let Ok(next) = said.try_recv() {
                more.push(next);
                if more.len() == BATCH_MAX {
                    break;
                }
            }
            sort(more, &mut reports, &mut checked);
        }
        write_reports(&catalog, &*clock, std::mem::take(&mut reports), &refused).await;
        if !open || Instant::now() >= flush_checked {
            flush_checked = Instant::now() + CHECKED_EVERY;
            write_checked(&catalog, &*clock, std::mem::take(&mut checked)).await;
        }
    }
}

/// When the last look at each source began, where one did.
type Checked = HashMap<TableId, Option<Millis>>;

fn sort(batch: Vec<Said>, reports: &mut Vec<Report>, checked: &mut Checked) {
    for said in batch {
        match said {
            Said::Report(report) => reports.push(*report),
            Said::Checked(table, began_ms) => {
                let last = checked.entry(table).or_default();
                *last = began_ms.max(*last);
            }
        }
    }
}

/// Looks that began within the same second are written together, as if all had begun with the
/// first of them.
async fn write_checked(catalog: &Catalog, clock: &dyn Clock, checked: Checked) {
    let mut together: BTreeMap<Option<Millis>, (Option<Millis>, Vec<TableId>)> = BTreeMap::new();
    for (table, began_ms) in checked {
        let second = began_ms.map(|began_ms| began_ms.div_euclid(1_000));
        let (first, tables) = together.entry(second).or_insert((began_ms, Vec::new()));
        *first = began_ms.min(*first);
        tables.push(table);
    }
    for (began_ms, tables) in together.into_values() {
        if let Err(error) = catalog.checked(&tables, began_ms, clock.now_ms()).await {
            // The next round says it again.
            tracing::warn!(%error, "write which sources were looked at");
        }
    }
}

async fn write_reports(
    catalog: &Catalog,
    clock: &dyn Clock,
    reports: Vec<Report>,
    refused: &mpsc::UnboundedSender<Refused>,
) {
    if reports.is_empty() {
        return;
    }
    let reports = folded(reports);
    let mut wait = RETRY_MIN;
    let taken = loop {
        match catalog.record(&reports, clock.now_ms()).await {
            Ok(taken) => break taken,
            Err(error) => {
                tracing::warn!(error = table_sync_core::with_causes(&error), "write progress");
                sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    };
    for (report, taken) in reports.iter().zip(taken) {
        if !taken {
            // Nobody listens any more only at the very end.
            let _ = refused.send(Refused { table: report.table.clone(), epoch: report.epoch });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use driftless_catalog::{NewTable, Policy, Site, TableName, database_url};

    use super::*;

    const NOW: Millis = 1_764_500_000_000;

    struct At(Millis);

    impl Clock for At {
        fn now_ms(&self) -> i64 {
            self.0
        }
    }

    /// Looks are written as if they had begun with the first one of their second, never later.
    #[tokio::test]
    async fn a_look_is_never_told_to_have_begun_later() {
        let folder = tempfile::tempdir().unwrap();
        let url = database_url(&folder.path().join("catalog.db"));
        let catalog = Catalog::open(&url).await.unwrap();
        catalog.put_project(("lake", None, 1), None, NOW).await.unwrap();
        let (name, url, region) = ("east".to_owned(), "s3://east".to_owned(), None);
        let site = Site { name, url, region, revision: 0, created_ms: 0 };
        catalog.put_site(&site, None, NOW).await.unwrap();
        let looks = [Some(NOW + 100), Some(NOW + 900), Some(NOW + 1_400), None];
        let mut checked = Checked::new();
        for (at, began_ms) in looks.into_iter().enumerate() {
            let new = NewTable {
                name: TableName::new("lake", "sales", &format!("t{at}")).unwrap(),
                source: format!("s3://lake/t{at}"),
                policy: Policy::default(),
                sites: vec!["east".to_owned()],
                rule: None,
                paused: false,
            };
            let table = catalog.register(&new, NOW).await.unwrap();
            // What is said of a source again later takes nothing back.
            let said = [Said::Checked(table.id.clone(), began_ms), Said::Checked(table.id, None)];
            sort(said.into(), &mut Vec::new(), &mut checked);
        }
        write_checked(&catalog, &At(NOW + 5_000), checked).await;
        let found = catalog.tables(&Default::default(), 9).await.unwrap();
        let times = found.iter().flat_map(|table| &table.replicas).map(|one| &one.progress);
        let times: Vec<_> = times.map(|one| (one.checked_ms, one.listed_ms)).collect();
        let listed = [Some(NOW + 100), Some(NOW + 100), Some(NOW + 1_400), None];
        assert_eq!(times, listed.map(|listed| (Some(NOW + 5_000), listed)));
    }
}
