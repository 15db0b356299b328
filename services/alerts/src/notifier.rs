//! The notifier: tells receivers what they were not told yet.
//!
//! # Invariants
//! - A message is sent by whoever holds the claims of its alerts, and noted after it arrived. So
//!   one that ends in between is followed by another message, and nothing is lost.
//! - A receiver that is slow or down delays no other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use driftless_catalog::{Audience, Catalog, Due};
use http::Uri;

use crate::message::{Message, messages};
use crate::receiver::Receiver;
use crate::service::ClockFn;
use crate::webhook::{NotSent, TIMEOUT, Webhook};

/// Alerts that are claimed at once.
const CLAIMED_MAX: usize = 500;

/// Claims of one turn: what is due again at once must not keep a turn from ending.
const CLAIMS_MAX: usize = 100;

/// How long a claim is good for: for a few messages to a receiver that takes its time.
const CLAIM: Duration = Duration::from_secs(60);

/// Waits before another try: the first, and the longest.
const RETRY_MIN_MS: i64 = 5_000;
const RETRY_MAX_MS: i64 = 5 * 60_000;

/// One receiver, and the connections to it.
pub(crate) struct Line {
    receiver: Receiver,
    uri: Uri,
    webhook: Webhook,
}

/// What all lines have in common.
pub(crate) struct Notifier {
    pub(crate) catalog: Catalog,
    pub(crate) lines: Vec<Line>,
    pub(crate) external_url: String,
    pub(crate) repeat: Duration,
    pub(crate) clock: ClockFn,
}

impl Line {
    pub(crate) fn new(receiver: Receiver) -> Result<Self, crate::service::StartError> {
        let uri = receiver.uri()?;
        let webhook = Webhook::new(&uri)?;
        Ok(Self { receiver, uri, webhook })
    }
}

impl Notifier {
    /// Tells everybody what is due. Answers how many messages arrived.
    pub(crate) async fn notify(&self) -> usize {
        let all = self.lines.iter().map(|line| async move {
            match self.tell(line).await {
                Ok(sent) => sent,
                Err(error) => {
                    let error = table_sync_core::with_causes(&error);
                    tracing::warn!(receiver = line.receiver.name, error, "read what is to be told");
                    0
                }
            }
        });
        futures::future::join_all(all).await.into_iter().sum()
    }

    async fn tell(&self, line: &Line) -> driftless_catalog::Result<usize> {
        let severities = line.receiver.severities();
        let audience = Audience {
            receiver: &line.receiver.name,
            severities: &severities,
            projects: &line.receiver.projects,
            repeat_ms: millis(self.repeat),
            claim_ms: millis(CLAIM),
        };
        let mut sent = 0;
        for _ in 0..CLAIMS_MAX {
            let claimed_ms = (self.clock)();
            let dues = self.catalog.due_notifications(audience, claimed_ms, CLAIMED_MAX).await?;
            if dues.is_empty() {
                break;
            }
            let mut rest = messages(&line.receiver, dues, &self.external_url).into_iter();
            let mut is_down = false;
            for message in rest.by_ref() {
                match self.send(line, &message).await? {
                    Ok(()) => sent += 1,
                    Err(error) => is_down = error.is_receiver_down(),
                }
                // The claim must outlast the next message.
                let used_ms = (self.clock)() - claimed_ms;
                if is_down || used_ms > millis(CLAIM) - 2 * millis(TIMEOUT) {
                    break;
                }
            }
            let unsent: Vec<Due> = rest.flat_map(|message| message.dues).collect();
            let wait_ms = if is_down { RETRY_MIN_MS } else { 0 };
            let next_ms = (self.clock)() + wait_ms;
            self.catalog.not_notified(&line.receiver.name, &unsent, next_ms).await?;
            if is_down {
                break;
            }
        }
        Ok(sent)
    }

    /// Sends one message, and notes how it went.
    async fn send(
        &self,
        line: &Line,
        message: &Message,
    ) -> driftless_catalog::Result<Result<(), NotSent>> {
        let name = &line.receiver.name;
        let now_ms = (self.clock)();
        let content: (_, Bytes) = (message.content_type, message.body.clone());
        let key = (line.receiver.secret.as_deref(), now_ms);
        let outcome = line.webhook.post(&line.uri, content, key).await;
        match &outcome {
            Ok(()) => self.catalog.notified(name, &message.dues, (self.clock)()).await?,
            Err(error) => {
                let tries = message.dues.iter().map(|due| due.tries).max().unwrap_or(0);
                let wait_ms = wait_ms(tries);
                let error = table_sync_core::with_causes(error);
                let alerts = message.dues.len();
                tracing::warn!(receiver = name, alerts, tries, wait_ms, error, "send alerts");
                let next_ms = (self.clock)() + wait_ms;
                self.catalog.not_notified(name, &message.dues, next_ms).await?;
            }
        }
        Ok(outcome)
    }
}

fn wait_ms(tries: i64) -> i64 {
    let doubled = u32::try_from(tries.clamp(0, 16)).unwrap_or(0);
    RETRY_MIN_MS.saturating_mul(1 << doubled).min(RETRY_MAX_MS)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) type SharedNotifier = Arc<Notifier>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound() {
        let waits: Vec<_> = [0, 1, 5, 6, 7, 1_000].map(wait_ms).into();
        assert_eq!(waits, [5_000, 10_000, 160_000, 300_000, 300_000, 300_000]);
    }
}
