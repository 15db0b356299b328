//! The planner: from what was observed to the publications that close the gap.
//!
//! Pure. The plan names positions only; what each one writes and needs is described by the
//! format when its turn comes, so a plan stays small however large the table is.
//!
//! # Invariants
//! - Idempotent: planning again after the plan was carried out gives an empty plan.
//! - Monotone: positions ascend, and all lie above the replica's head.
//! - No hole: every append follows the position before it; only a jump crosses a gap.
//!
//! Two shapes of history: a sequence, planned here, and a set ([`crate::CommitSet`]).

use std::collections::BTreeSet;
use std::fmt;

use crate::{BlockCode, Blocked, Follows, Position, ReplicaView, SourceView};

mod set;

/// Where the first publication of a new replica starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// The newest complete base with its tail; the first commit where there is no base.
    #[default]
    Latest,
    /// As far back as the source can be read.
    Earliest,
    /// The nearest base at or below this position; below it nothing is promised.
    At(Position),
}

/// What the planner looks at.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// The source's log.
    pub source: &'a SourceView,
    /// The replica's log.
    pub replica: &'a ReplicaView,
    /// Where a new replica starts.
    pub start: Start,
    /// Nothing above this position is published.
    pub until: Option<Position>,
    /// Positions found to be not whole at the source: a file they need is gone.
    pub avoid: &'a BTreeSet<Position>,
}

/// One publication to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// What becomes visible.
    pub position: Position,
    /// How.
    pub kind: PlannedKind,
}

/// How a planned position becomes visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlannedKind {
    /// The next commit.
    Append,
    /// A base.
    Jump,
}

/// A reason why the plan ends before the source's head.
pub type Refusal = Blocked;

/// What is to be published at one target, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The replica's head now.
    pub head: Option<Position>,
    /// Publications, ascending.
    pub publications: Vec<Planned>,
    /// Why the plan ends before what was wanted, where it does.
    pub refusal: Option<Refusal>,
}

impl Plan {
    /// The replica's head once the plan is carried out.
    pub fn end(&self) -> Option<Position> {
        self.publications.last().map(|last| last.position).or(self.head)
    }

    /// The jumps of a replica that already has a head: each leaves a hole in time travel.
    pub fn jumps(&self) -> impl Iterator<Item = Position> + '_ {
        let fresh = self.head.is_none();
        let jumps = self.publications.iter().enumerate();
        jumps
            .filter(move |(index, planned)| {
                planned.kind == PlannedKind::Jump && !(fresh && *index == 0)
            })
            .map(|(_, planned)| planned.position)
    }
}

/// Text of a plan, one line a run of like publications; golden files hold it.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.head {
            Some(head) => writeln!(f, "head {head}")?,
            None => writeln!(f, "head none")?,
        }
        let mut rest = self.publications.as_slice();
        while let Some(first) = rest.first() {
            let run = match first.kind {
                PlannedKind::Jump => 1,
                PlannedKind::Append => {
                    rest.iter().take_while(|next| next.kind == PlannedKind::Append).count()
                }
            };
            let (now, later) = rest.split_at(run);
            let last = now.last().unwrap_or(first);
            match first.kind {
                PlannedKind::Jump => writeln!(f, "jump {}", first.position)?,
                PlannedKind::Append if run == 1 => writeln!(f, "append {}", first.position)?,
                PlannedKind::Append => writeln!(f, "append {}..{}", first.position, last.position)?,
            }
            rest = later;
        }
        if let Some(refusal) = &self.refusal {
            writeln!(f, "refuse {}: {}", refusal.code, refusal.message)?;
        }
        Ok(())
    }
}

/// Plans one target.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let mut draft = Plan { head: input.replica.head, ..Plan::default() };
    if let Err(refusal) = fill(input, &mut draft.publications) {
        draft.refusal = Some(refusal);
    }
    draft
}

fn fill(input: &PlanInput<'_>, out: &mut Vec<Planned>) -> Result<(), Refusal> {
    if let Some(set) = &input.source.set {
        return set::fill(input, set, out);
    }
    let Some(source_head) = input.source.head() else {
        return Err(match input.replica.head {
            None => Blocked::table(
                BlockCode::NotATable,
                "the source holds no table log: no commit and no checkpoint; check the location",
            ),
            Some(head) => rewound(head, "the source's log is gone"),
        });
    };
    if let Some(head) = input.replica.head
        && source_head < head
    {
        return Err(rewound(head, &format!("the source's newest version is {source_head}")));
    }
    let wanted = input.until.map_or(source_head, |until| until.min(source_head));
    let mut cursor = first(input, wanted, out)?;
    while cursor < wanted {
        extend(input, wanted, &mut cursor, out);
        if cursor < wanted {
            let base = base_above(input, cursor, wanted).ok_or_else(|| hole(input, cursor))?;
            out.push(Planned { position: base, kind: PlannedKind::Jump });
            cursor = base;
        }
    }
    Ok(())
}

