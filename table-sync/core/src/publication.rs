//! Publications: the writes that make a position visible, in order, with no choices left.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::{ObjectIdentity, Position, RelPath, Sha256Digest};

/// How a publication makes its position visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The next commit.
    Append,
    /// A base from which readers open the position without the commits below it.
    Jump,
    /// Objects derived from visible positions; reveals nothing new.
    Attach,
}

/// When some readers see a mixture of two states, because of a publication that no single write
/// can carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Window {
    /// Never.
    #[default]
    None,
    /// From the step that reveals the position until the last one.
    UntilDone,
    /// From that step until a later publication is done.
    Beyond,
}

/// The ordered writes of one position at one target.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The position that is visible once all steps are done.
    pub position: Position,
    /// How it becomes visible.
    pub kind: Kind,
    /// Writes without which readers would misread the files of the position: before any of them.
    pub ahead: Vec<Step>,
    /// Writes that no reader follows before the steps are done: in any order, all before them.
    pub staged: Vec<Step>,
    /// Writes, in order. Each is done before the next starts.
    pub steps: Vec<Step>,
    /// When some readers see a mixture of two states. For how long they may have is reported.
    pub window: Window,
    /// Some readers see such a mixture already, since a publication that was not finished or that
    /// said [`Window::Beyond`]. Once this one is done they do not, unless it says so too.
    pub mends: bool,
}

impl Publication {
    /// One that stages nothing.
    pub fn of(position: Position, kind: Kind, steps: Vec<Step>) -> Self {
        let (ahead, staged) = (Vec::new(), Vec::new());
        let window = Window::None;
        Self { position, kind, ahead, staged, steps, window, mends: false }
    }

    /// Every write, to be changed.
    pub fn writes_mut(&mut self) -> impl Iterator<Item = &mut Step> {
        self.ahead.iter_mut().chain(&mut self.staged).chain(&mut self.steps)
    }

    /// Every write, in an order that may be followed.
    pub fn writes(&self) -> impl Iterator<Item = &Step> {
        self.ahead.iter().chain(&self.staged).chain(&self.steps)
    }
}

/// One write below the table root.
#[derive(Debug, Clone)]
pub struct Step {
    /// Key below the table root.
    pub key: RelPath,
    /// What is written.
    pub body: Body,
    /// Under which condition.
    pub op: Op,
    /// The position that some reader may open once this step is done.
    pub reveals: Option<Position>,
}

impl Step {
    /// Removes the object of a key.
    pub fn delete(key: RelPath) -> Self {
        Self { key, body: Body::Nothing, op: Op::Delete, reveals: None }
    }
}

/// The bytes of a step.
#[derive(Debug, Clone)]
pub enum Body {
    /// The object of the same key at the source, with this identity.
    Copy(ObjectIdentity),
    /// The object of another key at the source, with this identity.
    CopyOf(RelPath, ObjectIdentity),
    /// Bytes at hand.
    Bytes(Bytes),
    /// Bytes on local disk: too large for memory.
    Spool(SpoolFile),
    /// None: the step deletes.
    Nothing,
}

/// A local temporary file, deleted when the last clone is dropped.
#[derive(Clone)]
pub struct SpoolFile {
    /// Where it is.
    pub path: PathBuf,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Digest of its bytes.
    pub sha256: Sha256Digest,
    guard: Arc<dyn Any + Send + Sync>,
}

impl SpoolFile {
    /// Wraps a file; `guard` deletes it on drop.
    pub fn new(
        path: PathBuf,
        size_bytes: u64,
        sha256: Sha256Digest,
        guard: impl Any + Send + Sync,
    ) -> Self {
        Self { path, size_bytes, sha256, guard: Arc::new(guard) }
    }
}

impl std::fmt::Debug for SpoolFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = &self.guard;
        f.debug_struct("SpoolFile").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

/// Condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Create if absent. An object with equal bytes counts as done; other bytes halt the table.
    Create,
    /// Create if absent. An object that is already visible to readers is kept: equal by protocol.
    CreateOrKeep,
    /// Create, or overwrite what is there with other bytes: no reader follows it yet.
    CreateOrReplace,
    /// Overwrite what was observed; anything else means that somebody else wrote.
    Replace {
        /// What must be there.
        expect: Expect,
    },
    /// Remove. Nothing there counts as done. Never a key that is used again for other bytes: a
    /// late delete must be harmless.
    Delete,
}

/// What must be at a key for a replacing write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// The object that was observed.
    Identity(ObjectIdentity),
}
