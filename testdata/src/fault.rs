//! Fault store: a seeded wrapper that fails the way object stores fail.
//!
//! # Invariants
//! - `Refused` happens before any effect, `LostReply` after the whole effect.
//! - The faults are a function of the seed and the order of the calls, and each is in the log.
//! - A store whose plan is healed passes everything through.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};

/// Operations that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Op {
    /// One PUT of any mode.
    Put,
    /// Start of a multipart upload.
    StartMultipart,
    /// One part of a multipart upload.
    PutPart,
    /// Completion of a multipart upload.
    CompleteMultipart,
    /// Read of an object or a range.
    Get,
    /// Read of the facts of an object.
    Head,
    /// Any listing.
    List,
    /// Removal of one object.
    Delete,
    /// Server-side copy.
    Copy,
}

/// How an operation fails. A kind that makes no sense for the operation refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// An error, and nothing happened.
    Refused,
    /// It happened, and then an error: the caller cannot know.
    LostReply,
    /// Not found once, though it is there.
    NotFound,
    /// A listing without the newest objects, as many as this.
    StaleList(usize),
    /// A body that ends early without an error.
    Truncated,
    /// A body that breaks with an error half-way.
    BrokenBody,
    /// A body with one byte changed.
    WrongBytes,
}

impl Op {
    /// What the seeded plan injects here. Wrong bytes are left to explicit plans: most of them
    /// cannot be told from another content without a checksum.
    fn kinds(self) -> &'static [Kind] {
        use Kind::{BrokenBody, LostReply, NotFound, Refused, StaleList, Truncated};
        match self {
            Self::Put | Self::CompleteMultipart | Self::Delete | Self::Copy => {
                &[Refused, LostReply]
            }
            Self::StartMultipart | Self::PutPart => &[Refused],
            Self::Get => &[Refused, NotFound, Truncated, BrokenBody],
            Self::Head => &[Refused, NotFound],
            Self::List => &[Refused, StaleList(1), StaleList(3)],
        }
    }
}

#[derive(Debug)]
struct Plan {
    rng: fastrand::Rng,
    /// Chance of a fault per operation, 0 to 1.
    rate: f64,
    counts: BTreeMap<Op, u64>,
    explicit: Vec<(Op, u64, Kind)>,
    log: Vec<String>,
}

/// The plan of faults, shared between the test and its stores.
#[derive(Debug, Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

impl Faults {
    /// No faults but explicit ones.
    pub fn none() -> Self {
        Self::with(0, 0.0)
    }

    /// Random faults: each operation fails with this chance. The seed is printed.
    #[allow(clippy::print_stdout, reason = "a random test prints its seed")]
    pub fn seeded(seed: u64, rate: f64) -> Self {
        println!("fault seed {seed}, rate {rate}");
        Self::with(seed, rate)
    }

    fn with(seed: u64, rate: f64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let (counts, explicit, log) = Default::default();
        Self { plan: Arc::new(Mutex::new(Plan { rng, rate, counts, explicit, log })) }
    }

    /// Fails the `n`-th operation of this kind from now on; `n` counts from 1.
    pub fn fail_nth(&self, op: Op, n: u64, kind: Kind) {
        let mut plan = self.lock();
        let at = plan.counts.get(&op).copied().unwrap_or(0) + n;
        plan.explicit.push((op, at, kind));
    }

    /// Ends all faults, explicit ones included.
    pub fn heal(&self) {
        let mut plan = self.lock();
        plan.rate = 0.0;
        plan.explicit.clear();
    }

    /// The faults that were injected, in order.
    pub fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    /// How many operations of this kind were asked for.
    pub fn count(&self, op: Op) -> u64 {
        self.lock().counts.get(&op).copied().unwrap_or(0)
    }

