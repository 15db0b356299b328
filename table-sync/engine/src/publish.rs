//! Publish: carry out the writes of one publication at one target, in order, exactly once.
//!
//! A commit becomes visible when its log object is created at the target. All work before that
//! call is invisible; all work after it is bookkeeping.
//!
//! # Invariants
//! - A step starts only when the one before it is done; what is staged is done before the first.
//! - `Create` never overwrites: an object that is there must hold equal bytes, else the target
//!   has diverged and the table halts.
//! - An unknown outcome is resolved by reading back, never by trying again blindly.

use std::path::Path;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use table_sync_core::{
    BlockCode, Blocked, Body, BoxError, Expect, ObjectIdentity, Op, Publication, RelPath, Step,
    Window,
};
use table_sync_store::{Precondition, ReadError, WriteError};

use tokio_util::io::ReaderStream;

use crate::Target;
use crate::lane::{
    Stop, final_stop, source_read_failure, target_read_failure, target_write_failure,
};
use crate::options::object_key;
use crate::report::{Failure, FailureCode};
use crate::retry::Budget;
use crate::transfer::Context;
use crate::windows::Windows;

/// Carries out what must be there before the files of a publication are.
pub(crate) async fn carry_out_ahead(
    context: &Context,
    target: &Target,
    publication: &Publication,
) -> Result<(), Stop> {
    for step in &publication.ahead {
        carry_out_step(context, target, publication, step).await?;
    }
    Ok(())
}

/// Carries out a publication, whose files are there. On `Err` some of its steps may be done; doing
/// all of it again is harmless.
pub(crate) async fn carry_out(
    context: &Context,
    target: &Target,
    publication: &Publication,
    windows: &Windows,
) -> Result<(), Stop> {
    let (progress, position) = (context.progress.as_ref(), publication.position);
    if publication.mends {
        windows.open(progress, &target.url, position);
    }
    carry_out_ahead(context, target, publication).await?;
    let staged = publication.staged.iter();
    let staged: Vec<_> =
        staged.map(|step| carry_out_step(context, target, publication, step).boxed()).collect();
    let at_once = context.options.transfers.get();
    stream::iter(staged).buffer_unordered(at_once).try_collect::<()>().await?;
    for step in &publication.steps {
        if publication.window != Window::None && step.reveals.is_some() {
            windows.open(progress, &target.url, position);
        }
        carry_out_step(context, target, publication, step).await?;
    }
    if publication.window != Window::Beyond {
        windows.close(progress, &target.url);
    }
    Ok(())
}

/// How one attempt at a step ended, when it is not done.
enum Trouble {
    /// Try again within the budget.
    Retry(Failure),
    /// Stop now.
    Stop(Stop),
}

async fn carry_out_step(
    context: &Context,
    target: &Target,
    publication: &Publication,
    step: &Step,
) -> Result<(), Stop> {
    let mut budget = Budget::new(context.options.retry_budget);
    let attempt = StepAttempt { context, target, publication, step };
    loop {
        match attempt.run().await {
            Ok(()) => return Ok(()),
            Err(Trouble::Stop(stop)) => return Err(stop),
            Err(Trouble::Retry(failure)) => {
                tracing::debug!(key = %step.key, %failure, "step is tried again");
                if !budget.wait().await {
                    return Err(Stop::Failed(failure));
                }
            }
        }
    }
}

struct StepAttempt<'a> {
    context: &'a Context,
    target: &'a Target,
    publication: &'a Publication,
    step: &'a Step,
}

