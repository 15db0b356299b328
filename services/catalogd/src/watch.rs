//! `GET /v1/watch`: events as they happen, over server-sent events.
//!
//! One poller reads the catalog for all streams; it runs while there is one. Each stream knows the
//! last event that it has passed. What the poller tells may be lost or late: a stream that finds a
//! hole reads the catalog itself.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use driftless_catalog::{Catalog, Event, EventFilter, Page as Part};
use futures::Stream;
use futures::stream;
use http::HeaderMap;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use utoipa::IntoParams;

use crate::Service;
use crate::auth::Caller;
use crate::error::{Answer, ApiError};

/// How often the catalog is asked for new events.
const POLL: Duration = Duration::from_millis(250);

/// Pause between comments that keep a silent stream open.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a stream lives. Its reader comes back with the last event that it saw, and with a
/// token that is still good.
const STREAM_TIME: Duration = Duration::from_secs(15 * 60);

/// Events that are read at once.
const BATCH: usize = 500;

/// Batches that a slow stream may be behind before it reads the catalog itself.
const BATCHES_HELD: usize = 16;

/// What the poller tells: the newest event's number, and the events since it told last.
type News = (i64, Arc<[Event]>);

/// The poller, and who listens to it.
#[derive(Debug)]
pub(crate) struct Hub {
    catalog: Catalog,
    wake: Option<watch::Receiver<()>>,
    news: Mutex<Option<broadcast::Sender<News>>>,
    streams: Arc<Semaphore>,
}

impl Hub {
    pub(crate) fn new(
        catalog: Catalog,
        wake: Option<watch::Receiver<()>>,
        streams_max: usize,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(streams_max));
        Self { catalog, wake, news: Mutex::new(None), streams }
    }

    /// Listens; starts the poller where it does not run.
    fn listen(self: &Arc<Self>) -> broadcast::Receiver<News> {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = news.as_ref() {
            return sender.subscribe();
        }
        let (sender, receiver) = broadcast::channel(BATCHES_HELD);
        *news = Some(sender.clone());
        let hub = self.clone();
        tokio::spawn(async move { hub.poll(sender).await });
        receiver
    }

    async fn poll(&self, sender: broadcast::Sender<News>) {
        let mut wake = self.wake.clone();
        let mut told: Option<i64> = None;
        loop {
            match self.look(told).await {
                Ok((newest, events)) if told != Some(newest) => {
                    told = Some(newest);
                    // Nobody listens: the end is decided below.
                    let _ = sender.send((newest, events.into()));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "read events failed");
                }
            }
            if self.is_over(&sender) {
                return;
            }
            pause(&mut wake).await;
        }
    }

    /// What is new. The first look tells only where the events stand.
    async fn look(&self, told: Option<i64>) -> driftless_catalog::Result<(i64, Vec<Event>)> {
        let Some(told) = told else { return Ok((self.catalog.newest_event().await?, Vec::new())) };
        let filter = EventFilter::default();
        let events = self.catalog.events(&filter, Part::After(told), BATCH).await?;
        Ok((events.last().map_or(told, |event| event.seq), events))
    }

    /// Ends the poller where nobody listens; the next listener starts another.
    fn is_over(&self, sender: &broadcast::Sender<News>) -> bool {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let over = sender.receiver_count() == 0;
        if over {
            *news = None;
        }
        over
    }
}

async fn pause(wake: &mut Option<watch::Receiver<()>>) {
    let woken = match wake {
        Some(receiver) => {
            tokio::select! {
                changed = receiver.changed() => changed,
                () = tokio::time::sleep(POLL) => Ok(()),
            }
        }
        None => {
            tokio::time::sleep(POLL).await;
            Ok(())
        }
    };
    if woken.is_err() {
        // Its sender is gone: polling alone goes on.
        *wake = None;
    }
}

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WatchQuery {
    /// Those after this one; the header `Last-Event-ID` says the same and goes first.
    from: Option<i64>,
    /// About this table, by its name.
    table: Option<String>,
    /// Of this project.
    project: Option<String>,
}

/// Follow events
///
/// Server-sent events: `id` is the event's number, `event` its kind, `data` the event as JSON. It
/// begins after `from`, or with the next event. Where events after `from` are no longer kept, the
/// first event is `gap`, with `{"from", "oldest"}`: read the state anew. A stream ends after 15
/// minutes; come back with `Last-Event-ID`.
#[utoipa::path(get, path = "/v1/watch", tag = "events", operation_id = "watch_events",
    params(WatchQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")),
    responses((status = 200, description = "A stream of events", body = String,
        content_type = "text/event-stream")),
    security(("token" = ["reader"])))]
