//! The listening socket: connections, their limits, and how they end.
//!
//! A head has ten seconds, so that a slow sender holds nothing for long. What is longer than the
//! buffer is refused here, without a body; the guard refuses what is longer than is allowed.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Buffer of a connection. It may grow to twice this before a head is given up.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long a head may take, also on a connection that is kept open.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Connections at once; more wait in the socket's queue.
const CONNECTIONS_MAX: usize = 1_024;

/// How long requests may take to end once the service ends. Streams are cut off then; their
/// readers go on elsewhere with `Last-Event-ID`.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Pause after an accept that failed, for lack of file descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Answers requests until `shutdown`, then lets those that run come to their end.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let permit = connections.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let next = tokio::select! {
            next = next => next,
            () = &mut shutdown => break,
        };
        match next {
            (Ok(permit), Ok(accepted)) => connect(accepted, &router, &graceful, permit),
            // Nobody closes the semaphore.
            (Err(_), _) => break,
            (_, Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let _ended = tokio::time::timeout(DRAIN_TIME, graceful.shutdown()).await;
}

fn connect(
    (stream, peer): (TcpStream, SocketAddr),
    router: &Router,
    graceful: &GracefulShutdown,
    permit: OwnedSemaphorePermit,
) {
    // An event is small and is to arrive at once.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        }
        drop(permit);
    });
}
