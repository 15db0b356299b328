//! Progress on standard error: bars on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use table_sync_core::{PlannedKind, Position};
use table_sync_engine::{Event, Progress, Quiet};

use crate::units::{show_bytes, show_duration};

/// Shortest time between two plain lines about one target.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Time between two drawings of the bars.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Standard error, shared by bars, lines and logs.
#[derive(Clone)]
pub(crate) struct Screen {
    bars: MultiProgress,
    quiet: bool,
    terminal: bool,
}

impl Screen {
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let bars = MultiProgress::with_draw_target(if terminal && !quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        Self { bars, quiet, terminal }
    }

    /// Whether a person looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes above the bars.
    pub(crate) fn write(&self, bytes: &[u8]) {
        self.bars.suspend(|| {
            // Standard error is the last resort: when it is gone there is nobody to tell.
            let _ = io::stderr().lock().write_all(bytes);
        });
    }

    /// Does something that writes to the terminal by itself.
    pub(crate) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bars.suspend(work)
    }

    /// One line for people, unless they asked for silence.
    pub(crate) fn line(&self, text: &str) {
        if !self.quiet {
            self.write(format!("{text}\n").as_bytes());
        }
    }

    /// Takes the events of passes.
    pub(crate) fn progress(&self) -> Arc<dyn Progress> {
        if self.quiet {
            return Arc::new(Quiet);
        }
        Arc::new(Shown {
            screen: self.clone(),
            started: Instant::now(),
            read_bytes: AtomicU64::new(0),
            targets: Mutex::new(BTreeMap::new()),
        })
    }

    /// Removes the bars, so that the summary stands alone.
    pub(crate) fn clear(&self) {
        // A terminal that refuses to be cleared is left as it is.
        let _ = self.bars.clear();
    }
}

/// Shows events.
struct Shown {
    screen: Screen,
    started: Instant,
    read_bytes: AtomicU64,
    targets: Mutex<BTreeMap<String, Shared>>,
}

type Shared = Arc<Lane>;

/// One target.
struct Lane {
    url: String,
    bar: ProgressBar,
    counts: Arc<Counts>,
    spoke: Mutex<Option<Instant>>,
}

/// What was done at one target since it last had work to do.
struct Counts {
    started: Mutex<Instant>,
    files: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    /// Bytes of files that are at the target, copied or not, and of those that are needed.
    there_bytes: AtomicU64,
    needed_bytes: AtomicU64,
    published: AtomicU64,
    planned: AtomicU64,
}

impl Counts {
    fn new() -> Self {
        Self {
            started: Mutex::new(Instant::now()),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            there_bytes: AtomicU64::new(0),
            needed_bytes: AtomicU64::new(0),
            published: AtomicU64::new(0),
            planned: AtomicU64::new(0),
        }
    }

