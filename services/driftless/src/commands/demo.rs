//! `driftless demo`: a live table, its replica, and a reader that is never shown half a version.
//!
//! The writer and the reader are other programs with other libraries; only the replication in
//! between is ours.

mod story;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftless_wire::Table;
use table_sync_core::Position;
use table_sync_engine::{Event, Options, Progress, follow};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use self::story::{Story, WriterLine};
use super::verify::{Trouble, rows_of};
use crate::args::{Demo, Format, Paths, Tables};
use crate::exit::{CommandError, Exit};
use crate::judge::{Request, Running, find};
use crate::output::human;
use crate::output::json::{DemoChapters, DemoView, Document};
use crate::run::{Ended, Setting};

/// Pause of the writer after each commit, and of the reader after each read.
const WRITE_INTERVAL_MS: u64 = 400;
const READ_INTERVAL_MS: u64 = 300;

/// How long the replica may take to reach the last commit, and the reader to end.
const CATCH_UP: Duration = Duration::from_secs(60);
const READER_END: Duration = Duration::from_secs(30);

pub(crate) async fn run(setting: &Setting, args: &Demo) -> Result<Exit, Ended> {
    find()?;
    let folder = Folder::new(args.keep)?;
    let (delta, first) = chapter(setting, args, &folder, Format::Delta).await?;
    let (hudi, second) = chapter(setting, args, &folder, Format::Hudi).await?;
    let chapters = DemoChapters { delta, hudi };
    let text = human::demo(setting.output.paint(), &chapters);
    setting.output.print(&Document::one(chapters), text)?;
    if args.keep {
        setting.screen.line(&format!("the tables are kept in {}", folder.root.display()));
    }
    Ok(first.worst(second))
}

/// One table: written, followed, read, and compared in the end.
async fn chapter(
    setting: &Setting,
    args: &Demo,
    folder: &Folder,
    format: Format,
) -> Result<(DemoView, Exit), Ended> {
    let name = match format {
        Format::Delta => "delta",
        Format::Hudi => "hudi",
    };
    let (source, target) = (folder.path(name, "source"), folder.path(name, "replica"));
    let arguments = Tables {
        source: Some(source.clone()),
        targets: vec![target.clone()],
        table: Vec::new(),
        paths: Paths { format: Some(format), ..Paths::default() },
    };
    let tables = setting.wire.tables(&arguments).await?;
    let Some(table) = tables.first() else {
        return Err(stuck("open the demo's tables").into());
    };
    let seconds = args.seconds.div_ceil(2);
    let mut story = Story::new(setting, name, (source, target));
    story.tell(&format!(
        "A writer changes the {name} table {} for {seconds} s: appends, updates, deletes, \
         compaction.\n\
         Driftless follows it and publishes each version at {}.\n\
         A reader keeps querying the replica and checks that what it sees was committed.",
        table.source.url,
        table.targets.first().map(|target| target.url.as_str()).unwrap_or_default(),
    ));
    play(args.seed, seconds, table, &mut story).await?;
    if let Some(version) = story.head() {
        story.tell(&format!("comparing the rows of version {version} at both sides"));
        let target = table.target_locations.first().unwrap_or(&table.source_location);
        match rows_of(setting, table, target, version).await {
            Ok(rows) => story.set_rows(version, rows),
            Err(Trouble::Error(error)) => return Err(error.into()),
            Err(Trouble::Blocked(blocked)) => {
                return Err(CommandError::blocked(blocked.code, blocked.message).into());
            }
        }
    }
    Ok(story.end())
}

/// The demo's folder; removed in the end unless it is kept.
struct Folder {
    root: PathBuf,
    _guard: Option<TempDir>,
}

impl Folder {
    fn new(keep: bool) -> Result<Self, CommandError> {
        let made = tempfile::Builder::new().prefix("driftless-demo-").tempdir();
        let made = made.map_err(|error| stuck(&format!("make a temporary folder: {error}")))?;
        Ok(if keep {
            Self { root: made.keep(), _guard: None }
        } else {
            Self { root: made.path().to_owned(), _guard: Some(made) }
        })
    }

