//! The probe against honest stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use table_sync_store::{Location, Outcome, ProbeReport, Settings, Store, Verdict, open, probe};

use crate::azure::azurite_store;
use crate::servers::{Opens as _, azurite, versitygw};

const SCRATCH: &str = "_driftless/probe/0001";

async fn report(store: &Store) -> ProbeReport {
    let report = probe(store, SCRATCH).await.unwrap();
    for check in &report.checks {
        eprintln!("{:20} {:?} {}", check.name, check.outcome, check.detail);
    }
    // Nothing of it stays.
    let mut left = Vec::new();
    let each = |listed: table_sync_store::Listed| {
        left.push(listed.key);
        std::ops::ControlFlow::Continue(())
    };
    store.list("", None, each).await.unwrap();
    assert_eq!(left, Vec::<String>::new());
    // The report survives being kept.
    let kept = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ProbeReport>(&kept).unwrap(), report);
    report
}

fn outcome(report: &ProbeReport, name: &str) -> Outcome {
    report.checks.iter().find(|check| check.name == name).unwrap().outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_fit() {
    let store = Store::over(Arc::new(object_store::memory::InMemory::new()), "memory://");
    let report = report(&store).await;
    assert_eq!(report.verdict, Verdict::Fit);
    assert_eq!(outcome(&report, "wrong_checksum"), Outcome::NotApplicable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_is_fit() {
    let root = tempfile::tempdir().unwrap();
    let text = format!("{}/table", root.path().display());
    let location = Location::parse(&text, &BTreeMap::new()).unwrap();
    let store = open(&location, &Settings::default()).unwrap();
    // The lock file is not scratch: it stays, so the emptiness is checked by hand.
    let report = probe(&store, SCRATCH).await.unwrap();
    assert_eq!(report.verdict, Verdict::Fit, "{report:?}");
    assert_eq!(outcome(&report, "hard_links"), Outcome::Pass);
    assert_eq!(outcome(&report, "clean_up"), Outcome::Pass);
    assert!(!root.path().join(SCRATCH).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versitygw_is_fit() {
    for keep_alive in [true, false] {
        let Some(server) = versitygw("versitygw_is_fit", keep_alive) else { return };
        let report = report(&server.s3("p x", &Settings::default())).await;
        assert_eq!(report.verdict, Verdict::Fit);
        assert_eq!(outcome(&report, "wrong_checksum"), Outcome::Pass);
        assert_eq!(outcome(&report, "cut_upload"), Outcome::Pass);
        assert_eq!(outcome(&report, "multipart_condition"), Outcome::Pass);
        // Why our uploads carry checksums: this server keeps half of one without.
        assert_eq!(outcome(&report, "unsigned_cut_upload"), Outcome::Fail);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azurite_is_fit() {
    let Some(server) = azurite("azurite_is_fit") else { return };
    let report = report(&azurite_store(&server)).await;
    assert_eq!(report.verdict, Verdict::Fit);
}

#[tokio::test]
async fn nothing_can_be_said_of_a_store_that_denies() {
    let Some(server) = versitygw("nothing_can_be_said", true) else { return };
    let options = [
        ("endpoint", format!("http://127.0.0.1:{}", server.port)),
        ("access_key_id", "nobody".to_owned()),
        ("secret_access_key", "nothing".to_owned()),
    ];
    let store = crate::servers::named("s3://lake", &options, &Settings::default());
    let error = probe(&store, SCRATCH).await.unwrap_err();
    assert!(matches!(error, table_sync_store::ProbeError::Write { .. }), "{error:?}");
}
