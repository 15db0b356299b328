//! The gate: how many may work at once, and who is let in next.
//!
//! # Invariants
//! - No more than `places` are inside.
//! - Who waits is let in by the fair order of [`crate::fair`]; who gives up waiting takes no place.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use crate::fair::{FairQueue, Flow};

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Mutex<Inside>>);

#[derive(Debug)]
struct Inside {
    free: usize,
    queue: FairQueue<oneshot::Sender<Place>>,
}

/// A place inside, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Gate);

impl Gate {
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(Inside { free: places.max(1), queue: FairQueue::default() })))
    }

    /// Waits for a place. `cost`: what the work takes of what all share, in any one unit.
    pub(crate) async fn enter(&self, flow: &Flow, cost: u64) -> Place {
        let waiting = {
            let mut inside = self.inside();
            if inside.free > 0 && inside.queue.len() == 0 {
                inside.free -= 1;
                return Place(self.clone());
            }
            let (sender, receiver) = oneshot::channel();
            inside.queue.push(flow, cost, sender);
            receiver
        };
        self.let_in();
        match waiting.await {
            Ok(place) => place,
            // The queue lives as long as this gate does, and never drops a sender unused.
            Err(_) => std::future::pending().await,
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives free places to those that wait.
    fn let_in(&self) {
        loop {
            let sender = {
                let mut inside = self.inside();
                if inside.free == 0 {
                    return;
                }
                let Some(sender) = inside.queue.pop() else { return };
                inside.free -= 1;
                sender
            };
            // A place that nobody takes any more comes back by being dropped, outside the lock.
            if let Err(place) = sender.send(Place(self.clone())) {
                std::mem::forget(place);
                self.inside().free += 1;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.inside().free += 1;
        self.0.let_in();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;

    fn flow(table: usize) -> Flow {
        Flow {
            project: "pp".to_owned(),
            project_weight: 1,
            table: table.to_string(),
            table_weight: 1,
        }
    }

    #[tokio::test]
    async fn no_more_than_allowed_are_inside() {
        let gate = Gate::new(3);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = (0..50).map(async |at| {
            let _place = gate.enter(&flow(at % 7), 1).await;
            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
        });
        join_all(work).await;
        assert_eq!(most.into_inner(), 3);
        assert_eq!(gate.inside().free, 3);
    }

    #[tokio::test]
    async fn who_gives_up_takes_no_place() {
        let gate = Gate::new(1);
        let place = gate.enter(&flow(1), 1).await;
        let mut gives_up = Box::pin(async { drop(gate.enter(&flow(2), 1).await) });
        let flow = flow(3);
        let mut stays = Box::pin(gate.enter(&flow, 1));
        assert!(gives_up.as_mut().now_or_never().is_none());
        assert!(stays.as_mut().now_or_never().is_none());
        drop(gives_up);
        drop(place);
        drop(stays.await);
        assert_eq!(gate.inside().free, 1);
    }
}