    fn path(&self, format: &str, side: &str) -> String {
        self.root.join(format).join(side).join("accounts").to_string_lossy().into_owned()
    }
}

fn stuck(message: &str) -> CommandError {
    CommandError::failed("demo_failed", message, "see standard error for more; run it again")
}

/// Takes the engine's events as they happen.
struct Sink(UnboundedSender<(Position, Instant)>);

impl Progress for Sink {
    fn event(&self, event: Event<'_>) {
        if let Event::Published { position, .. } = event {
            // The receiver leaves only when the story is over.
            let _ = self.0.send((position, Instant::now()));
        }
    }
}

/// Runs writer, replication and reader until the writer's time is over, the replica has caught
/// up and the reader has said its last word.
async fn play(
    seed: u64,
    seconds: u64,
    table: &Table,
    story: &mut Story<'_>,
) -> Result<(), CommandError> {
    let (sender, mut published) = unbounded_channel();
    let writer = Request::WriteDemo {
        table: story.source(),
        format: story.format(),
        seconds,
        seed,
        interval_ms: WRITE_INTERVAL_MS,
    };
    let mut writer = Running::start(&writer).await?;
    let reader = Request::ReadDemo {
        table: story.target(),
        format: story.format(),
        seconds: seconds + CATCH_UP.as_secs() + READER_END.as_secs(),
        interval_ms: READ_INTERVAL_MS,
    };
    let mut reader = Running::start(&reader).await?;
    let options = Options::default();
    let sink = Arc::new(Sink(sender));
    let mut trouble = None;
    let following = follow(&table.source, &table.targets, &options, sink, |report| {
        let told = report.targets.iter().find_map(|target| target.failure.clone());
        trouble = told.map(|failure| failure.message).or(trouble.take());
        true
    });
    tokio::select! {
        () = following => {}
        played = scenes(&mut writer, &mut reader, &mut published, story) => played?,
    }
    if let Some(trouble) = trouble {
        story.tell(&format!("one pass had trouble and was repeated: {trouble}"));
    }
    reader.close_input();
    let last = timeout(READER_END, async {
        while let Some(line) = reader.next_line().await? {
            story.read(&line)?;
        }
        reader.finish().await;
        Ok::<_, CommandError>(())
    });
    last.await.map_err(|_| stuck("wait for the reader's summary: it does not end"))?
}

/// Ends once the writer has ended and its last version is published.
async fn scenes(
    writer: &mut Running,
    reader: &mut Running,
    published: &mut UnboundedReceiver<(Position, Instant)>,
    story: &mut Story<'_>,
) -> Result<(), CommandError> {
    let mut writing = true;
    let mut late = std::pin::pin!(sleep(Duration::MAX));
    while writing || !story.caught_up() {
        tokio::select! {
            line = writer.next_line(), if writing => match line? {
                Some(line) => story.committed(&line)?,
                None => {
                    writing = false;
                    if !writer.finish().await {
                        return Err(stuck("write the demo's table: the writer failed"));
                    }
                    late.set(sleep(CATCH_UP));
                }
            },
            line = reader.next_line() => match line? {
                Some(line) => story.read(&line)?,
                None => return Err(stuck("read the demo's replica: the reader ended early")),
            },
            Some((position, at)) = published.recv() => story.published(position, at),
            () = &mut late => {
                return Err(stuck("wait for the last commit to be published: it takes too long"));
            }
        }
    }
    Ok(())
}

/// The writer's report lines that failed rather than parsed.
fn not_understood(who: &str, line: &str) -> CommandError {
    stuck(&format!("understand what the {who} says: {line}"))
}

impl WriterLine {
    fn parse(line: &str) -> Result<Self, CommandError> {
        serde_json::from_str(line).map_err(|_| not_understood("writer", line))
    }
}
