//! A byte budget per second, shared by all transfers of a pass, and whatever its gate hands out.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use table_sync_core::BoxError;
use table_sync_store::ReadError;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::{Event, Progress, TransferGate};

/// Spends bytes at a steady rate; callers wait their turn in order.
pub(crate) struct Rate {
    bytes_per_second: Option<NonZeroU64>,
    gate: Option<Arc<dyn TransferGate>>,
    free_at: Mutex<Option<Instant>>,
}

impl Rate {
    pub(crate) fn new(
        bytes_per_second: Option<NonZeroU64>,
        gate: Option<Arc<dyn TransferGate>>,
    ) -> Self {
        Self { bytes_per_second, gate, free_at: Mutex::new(None) }
    }

    fn is_limited(&self) -> bool {
        self.bytes_per_second.is_some() || self.gate.is_some()
    }

    /// Waits until `bytes` may pass.
    pub(crate) async fn take(&self, bytes: usize) {
        self.take_turn(bytes).await;
        if let Some(gate) = &self.gate {
            gate.take(bytes).await;
        }
    }

    async fn take_turn(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        let wait_until = {
            let mut free_at = self.free_at.lock().await;
            let now = Instant::now();
            let start = free_at.map_or(now, |at| at.max(now));
            *free_at = Some(start + cost);
            start
        };
        sleep_until(wait_until).await;
    }
}

/// The body, counted and held to the bandwidth limit.
pub(crate) fn metered(
    rate: &Arc<Rate>,
    progress: &Arc<dyn Progress>,
    body: BoxStream<'static, Result<Bytes, ReadError>>,
) -> BoxStream<'static, Result<Bytes, BoxError>> {
    let progress = Arc::clone(progress);
    let counted = body.map(move |chunk| {
        let chunk = chunk?;
        progress.event(Event::Read { bytes: chunk.len() as u64 });
        Ok::<_, BoxError>(chunk)
    });
    if !rate.is_limited() {
        return counted.boxed();
    }
    let rate = Arc::clone(rate);
    counted
        .then(move |chunk| {
            let rate = Arc::clone(&rate);
            async move {
                if let Ok(chunk) = &chunk {
                    rate.take(chunk.len()).await;
                }
                chunk
            }
        })
        .boxed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_pass_at_the_configured_rate() {
        let rate = Rate::new(NonZeroU64::new(1_000), None);
        let start = Instant::now();
        for _ in 0..5 {
            rate.take(500).await;
        }
        // The first half second's worth passes at once; the four others wait their turn.
        assert_eq!(start.elapsed().as_millis(), 2_000);
    }
}
