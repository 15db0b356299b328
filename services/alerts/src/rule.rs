//! All alert rules, in one table.
//!
//! The table is evaluated by the built-in notifier and rendered for Prometheus. Both mean the
//! same, with one difference: the notifier knows every table by name, while Prometheus, whose
//! labels must stay few, counts tables by project, tier and site.
//!
//! Source of the burn rates: `slok/sloth:internal/alert/windows/google-30d.yaml`.

use std::fmt;

use driftless_catalog::Priority;
use driftless_catalog::status::Status;
use serde::{Deserialize, Serialize};

mod page;
mod prometheus;

pub use page::markdown;
pub use prometheus::prometheus_yaml;

/// How urgent an alert is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known.
    #[default]
    Info,
    /// In working hours.
    Ticket,
    /// At once.
    Page,
}

impl Severity {
    /// Every value, the least urgent first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Ticket, Self::Page];

    /// As labels and the configuration write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A value for each tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerTier<T> {
    /// For [`Priority::Critical`].
    pub critical: T,
    /// For [`Priority::Standard`].
    pub standard: T,
    /// For [`Priority::Bulk`].
    pub bulk: T,
}

impl<T: Copy + PartialEq> PerTier<T> {
    const fn all(value: T) -> Self {
        Self { critical: value, standard: value, bulk: value }
    }

    const fn new(critical: T, standard: T, bulk: T) -> Self {
        Self { critical, standard, bulk }
    }

    /// The value of a tier.
    pub fn of(&self, tier: Priority) -> T {
        match tier {
            Priority::Critical => self.critical,
            Priority::Standard => self.standard,
            Priority::Bulk => self.bulk,
        }
    }
}

/// Two windows that must both burn: the long one says that it matters, the short one that it goes
/// on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Minutes of the long one.
    pub long_minutes: i64,
    /// Minutes of the short one.
    pub short_minutes: i64,
    /// How many times faster than a budget that lasts 30 days.
    pub factor: f64,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Watch {
    /// The error budget of the lag target is burnt, in one of these pairs of windows.
    Burn([Window; 2]),
    /// A table has this status at a site.
    Status(Status),
    /// The lag of a paused table is beyond its target.
    PausedLag,
    /// The source may discard what is still needed, in less than so many hours.
    Headroom(i64),
    /// No node has a heartbeat.
    Heartbeat,
}

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// The alert's name. Rules of one name are one alert in several severities.
    pub name: &'static str,
    /// What it looks at.
    pub watch: Watch,
    /// How long it must be so, in seconds.
    pub hold_seconds: PerTier<i64>,
    /// How urgent it is.
    pub severity: PerTier<Severity>,
    /// In one line. `{what}` is the table, `{site}` the site.
    pub summary: &'static str,
    /// What it means.
    pub description: &'static str,
    /// What to do.
    pub action: &'static str,
}

/// The part of time for which a table's lag may be beyond its target.
///
/// Samples are a minute apart: with a smaller budget than these, a single one would page.
pub fn budget(tier: Priority) -> f64 {
    match tier {
        Priority::Critical => 0.005,
        Priority::Standard => 0.01,
        Priority::Bulk => 0.05,
    }
}

/// A node whose last heartbeat is older than this many seconds is dead.
pub(crate) const HEARTBEAT_SECONDS: i64 = 60;

const MINUTE: i64 = 60;
const NOW: PerTier<i64> = PerTier::all(0);
const PAGE: PerTier<Severity> = PerTier::all(Severity::Page);
const TICKET: PerTier<Severity> = PerTier::all(Severity::Ticket);
const INFO: PerTier<Severity> = PerTier::all(Severity::Info);
const PAGE_CRITICAL: PerTier<Severity> =
    PerTier::new(Severity::Page, Severity::Ticket, Severity::Ticket);
const PAGE_NOT_BULK: PerTier<Severity> =
    PerTier::new(Severity::Page, Severity::Page, Severity::Ticket);

const HEADROOM_MEANS: &str = "The source may soon remove files or log entries that were not \
    copied yet. After that the versions in between can no longer be published. A pause does not \
    stop this clock.";
