//! The throttle: bytes and requests a second, shared by everybody on this node.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Whoever was idle may take this much at once.
const BURST: Duration = Duration::from_millis(100);

/// Hands out a number of units a second, in the order of asking.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// When all that was handed out is used up.
    spent: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { spent: Mutex::new(None) }
    }

    /// Takes `count` units at a rate of `rate` a second; `None` = no limit.
    pub(crate) async fn take(&self, count: u64, rate: Option<NonZeroU64>) {
        let Some(rate) = rate else { return };
        let cost = Duration::from_secs_f64(count as f64 / rate.get() as f64);
        let turn = {
            let mut spent = self.spent.lock().await;
            let now = Instant::now();
            let from = spent.unwrap_or(now).max(now.checked_sub(BURST).unwrap_or(now));
            *spent = Some(from + cost);
            from
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn units_come_at_the_rate() {
        let throttle = Throttle::new();
        let rate = NonZeroU64::new(1_000);
        let start = Instant::now();
        for _ in 0..100 {
            throttle.take(100, rate).await;
        }
        let taken = start.elapsed().as_millis();
        // The last hundred is used after it was handed out; the first came from the burst.
        assert!((9_700..=10_000).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nobody_waits() {
        let throttle = Throttle::new();
        let start = Instant::now();
        throttle.take(u64::MAX, None).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
