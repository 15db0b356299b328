//! Ancestry: is the source's history still the one that was replicated?
//!
//! The answer lies in bytes: the newest commit of the replica against the same commit at the
//! source. Identities and ids are only asked where those bytes are gone.

use std::collections::HashMap;

use table_sync_core::{
    BlockCode, Blocked, Position, SeenCommit, Sha256Digest, SourceError, SourceView,
};

use super::{Run, retry_source, source_stop};
use crate::lane::Stop;
use crate::report::{Failure, FailureCode};
use crate::transfer::Context;

/// Commits of the source that were read in this pass, for comparing and looking again.
#[derive(Default)]
pub(super) struct Ancestors {
    seen: HashMap<Position, Option<SeenCommit>>,
}

impl Ancestors {
    /// The commits that were read, by position.
    pub(super) fn seen(&self) -> HashMap<Position, SeenCommit> {
        let known = self.seen.iter().filter_map(|(at, seen)| Some((*at, seen.clone()?)));
        known.collect()
    }

    /// Holds a run's newest commit against the source's.
    pub(super) async fn check(
        &mut self,
        context: &Context,
        view: &SourceView,
        run: &Run,
    ) -> Result<(), Stop> {
        let Some(head) = run.view.head else { return Ok(()) };
        if view.set.as_ref().is_some_and(|set| set.shape != run.view.shape) {
            // An upgrade writes every commit anew: the planner takes the log over as a whole.
            return Ok(());
        }
        if view.set.is_none() && view.head().is_none_or(|source| source < head) {
            // The planner says that the source is behind, with the positions; unless it is the
            // replica that went ahead by itself.
            return self.check_remembered(context, run, head).await;
        }
        let fingerprint = match run.view.fingerprint {
            Some(fingerprint) => Some(fingerprint),
            None => self.replica_commit(run, head).await?,
        };
        match self.source_commit(context, head).await? {
            Some(seen) if Some(seen.sha256) == fingerprint => Ok(()),
            Some(seen) => {
                self.check_remembered(context, run, head).await?;
                let known = super::arrive::descriptor_of(run);
                let published = known.filter(|known| known.head == Some(head));
                let published = published.and_then(|known| known.head_sha256.as_deref());
                if published == Some(seen.sha256.to_string().as_str()) {
                    return Err(overwritten(head));
                }
                let older = view.commits.iter().rev().map(|commit| commit.position);
                let older: Vec<_> = older.filter(|at| *at < head).collect();
                match self.common(context, run, &older).await? {
                    Some(true) => Err(rewritten(head)),
                    Some(false) | None => Err(rewound(head)),
                }
            }
            None => self.check_cleaned(context, view, run, head).await,
        }
    }

    /// Tells a stranger's commit at the target from a change at the source: the replica is ahead
    /// of what we remember publishing, and up to there both sides are the same.
    async fn check_remembered(
        &mut self,
        context: &Context,
        run: &Run,
        head: Position,
    ) -> Result<(), Stop> {
        let remembered = run.arrival.as_ref().and_then(super::arrive::Arrival::head);
        let Some(ours) = remembered.filter(|ours| *ours < head) else { return Ok(()) };
        match self.common(context, run, &[ours]).await? {
            Some(true) => Err(stranger(head, ours)),
            Some(false) | None => Ok(()),
        }
    }