const HEADROOM_ACTION: &str = "Find out why the table is behind (its other alerts say so), or \
    resume it if it is paused. Until it has caught up, lengthen the retention at the source: \
    Delta's delta.deletedFileRetentionDuration and delta.logRetentionDuration, Hudi's cleaner.";

/// Every rule.
pub const ALL: &[Rule] = &[
    Rule {
        name: "CommitLagBurnFast",
        watch: Watch::Burn([
            Window { long_minutes: 60, short_minutes: 5, factor: 14.4 },
            Window { long_minutes: 360, short_minutes: 30, factor: 6.0 },
        ]),
        hold_seconds: NOW,
        severity: PAGE_NOT_BULK,
        summary: "{what} use up their lag budget fast at {site}",
        description: "Many tables are behind by more than their target, or cannot be looked at: \
            at this rate 2 % of the budget of 30 days go in an hour, or 5 % in six hours.",
        action: "Something common is wrong. See which status most tables have: unknown means the \
            source store, stalled or lagging the site's store, the network or a bandwidth limit, \
            stopped the nodes. Start there, not at single tables.",
    },
    Rule {
        name: "CommitLagBurnSlow",
        watch: Watch::Burn([
            Window { long_minutes: 1_440, short_minutes: 120, factor: 3.0 },
            Window { long_minutes: 4_320, short_minutes: 360, factor: 1.0 },
        ]),
        hold_seconds: NOW,
        severity: TICKET,
        summary: "{what} use up their lag budget at {site}",
        description: "Tables are behind by more than their target for too much of the time: at \
            this rate 10 % of the budget of 30 days go in a day, or in three.",
        action: "Compare commits with what the site takes: raise the bandwidth limit or the \
            number of nodes, move tables to another tier, or give them a target that they can \
            meet.",
    },
    Rule {
        name: "LagAboveTarget",
        watch: Watch::Status(Status::Lagging),
        hold_seconds: PerTier::new(2 * MINUTE, 10 * MINUTE, 30 * MINUTE),
        severity: TICKET,
        summary: "{what}: lag above the target at {site}",
        description: "The oldest commit that is not published is older than the lag target, and \
            stays so. The table moves, but not fast enough.",
        action: "Look at the table's page: is it one large commit, or more commits than the site \
            takes? Give the table a larger share, raise the bandwidth limit, or raise its target.",
    },
    Rule {
        name: "LagAboveTarget",
        watch: Watch::PausedLag,
        hold_seconds: PerTier::new(2 * MINUTE, 10 * MINUTE, 30 * MINUTE),
        severity: INFO,
        summary: "{what}: paused, and lag above the target at {site}",
        description: "A person has paused the table, so that nothing is published. The lag goes \
            on growing.",
        action: "Resume the table when the reason for the pause is gone.",
    },
    Rule {
        name: "TableStalled",
        watch: Watch::Status(Status::Stalled),
        hold_seconds: PerTier::all(MINUTE),
        severity: PAGE_CRITICAL,
        summary: "{what}: nothing moves at {site}",
        description: "There are commits to publish, every pass fails, and nothing was copied or \
            published for five minutes. It is tried again all the time.",
        action: "The reason names what fails. Mostly it is a store that does not answer, a \
            permission that was taken away, or a full quota. No other step is needed once that is \
            repaired.",
    },
    Rule {
        name: "TableBlocked",
        watch: Watch::Status(Status::Blocked),
        hold_seconds: NOW,
        severity: PAGE_CRITICAL,
        summary: "{what}: blocked at {site}",
        description: "The next version cannot be published: a feature that is not supported, a \
            file that is gone, a permission that is missing, or a table that must be adopted. \
            Readers keep the last published version.",
        action: "The reason code says which it is; docs/operations.md says what to do for each. \
            Change the policy or repair the source; the table goes on by itself, or after a \
            sync-now.",
    },
    Rule {
        name: "SourceRewound",
        watch: Watch::Status(Status::Rewound),
        hold_seconds: NOW,
        severity: PAGE_NOT_BULK,
        summary: "{what}: the source's history changed, seen from {site}",
        description: "The source no longer holds the commits that were published: the table was \
            dropped and created again, restored from a back-up, or a commit was rewritten. \
            Nothing is overwritten at the site.",
        action: "Ask the owner of the source what happened. If the new history is the right one, \
            resync the table: it begins anew at another location, and readers move when it is \
            complete.",
    },
    Rule {
        name: "SiteDiverged",
        watch: Watch::Status(Status::Diverged),
        hold_seconds: NOW,
        severity: PAGE,
        summary: "{what}: the site {site} does not hold what was published",
        description: "A commit at the site has other bytes than the source's: somebody else \
            writes to the replica, or an object was changed. Publishing has stopped.",
        action: "Find out who writes there and stop it. Then verify the replica; if it is \
            damaged, resync the table.",
    },
    Rule {
        name: "RetentionHeadroomLow",
        watch: Watch::Headroom(24),
        hold_seconds: PerTier::all(5 * MINUTE),
        severity: TICKET,
        summary: "{what}: less than 24 hours until the source may discard what {site} still needs",
        description: HEADROOM_MEANS,
        action: HEADROOM_ACTION,
    },
    Rule {
        name: "RetentionHeadroomLow",
        watch: Watch::Headroom(4),
        hold_seconds: PerTier::all(MINUTE),
        severity: PAGE,
        summary: "{what}: less than 4 hours until the source may discard what {site} still needs",
        description: HEADROOM_MEANS,
        action: HEADROOM_ACTION,
    },
    Rule {
        name: "SourceUncheckable",
        watch: Watch::Status(Status::Unknown),
        hold_seconds: PerTier::new(5 * MINUTE, 10 * MINUTE, 30 * MINUTE),
        severity: PAGE_CRITICAL,
        summary: "{what}: the source cannot be looked at, seen from {site}",
        description: "The source was not looked at within the freshness of the check. The lag is \
            not known; it is not zero.",
        action: "See the reason: the source's store does not answer, refuses the key, or the \
            table's folder is gone. If many tables have it, look at the store first.",
    },
    Rule {
        name: "NoHeartbeat",
        watch: Watch::Heartbeat,
        hold_seconds: PerTier::all(2 * MINUTE),
        severity: PAGE,
        summary: "no node works on any table",
        description: "No node has said that it is alive for two minutes. Nothing is published \
            anywhere. Where service and notifier are one process, only Prometheus can tell you.",
        action: "Start the service again and read its log. Nothing needs to be repaired first: \
            it goes on where it was.",
    },
    Rule {
        name: "TableStopped",
        watch: Watch::Status(Status::Stopped),
        hold_seconds: PerTier::new(2 * MINUTE, 5 * MINUTE, 15 * MINUTE),
        severity: PAGE_CRITICAL,
        summary: "{what}: no node works on it, for {site}",
        description: "Nodes are alive, but none has taken the table.",
        action: "See the nodes and their logs: they may be full, still starting, or unable to \
            reach the catalog's database.",
    },
];

impl Rule {
    /// Windows of all burn rates, in minutes, ascending.
    pub(crate) fn burn_minutes() -> Vec<i64> {
        let mut all: Vec<i64> = ALL
            .iter()
            .filter_map(|rule| match rule.watch {
                Watch::Burn(windows) => Some(windows),
                _ => None,
            })
            .flatten()
            .flat_map(|window| [window.short_minutes, window.long_minutes])
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The status that its alerts are labelled with. One that may change while the alert goes on
    /// would make another alert of it.
    pub(crate) fn status(&self) -> Option<Status> {
        match self.watch {
            Watch::Status(status) => Some(status),
            Watch::PausedLag => Some(Status::Paused),
            Watch::Burn(_) | Watch::Headroom(_) | Watch::Heartbeat => None,
        }
    }
}

impl Rule {
    /// The summary, of this table or these tables at this site.
    pub(crate) fn summary_of(&self, what: &str, site: &str) -> String {
        self.summary.replace("{what}", what).replace("{site}", site)
    }
}