/// Settles where publishing starts and returns the position from which it goes on.
fn first(
    input: &PlanInput<'_>,
    wanted: Position,
    out: &mut Vec<Planned>,
) -> Result<Position, Refusal> {
    if let Some(base) = input.replica.unfinished {
        // Some readers open this base already: only it, or something above it, may come next.
        let usable = |entry: Position| entry >= base && !input.avoid.contains(&entry);
        let next = input.source.bases.iter().map(|entry| entry.position).find(|at| usable(*at));
        let position = next.ok_or_else(|| {
            Blocked::at(
                BlockCode::HistoryLost,
                base,
                format!(
                    "the first publication of version {base} was interrupted and the source no \
                     longer holds that checkpoint or a later one; wait for the source's next \
                     checkpoint, or remove the replica and start again"
                ),
            )
        })?;
        out.push(Planned { position, kind: PlannedKind::Jump });
        return Ok(position);
    }
    if let Some(head) = input.replica.head {
        return Ok(head);
    }
    let origin = origin(input).filter(|at| *at <= wanted);
    let bases = || {
        let all = input.source.bases.iter().map(|base| base.position);
        all.filter(|at| *at <= wanted && !input.avoid.contains(at))
    };
    let newest_base = |limit: Position| bases().rfind(|at| *at <= limit);
    let planned = match input.start {
        Start::Latest => newest_base(wanted).map(jump).or(origin.map(append)),
        Start::Earliest => origin.map(append).or(bases().next().map(jump)),
        Start::At(at) => newest_base(at).map(jump).or(origin.map(append)),
    };
    let planned = planned.ok_or_else(|| unreachable_start(input, wanted))?;
    out.push(planned);
    Ok(planned.position)
}

fn jump(position: Position) -> Planned {
    Planned { position, kind: PlannedKind::Jump }
}

fn append(position: Position) -> Planned {
    Planned { position, kind: PlannedKind::Append }
}

/// The first commit of the log, when the log still holds it and it is whole.
fn origin(input: &PlanInput<'_>) -> Option<Position> {
    let first = input.source.commits.first()?;
    let usable = first.follows == Follows::Origin && !input.avoid.contains(&first.position);
    usable.then_some(first.position)
}

/// Appends as long as each commit follows the one before it.
fn extend(input: &PlanInput<'_>, wanted: Position, cursor: &mut Position, out: &mut Vec<Planned>) {
    let commits = &input.source.commits;
    let start = commits.partition_point(|commit| commit.position <= *cursor);
    for commit in commits.iter().skip(start) {
        let next = commit.follows == Follows::Position(*cursor)
            && commit.position <= wanted
            && !input.avoid.contains(&commit.position);
        if !next {
            return;
        }
        out.push(append(commit.position));
        *cursor = commit.position;
    }
}

/// The lowest base that lies beyond the hole: the less is skipped, the more history is kept.
fn base_above(input: &PlanInput<'_>, cursor: Position, wanted: Position) -> Option<Position> {
    let bases = input.source.bases.iter().map(|base| base.position);
    let mut usable = bases.filter(|at| !input.avoid.contains(at));
    usable.find(|at| *at > cursor && *at <= wanted)
}

fn rewound(head: Position, what: &str) -> Refusal {
    Blocked::at(
        BlockCode::Rewound,
        head,
        format!(
            "{what}, but version {head} is published here: the source table was replaced or rolled \
             back; replicate the new table to a new location"
        ),
    )
}

fn hole(input: &PlanInput<'_>, cursor: Position) -> Refusal {
    let gone = input.avoid.iter().find(|at| **at > cursor);
    let what = match gone {
        Some(at) => format!("version {at} is not whole at the source: a file it needs is gone"),
        None => format!("the commit after version {cursor} is missing at the source"),
    };
    Blocked::at(
        BlockCode::HistoryLost,
        gone.copied().unwrap_or(cursor),
        format!("{what}, and no later checkpoint is there to jump to; write one at the source"),
    )
}

fn unreachable_start(input: &PlanInput<'_>, wanted: Position) -> Refusal {
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let list = |positions: &mut dyn Iterator<Item = Position>| {
        or_none(positions.map(|at| at.to_string()).collect::<Vec<_>>().join(", "))
    };
    let first = list(&mut input.source.commits.first().map(|commit| commit.position).into_iter());
    let bases = list(&mut input.source.bases.iter().map(|base| base.position));
    let mut message = match input.start {
        Start::At(at) => format!(
            "a replica cannot start at version {at}: the source's first commit is {first}, its \
             complete checkpoints are {bases}, and none lies at or below {at}; start with \
             --start latest, --start earliest, or --start at one of these"
        ),
        Start::Latest | Start::Earliest => format!(
            "no whole version up to {wanted} is left to start with: the first commit at the \
             source is {first}, complete checkpoints are {bases}; write a checkpoint at the \
             source, or raise --until"
        ),
    };
    if !input.avoid.is_empty() {
        let lost = list(&mut input.avoid.iter().copied());
        message.push_str("; files are gone that these versions need: ");
        message.push_str(&lost);
    }
    Blocked::table(BlockCode::HistoryLost, message)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
