//! The service: evaluates rules, keeps alerts in the catalog, and has receivers told.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use driftless_catalog::{Alert, Catalog, Result};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::burn::Samples;
use crate::evaluate::{Facts, Firing, evaluate};
use crate::fingerprint::fingerprint;
use crate::notifier::{Line, Notifier, SharedNotifier};
use crate::receiver::{Receiver, ReceiverError};

/// How often it is looked whether a receiver is to be told something.
const NOTIFY_EVERY: Duration = Duration::from_secs(5);

/// Alerts that ended are kept this long.
const KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// How long a stop waits for a message that is on its way.
const STOP: Duration = Duration::from_secs(5);

/// Time of day, ms since the epoch.
pub type ClockFn = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the service works with.
#[derive(Clone)]
pub struct Options {
    /// The catalog.
    pub catalog: Catalog,
    /// Who is told.
    pub receivers: Vec<Receiver>,
    /// Time of day.
    pub clock: ClockFn,
    /// Where people reach the service, without a slash at the end.
    pub external_url: String,
    /// How often the rules are evaluated.
    pub every: Duration,
    /// An alert that nobody has seen for so long has ended. Longer than two evaluations, since
    /// others may evaluate too.
    pub resolve_after: Duration,
    /// An alert that goes on is told again after this.
    pub repeat: Duration,
}

impl Options {
    /// Usual values.
    pub fn new(catalog: Catalog, clock: ClockFn, external_url: impl Into<String>) -> Self {
        Self {
            catalog,
            receivers: Vec::new(),
            clock,
            external_url: external_url.into(),
            every: Duration::from_secs(15),
            resolve_after: Duration::from_secs(40),
            repeat: Duration::from_secs(4 * 60 * 60),
        }
    }
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A receiver that makes no sense.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    /// No TLS.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
}

/// The alerts that go on, the oldest first.
///
/// # Errors
/// What the catalog says.
pub async fn active(catalog: &Catalog) -> Result<Vec<Alert>> {
    catalog.active_alerts().await
}

/// The two halves of the service, one step at a time.
pub struct Cycle {
    options: Options,
    samples: Samples,
    pending: Pending,
    notifier: SharedNotifier,
}

impl Cycle {
    /// From its options.
    ///
    /// # Errors
    /// A receiver that cannot be used.
    pub fn new(options: Options) -> std::result::Result<Self, StartError> {
        let mut names = BTreeSet::new();
        let mut lines = Vec::new();
        for receiver in &options.receivers {
            if !names.insert(&receiver.name) {
                return Err(ReceiverError::Twice(receiver.name.clone()).into());
            }
            lines.push(Line::new(receiver.clone())?);
        }
        let notifier = Arc::new(Notifier {
            catalog: options.catalog.clone(),
            lines,
            external_url: options.external_url.trim_end_matches('/').to_owned(),
            repeat: options.repeat,
            clock: options.clock.clone(),
        });
        Ok(Self { options, samples: Samples::default(), pending: Pending::default(), notifier })
    }

    /// Evaluates all rules, and brings the catalog's alerts in line with them.
    ///
    /// # Errors
    /// What the catalog says.
    pub async fn evaluate(&mut self) -> Result<()> {
        let catalog = &self.options.catalog;
        let now_ms = (self.options.clock)();
        let facts = Facts::read(catalog, &mut self.samples, now_ms).await?;
        let firings = evaluate(&facts, now_ms);
        drop(facts);
        let active = catalog.active_alerts().await?;
        let settled = self.pending.settle(firings, &active, now_ms);
        catalog.raise_alerts(&settled.raised).await?;
        let seen: Vec<&str> = settled.seen.iter().map(String::as_str).collect();
        catalog.see_alerts(&seen, now_ms).await?;
        let resolve_after = i64::try_from(self.options.resolve_after.as_millis());
        let unseen_since_ms = now_ms.saturating_sub(resolve_after.unwrap_or(i64::MAX));
        catalog.end_alerts(unseen_since_ms, now_ms).await?;
        catalog.expire_alerts(now_ms - KEPT_MS).await?;
        Ok(())
    }

    /// Tells receivers what they were not told yet. Answers how many messages arrived; what did
    /// not is tried again later.
    pub async fn notify(&self) -> usize {
        self.notifier.notify().await
    }
}

/// Since when rules apply that must do so for a while. By fingerprint.
#[derive(Debug, Default)]
struct Pending(HashMap<String, i64>);

#[derive(Debug, Default, PartialEq)]
struct Settled {
    /// Alerts that begin, or whose annotations change.
    raised: Vec<Alert>,
    /// Alerts that go on unchanged.
    seen: Vec<String>,
}

