//! Retries within a budget of time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// The time that one operation may spend on retries. The budget starts at the first failure, so
/// that a long transfer which fails late is still tried again.
#[derive(Debug)]
pub(crate) struct Budget {
    total: Duration,
    first_failure: Option<Instant>,
    delay: Duration,
}

impl Budget {
    pub(crate) fn new(total: Duration) -> Self {
        Self { total, first_failure: None, delay: DELAY_MIN }
    }

    /// Waits before the next attempt. `false` when the budget is spent.
    pub(crate) async fn wait(&mut self) -> bool {
        let now = Instant::now();
        let since = *self.first_failure.get_or_insert(now);
        if now.duration_since(since) + self.delay > self.total {
            return false;
        }
        sleep(self.delay).await;
        self.delay = (self.delay * 2).min(DELAY_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_end_with_the_budget() {
        let mut budget = Budget::new(Duration::from_secs(10));
        let start = Instant::now();
        let mut attempts = 0;
        while budget.wait().await {
            attempts += 1;
        }
        assert!(start.elapsed() <= Duration::from_secs(10));
        assert_eq!(attempts, 6);
    }
}
