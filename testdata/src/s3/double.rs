//! The double as a test holds it: start, set up, script, look.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;

use super::config::Config;
use super::record::{Action, MutationInfo, Outcome, ReadAction, ReadInfo, RequestRecord};
use super::server::serve;
use super::state::{Object, Shared, State};

/// An S3 server in this process, in memory, on a loopback port of its own.
///
/// It stands in for a real server only where a test scripts faults; see the module. It runs on
/// threads of its own, so sync tests, async tests and child processes can all be its clients.
/// Dropping it closes all connections.
///
/// Addresses are path-style: `http://127.0.0.1:PORT/bucket/key`.
///
/// # Panics
/// Its methods panic where a test cannot go on: no free port, an unknown bucket in set-up.
pub struct S3Double {
    address: SocketAddr,
    shared: Arc<Shared>,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for S3Double {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Double").field("address", &self.address).finish_non_exhaustive()
    }
}

impl S3Double {
    /// Starts a server; it accepts connections when this returns.
    pub fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
        listener.set_nonblocking(true).expect("make the listener asynchronous");
        let address = listener.local_addr().expect("read the bound address");
        let shared = Arc::new(Shared::new(config));
        let (shutdown, stop) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("s3-double".to_owned())
            .spawn(move || run(listener, served, stop))
            .expect("start the server's thread");
        Self { address, shared, shutdown: Some(shutdown), thread: Some(thread) }
    }

    /// Base address without a trailing slash: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the behaviour of the server for requests that arrive from now on. New names in
    /// [`Config::buckets`] have no effect: see [`S3Double::create_bucket`].
    pub fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        self.shared.reconfigure(change);
    }

    /// Makes a bucket, if it does not exist.
    pub fn create_bucket(&self, bucket: &str) {
        self.shared.lock().buckets.entry(bucket.to_owned()).or_default();
    }

    /// Stores an object directly: no request, no mutation, visible to listings at once if none
    /// lag.
    pub fn put_object(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) {
        let object = Object::new(bytes.into());
        self.shared.lock().set(bucket, key, Some(object)).expect("find the bucket");
    }

    /// Removes an object directly; whether it was there.
    pub fn remove(&self, bucket: &str, key: &str) -> bool {
        let mut state = self.shared.lock();
        let found = state.object(bucket, key).is_ok();
        if found {
            state.set(bucket, key, None).expect("find the bucket");
        }
        found
    }

    /// All objects of a bucket, by key; empty for a bucket that does not exist.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Bytes> {
        let state = self.shared.lock();
        let objects = state.buckets.get(bucket);
        objects.into_iter().flatten().map(|(k, object)| (k.clone(), object.bytes.clone())).collect()
    }

    /// Bytes of one object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.shared.lock().object(bucket, key).ok().map(|object| object.bytes.clone())
    }

    /// Uploads of a bucket that are neither complete nor aborted: upload id to key and count of
    /// parts.
    pub fn uploads(&self, bucket: &str) -> BTreeMap<String, (String, usize)> {
        let state = self.shared.lock();
        state
            .uploads
            .iter()
            .filter(|(_, upload)| upload.bucket == bucket)
            .map(|(id, upload)| (id.clone(), (upload.key.clone(), upload.parts.len())))
            .collect()
    }

    /// Makes all unfinished uploads older by `age`.
    pub fn age_uploads(&self, age: Duration) {
        for upload in self.shared.lock().uploads.values_mut() {
            upload.initiated -= age;
        }
    }

    /// Ends the lag of listings for all changes so far.
    pub fn settle_listings(&self) {
        self.shared.lock().settle();
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.lock().records.clone()
    }

    /// Takes the record of requests and starts a new one: for a test that counts the requests
    /// of one step. Numbers of mutations go on.
    ///
    /// # Panics
    /// If a request is still pending.
    pub fn take_requests(&self) -> Vec<RequestRecord> {
        let mut state = self.shared.lock();
        let pending = state.records.iter().find(|record| record.outcome == Outcome::Pending);
        assert!(pending.is_none(), "a request is still pending: {pending:?}");
        std::mem::take(&mut state.records)
    }

    /// All mutations so far, by number.
    pub fn mutations(&self) -> Vec<MutationInfo> {
        self.shared.lock().mutations.clone()
    }

    /// Installs the hook of mutations, in place of an earlier one.
    ///
    /// It is called with the mutation's number before and after each mutation, on a thread of
    /// its own: it may block, and other requests go on meanwhile. A hook that panics closes
    /// the connection of its request.
    pub fn on_mutation(&self, hook: impl Fn(u64, &MutationInfo) -> Action + Send + Sync + 'static) {
        let mut slot = self.shared.mutation_hook.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(Arc::new(hook));
    }

    /// Installs the hook of reads (GET and HEAD, listings too), in place of an earlier one. It
    /// is called when the answer is ready and may block.
    pub fn on_read(&self, hook: impl Fn(&ReadInfo) -> ReadAction + Send + Sync + 'static) {
        let mut slot = self.shared.read_hook.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(Arc::new(hook));
    }

    /// Removes both hooks.
    pub fn clear_hooks(&self) {
        *self.shared.mutation_hook.write().unwrap_or_else(PoisonError::into_inner) = None;
        *self.shared.read_hook.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits until a hook stops the server; the number of the mutation that did, or `None` when
    /// `limit` has passed.
    pub fn wait_stopped(&self, limit: Duration) -> Option<u64> {
        self.wait(limit, |state| state.stopped)
    }

    /// Waits until `count` requests of the record have ended, in whatever way; false when
    /// `limit` has passed. A client whose connection was cut learns nothing of the other end.
    pub fn wait_ended(&self, count: usize, limit: Duration) -> bool {
        let is_ended = |record: &&RequestRecord| record.outcome != Outcome::Pending;
        let ended = |state: &State| state.records.iter().filter(is_ended).count();
        self.wait(limit, |state| (ended(state) >= count).then_some(())).is_some()
    }

    /// Waits until `find` finds something.
    fn wait<T>(&self, limit: Duration, find: impl Fn(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = find(&state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Number of the mutation that stopped the server, while it is stopped.
    pub fn stopped(&self) -> Option<u64> {
        self.shared.lock().stopped
    }

    /// Lets a stopped server go on. Requests that hang, of a stop or of [`Action::Hang`], lose
    /// their connection; they are never applied later.
    pub fn resume(&self) {
        let mut state = self.shared.lock();
        state.stopped = None;
        self.shared.resumes.send_modify(|resumes| *resumes += 1);
    }
}

impl Drop for S3Double {
    fn drop(&mut self) {
        drop(self.shutdown.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread has been printed already.
            let _ = thread.join();
        }
    }
}

fn run(listener: TcpListener, shared: Arc<Shared>, stop: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("s3-double-worker")
        .enable_all()
        .build()
        .expect("start the server's runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("adopt the listener");
        tokio::select! {
            () = accept(listener, shared) => {}
            // An error is the drop of the sender: both say stop.
            _ = stop => {}
        }
    });
    // Not a plain drop: a hook that blocks for ever must not block the end of its test.
    runtime.shutdown_background();
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: leave the connections time to end.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Only latency is lost when this fails.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&shared), request));
            // Errors of a connection are the client's business and often the test's intent.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
