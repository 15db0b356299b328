//! `driftless verify`: holds targets against their source.

use driftless_wire::Table;
use table_sync_core::{BlockCode, Blocked, Position, SourceError};
use table_sync_engine::{Level, Target, VerifyReport, verify};
use table_sync_store::Location;

use super::inspect::source_error;
use super::{for_each, lists_tables};
use crate::args::{Verify, VerifyLevel};
use crate::exit::{CommandError, Exit};
use crate::judge::{self, TableAnswer, TableRequest};
use crate::output::human;
use crate::output::json::{Document, RowsSide, RowsView, VerifyTarget, VerifyView};
use crate::run::{Ended, Setting};

/// What is known of one target.
struct Checked {
    url: String,
    report: Option<VerifyReport>,
    rows: Option<RowsView>,
    blocked: Option<Blocked>,
    error: Option<CommandError>,
}

pub(crate) async fn run(setting: &Setting, args: &Verify) -> Result<Exit, Ended> {
    if args.level == VerifyLevel::Rows {
        // Said before anything is read, rather than after an hour.
        judge::find()?;
    }
    let tables = setting.wire.tables(&args.tables).await?;
    let checked = for_each(&tables, async |table| check_table(setting, table, args).await).await;
    setting.screen.clear();
    let mut views = Vec::new();
    let mut text = String::new();
    let mut exit = Exit::Done;
    for (table, targets) in tables.iter().zip(&checked) {
        exit = targets.iter().map(Checked::exit).fold(exit, Exit::worst);
        let view = VerifyView {
            source: &table.source.url,
            format: table.source.log.format(),
            level: level_name(args.level),
            targets: targets.iter().map(Checked::view).collect(),
        };
        text.push_str(&human::verify(setting.output.paint(), &view));
        views.push(view);
    }
    let document = Document::tables(views, lists_tables(&args.tables));
    setting.output.print(&document, text)?;
    Ok(exit)
}

fn level_name(level: VerifyLevel) -> &'static str {
    match level {
        VerifyLevel::Log => "log",
        VerifyLevel::Files => "files",
        VerifyLevel::Bytes => "bytes",
        VerifyLevel::Rows => "rows",
    }
}

async fn check_table(setting: &Setting, table: &Table, args: &Verify) -> Vec<Checked> {
    let mut all = Vec::new();
    let source = source_of(table).await;
    let targets = table.targets.iter().zip(&table.target_locations).zip(&table.misplaced);
    for ((target, location), misplaced) in targets {
        let mut checked = Checked::unknown(target);
        match (&source, misplaced) {
            (Err(trouble), _) => checked.note(trouble.clone()),
            (Ok(()), Some(blocked)) => checked.note(Trouble::Blocked(blocked.clone())),
            (Ok(()), None) => check_target(setting, table, target, args, &mut checked).await,
        }
        if args.level == VerifyLevel::Rows && checked.is_equal() {
            compare_rows(setting, table, location, &mut checked).await;
        }
        all.push(checked);
    }
    all
}

/// Nothing can be said about replicas of a table that is not there.
async fn source_of(table: &Table) -> Result<(), Trouble> {
    let url = &table.source.url;
    match table.source.log.observe(None).await {
        Ok(view) if view.head().is_some() => Ok(()),
        Ok(_) => {
            let message = format!("{url} holds no table log; check the location");
            Err(Trouble::Blocked(Blocked::table(BlockCode::NotATable, message)))
        }
        Err(SourceError::Blocked(blocked)) => Err(Trouble::Blocked(blocked)),
        Err(error) => Err(Trouble::Error(source_error(url, error))),
    }
}

async fn check_target(
    setting: &Setting,
    table: &Table,
    target: &Target,
    args: &Verify,
    checked: &mut Checked,
) {
    let level = match args.level {
        VerifyLevel::Log | VerifyLevel::Rows => Level::Log,
        VerifyLevel::Files => Level::Files,
        VerifyLevel::Bytes => Level::Bytes,
    };
    let progress = setting.screen.progress();
    let report = verify(&table.source, target, level, args.version_at, &*progress).await;
    match report {
        Err(failure) => checked.error = Some(failure.into()),
        Ok(report) => {
            let compared = report.commits + report.commits_gone + report.difference_count;
            if report.position.is_none() || compared == 0 {
                checked.blocked = Some(nothing_there(target, args.version_at));
            }
            checked.report = Some(report);
        }
    }
}

fn nothing_there(target: &Target, at: Option<Position>) -> Blocked {
    let url = &target.url;
    let message = match at {
        Some(at) => format!("{url} holds nothing at or below version {at}"),
        None => format!("nothing is published at {url}; run `driftless sync` first"),
    };
    Blocked::table(BlockCode::NotATable, message)
}

