//! One body read once and given to several uploads.
//!
//! Each reader may trail the common read by a bounded number of bytes. A reader that trails
//! further holds the others back for a bounded time, and is then cut off: its body ends with an
//! error, so that its upload fails and never commits a part.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use table_sync_core::BoxError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// What a cut-off reader sees.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("this target fell behind the common read")]
pub(crate) struct FellBehind;

/// What every reader sees when the source fails in mid-body.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the source failed in mid-body: {0}")]
pub(crate) struct SourceCut(pub(crate) String);

type Chunk = Result<(Bytes, OwnedSemaphorePermit), BoxError>;

/// The end of one reader, seen from the common read.
struct Feed {
    sender: mpsc::UnboundedSender<Chunk>,
    budget: Arc<Semaphore>,
}

/// Splits a body. The returned future drives it and must be polled along with the readers; it
/// ends when the body does, or when nobody reads any more.
pub(crate) fn split(
    mut body: BoxStream<'static, Result<Bytes, BoxError>>,
    readers: usize,
    trail_bytes: usize,
    patience: Duration,
) -> (impl Future<Output = ()> + Send, Vec<BoxStream<'static, Result<Bytes, BoxError>>>) {
    let mut feeds = Vec::with_capacity(readers);
    let mut bodies = Vec::with_capacity(readers);
    for _ in 0..readers {
        let (sender, receiver) = mpsc::unbounded_channel();
        feeds.push(Feed { sender, budget: Arc::new(Semaphore::new(trail_bytes)) });
        bodies.push(receive(receiver));
    }
    let drive = async move {
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(bytes) => feed(&mut feeds, &bytes, trail_bytes, patience).await,
                Err(error) => {
                    let cut = SourceCut(error.to_string());
                    for feed in &feeds {
                        // A reader that is gone has nothing to learn.
                        let _ = feed.sender.send(Err(cut.clone().into()));
                    }
                    return;
                }
            }
            if feeds.is_empty() {
                return;
            }
        }
    };
    (drive, bodies)
}

async fn feed(feeds: &mut Vec<Feed>, bytes: &Bytes, trail_bytes: usize, patience: Duration) {
    let cost = u32::try_from(bytes.len().min(trail_bytes)).unwrap_or(u32::MAX);
    let mut kept = Vec::with_capacity(feeds.len());
    let alone = feeds.len() == 1;
    for feed in feeds.drain(..) {
        let turn = Arc::clone(&feed.budget).acquire_many_owned(cost);
        let permit = if alone {
            // Nobody is held back: wait as long as the reader takes, unless it is gone.
            tokio::select! {
                permit = turn => permit.ok(),
                () = feed.sender.closed() => None,
            }
        } else {
            tokio::select! {
                permit = timeout(patience, turn) => permit.ok().and_then(Result::ok),
                () = feed.sender.closed() => None,
            }
        };
        let Some(permit) = permit else {
            // A reader that hung up meanwhile has nothing to learn.
            let _ = feed.sender.send(Err(FellBehind.into()));
            continue;
        };
        if feed.sender.send(Ok((bytes.clone(), permit))).is_ok() {
            kept.push(feed);
        }
    }
    *feeds = kept;
}

fn receive(
    receiver: mpsc::UnboundedReceiver<Chunk>,
) -> BoxStream<'static, Result<Bytes, BoxError>> {
    // The permit of a chunk is given back when the reader asks for the next one: by then the
    // chunk was written out.
    let state = (receiver, None::<OwnedSemaphorePermit>);
    futures::stream::unfold(state, |(mut receiver, permit)| async move {
        drop(permit);
        match receiver.recv().await? {
            Ok((bytes, permit)) => Some((Ok(bytes), (receiver, Some(permit)))),
            Err(error) => Some((Err(error), (receiver, None))),
        }
    })
    .boxed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn body(chunks: usize, bytes: usize) -> BoxStream<'static, Result<Bytes, BoxError>> {
        let chunk = move |at: usize| Ok(Bytes::from(vec![u8::try_from(at % 251).unwrap(); bytes]));
        futures::stream::iter((0..chunks).map(chunk)).boxed()
    }

    async fn collect(
        mut body: BoxStream<'static, Result<Bytes, BoxError>>,
    ) -> Result<usize, String> {
        let mut total = 0;
        while let Some(chunk) = body.next().await {
            total += chunk.map_err(|error| error.to_string())?.len();
        }
        Ok(total)
    }

    #[tokio::test(start_paused = true)]
    async fn every_reader_gets_the_whole_body() {
        let (drive, bodies) = split(body(100, 1000), 3, 4096, Duration::from_secs(2));
        let readers = futures::future::join_all(bodies.into_iter().map(collect));
        let ((), got) = futures::join!(drive, readers);
        assert_eq!(got, vec![Ok(100_000); 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stalls_is_cut_off_and_the_others_finish() {
        let (drive, mut bodies) = split(body(100, 1000), 2, 4096, Duration::from_secs(2));
        let stalled = bodies.pop().unwrap();
        let (slow, quick) = (stalled, bodies.pop().unwrap());
        let ((), got) = futures::join!(drive, collect(quick));
        assert_eq!(got, Ok(100_000));
        let error = collect(slow).await.unwrap_err();
        assert_eq!(error, "this target fell behind the common read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_hangs_up_does_not_stop_the_others() {
        let (drive, mut bodies) = split(body(100, 1000), 2, 4096, Duration::from_secs(2));
        drop(bodies.pop());
        let ((), got) = futures::join!(drive, collect(bodies.pop().unwrap()));
        assert_eq!(got, Ok(100_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_fails_every_reader() {
        let broken = body(3, 10).chain(futures::stream::iter([Err("reset".into())])).boxed();
        let (drive, bodies) = split(broken, 2, 4096, Duration::from_secs(2));
        let readers = futures::future::join_all(bodies.into_iter().map(collect));
        let ((), got) = futures::join!(drive, readers);
        let cut = Err("the source failed in mid-body: reset".to_owned());
        assert_eq!(got, vec![cut.clone(), cut]);
    }
}
