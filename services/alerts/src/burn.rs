//! How fast the error budget of the lag target is used up.
//!
//! The indicator is based on time: of the minutes of all tables, the share with a lag beyond the
//! target, or with one that is not known. It sees total silence, which no count of commits does.
//!
//! Samples are taken once a minute and kept in memory. A minute without a sample counts as good,
//! so that a new process alarms nobody; what it cannot judge yet it says so.

use std::collections::{BTreeMap, HashMap, VecDeque};

use driftless_catalog::status::Status;
use driftless_catalog::{Priority, Standing};

use crate::rule::{Window, budget};

/// The longest window, in minutes.
const MINUTES_MAX: i64 = 3 * 24 * 60;

/// Fewer minutes than these say nothing.
const MINUTES_MIN: i64 = 5;

const MINUTE_MS: i64 = 60_000;

/// Tables that share an objective.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Their project.
    pub project: String,
    /// Their tier.
    pub tier: Priority,
    /// The site.
    pub site: String,
}

impl Group {
    pub(crate) fn of(standing: &Standing) -> Self {
        Self {
            project: standing.name.project().to_owned(),
            tier: standing.policy.priority,
            site: standing.site.clone(),
        }
    }
}

/// Whether a table is within its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slo {
    pub(crate) is_paused: bool,
    pub(crate) is_within: bool,
}

/// `None`: not counted. A first copy takes as long as it takes, and what is held waits for the
/// source.
pub(crate) fn slo(standing: &Standing, status: Status, now_ms: i64) -> Option<Slo> {
    if status == Status::Held || !standing.is_published {
        return None;
    }
    let target_ms = standing.at(now_ms).lag_target_ms;
    let is_within = standing.lag_ms(now_ms).is_some_and(|lag| lag <= target_ms);
    Some(Slo { is_paused: status == Status::Paused, is_within })
}

/// What was sampled so far.
#[derive(Debug, Default)]
pub struct Samples {
    /// Minute, and the share of bad tables in it; ascending.
    groups: HashMap<Group, VecDeque<(i64, f32)>>,
    first: Option<i64>,
    last: Option<i64>,
}

/// What one group has used up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BurnRates {
    /// Bad minutes of the last so many.
    bad: BTreeMap<i64, f64>,
    /// Minutes that were looked at.
    observed: i64,
}

/// What can be said about a pair of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Quiet,
    CannotTell,
    Burning,
}

impl Samples {
    /// Takes this minute's sample, unless it was taken.
    pub fn take(&mut self, standings: &[Standing], now_ms: i64) {
        let minute = now_ms.div_euclid(MINUTE_MS);
        if self.last.is_some_and(|last| minute <= last) {
            return;
        }
        self.first.get_or_insert(minute);
        self.last = Some(minute);
        let mut counts: HashMap<Group, (u32, u32)> = HashMap::new();
        for standing in standings {
            let slo = slo(standing, standing.status(now_ms), now_ms);
            let Some(slo) = slo.filter(|slo| !slo.is_paused) else { continue };
            let count = counts.entry(Group::of(standing)).or_default();
            count.0 += u32::from(!slo.is_within);
            count.1 += 1;
        }
        for (group, (bad, all)) in counts {
            // Of many tables, the share is what matters: its precision does not.
            let share = (f64::from(bad) / f64::from(all.max(1))) as f32;
            self.groups.entry(group).or_default().push_back((minute, share));
        }
        self.groups.retain(|_, ring| {
            while ring.front().is_some_and(|(at, _)| *at <= minute - MINUTES_MAX) {
                ring.pop_front();
            }
            !ring.is_empty()
        });
    }