impl StepAttempt<'_> {
    async fn run(&self) -> Result<(), Trouble> {
        let on = match &self.step.op {
            Op::Delete => return self.delete().await,
            Op::Create | Op::CreateOrKeep | Op::CreateOrReplace => Precondition::Absent,
            Op::Replace { expect: Expect::Absent } => Precondition::Absent,
            Op::Replace { expect: Expect::Identity(identity) } => {
                Precondition::Match(identity.clone())
            }
        };
        match self.write(on).await? {
            Ok(()) => Ok(()),
            Err(WriteError::Exists { .. } | WriteError::Changed { .. }) => self.settle().await,
            Err(error @ WriteError::Unknown { .. }) => {
                // The object may be there. Equal bytes settle it; nothing there means that the
                // write did not happen.
                match self.compare().await? {
                    Compared::Equal => Ok(()),
                    Compared::Absent => Err(Trouble::Retry(target_write_failure(&error))),
                    Compared::Different(_) => self.settle().await,
                }
            }
            Err(error) => match final_stop(&error, Some(self.publication.position)) {
                Some(stop) => Err(Trouble::Stop(stop)),
                None => Err(Trouble::Retry(target_write_failure(&error))),
            },
        }
    }

    /// Something is at the key already.
    async fn settle(&self) -> Result<(), Trouble> {
        let identity = match self.compare().await? {
            Compared::Equal => return Ok(()),
            // It went away in between: try again.
            Compared::Absent => return Err(Trouble::Retry(self.contended())),
            Compared::Different(identity) => identity,
        };
        match self.step.op {
            Op::Create => Err(Trouble::Stop(Stop::Blocked(self.diverged()))),
            Op::CreateOrKeep => Ok(()),
            Op::CreateOrReplace => match self.write(Precondition::Match(identity)).await? {
                Ok(()) => Ok(()),
                Err(error) => Err(Trouble::Retry(target_write_failure(&error))),
            },
            Op::Replace { .. } => Err(Trouble::Stop(Stop::Failed(self.contended()))),
            Op::Delete => Ok(()),
        }
    }

    async fn delete(&self) -> Result<(), Trouble> {
        match self.target.store.delete(&self.key(), None).await {
            Ok(()) => Ok(()),
            Err(error) => match final_stop(&error, Some(self.publication.position)) {
                Some(stop) => Err(Trouble::Stop(stop)),
                None => Err(Trouble::Retry(target_write_failure(&error))),
            },
        }
    }

    fn key(&self) -> String {
        object_key(&self.target.table, self.step.key.as_str())
    }

    /// Writes the body. The outer error is the source's or the local disk's.
    async fn write(&self, on: Precondition) -> Result<Result<(), WriteError>, Trouble> {
        let (key, store) = (self.key(), &self.target.store);
        let written = match (&self.step.body, on) {
            (Body::Bytes(bytes), Precondition::Match(identity)) => {
                store.replace(&key, bytes.clone(), Some(&identity)).await.map(drop)
            }
            (Body::Bytes(bytes), _) => store.create(&key, bytes.clone()).await.map(drop),
            (Body::Spool(file), _) => {
                store.create_file(&key, &file.path, file.size_bytes).await.map(drop)
            }
            (Body::Nothing, _) => Ok(()),
            (Body::Copy(identity) | Body::CopyOf(_, identity), on) => {
                let body = self.source_body(identity).await?;
                store.upload(&key, identity.size_bytes, body, on).await.map(drop)
            }
        };
        Ok(written)
    }

    async fn source_body(
        &self,
        identity: &ObjectIdentity,
    ) -> Result<BoxStream<'static, Result<Bytes, BoxError>>, Trouble> {
        let key = match &self.step.body {
            Body::CopyOf(key, _) => key,
            _ => &self.step.key,
        };
        let key = object_key(&self.context.source.table, key.as_str());
        let reading = self.context.source.store.read(&key, None, Some(identity)).await;
        match reading {
            Ok(reading) => Ok(reading.body.map(|chunk| Ok(chunk?)).boxed()),
            Err(error @ (ReadError::NotFound { .. } | ReadError::Changed { .. })) => {
                let failure = Failure::new(FailureCode::SourceChanged, &error);
                Err(Trouble::Stop(Stop::Failed(failure)))
            }
            Err(error) => Err(Trouble::Retry(source_read_failure(&error))),
        }
    }

    /// Holds what is at the key against the bytes of the step.
    async fn compare(&self) -> Result<Compared, Trouble> {
        let (key, store) = (self.key(), &self.target.store);
        let there = match store.read(&key, None, None).await {
            Ok(reading) => reading,
            Err(ReadError::NotFound { .. }) => return Ok(Compared::Absent),
            Err(error) => return Err(Trouble::Retry(target_read_failure(&error))),
        };
        let identity = there.identity.clone();
        let same = match &self.step.body {
            Body::Bytes(bytes) => {
                let ours = futures::stream::iter([Ok(bytes.clone())]).boxed();
                equal(there.body.map(|chunk| Ok(chunk?)).boxed(), ours).await
            }
            Body::Spool(file) => {
                let ours = spooled(&file.path).await;
                equal(there.body.map(|chunk| Ok(chunk?)).boxed(), ours).await
            }
            Body::Nothing => Ok(true),
            Body::Copy(wanted) | Body::CopyOf(_, wanted)
                if wanted.size_bytes != there.object_bytes =>
            {
                Ok(false)
            }
            Body::Copy(wanted) | Body::CopyOf(_, wanted) => {
                let ours = self.source_body(wanted).await?;
                equal(there.body.map(|chunk| Ok(chunk?)).boxed(), ours).await
            }
        };
        match same {
            Ok(true) => Ok(Compared::Equal),
            Ok(false) => Ok(Compared::Different(identity)),
            Err(error) => {
                let error = CompareError { key: self.step.key.clone(), source: error };
                Err(Trouble::Retry(Failure::new(FailureCode::TargetUnavailable, &error)))
            }
        }
    }

    fn diverged(&self) -> Blocked {
        let (key, target) = (&self.step.key, &self.target.url);
        Blocked::at(
            BlockCode::Diverged,
            self.publication.position,
            format!(
                "{key} exists at {target} with other bytes than at the source: something else \
                 writes there; make the replica's folder read-only for everybody else, then \
                 replicate to a new location"
            ),
        )
    }

    fn contended(&self) -> Failure {
        let error = Contended { key: self.step.key.clone() };
        Failure::new(FailureCode::Contended, &error)
    }
}

