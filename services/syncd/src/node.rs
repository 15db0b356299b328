//! The node: a heartbeat, the tables that it owns, and one follower for each.
//!
//! Nodes of one catalog share its tables evenly. A node that was stopped for longer than its
//! lease, and goes on, looks at what it still owns before anything else.
//!
//! # Invariants
//! - A follower works on a table only while this node holds its lease, as far as it knows; what it
//!   does not know is fenced by the table's epoch.
//! - A follower that ends, however it does, ends alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::{CatalogError, Lease, TableId};
use table_sync_core::with_causes;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use crate::counters::Counters;
use crate::follower::{Ended, Follower, Word};
use crate::recorder::{Recorder, Refused};
use crate::shared::Shared;
use crate::{Options, chores};

/// How often it is looked whether another process changed the catalog.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Tables that are claimed with one statement.
const CLAIM_MAX: usize = 500;

/// A table whose follower broke is begun again after this long.
const BROKEN_PAUSE: Duration = Duration::from_secs(30);

/// A node may own this much more than its even share before it lets go of some.
const SLACK: usize = 8;

/// A daemon that was started. Dropping it stops everything at once.
pub struct Daemon {
    stop: watch::Sender<bool>,
    work: tokio::task::JoinHandle<()>,
    counters: Arc<Counters>,
    node: String,
}

impl Daemon {
    /// Starts working on the tables of the catalog.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub async fn start(options: Options) -> Result<Self, CatalogError> {
        let node = format!("{}-{}", options.node, Uuid::new_v4().simple());
        let (refused, refusals) = mpsc::unbounded_channel();
        let clock = Arc::clone(&options.clock);
        let (recorder, recording) = Recorder::new(options.catalog.clone(), clock, refused);
        let shared = Arc::new(Shared::new(options, node.clone(), recorder));
        let counters = Arc::clone(&shared.counters);
        let (stop, stopped) = watch::channel(false);
        let mut this = Node::new(shared, refusals);
        this.beat().await?;
        let work = tokio::spawn(async move {
            let recording = tokio::spawn(recording);
            let drain = this.shared.options.drain;
            this.run(stopped).await;
            drop(this);
            // All that was reported is written, unless the database does not answer.
            if timeout(drain, recording).await.is_err() {
                tracing::warn!(
                    "some progress was not written; the next start finds it at the sites"
                );
            }
        });
        Ok(Self { stop, work, counters, node })
    }

    /// What this process has done.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// This start of this node, as the catalog names it.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Stops: nothing new is begun, what is being done is given up, what was published is
    /// written, and the tables are free for other nodes.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if let Err(error) = self.work.await {
            tracing::error!(%error, "the daemon's own work broke");
        }
    }
}

struct Running {
    word: watch::Sender<Word>,
    task: AbortHandle,
    epoch: u64,
}

struct Node {
    shared: Arc<Shared>,
    running: HashMap<TableId, Running>,
    followers: JoinSet<(TableId, u64, Ended)>,
    /// Whose follower a task is, for those that break.
    tasks: HashMap<tokio::task::Id, (TableId, u64)>,
    refusals: mpsc::UnboundedReceiver<Refused>,
    /// Tables that are not to be begun before this time.
    broken: HashMap<TableId, Instant>,
    wake: i64,
    last_beat: Option<Instant>,
}

impl Node {
    fn new(shared: Arc<Shared>, refusals: mpsc::UnboundedReceiver<Refused>) -> Self {
        Self {
            shared,
            running: HashMap::new(),
            followers: JoinSet::new(),
            tasks: HashMap::new(),
            refusals,
            broken: HashMap::new(),
            wake: 0,
            last_beat: None,
        }
    }

