//! Random histories: whatever happens at the source, carrying out the plan closes the gap.
//!
//! # Laws
//! - Progress: after a pass the replica's head is the source's, and the live sets are equal.
//! - Idempotence: planning again gives nothing, and a second pass writes nothing.
//! - Monotony: the head never goes back, also when passes are dropped midway.

use std::collections::BTreeSet;
use std::time::Duration;

use driftless_testdata::builder::{DeletionVector, ODD_KEYS, TableBuilder};
use fastrand::Rng;
use table_sync_core::{PlanInput, Position, Start, plan};

use crate::rig::{Rig, version};

/// Histories of one run; the sweep runs more.
fn histories() -> u64 {
    if std::env::var_os("DRIFTLESS_SOAK").is_some() { 2_000 } else { 40 }
}

const STEPS: usize = 12;

#[tokio::test(start_paused = true)]
async fn every_plan_that_is_carried_out_closes_the_gap() {
    for seed in 0..histories() {
        println!("history of seed {seed}");
        History::new(seed).run().await;
    }
}

struct History {
    rng: Rng,
    rig: Rig,
    table: TableBuilder,
    /// Versions that have a checkpoint.
    based: BTreeSet<u64>,
    head: Option<Position>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut rig = Rig::new();
        rig.options.start = if rng.bool() { Start::Latest } else { Start::Earliest };
        let features = ["deletionVectors", "v2Checkpoint"];
        let table = TableBuilder::new(seed).protocol(3, 7, &features, &features);
        Self { rng, rig, table, based: BTreeSet::new(), head: None }
    }

    async fn run(mut self) {
        self.commit();
        for _ in 0..STEPS {
            for _ in 0..self.rng.usize(1..5) {
                self.change();
            }
            self.show().await;
            if self.rng.u8(0..4) == 0 {
                let patience = Duration::from_micros(self.rng.u64(0..12));
                let _ = tokio::time::timeout(patience, self.rig.pass()).await;
                // What the dropped pass began, readers may see only as a whole.
                self.rig.oracle.assert_clean();
            } else {
                self.pass().await;
            }
        }
        self.pass().await;
        self.assert_closed().await;
    }

    /// One thing that a writer or a maintenance job does.
    fn change(&mut self) {
        let newest = self.table.version();
        let kind = self.rng.u8(0..14);
        match kind {
            0..5 => self.checkpoint(kind),
            5 => self.table = self.table.clone().crc(newest),
            6 => {
                self.checkpoint(0);
                self.table = self.table.clone().clean_log_below(newest);
            }
            7 => {
                // It takes what only older versions need; the checkpoint is the way across.
                self.checkpoint(1);
                self.table = self.table.clone().vacuum();
            }
            _ => self.commit(),
        }
    }

    /// Writes a checkpoint of the newest version, of one kind as writers do.
    fn checkpoint(&mut self, kind: u8) {
        let newest = self.table.version();
        if !self.based.insert(newest) {
            return;
        }
        let (parts, table) = (self.rng.usize(1..4), self.table.clone());
        let table = match kind {
            0 => table.checkpoint_classic(newest),
            1 => table.checkpoint_multipart(newest, parts),
            2 => table.checkpoint_v2_json(newest, parts - 1),
            3 => table.checkpoint_v2_parquet(newest, parts - 1),
            _ => table.checkpoint_v2_classic_name(newest, parts),
        };
        self.table = if self.rng.bool() { table.last_checkpoint(newest) } else { table };
    }

    fn commit(&mut self) {
        let mut live: Vec<String> = match self.table.objects().is_empty() {
            true => Vec::new(),
            false => {
                let files = self.table.live_files(self.table.version());
                files.into_iter().filter_map(|file| file.key).collect()
            }
        };
        self.rng.shuffle(&mut live);
        let rng = &mut self.rng;
        self.table = self.table.clone().commit(|c| {
            let at = c.version();
            for n in 0..rng.usize(0..3) {
                let odd = ODD_KEYS[rng.usize(..ODD_KEYS.len())];
                c.add(&format!("{at}-{n}/{odd}"), rng.u64(1..200));
            }
            if rng.bool()
                && let Some(key) = live.pop()
            {
                c.remove(&key);
            }
            if rng.u8(0..3) == 0
                && let Some(key) = live.pop()
            {
                // More rows each time: a file that is removed and added with the same vector in
                // one commit has no meaning by the protocol.
                let rows = u16::try_from(at).unwrap() + 1;
                let vector = match rng.bool() {
                    true => DeletionVector::inline(rows),
                    false => DeletionVector::relative(0, rows),
                };
                c.delete_rows(&key, vector);
            }
            if rng.u8(0..4) == 0 {
                c.cdc(&format!("changes-{at}"), 9);
            }
            c.txn("app", at)
        });
    }

    /// Makes the source what the table is now.
    async fn show(&self) {
        let objects = self.table.objects();
        for version in 0..=self.table.version() {
            let gone = self.table.publish_objects(version).into_iter();
            let gone = gone.filter(|key| key.starts_with("_change_data/"));
            gone.filter(|key| !objects.contains_key(key))
                .for_each(|key| self.rig.oracle.lose(&key));
        }
        self.rig.replace_source(objects).await;
    }

    async fn pass(&mut self) {
        let report = self.rig.pass().await;
        assert!(report.blocked.is_none() && report.failure.is_none(), "{report:?}");
        assert!(report.start >= self.head && report.head >= report.start, "{report:?}");
        assert!(report.published.is_sorted(), "{report:?}");
        assert_eq!(report.head, Some(version(self.table.version())), "{report:?}");
        self.rig.oracle.assert_at(self.table.version());
        self.head = report.head;
    }

    async fn assert_closed(&self) {
        let rig = &self.rig;
        let head = version(self.table.version());
        let replica = rig.target.log.observe(None).await.unwrap();
        let source = rig.source.log.observe(replica.head).await.unwrap();
        let input = PlanInput {
            source: &source,
            replica: &replica,
            start: rig.options.start,
            until: None,
            avoid: &BTreeSet::new(),
        };
        let again = plan(&input);
        assert!(again.publications.is_empty() && again.refusal.is_none(), "{again}");
        let target = rig.target.reader.observe(None).await.unwrap();
        let there = rig.source.log.live_digest(&source, head).await.unwrap();
        assert_eq!(rig.target.reader.live_digest(&target, head).await.unwrap(), there);
        let writes = rig.recorded.inner().mutations().len();
        rig.pass().await;
        assert_eq!(rig.recorded.inner().mutations().len(), writes, "an idle pass wrote");
    }
}