enum Compared {
    Absent,
    Equal,
    Different(ObjectIdentity),
}

#[derive(Debug, thiserror::Error)]
#[error("compare {key}")]
struct CompareError {
    key: RelPath,
    source: BoxError,
}

#[derive(Debug, thiserror::Error)]
#[error("{key} was changed at the target by somebody else")]
struct Contended {
    key: RelPath,
}

/// Whether two streams hold the same bytes. Memory: one chunk of each.
pub(crate) async fn equal(
    mut left: BoxStream<'static, Result<Bytes, BoxError>>,
    mut right: BoxStream<'static, Result<Bytes, BoxError>>,
) -> Result<bool, BoxError> {
    let (mut a, mut b) = (Bytes::new(), Bytes::new());
    loop {
        if a.is_empty() {
            a = next(&mut left).await?;
        }
        if b.is_empty() {
            b = next(&mut right).await?;
        }
        let common = a.len().min(b.len());
        if common == 0 {
            return Ok(a.is_empty() && b.is_empty());
        }
        if a.split_to(common) != b.split_to(common) {
            return Ok(false);
        }
    }
}

/// The bytes of a spooled body.
async fn spooled(path: &Path) -> BoxStream<'static, Result<Bytes, BoxError>> {
    match tokio::fs::File::open(path).await {
        Ok(file) => ReaderStream::new(file).map(|chunk| Ok(chunk?)).boxed(),
        Err(error) => futures::stream::iter([Err(error.into())]).boxed(),
    }
}

/// The next chunk that is not empty; an empty one at the end.
async fn next(body: &mut BoxStream<'static, Result<Bytes, BoxError>>) -> Result<Bytes, BoxError> {
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        if !chunk.is_empty() {
            return Ok(chunk);
        }
    }
    Ok(Bytes::new())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn check(left: &[&str], right: &[&str], expect: bool) {
        let body = |chunks: &[&str]| {
            let chunks: Vec<_> =
                chunks.iter().map(|chunk| Ok(Bytes::copy_from_slice(chunk.as_bytes()))).collect();
            futures::stream::iter(chunks).boxed()
        };
        assert_eq!(equal(body(left), body(right)).await.unwrap(), expect);
        assert_eq!(equal(body(right), body(left)).await.unwrap(), expect);
    }

    #[tokio::test]
    async fn streams_are_equal_however_they_are_cut() {
        check(&[], &[], true).await;
        check(&["abc"], &["a", "", "bc"], true).await;
        check(&["abc"], &["a", "bd"], false).await;
        check(&["abc"], &["ab"], false).await;
        check(&["abc", "d"], &["abc"], false).await;
        check(&["", ""], &[], true).await;
    }
}
