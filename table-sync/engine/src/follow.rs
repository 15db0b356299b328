//! Following a source: a pass after every commit, and a look now and then.

use std::sync::Arc;
use std::time::Duration;

use table_sync_core::Position;
use tokio::time::{Instant, sleep};

use crate::{Options, PassReport, Progress, Source, Target, pass};

/// Shortest and longest wait between two polls of the source.
const POLL_MIN: Duration = Duration::from_millis(250);
const POLL_MAX: Duration = Duration::from_secs(10);

/// At the latest after this long the whole pass is repeated, so that objects which came late are
/// attached and a replaced source is noticed.
const PASS_EVERY: Duration = Duration::from_secs(30);

/// Repeats passes until the future is dropped. `each` gets every pass's report and says whether
/// to go on.
///
/// Between passes the source is asked for the next commit only. The interval adapts: it halves
/// after a pass that published something and grows while nothing comes.
pub async fn follow(
    source: &Source,
    targets: &[Target],
    options: &Options,
    progress: Arc<dyn Progress>,
    mut each: impl FnMut(&PassReport) -> bool,
) {
    let mut interval = POLL_MIN;
    loop {
        let report = pass(source, targets, options, Arc::clone(&progress)).await;
        let published = report.targets.iter().any(|target| !target.published.is_empty());
        interval = if published { POLL_MIN.max(interval / 2) } else { grown(interval) };
        if !each(&report) {
            return;
        }
        let in_step = report.targets.iter().all(|target| target.head == report.source_head);
        let head = report.source_head.filter(|_| in_step);
        interval = wait_for_commit(source, head, interval).await;
    }
}

fn grown(interval: Duration) -> Duration {
    (interval * 3 / 2).min(POLL_MAX)
}

/// Waits until the source may have moved. Targets that are not in step are tried again after
/// one interval, whatever the source does.
async fn wait_for_commit(
    source: &Source,
    head: Option<Position>,
    mut interval: Duration,
) -> Duration {
    let deadline = Instant::now() + PASS_EVERY;
    loop {
        sleep(interval).await;
        let Some(head) = head else { return interval };
        // An error here is left to the pass, which retries and reports it.
        if !matches!(source.log.moved_past(head).await, Ok(false)) || Instant::now() >= deadline {
            return interval;
        }
        interval = grown(interval);
    }
}