    fn draw(&self, op: Op, key: &str) -> Option<Kind> {
        let mut plan = self.lock();
        let count = plan.counts.entry(op).or_default();
        *count += 1;
        let count = *count;
        let explicit = plan.explicit.iter().position(|(o, n, _)| *o == op && *n == count);
        let kind = match explicit {
            Some(index) => plan.explicit.swap_remove(index).2,
            None if plan.rng.f64() < plan.rate => *plan.rng.choice(op.kinds())?,
            None => return None,
        };
        plan.log.push(format!("{op:?} {count} of {key}: {kind:?}"));
        Some(kind)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Wraps a store with a plan of faults.
#[derive(Debug, Clone)]
pub struct FaultStore<T> {
    inner: Arc<T>,
    faults: Faults,
}

impl<T: ObjectStore> FaultStore<T> {
    /// Wraps a store.
    pub fn new(inner: T, faults: Faults) -> Self {
        Self { inner: Arc::new(inner), faults }
    }

    /// The store inside, without faults.
    pub fn inner(&self) -> &T {
        &self.inner
    }
}

impl<T: ObjectStore> fmt::Display for FaultStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

fn error(op: Op, kind: Kind, key: &str) -> Error {
    let text = format!("injected {kind:?} at {op:?} of {key}");
    match kind {
        Kind::NotFound => Error::NotFound { path: key.to_owned(), source: text.into() },
        _ => Error::Generic { store: "fault", source: text.into() },
    }
}

/// What a fault means for a write: fail now, or fail after the effect.
fn before_write(op: Op, kind: Option<Kind>, key: &str) -> Result<Option<Error>> {
    match kind {
        None => Ok(None),
        Some(Kind::LostReply) => Ok(Some(error(op, Kind::LostReply, key))),
        Some(kind) => Err(error(op, kind, key)),
    }
}

fn after_write<R>(lost: Option<Error>, result: R) -> Result<R> {
    lost.map_or(Ok(result), Err)
}

#[async_trait]
impl<T: ObjectStore> ObjectStore for FaultStore<T> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let kind = self.faults.draw(Op::Put, location.as_ref());
        let lost = before_write(Op::Put, kind, location.as_ref())?;
        after_write(lost, self.inner.put_opts(location, payload, opts).await?)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if let Some(kind) = self.faults.draw(Op::StartMultipart, location.as_ref()) {
            return Err(error(Op::StartMultipart, kind, location.as_ref()));
        }
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        let (faults, key) = (self.faults.clone(), location.as_ref().to_owned());
        Ok(Box::new(Upload { inner, faults, key }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let op = if options.head { Op::Head } else { Op::Get };
        let key = location.as_ref();
        match self.faults.draw(op, key) {
            None => self.inner.get_opts(location, options).await,
            Some(kind @ (Kind::Truncated | Kind::BrokenBody | Kind::WrongBytes))
                if op == Op::Get =>
            {
                damage(self.inner.get_opts(location, options).await?, kind, key).await
            }
            Some(kind) => Err(error(op, kind, key)),
        }
    }

    // Each range goes through `get_opts`, so that it can fail.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            found.push(self.get_range(location, range.clone()).await?);
        }
        Ok(found)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        locations
            .and_then(move |location| {
                let (inner, faults) = (inner.clone(), faults.clone());
                async move {
                    let kind = faults.draw(Op::Delete, location.as_ref());
                    let lost = before_write(Op::Delete, kind, location.as_ref())?;
                    inner.delete(&location).await?;
                    after_write(lost, location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let key = prefix.map_or("", Path::as_ref);
        faulty_list(self.faults.draw(Op::List, key), key, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let key = prefix.map_or("", Path::as_ref);
        let kind = self.faults.draw(Op::List, key);
        faulty_list(kind, key, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let key = prefix.map_or("", Path::as_ref);
        match self.faults.draw(Op::List, key) {
            None => self.inner.list_with_delimiter(prefix).await,
            Some(Kind::StaleList(n)) => {
                let mut found = self.inner.list_with_delimiter(prefix).await?;
                found.objects = without_newest(found.objects, n);
                Ok(found)
            }
            Some(kind) => Err(error(Op::List, kind, key)),
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let kind = self.faults.draw(Op::Copy, to.as_ref());
        let lost = before_write(Op::Copy, kind, to.as_ref())?;
        self.inner.copy_opts(from, to, options).await?;
        after_write(lost, ())
    }
}

fn faulty_list(
    kind: Option<Kind>,
    key: &str,
    inner: BoxStream<'static, Result<ObjectMeta>>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    match kind {
        None => inner,
        Some(Kind::StaleList(n)) => {
            let found = async move {
                let found = without_newest(inner.try_collect().await?, n);
                Ok::<_, Error>(futures::stream::iter(found.into_iter().map(Ok)))
            };
            futures::stream::once(found).try_flatten().boxed()
        }
        Some(kind) => {
            let error = error(Op::List, kind, key);
            futures::stream::once(async move { Err(error) }).boxed()
        }
    }
}

fn without_newest(mut found: Vec<ObjectMeta>, n: usize) -> Vec<ObjectMeta> {
    found.sort_by(|a, b| (a.last_modified, &a.location).cmp(&(b.last_modified, &b.location)));
    found.truncate(found.len().saturating_sub(n));
    found.sort_by(|a, b| a.location.cmp(&b.location));
    found
}

/// Spoils the body of an answer whose facts are true.
async fn damage(result: GetResult, kind: Kind, key: &str) -> Result<GetResult> {
    let (meta, range, attributes) =
        (result.meta.clone(), result.range.clone(), result.attributes.clone());
    let body = result.bytes().await?;
    let half = body.slice(..body.len() / 2);
    let chunks = match kind {
        Kind::WrongBytes => {
            let mut body = body.to_vec();
            if let Some(byte) = body.last_mut() {
                *byte ^= 1;
            }
            vec![Ok(body.into())]
        }
        Kind::BrokenBody => vec![Ok(half), Err(error(Op::Get, kind, key))],
        _ => vec![Ok(half)],
    };
    let payload = GetResultPayload::Stream(futures::stream::iter(chunks).boxed());
    Ok(GetResult { payload, meta, range, attributes })
}

#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    faults: Faults,
    key: String,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.faults.draw(Op::PutPart, &self.key) {
            None => self.inner.put_part(data),
            Some(kind) => {
                let error = error(Op::PutPart, kind, &self.key);
                Box::pin(async move { Err(error) })
            }
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let kind = self.faults.draw(Op::CompleteMultipart, &self.key);
        let lost = before_write(Op::CompleteMultipart, kind, &self.key)?;
        after_write(lost, self.inner.complete().await?)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
