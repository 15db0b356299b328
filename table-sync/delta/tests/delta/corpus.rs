//! The public corpus and the project's own tables: every version is described, or is on a list.

use std::collections::BTreeMap;

use driftless_testdata::corpus::{delta_tables, project_tables};
use driftless_testdata::{Objects, models};
use table_sync_core::{BlockCode, PlannedKind, Position, SetDigest, SourceError, SourceLog, Start};

use crate::site::{append, jump, log, needs, sync, version};

/// Why some version of a table is not described: code or kind of error.
async fn refusals(objects: &Objects) -> BTreeMap<&'static str, u64> {
    let mut refusals: BTreeMap<&'static str, u64> = BTreeMap::new();
    let log = log(objects).await;
    let view = match SourceLog::observe(&log, None).await {
        Ok(view) => view,
        Err(error) => panic!("{error}"),
    };
    if view.commits.is_empty() && view.bases.is_empty() {
        refusals.insert("not_a_table", 1);
    }
    let commits = view.commits.iter().map(|commit| (commit.position, PlannedKind::Append));
    let bases = view.bases.iter().map(|base| (base.position, PlannedKind::Jump));
    for (position, kind) in commits.chain(bases) {
        let Position::Version(at) = position else { panic!() };
        let planned = if kind == PlannedKind::Append { append(at) } else { jump(at) };
        let described = match log.describe(&view, &planned).await {
            Ok(description) => needs(&description).await.map(|_| ()),
            Err(error) => Err(error),
        };
        let kind = match described {
            Ok(()) => {
                digest_agrees(objects, &log, &view, at).await;
                continue;
            }
            Err(SourceError::Blocked(blocked)) => blocked.code.as_str(),
            Err(SourceError::Missing { .. }) => "missing",
            Err(SourceError::Damaged { .. }) => "damaged",
            Err(error) => panic!("{error}"),
        };
        *refusals.entry(kind).or_default() += 1;
    }
    refusals
}

/// Where the model opens a version, it sees the files that this crate sees.
async fn digest_agrees(
    objects: &Objects,
    log: &table_sync_delta::DeltaLog,
    view: &table_sync_core::SourceView,
    at: u64,
) {
    let Ok(expect) = models::snapshot_of_source(objects, at) else { return };
    let Ok(found) = log.live_digest(view, version(at)).await else { return };
    let mut expected = SetDigest::default();
    for file in &expect.files {
        expected.insert(&file.path, file.dv.as_deref());
    }
    assert_eq!(found, expected, "version {at}");
}

#[test]
fn every_corpus_table_is_described_or_listed() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut found = String::new();
    let tables = delta_tables();
    for table in &tables {
        let refusals = runtime.block_on(refusals(&table.objects()));
        if !refusals.is_empty() {
            let kinds: Vec<_> = refusals.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
            found.push_str(&format!("{}: {}\n", table.name, kinds.join(", ")));
        }
    }
    if !tables.is_empty() {
        expect_test::expect_file!["corpus.txt"].assert_eq(&found);
    }
}

#[test]
fn every_project_table_replicates() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for table in project_tables() {
        eprintln!("{}", table.name);
        let source = table.objects();
        for start in [Start::Latest, Start::Earliest] {
            let mut target = Objects::new();
            let pass = runtime.block_on(sync(&source, &mut target, start));
            let code = pass.refusal.as_ref().map(|refusal| refusal.code);
            // Vacuum took what version 1 needs, and there is no checkpoint to jump to.
            let expect = (table.name == "vacuumed").then_some(BlockCode::HistoryLost);
            assert_eq!(code, expect, "{}: {pass:?}", table.name);
            assert_eq!(pass.warnings, Vec::<String>::new(), "{}", table.name);
            assert!(!pass.published.is_empty(), "{}", table.name);
        }
    }
}