impl Pending {
    fn settle(&mut self, firings: Vec<Firing>, active: &[Alert], now_ms: i64) -> Settled {
        let active: HashMap<&str, &Alert> =
            active.iter().map(|alert| (alert.fingerprint.as_str(), alert)).collect();
        let mut before = std::mem::take(&mut self.0);
        let mut settled = Settled::default();
        for firing in firings {
            let fingerprint = fingerprint(&firing.labels);
            match active.get(fingerprint.as_str()) {
                // What was told goes on without waiting, also after a restart.
                Some(alert) if alert.annotations == firing.annotations => {
                    settled.seen.push(fingerprint);
                }
                Some(_) => settled.raised.push(begun(firing, fingerprint, now_ms)),
                None if !firing.is_certain => {}
                None => {
                    let since_ms = before.remove(&fingerprint).unwrap_or(now_ms);
                    if now_ms - since_ms >= firing.hold_ms {
                        settled.raised.push(begun(firing, fingerprint, now_ms));
                    } else {
                        self.0.insert(fingerprint, since_ms);
                    }
                }
            }
        }
        settled
    }
}

fn begun(firing: Firing, fingerprint: String, now_ms: i64) -> Alert {
    Alert {
        fingerprint,
        name: firing.rule.name.to_owned(),
        severity: firing.labels.get("severity").cloned().unwrap_or_default(),
        project: firing.labels.get("project").cloned(),
        labels: firing.labels,
        annotations: firing.annotations,
        starts_ms: now_ms,
        ends_ms: None,
        seen_ms: now_ms,
    }
}

/// The service.
#[derive(Debug)]
pub struct Alerts;

impl Alerts {
    /// Starts it on the current runtime.
    ///
    /// # Errors
    /// A receiver that cannot be used.
    pub fn start(options: Options) -> std::result::Result<AlertsHandle, StartError> {
        let every = options.every;
        let cycle = Cycle::new(options)?;
        let notifier = cycle.notifier.clone();
        let (stop, stopped) = watch::channel(false);
        let evaluated = Arc::new(Notify::new());
        let evaluator =
            tokio::spawn(evaluate_all(cycle, every, evaluated.clone(), stopped.clone()));
        let teller = tokio::spawn(notify_all(notifier, evaluated, stopped));
        Ok(AlertsHandle { stop, tasks: [evaluator, teller] })
    }
}

/// The running service. It ends when this is dropped.
#[derive(Debug)]
pub struct AlertsHandle {
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl AlertsHandle {
    /// Stops it. A message that is on its way has some seconds to arrive.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = timeout(STOP, futures::future::join_all(&mut self.tasks)).await;
    }
}

impl Drop for AlertsHandle {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn evaluate_all(
    mut cycle: Cycle,
    every: Duration,
    evaluated: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.changed() => return,
        }
        match cycle.evaluate().await {
            Ok(()) => evaluated.notify_one(),
            Err(error) => {
                let error = table_sync_core::with_causes(&error);
                tracing::warn!(error, "evaluate alert rules");
            }
        }
    }
}

async fn notify_all(
    notifier: SharedNotifier,
    evaluated: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ticks = interval(NOTIFY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = evaluated.notified() => {}
            _ = stopped.changed() => return,
        }
        notifier.notify().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule;

    fn firing(hold_ms: i64, summary: &str, is_certain: bool) -> Firing {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Firing {
            rule: &rule::ALL[0],
            labels: [pair("alertname", rule::ALL[0].name), pair("severity", "page")].into(),
            annotations: [pair("summary", summary)].into(),
            hold_ms,
            is_certain,
        }
    }

    /// `(raised, seen)`
    #[track_caller]
    fn check(
        pending: &mut Pending,
        fires: Option<Firing>,
        active: &[Alert],
        at: i64,
        expect: (usize, usize),
    ) {
        let settled = pending.settle(fires.into_iter().collect(), active, at);
        assert_eq!((settled.raised.len(), settled.seen.len()), expect, "at {at}");
    }

    #[test]
    fn a_rule_must_apply_for_a_while_without_a_break() {
        let mut pending = Pending::default();
        let fires = || Some(firing(100, "a", true));
        check(&mut pending, fires(), &[], 0, (0, 0));
        check(&mut pending, fires(), &[], 99, (0, 0));
        check(&mut pending, None, &[], 100, (0, 0));
        check(&mut pending, fires(), &[], 101, (0, 0));
        check(&mut pending, fires(), &[], 201, (1, 0));
        check(&mut pending, Some(firing(0, "a", true)), &[], 202, (1, 0));
    }

    #[test]
    fn an_alert_that_goes_on_does_not_wait_again() {
        let mut pending = Pending::default();
        let fires = firing(100, "a", true);
        let active = [begun(fires.clone(), fingerprint(&fires.labels), 0)];
        check(&mut pending, Some(fires), &active, 0, (0, 1));
        check(&mut pending, Some(firing(100, "other", true)), &active, 0, (1, 0));
        // What cannot be judged yet ends nothing and begins nothing.
        check(&mut pending, Some(firing(0, "a", false)), &active, 0, (0, 1));
        check(&mut pending, Some(firing(0, "a", false)), &[], 0, (0, 0));
    }
}