    /// The replica's newest commit is gone at the source: its log was cleaned past it, or it is
    /// another log.
    async fn check_cleaned(
        &mut self,
        context: &Context,
        view: &SourceView,
        run: &Run,
        head: Position,
    ) -> Result<(), Stop> {
        let older: Vec<_> =
            view.commits.iter().rev().map(|c| c.position).filter(|at| *at < head).collect();
        match self.common(context, run, &older).await? {
            Some(true) => return Ok(()),
            Some(false) => return Err(rewound(head)),
            None => {}
        }
        if view.set.is_some() {
            // Whether each commit that is gone was archived, or taken back, the planner asks.
            return Ok(());
        }
        let Some(base) = view.bases.iter().map(|base| base.position).find(|at| *at > head) else {
            // Nothing to jump to: the planner refuses with its own reason.
            return Ok(());
        };
        let log = &context.source.log;
        let there = retry_source(context, || log.table_id(view, base)).await;
        let there = match there {
            Ok(id) => id,
            // A base that cannot be read is no base; the next one is tried when it is described.
            Err(SourceError::Missing { .. }) => return Ok(()),
            Err(error) => return Err(source_stop(context, error)),
        };
        let here =
            run.target.log.table_id(&run.view).await.map_err(|error| {
                Stop::Failed(Failure::new(FailureCode::TargetUnavailable, &error))
            })?;
        if here.is_some() && here == there { Ok(()) } else { Err(rewound(head)) }
    }

    /// Whether the newest common commit is equal at both sides; `None` where there is none.
    async fn common(
        &mut self,
        context: &Context,
        run: &Run,
        candidates: &[Position],
    ) -> Result<Option<bool>, Stop> {
        for position in candidates {
            let here = run.target.reader.commit(*position).await.map_err(|error| {
                Stop::Failed(Failure::new(FailureCode::TargetUnavailable, &error))
            })?;
            let Some(here) = here else { continue };
            let Some(there) = self.source_commit(context, *position).await? else { continue };
            return Ok(Some(here.sha256 == there.sha256));
        }
        Ok(None)
    }

    /// Digest of a commit at the replica, where its view does not tell.
    async fn replica_commit(
        &self,
        run: &Run,
        position: Position,
    ) -> Result<Option<Sha256Digest>, Stop> {
        let here =
            run.target.reader.commit(position).await.map_err(|error| {
                Stop::Failed(Failure::new(FailureCode::TargetUnavailable, &error))
            })?;
        Ok(here.map(|here| here.sha256))
    }

    async fn source_commit(
        &mut self,
        context: &Context,
        position: Position,
    ) -> Result<Option<SeenCommit>, Stop> {
        if let Some(seen) = self.seen.get(&position) {
            // Look again rather than trust what an earlier round saw, unless it is unchanged.
            if let Some(commit) = seen
                && matches!(context.source.log.unchanged(commit).await, Ok(true))
            {
                return Ok(seen.clone());
            }
        }
        let log = &context.source.log;
        let read = retry_source(context, || log.commit(position)).await;
        let seen = read.map_err(|error| source_stop(context, error))?;
        self.seen.insert(position, seen.clone());
        Ok(seen)
    }
}

fn stranger(head: Position, ours: Position) -> Stop {
    Stop::Blocked(Blocked::at(
        BlockCode::Diverged,
        head,
        format!(
            "the target holds version {head}, but Driftless published only up to {ours} and the \
             source has no such commit: something else writes there; make the replica's folder \
             read-only for everybody else, then replicate to a new location"
        ),
    ))
}

fn overwritten(head: Position) -> Stop {
    Stop::Blocked(Blocked::at(
        BlockCode::Diverged,
        head,
        format!(
            "commit {head} holds other bytes at the target than were published there; the source \
             is unchanged: something else writes at the target; make the replica's folder \
             read-only for everybody else, then replicate to a new location"
        ),
    ))
}

fn rewritten(head: Position) -> Stop {
    Stop::Blocked(Blocked::at(
        BlockCode::CommitRewritten,
        head,
        format!(
            "commit {head} has other bytes at the source than at the target, while the commits \
             before it are the same: somebody rewrote it, most likely at the source; compare both \
             objects, restore the one that changed, or replicate to a new location"
        ),
    ))
}

fn rewound(head: Position) -> Stop {
    Stop::Blocked(Blocked::at(
        BlockCode::Rewound,
        head,
        format!(
            "the source's history is not the one that was published here up to version {head}: \
             the table was deleted and created again; replicate the new table to a new location"
        ),
    ))
}