pub(crate) async fn follow(
    State(api): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Query(query): Query<WatchQuery>,
) -> Answer<Response> {
    let from = from(&headers, query.from)?;
    let project = caller
        .within(query.project.as_deref())
        .map_err(|_| ApiError::not_found("project", query.project.as_deref().unwrap_or("")))?;
    let filter = EventFilter { project, table: query.table };
    let permit = api.hub.streams.clone().try_acquire_owned().map_err(|_| {
        ApiError::unavailable("too many streams are open: try again, or read /v1/events")
    })?;
    // Before anything is read, so that nothing falls between the two.
    let news = api.hub.listen();
    let newest = api.catalog().newest_event().await?;
    let oldest = api.catalog().oldest_event().await?;
    let (last, gap) = start(from, newest, oldest);
    let stream =
        Follower { catalog: api.catalog().clone(), filter, news, last, gap, _permit: permit };
    let keep_alive = KeepAlive::new().interval(HEARTBEAT);
    let end = tokio::time::sleep(STREAM_TIME);
    let frames = futures::StreamExt::take_until(stream.frames(), end);
    Ok(Sse::new(frames).keep_alive(keep_alive).into_response())
}

fn from(headers: &HeaderMap, query: Option<i64>) -> Answer<Option<i64>> {
    let last = match headers.get("last-event-id").map(|value| value.to_str()) {
        None | Some(Ok("")) => query,
        Some(text) => {
            let refused = || ApiError::malformed("Last-Event-ID is the number of an event");
            let number = text.ok().and_then(|text| text.parse().ok());
            Some(number.ok_or_else(refused)?)
        }
    };
    match last {
        Some(last) if last < 0 => Err(ApiError::malformed("from is 0 or the number of an event")),
        last => Ok(last),
    }
}

/// Where a stream begins: the last event that it has passed, and a gap to tell of first.
fn start(from: Option<i64>, newest: i64, oldest: Option<i64>) -> (i64, Option<(i64, i64)>) {
    match from {
        None => (newest, None),
        // From another catalog, or from one that was restored to an older point.
        Some(from) if from > newest => (newest, Some((from, newest))),
        Some(from) => {
            let kept = oldest.unwrap_or(newest + 1);
            match from + 1 < kept {
                true => (kept - 1, Some((from, kept))),
                false => (from, None),
            }
        }
    }
}

/// One stream.
struct Follower {
    catalog: Catalog,
    filter: EventFilter,
    news: broadcast::Receiver<News>,
    /// The last event that it has passed, whether or not it was one of its own.
    last: i64,
    gap: Option<(i64, i64)>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The frames, after what was missed.
    fn frames(mut self) -> impl Stream<Item = Result<Frame, Infallible>> {
        let gap = self.gap.take().map(|(from, oldest)| {
            let data = serde_json::json!({ "from": from, "oldest": oldest }).to_string();
            Frame::default().event("gap").data(data)
        });
        let first: Vec<_> = gap.into_iter().collect();
        let rest = stream::unfold((self, true), |(mut follower, missed)| async move {
            let events = match missed {
                true => follower.missed().await,
                false => follower.next().await?,
            };
            let more = missed && events.len() >= BATCH;
            let frames: Vec<_> = events.iter().map(frame).collect();
            Some((frames, (follower, more)))
        });
        let batches = stream::iter([first]);
        futures::StreamExt::flat_map(futures::StreamExt::chain(batches, rest), |frames| {
            stream::iter(frames.into_iter().map(Ok))
        })
    }

    /// Waits for the poller. `None` when it has ended.
    async fn next(&mut self) -> Option<Vec<Event>> {
        match self.news.recv().await {
            Ok((_, events)) if events.first().is_some_and(|first| first.seq <= self.last + 1) => {
                let own = |event: &&Event| event.seq > self.last && self.wants(event);
                let own = events.iter().filter(own).cloned().collect();
                self.last = self.last.max(events.last().map_or(0, |event| event.seq));
                Some(own)
            }
            Ok((newest, _)) if newest <= self.last => Some(Vec::new()),
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Some(self.missed().await),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    fn wants(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        is(&self.filter.project, &event.project) && is(&self.filter.table, &event.table)
    }

    /// What the catalog has beyond the last event.
    async fn missed(&mut self) -> Vec<Event> {
        let read = async {
            // First, so that what is read reaches at least this far.
            let newest = self.catalog.newest_event().await?;
            let part = Part::After(self.last);
            let events = self.catalog.events(&self.filter, part, BATCH).await?;
            driftless_catalog::Result::Ok((newest, events))
        };
        match read.await {
            Ok((newest, events)) => {
                let seen = events.last().map_or(self.last, |event| event.seq);
                self.last = if events.len() < BATCH { newest.max(seen) } else { seen };
                events
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "read events failed");
                Vec::new()
            }
        }
    }
}

fn frame(event: &Event) -> Frame {
    let data = serde_json::to_string(event).unwrap_or_default();
    Frame::default().id(event.seq.to_string()).event(&event.kind).data(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_begins_where_it_was_left() {
        for (from, newest, oldest, expect) in [
            (None, 9, Some(1), (9, None)),
            (None, 0, None, (0, None)),
            (Some(0), 0, None, (0, None)),
            (Some(4), 9, Some(1), (4, None)),
            (Some(4), 9, Some(5), (4, None)),
            (Some(4), 9, Some(6), (5, Some((4, 6)))),
            (Some(4), 9, None, (9, Some((4, 10)))),
            (Some(12), 9, Some(1), (9, Some((12, 9)))),
        ] {
            assert_eq!(start(from, newest, oldest), expect, "{from:?} {newest} {oldest:?}");
        }
    }
}
