//! The follower: the loop of one table, as long as this node owns it.
//!
//! It looks at the source as often as the table's writer makes it worth, carries out a pass when
//! something is new, and reports what it saw. Sites that are in step are served together, so that
//! each file is read once; one that failed goes on alone, so that it holds up nobody.
//!
//! # Invariants
//! - At most one pass at a time works on a replica.
//! - What is not done most of the time is boxed while it is: a table that waits is small.
//! - Nothing here outlives the loop: dropping it stops whatever it does, at once, and the next
//!   owner finds what was published.

use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::transition::Desired;
use driftless_catalog::{Policy, Table, TableId};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use table_sync_core::SourceError;
use table_sync_engine::{
    FailureCode, PartitionLead, PassReport, Quiet, Registration, TargetStatus, pass, status,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cadence::Cadence;
use crate::fair::Flow;
use crate::report::Owner;
use crate::shared::Shared;
use crate::sink::Sink;
use crate::stores::start_of;

mod operations;
mod place;

use operations::Asked;
use place::{Place, began_ms};

/// Waits after trouble.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What the node tells a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Go on; the number of the newest change that concerns the table.
    Look(i64),
    /// Stop.
    Stop,
}

/// How a follower ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to.
    Stopped,
    /// The table is to be forgotten.
    Unregistering,
    /// The table is gone, or another node's.
    Lost,
    /// A replica was seen to have a later owner: its epoch.
    Fenced(u64),
}

/// One table, followed.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    id: TableId,
    epoch: u64,
    word: watch::Receiver<Word>,
}

/// What one piece of work found.
enum Work {
    /// The source was asked for news.
    Looked(Result<bool, SourceError>),
    /// A pass ended.
    Passed(Box<PassReport>),
    /// It was seen how far the sites of a paused table are.
    Surveyed(Vec<TargetStatus>),
}

type Working = FuturesUnordered<BoxFuture<'static, (Vec<usize>, Work)>>;

/// Why the inner loop ended.
enum Turn {
    /// The table's row changed: begin anew with it.
    Reload,
    End(Ended),
}

impl Follower {
    pub(crate) fn new(
        shared: Arc<Shared>,
        (id, epoch): (TableId, u64),
        word: watch::Receiver<Word>,
    ) -> Self {
        Self { shared, id, epoch, word }
    }

    /// Follows the table until it is told to stop, or may not go on.
    pub(crate) async fn run(mut self) -> Ended {
        let mut wait = RETRY_MIN;
        loop {
            let turn = match Box::pin(self.load()).await {
                Ok(Some(table)) => {
                    wait = RETRY_MIN;
                    self.turn(table).await
                }
                Ok(None) => Turn::End(Ended::Lost),
                Err(error) => {
                    tracing::warn!(table = self.id, error = error.message(), "open the table");
                    let stopped = self.pause(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                    if stopped { Turn::End(Ended::Stopped) } else { Turn::Reload }
                }
            };
            match turn {
                Turn::Reload => {}
                Turn::End(ended) => return ended,
            }
        }
    }

    /// The table as the catalog has it, as long as it is ours.
    async fn load(&mut self) -> Result<Option<Table>, crate::NotOpened> {
        self.word.mark_unchanged();
        let found = self.shared.options.catalog.tables_by_id(&[&self.id]).await?;
        let ours = |table: &Table| {
            table.epoch == self.epoch && table.lease_node.as_deref() == Some(&self.shared.node)
        };
        Ok(found.into_iter().find(ours))
    }

    /// Waits, or until something changed; whether to stop.
    async fn pause(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = sleep(time) => {}
            _ = self.word.changed() => {}
        }
        *self.word.borrow() == Word::Stop
    }

    async fn turn(&mut self, table: Table) -> Turn {
        if *self.word.borrow() == Word::Stop {
            return Turn::End(Ended::Stopped);
        }
        match table.desired {
            Desired::Unregistering => return Turn::End(Ended::Unregistering),
            Desired::Active | Desired::Paused => {}
        }
        let targets: Vec<_> =
            table.replicas.iter().map(|replica| replica.location.clone()).collect();
        let opened = self.shared.stores.table(&table.source, &targets, &table.policy);
        match Box::pin(opened).await {
            Ok(opened) => Loop::new(self, table, opened).run().await,
            Err(error) => {
                Box::pin(self.report_trouble(&table, error.message())).await;
                match self.pause(RETRY_MAX).await {
                    true => Turn::End(Ended::Stopped),
                    false => Turn::Reload,
                }
            }
        }
    }