    async fn run(&mut self, mut stopped: watch::Receiver<bool>) {
        let every = |time| {
            let mut ticks = interval(time);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut beats = every(self.shared.options.lease / 4);
        let mut looks = every(LOOK_EVERY);
        let changed = Arc::clone(&self.shared.options.changed);
        let mut chores = chores::Chores::start(Arc::clone(&self.shared));
        loop {
            let done = tokio::select! {
                biased;
                _ = stopped.changed() => break,
                _ = beats.tick() => self.beat_and_share().await,
                Some(ended) = self.followers.join_next_with_id() => self.ended(ended).await,
                Some(refused) = self.refusals.recv() => self.refused(&refused).await,
                () = changed.notified() => self.look().await,
                _ = looks.tick() => self.look().await,
            };
            if let Err(error) = done {
                tracing::warn!(error = with_causes(&error), "use the catalog");
            }
        }
        chores.stop();
        self.drain().await;
    }

    /// Says that this node is alive.
    async fn beat(&mut self) -> Result<(), CatalogError> {
        let options = &self.shared.options;
        let for_ms = i64::try_from(options.lease.as_millis()).unwrap_or(i64::MAX);
        let version = env!("CARGO_PKG_VERSION");
        let who = (self.shared.node.as_str(), options.node.as_str(), version);
        options.catalog.beat(who, for_ms).await?;
        Ok(())
    }

    async fn beat_and_share(&mut self) -> Result<(), CatalogError> {
        // Time that passed while the heartbeat was on its way counts against the lease.
        let began = Instant::now();
        self.beat().await?;
        let lease = self.shared.options.lease;
        let late = self.last_beat.is_some_and(|last| last.elapsed() > lease);
        self.last_beat = Some(began);
        if late {
            self.keep_what_is_ours().await?;
        }
        self.shared.refresh_shares().await?;
        self.share().await
    }

    /// After a heartbeat that came too late, others may own what this node did.
    async fn keep_what_is_ours(&mut self) -> Result<(), CatalogError> {
        let leases = self.shared.options.catalog.leases(&self.shared.node).await?;
        let ours: HashMap<_, _> =
            leases.into_iter().map(|lease| (lease.table, lease.epoch)).collect();
        let lost: Vec<_> = self
            .running
            .iter()
            .filter(|(table, running)| ours.get(*table) != Some(&running.epoch))
            .map(|(table, _)| table.clone())
            .collect();
        for table in lost {
            self.shared.counters.lease_lost();
            tracing::info!(table, "another node took the table over");
            self.abort(&table);
        }
        Ok(())
    }

    /// Takes tables that nobody owns, up to an even share, or lets go of what is above it.
    async fn share(&mut self) -> Result<(), CatalogError> {
        let catalog = &self.shared.options.catalog;
        let (tables, nodes) = catalog.census().await?;
        let [tables, nodes] = [tables, nodes].map(|count| usize::try_from(count).unwrap_or(0));
        let even = tables.div_ceil(nodes.max(1));
        if self.running.len() > even + SLACK {
            let surplus: Vec<_> = self.running.keys().skip(even).cloned().collect();
            for table in &surplus {
                self.tell(table, Word::Stop);
            }
            return Ok(());
        }
        self.claim(even.saturating_sub(self.running.len())).await
    }

    async fn claim(&mut self, most: usize) -> Result<(), CatalogError> {
        let mut left = most;
        while left > 0 {
            let limit = left.min(CLAIM_MAX);
            let catalog = &self.shared.options.catalog;
            let leases = catalog.claim(&self.shared.node, limit).await?;
            let all = leases.len() == limit;
            left -= leases.len();
            for lease in leases {
                self.begin(lease);
            }
            if !all {
                break;
            }
        }
        Ok(())
    }

    fn begin(&mut self, lease: Lease) {
        let Lease { table, epoch } = lease;
        let pause = self.broken.remove(&table).map(|until| until - Instant::now());
        let (word, words) = watch::channel(Word::Look(self.wake));
        let follower = Follower::new(Arc::clone(&self.shared), (table.clone(), epoch), words);
        let id = table.clone();
        let task = self.followers.spawn(async move {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            (id, epoch, follower.run().await)
        });
        self.tasks.insert(task.id(), (table.clone(), epoch));
        self.running.insert(table, Running { word, task, epoch });
    }

    fn tell(&self, table: &str, word: Word) {
        if let Some(running) = self.running.get(table) {
            // A follower that ended is told nothing any more.
            let _ = running.word.send(word);
        }
    }

    fn abort(&mut self, table: &str) {
        if let Some(running) = self.running.remove(table) {
            running.task.abort();
        }
    }

    /// Looks whether something was changed: wakes followers, and claims new tables.
    async fn look(&mut self) -> Result<(), CatalogError> {
        let catalog = &self.shared.options.catalog;
        let newest = catalog.newest_wake().await?;
        if newest == self.wake {
            return Ok(());
        }
        let woken = catalog.woken(&self.shared.node, self.wake).await?;
        for (table, _, wake) in &woken {
            self.tell(table, Word::Look(*wake));
        }
        self.wake = newest;
        self.share().await
    }

    /// A follower ended.
    async fn ended(
        &mut self,
        ended: Result<(tokio::task::Id, (TableId, u64, Ended)), tokio::task::JoinError>,
    ) -> Result<(), CatalogError> {
        let (task, table, epoch, how) = match ended {
            Ok((task, (table, epoch, how))) => (task, table, epoch, Some(how)),
            Err(error) => {
                let Some((table, epoch)) = self.tasks.remove(&error.id()) else { return Ok(()) };
                if error.is_cancelled() {
                    return Ok(());
                }
                tracing::error!(table, %error, "the table's loop broke; please report this");
                self.broken.insert(table.clone(), Instant::now() + BROKEN_PAUSE);
                (error.id(), table, epoch, None)
            }
        };
        self.tasks.remove(&task);
        if self.running.get(&table).is_some_and(|running| running.epoch == epoch) {
            self.running.remove(&table);
        }
        let shared = Arc::clone(&self.shared);
        let catalog = &shared.options.catalog;
        match how {
            Some(Ended::Lost) => self.shared.counters.lease_lost(),
            Some(Ended::Fenced(found)) => {
                tracing::warn!(table, found, "a replica has had a later owner");
                catalog.raise_epoch(&table, found).await?;
            }
            Some(Ended::Unregistering) => chores::forget(&shared, &table).await?,
            Some(Ended::Stopped) | None => {
                catalog.release(&shared.node, std::slice::from_ref(&table)).await?;
            }
        }
        Ok(())
    }

    /// The catalog took no report of a follower: its row has changed, or is another node's.
    async fn refused(&mut self, refused: &Refused) -> Result<(), CatalogError> {
        let Refused { table, epoch } = refused;
        if self.running.get(table).is_some_and(|running| running.epoch == *epoch) {
            self.tell(table, Word::Look(self.wake));
        }
        Ok(())
    }

    /// Stops all followers, and lets go of everything.
    async fn drain(&mut self) {
        let options = &self.shared.options;
        for running in self.running.values() {
            let _ = running.word.send(Word::Stop);
        }
        let followers = &mut self.followers;
        let all = async { while followers.join_next().await.is_some() {} };
        if timeout(options.drain / 2, all).await.is_err() {
            self.followers.abort_all();
            while self.followers.join_next().await.is_some() {}
        }
        match timeout(options.drain / 4, options.catalog.leave(&self.shared.node)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "let go of the tables"),
            Err(_) => tracing::warn!("the catalog does not answer: the tables are free in a while"),
        }
    }
}