    /// What each group has used up, by windows of so many minutes.
    pub fn rates(&self, windows: &[i64], now_ms: i64) -> Vec<(Group, BurnRates)> {
        let minute = now_ms.div_euclid(MINUTE_MS);
        let observed = self.first.map_or(0, |first| minute - first + 1);
        let rates = |ring: &VecDeque<(i64, f32)>| BurnRates {
            bad: windows.iter().map(|window| (*window, bad(ring, minute - window))).collect(),
            observed,
        };
        let mut all: Vec<_> =
            self.groups.iter().map(|(group, ring)| (group.clone(), rates(ring))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

fn bad(ring: &VecDeque<(i64, f32)>, after: i64) -> f64 {
    ring.iter().rev().take_while(|(at, _)| *at > after).map(|(_, share)| f64::from(*share)).sum()
}

impl BurnRates {
    /// The share of bad minutes, over the whole window.
    pub fn share(&self, minutes: i64) -> f64 {
        self.share_of(minutes, minutes)
    }

    fn share_of(&self, minutes: i64, of: i64) -> f64 {
        let bad = self.bad.get(&minutes).copied().unwrap_or_default();
        bad / i32::try_from(of.max(1)).map_or(f64::MAX, f64::from)
    }

    pub(crate) fn verdict(&self, window: &Window, tier: Priority) -> Verdict {
        let limit = window.factor * budget(tier);
        let pair = [window.long_minutes, window.short_minutes];
        if pair.iter().all(|minutes| self.share(*minutes) > limit) {
            return Verdict::Burning;
        }
        let seen = |minutes: &i64| self.share_of(*minutes, self.observed.min(*minutes)) > limit;
        match self.observed < MINUTES_MIN || pair.iter().all(seen) {
            true => Verdict::CannotTell,
            false => Verdict::Quiet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Window = Window { long_minutes: 60, short_minutes: 5, factor: 14.4 };

    fn group() -> Group {
        Group { project: "lake".to_owned(), tier: Priority::Standard, site: "east".to_owned() }
    }

    /// One sample a minute, the newest last; `observed` minutes were looked at.
    #[track_caller]
    fn check(shares: &[f32], observed: i64, expect: Verdict) {
        let count = shares.len() as i64;
        let ring =
            shares.iter().enumerate().map(|(at, share)| (1_000 - count + 1 + at as i64, *share));
        let samples = Samples {
            groups: HashMap::from([(group(), ring.collect())]),
            first: Some(1_000 - observed + 1),
            last: Some(1_000),
        };
        let rates = samples.rates(&[60, 5], 1_000 * MINUTE_MS);
        assert_eq!(rates[0].1.verdict(&FAST, Priority::Standard), expect, "{rates:?}");
    }

    #[test]
    fn both_windows_must_burn() {
        // 14.4 times 1 % is 14.4 %: 8.64 minutes of an hour.
        check(&[1.0; 9], 60, Verdict::Burning);
        check(&[1.0; 8], 60, Verdict::Quiet);
        check(&[0.15; 60], 60, Verdict::Burning);
        check(&[0.14; 60], 60, Verdict::Quiet);
        // It was bad, and is over.
        let over: Vec<f32> = [[1.0f32; 20].as_slice(), &[0.0; 5]].concat();
        check(&over, 60, Verdict::Quiet);
    }

    #[test]
    fn a_new_process_does_not_guess() {
        check(&[1.0], 1, Verdict::CannotTell);
        check(&[0.0; 4], 4, Verdict::CannotTell);
        check(&[1.0; 6], 6, Verdict::CannotTell);
        check(&[0.0; 5], 5, Verdict::Quiet);
        // Bad for the whole time that it has seen, and that is enough.
        check(&[1.0; 9], 9, Verdict::Burning);
    }

    #[test]
    fn old_samples_are_dropped() {
        let mut samples = Samples {
            groups: HashMap::from([(group(), VecDeque::from([(1, 1.0)]))]),
            first: Some(1),
            last: Some(1),
        };
        samples.take(&[], 2 * MINUTE_MS);
        assert_eq!(samples.rates(&[60], 2 * MINUTE_MS)[0].1.share(60), 1.0 / 60.0);
        samples.take(&[], (MINUTES_MAX + 1) * MINUTE_MS);
        assert!(samples.rates(&[60], (MINUTES_MAX + 1) * MINUTE_MS).is_empty());
    }
}