    async fn report_trouble(&self, table: &Table, message: String) {
        for replica in &table.replicas {
            let owner = self.owner(&replica.site, replica.incarnation);
            let report = owner.of_trouble(&replica.progress, ("not_opened", message.clone()));
            self.shared.recorder.report(report).await;
        }
    }

    fn owner(&self, site: &str, incarnation: u32) -> Owner {
        let (table, site, epoch) = (self.id.clone(), site.to_owned(), self.epoch);
        Owner { table, site, epoch, incarnation }
    }
}

/// The loop over one state of the table's row.
struct Loop<'a> {
    follower: &'a mut Follower,
    table: Table,
    opened: driftless_wire::Table,
    cadence: Cadence,
    places: Vec<Place>,
    working: Working,
    operations: Vec<Asked>,
}

impl<'a> Loop<'a> {
    fn new(follower: &'a mut Follower, table: Table, opened: driftless_wire::Table) -> Self {
        let now = Instant::now();
        let places = table.replicas.iter().map(|replica| Place {
            owner: follower.owner(&replica.site, replica.incarnation),
            progress: replica.progress.clone(),
            busy: None,
            due: now,
            failed: 0,
            pass_by: now,
            in_step: false,
            is_told: false,
            is_untold: false,
            hurries: false,
        });
        let places = places.collect();
        let most = Duration::from_secs(table.policy.poll_seconds);
        let cadence = Cadence::new(follower.shared.options.poll_least, most);
        let (working, operations) = (Working::new(), Vec::new());
        Self { follower, table, opened, cadence, places, working, operations }
    }

    async fn run(mut self) -> Turn {
        if let Err(error) = Box::pin(self.take_operations()).await {
            tracing::warn!(table = %self.table.name, %error, "read the table's operations");
        }
        loop {
            self.begin_due();
            let idle = self.places.iter().filter(|place| place.busy.is_none());
            let next = idle.map(|place| place.due).min();
            let timer = async {
                match next {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = self.follower.word.changed() => {
                    if let Some(turn) = Box::pin(self.told()).await {
                        return turn;
                    }
                }
                Some((at, work)) = self.working.next(), if !self.working.is_empty() => {
                    if let Some(ended) = Box::pin(self.settle(&at, work)).await {
                        return Turn::End(ended);
                    }
                }
                () = timer => {}
            }
        }
    }

    /// Begins what is due: sites that are well together, each other one alone.
    fn begin_due(&mut self) {
        let now = Instant::now();
        let due = |place: &Place| place.busy.is_none() && place.due <= now;
        let mut together = Vec::new();
        let mut alone = Vec::new();
        for (at, place) in self.places.iter().enumerate().filter(|(_, place)| due(place)) {
            if place.failed == 0 { together.push(at) } else { alone.push(vec![at]) }
        }
        if !together.is_empty() {
            alone.push(together);
        }
        for group in alone {
            self.begin(group, now);
        }
    }

    fn begin(&mut self, group: Vec<usize>, now: Instant) {
        // A look says nothing of the sites: who asked for a sync waits for a pass.
        let asked = |asked: &Asked| group.iter().any(|at| asked.waits.contains(at));
        let mut looks = !self.operations.iter().any(asked);
        let mut head = None;
        for at in &group {
            let Some(place) = self.places.get_mut(*at) else { continue };
            place.begin(now);
            looks = looks && place.in_step && place.pass_by > now;
            head = place.progress.source_head;
        }
        let work = match head.filter(|_| looks) {
            Some(head) => self.look(head),
            None if self.table.desired == Desired::Paused => self.survey(&group),
            None => self.pass(&group),
        };
        self.working.push(work.map(move |work| (group, work)).boxed());
    }

    /// Asks the source whether there is something new.
    fn look(&self, head: table_sync_core::Position) -> BoxFuture<'static, Work> {
        let shared = Arc::clone(&self.follower.shared);
        let source = self.opened.source.clone();
        async move {
            shared.look_turn(source.store.url()).await;
            Work::Looked(source.log.moved_past(head).await)
        }
        .boxed()
    }