async fn compare_rows(setting: &Setting, table: &Table, target: &Location, checked: &mut Checked) {
    let position = checked.report.as_ref().and_then(|report| report.position);
    let Some(position) = position else { return };
    match rows_of(setting, table, target, position).await {
        Ok(rows) => checked.rows = Some(rows),
        Err(trouble) => checked.note(trouble),
    }
}

/// Why something was not compared.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    Blocked(Blocked),
    Error(CommandError),
}

/// Has both sides read at one version.
pub(super) async fn rows_of(
    setting: &Setting,
    table: &Table,
    target: &Location,
    position: Position,
) -> Result<RowsView, Trouble> {
    let request = |place| TableRequest::new(place, position);
    let place = |location| setting.wire.place(location).map_err(Trouble::Error);
    let (source, target) = (place(&table.source_location)?, place(target)?);
    let asked = judge::rows(vec![request(&source), request(&target)]).await;
    let answers = asked.map_err(Trouble::Error)?;
    let hint = if table.source.roots.is_empty() { ROWS_HINT } else { ALIAS_HINT };
    let mut sides = answers.into_iter().map(|answer| side(answer, position, hint));
    match (sides.next(), sides.next()) {
        (Some(source), Some(target)) => Ok(RowsView { source: source?, target: target? }),
        _ => Err(Trouble::Error(CommandError::failed(
            "row_judge_failed",
            "ask the row judge: its answer leaves out a table",
            "build it anew with `./dev build`",
        ))),
    }
}

/// The way out when rows could not be read.
const ROWS_HINT: &str = "check both stores, then run again; `--level bytes` does not read rows";

/// The same for a log that names files of another table. The judge's libraries know the table's
/// store by the scheme of its URL alone.
const ALIAS_HINT: &str = "the judge follows absolute references only where they spell the scheme \
                          of the table's URL, not as s3a or gs beside s3; `--level bytes` proves \
                          the same without reading rows";

fn side(answer: TableAnswer, position: Position, hint: &'static str) -> Result<RowsSide, Trouble> {
    match answer {
        TableAnswer { count: Some(count), hash: Some(hash), error: None } => {
            Ok(RowsSide { count, hash })
        }
        TableAnswer { error: Some(error), .. }
            if judge::UNREADABLE.contains(&error.code.as_str()) =>
        {
            let message = format!(
                "the rows cannot be judged: {}; `--level bytes` proves the same without reading \
                 them",
                error.message
            );
            let code = BlockCode::UnsupportedReaderFeature;
            Err(Trouble::Blocked(Blocked::at(code, position, message)))
        }
        TableAnswer { error, .. } => {
            let reason = error.map_or_else(
                || "its answer holds neither rows nor a reason".to_owned(),
                |error| format!("{}: {}", error.code, error.message),
            );
            Err(Trouble::Error(CommandError::failed(
                "rows_unreadable",
                format!("read the rows of version {position}: {reason}"),
                hint,
            )))
        }
    }
}

impl Checked {
    fn unknown(target: &Target) -> Self {
        Self { url: target.url.clone(), report: None, rows: None, blocked: None, error: None }
    }

    fn note(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Blocked(blocked) => self.blocked = Some(blocked),
            Trouble::Error(error) => self.error = Some(error),
        }
    }

    /// Whether everything that was looked at so far is equal.
    fn is_equal(&self) -> bool {
        let report = self.report.as_ref().is_some_and(VerifyReport::is_equal);
        report && self.blocked.is_none() && self.error.is_none() && self.rows_are_equal()
    }

    fn rows_are_equal(&self) -> bool {
        self.rows.as_ref().is_none_or(|rows| rows.source == rows.target)
    }

    fn exit(&self) -> Exit {
        let known = match &self.error {
            Some(error) => error.exit,
            None => Exit::of_target(self.blocked.as_ref().map(|blocked| blocked.code), false),
        };
        let differs = self.report.as_ref().is_some_and(|report| !report.is_equal());
        if differs || !self.rows_are_equal() { Exit::Differs } else { known }
    }

    fn view(&self) -> VerifyTarget<'_> {
        let mut view = match &self.report {
            Some(report) => VerifyTarget::of(&self.url, report),
            None => VerifyTarget::unknown(&self.url),
        };
        view.rows.clone_from(&self.rows);
        if !self.rows_are_equal() {
            view.equal = Some(false);
        }
        if let Some(blocked) = &self.blocked {
            view.block(blocked);
        }
        if let Some(error) = &self.error {
            view.fail(error);
        }
        view
    }
}