    fn elapsed(&self) -> Duration {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Starts anew when all that was planned is done: a rate over idle hours says nothing.
    fn restart_if_done(&self) {
        let planned = self.planned.load(Ordering::Relaxed);
        if planned == 0 || self.published.load(Ordering::Relaxed) < planned {
            return;
        }
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let counts = [&self.files, &self.bytes, &self.skipped, &self.published, &self.planned];
        for count in counts.into_iter().chain([&self.there_bytes, &self.needed_bytes]) {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// `, 12 s left`, by versions or by bytes, whichever says longer.
    fn left(&self, done: u64, planned: u64) -> String {
        let there = self.there_bytes.load(Ordering::Relaxed);
        let needed = self.needed_bytes.load(Ordering::Relaxed);
        let elapsed = self.elapsed();
        let left = time_left(done, planned, elapsed).max(time_left(there, needed, elapsed));
        left.map_or_else(String::new, |left| format!(", {} left", show_duration(left)))
    }

    /// `1.2 GiB in 40 files, 85 MiB/s`.
    fn copied(&self) -> String {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let files = self.files.load(Ordering::Relaxed);
        let skipped = self.skipped.load(Ordering::Relaxed);
        let rate = per_second(bytes, self.elapsed());
        let mut text = format!("{} in {files} files, {}/s", show_bytes(bytes), show_bytes(rate));
        if skipped > 0 {
            let _ = write!(text, ", {skipped} there already");
        }
        text
    }
}

/// Rounded down; what takes no time has no rate.
fn per_second(bytes: u64, time: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1_000 / time.as_millis().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

impl Shown {
    fn lane(&self, url: &str) -> Shared {
        let mut lanes = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(url) {
            return Arc::clone(lane);
        }
        let counts = Arc::new(Counts::new());
        let bar = self.screen.bars.add(ProgressBar::new(0));
        bar.set_style(style(&counts));
        bar.set_prefix(url.to_owned());
        if self.screen.terminal {
            bar.enable_steady_tick(DRAW_EVERY);
        }
        let lane = Arc::new(Lane { url: url.to_owned(), bar, counts, spoke: Mutex::new(None) });
        lanes.insert(url.to_owned(), Arc::clone(&lane));
        lane
    }

    /// A plain line, not too often.
    fn say(&self, lane: &Lane, text: impl FnOnce() -> String) {
        if self.screen.terminal {
            return;
        }
        let mut spoke = lane.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        if spoke.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            *spoke = Some(Instant::now());
            self.screen.line(&format!("{}: {}", lane.url, text()));
        }
    }

    fn planned(&self, url: &str, positions: usize) {
        if positions == 0 {
            return;
        }
        let lane = self.lane(url);
        lane.counts.restart_if_done();
        let done = lane.counts.published.load(Ordering::Relaxed);
        let planned = done + positions as u64;
        if lane.counts.planned.swap(planned, Ordering::Relaxed) != planned {
            lane.bar.set_length(planned);
            lane.bar.set_position(done);
            self.say(&lane, || format!("{positions} versions to publish"));
        }
    }

    fn file_done(&self, url: &str, bytes: u64, skipped: bool) {
        let lane = self.lane(url);
        let counts = &lane.counts;
        if skipped {
            counts.skipped.fetch_add(1, Ordering::Relaxed);
        } else {
            counts.files.fetch_add(1, Ordering::Relaxed);
            counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        counts.there_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.say(&lane, || {
            let read = self.read_bytes.load(Ordering::Relaxed);
            let rate = show_bytes(per_second(read, self.started.elapsed()));
            // Nothing is read where a store or a file system copies by itself.
            let read = if read == 0 { String::new() } else { format!("; source read at {rate}/s") };
            let done = counts.published.load(Ordering::Relaxed);
            let left = counts.left(done, counts.planned.load(Ordering::Relaxed));
            format!("copied {}{left}{read}", counts.copied())
        });
    }

    fn published(&self, url: &str, position: Position, kind: PlannedKind) {
        let lane = self.lane(url);
        let done = 1 + lane.counts.published.fetch_add(1, Ordering::Relaxed);
        let planned = lane.counts.planned.load(Ordering::Relaxed).max(done);
        lane.bar.set_length(planned);
        lane.bar.set_position(done);
        let jump = if kind == PlannedKind::Jump { " from its checkpoint" } else { "" };
        self.say(&lane, || {
            let copied = lane.counts.copied();
            let eta = lane.counts.left(done, planned);
            format!("published version {position}{jump} ({done} of {planned}{eta}); {copied}")
        });
    }
}

/// The time that is left at the speed so far; nothing when nothing is left, or known.
fn time_left(done: u64, planned: u64, elapsed: Duration) -> Option<Duration> {
    let left = planned.saturating_sub(done);
    if left == 0 || done == 0 {
        return None;
    }
    let ms = elapsed.as_millis() * u128::from(left) / u128::from(done);
    Some(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
}

impl Progress for Shown {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Planned { target, positions } => self.planned(target, positions),
            Event::Needed { target, bytes, .. } => {
                self.lane(target).counts.needed_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Event::Read { bytes } => {
                self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Event::FileDone { target, bytes, skipped } => self.file_done(target, bytes, skipped),
            Event::Published { target, position, kind, .. } => {
                self.published(target, position, kind);
            }
            Event::Warning { url, message } => {
                self.screen.line(&format!("warning: {url}: {message}"));
            }
            _ => {}
        }
    }

    fn wants_totals(&self) -> bool {
        true
    }
}

fn style(counts: &Arc<Counts>) -> ProgressStyle {
    let template = "{prefix}\n  {bar:30} {pos}/{len} versions  {copied}{left}";
    let plain = ProgressStyle::default_bar();
    let counts = Arc::clone(counts);
    let copied = Arc::clone(&counts);
    let styled = plain.clone().template(template).map(|style| {
        style
            .with_key("copied", move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                // The writer is a string: it takes everything.
                let _ = out.write_str(&copied.copied());
            })
            .with_key("left", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let planned = counts.planned.load(Ordering::Relaxed);
                let _ = out.write_str(&counts.left(state.pos(), planned));
            })
            .progress_chars("=> ")
    });
    styled.unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates() {
        assert_eq!(time_left(0, 10, Duration::from_secs(1)), None);
        assert_eq!(time_left(10, 10, Duration::from_secs(1)), None);
        assert_eq!(time_left(1, 10, Duration::from_secs(2)), Some(Duration::from_secs(18)));
        let counts = Counts::new();
        assert_eq!(counts.left(0, 1), "", "nothing is known yet");
        counts.needed_bytes.store(1 << 40, Ordering::Relaxed);
        counts.there_bytes.store(1, Ordering::Relaxed);
        assert!(counts.left(0, 1).ends_with(" left"), "bytes tell before the first version does");
        assert_eq!(per_second(1_000, Duration::from_millis(500)), 2_000);
        assert_eq!(per_second(0, Duration::ZERO), 0);
    }
}