    /// Looks at how far the sites are behind, and writes nothing.
    fn survey(&self, group: &[usize]) -> BoxFuture<'static, Work> {
        let shared = Arc::clone(&self.follower.shared);
        let (source, targets) = (self.opened.source.clone(), self.targets(group));
        let options = self.pass_options();
        async move {
            shared.look_turn(source.store.url()).await;
            Work::Surveyed(status(&source, &targets, &options, Arc::new(Quiet)).await)
        }
        .boxed()
    }

    fn pass(&self, group: &[usize]) -> BoxFuture<'static, Work> {
        let shared = Arc::clone(&self.follower.shared);
        let (source, targets) = (self.opened.source.clone(), self.targets(group));
        let options = self.pass_options();
        let owners = group.iter().filter_map(|at| {
            let place = self.places.get(*at)?;
            let target = self.opened.targets.get(*at)?;
            Some((target.url.clone(), place.owner.clone()))
        });
        let counters = Arc::clone(&shared.counters);
        let sink = Arc::new(Sink::new(shared.recorder.clone(), owners.collect(), counters));
        let flow = self.flow();
        async move {
            let _place = shared.passes.enter(&flow, 1).await;
            Work::Passed(Box::new(pass(&source, &targets, &options, sink).await))
        }
        .boxed()
    }

    fn targets(&self, group: &[usize]) -> Vec<table_sync_engine::Target> {
        group.iter().filter_map(|at| self.opened.targets.get(*at).cloned()).collect()
    }

    fn pass_options(&self) -> table_sync_engine::Options {
        let shared = &self.follower.shared;
        let policy = &self.table.policy;
        let sites = self.places.iter().zip(&self.opened.targets).map(|(place, target)| {
            (target.url.clone(), place.owner.site.clone(), place.owner.incarnation)
        });
        table_sync_engine::Options {
            start: start_of(policy),
            transfers: shared.options.transfers,
            retry_budget: shared.options.retry_budget,
            retire: policy.retention_seconds.map(Duration::from_secs),
            partition_lead: partition_lead(policy, shared.began),
            clock: Arc::clone(&shared.options.clock),
            transfer_gate: Some(shared.transfer_gate(self.flow())),
            registration: Some(Registration {
                table: self.table.name.to_string(),
                project: self.table.name.project().to_owned(),
                epoch: self.follower.epoch,
                sites: sites.collect(),
            }),
            ..table_sync_engine::Options::default()
        }
    }

    fn flow(&self) -> Flow {
        self.follower.shared.flow(&self.table)
    }

    /// Takes what a piece of work found. `Some` = the loop may not go on.
    async fn settle(&mut self, group: &[usize], work: Work) -> Option<Ended> {
        match work {
            Work::Looked(Ok(false)) => {
                let began_ms =
                    began_ms(&self.places, group, self.follower.shared.options.clock.now_ms());
                self.follower.shared.recorder.checked(self.follower.id.clone(), began_ms).await;
                let wait = self.cadence.wait(fastrand::f64());
                self.again(group, wait);
                None
            }
            // An error is left to the pass, which retries and reports it.
            Work::Looked(Ok(true) | Err(_)) => {
                for at in group {
                    if let Some(place) = self.places.get_mut(*at) {
                        place.in_step = false;
                        place.rest(Instant::now());
                    }
                }
                None
            }
            Work::Passed(report) => self.settle_pass(group, &report).await,
            Work::Surveyed(statuses) => {
                self.settle_survey(group, &statuses).await;
                None
            }
        }
    }

    /// Looks again at sites that are in step after this long.
    fn again(&mut self, group: &[usize], wait: Duration) {
        let now = Instant::now();
        for at in group {
            if let Some(place) = self.places.get_mut(*at) {
                place.rest((now + wait).min(place.pass_by.max(now)));
            }
        }
    }

    async fn settle_pass(&mut self, group: &[usize], report: &PassReport) -> Option<Ended> {
        let shared = Arc::clone(&self.follower.shared);
        let now_ms = shared.options.clock.now_ms();
        let began_ms = began_ms(&self.places, group, now_ms);
        self.count_untold(group, report);
        let known = |at: &usize| self.places.get(*at).and_then(|place| place.progress.source_head);
        if let Some(committed_ms) = report.source_head_ms
            && group.iter().filter_map(known).max() < report.source_head
        {
            self.cadence.commit(committed_ms);
        }
        let wait = self.cadence.wait(fastrand::f64());
        for (at, target) in group.iter().zip(&report.targets) {
            let fenced = target.failure.as_ref().is_some_and(|one| one.code == FailureCode::Fenced);
            if let Some(found) = target.epoch.filter(|_| fenced) {
                return Some(Ended::Fenced(found));
            }
            let Some(place) = self.places.get_mut(*at) else { continue };
            shared.count(&self.table, target, place.progress.condition);
            let said = place.owner.of_pass(report, target, &place.progress, (began_ms, now_ms));
            if let Some(progress) = &said.progress {
                place.progress.clone_from(progress);
            }
            shared.recorder.report(said).await;
            let began = place.busy;
            place.settle(report, target, wait);
            for asked in &mut self.operations {
                if began.is_some_and(|began| began >= asked.at) {
                    asked.waits.remove(at);
                }
            }
        }
        self.end_operations().await;
        None
    }

    /// Counts commits that no site was known to be behind by, and that nobody told of.
    fn count_untold(&self, group: &[usize], report: &PassReport) {
        let known = self.places.iter().filter_map(|place| place.progress.source_head).max();
        if report.source_head <= known {
            return;
        }
        let places = group.iter().filter_map(|at| self.places.get(*at));
        let untold = places.zip(&report.targets).map(|(place, target)| place.untold(target, known));
        self.follower.shared.counters.missed(untold.max().unwrap_or_default());
    }

    async fn settle_survey(&mut self, group: &[usize], statuses: &[TargetStatus]) {
        let shared = Arc::clone(&self.follower.shared);
        let now_ms = shared.options.clock.now_ms();
        let began_ms = began_ms(&self.places, group, now_ms);
        let wait = Duration::from_secs(self.table.policy.poll_seconds);
        for (at, status) in group.iter().zip(statuses) {
            let Some(place) = self.places.get_mut(*at) else { continue };
            let said = place.owner.of_survey(status, &place.progress, (began_ms, now_ms));
            if let Some(progress) = &said.progress {
                place.progress.clone_from(progress);
            }
            shared.recorder.report(said).await;
            place.rest(Instant::now() + wait);
        }
    }

    /// The node said something. `Some` = the inner loop ends.
    async fn told(&mut self) -> Option<Turn> {
        if *self.follower.word.borrow() == Word::Stop {
            return Some(Turn::End(Ended::Stopped));
        }
        let loaded = self.follower.load().await;
        match loaded {
            Ok(Some(table)) => {
                let same = table.desired == self.table.desired
                    && table.policy == self.table.policy
                    && table.source == self.table.source
                    && locations(&table) == locations(&self.table);
                if !same {
                    return Some(Turn::Reload);
                }
            }
            Ok(None) => return Some(Turn::End(Ended::Lost)),
            Err(error) => tracing::warn!(table = %self.table.name, error = error.message(), "look"),
        }
        if let Err(error) = self.take_operations().await {
            tracing::warn!(table = %self.table.name, %error, "read the table's operations");
        }
        // A hint, or a wish of a person.
        let now = Instant::now();
        for place in &mut self.places {
            place.tell(now);
        }
        None
    }
}

fn partition_lead(policy: &Policy, since: Instant) -> Option<PartitionLead> {
    let time = Duration::from_secs(policy.hudi_partition_lead_seconds);
    (!time.is_zero()).then_some(PartitionLead { time, since })
}

fn locations(table: &Table) -> Vec<(&str, u32)> {
    table.replicas.iter().map(|one| (one.location.as_str(), one.incarnation)).collect()
}
