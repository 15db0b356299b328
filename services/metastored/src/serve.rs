//! The listening socket: connections, their number, and how they end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::answer::ANSWER_BYTES_MAX;
use crate::connection::{Ended, run};
use crate::service::Metastore;
use crate::{Limits, Options, Tls};

/// How long calls may take to end once the service ends.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Pause after an accept that failed, for lack of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that wait to be accepted; the system may have a lower limit.
const QUEUE: u32 = 4_096;

/// How long a client may take to agree on keys.
const GREETING_TIME: Duration = Duration::from_secs(10);

/// Calls that are worked on at once.
const WORKING_MAX: usize = 64;

/// Long calls at once: each may take as much memory as a message may have bytes.
const LONG_CALLS_MAX: usize = 16;

/// What connections share.
pub(crate) struct Shared {
    pub(crate) metastore: Metastore,
    tls: Option<Tls>,
    pub(crate) limits: Limits,
    /// Ends the connection that is idle longest.
    pub(crate) make_room: Notify,
    /// Calls that are worked on.
    pub(crate) working: Semaphore,
    /// Long calls that arrive, or are worked on.
    pub(crate) long_calls: Semaphore,
    /// Room for long answers that wait for their clients, KiB.
    pub(crate) answers_kib: Semaphore,
    /// Becomes true when the service ends.
    pub(crate) shutdown: watch::Receiver<bool>,
}

/// Opens the socket that [`serve`] takes.
///
/// Trino connects anew for each call, and many calls come at once: with a short queue their
/// connections would be refused, and tried again a second later.
///
/// # Errors
/// The address cannot be used.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Answers calls until `shutdown`, then lets those that run come to their end.
pub async fn serve(listener: TcpListener, options: Options, shutdown: impl Future<Output = ()>) {
    let Options { catalog, project, site, trino_catalog, snapshots, tls, limits } = options;
    let (over, receiver) = watch::channel(false);
    let shared = Arc::new(Shared {
        metastore: Metastore { catalog, project, site, trino_catalog, snapshots },
        tls,
        limits,
        make_room: Notify::new(),
        working: Semaphore::new(WORKING_MAX),
        long_calls: Semaphore::new(LONG_CALLS_MAX),
        answers_kib: Semaphore::new(2 * ANSWER_BYTES_MAX / 1024),
        shutdown: receiver,
    });
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let accepted = listener.accept().await;
            (accepted, place(&places, &shared).await)
        };
        let next = tokio::select! {
            next = next => next,
            () = &mut shutdown => break,
        };
        match next {
            (Ok((stream, _)), Some(place)) => connect(stream, &shared, place),
            // Nobody closes the semaphore.
            (_, None) => break,
            (Err(error), _) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let _ = over.send(true);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ended = tokio::time::timeout(DRAIN_TIME, places.acquire_many(all)).await;
}

/// A place for one more connection; where there is none, the one that is idle longest makes room.
async fn place(places: &Arc<Semaphore>, shared: &Shared) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    shared.make_room.notify_one();
    Arc::clone(places).acquire_owned().await.ok()
}

fn connect(stream: TcpStream, shared: &Arc<Shared>, place: OwnedSemaphorePermit) {
    // Answers are small and are waited for.
    let _ = stream.set_nodelay(true);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Err(error) = answer(stream, &shared).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        }
        drop(place);
    });
}

async fn answer(stream: TcpStream, shared: &Shared) -> Result<(), Ended> {
    let Some(tls) = &shared.tls else { return run(stream, shared).await };
    let greeted = tokio::time::timeout(GREETING_TIME, tls.acceptor().accept(stream)).await;
    run(greeted.map_err(|_| Ended::Slow)??, shared).await
}
