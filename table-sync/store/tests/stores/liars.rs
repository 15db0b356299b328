//! The probe against stores that do not keep their promises.

use driftless_testdata::s3::{Action, Config, MutationKind, Phase, S3Double};
use table_sync_store::{Outcome, ProbeReport, Verdict, probe};

use crate::double::{config, settings, store};

async fn probed(double: &S3Double) -> ProbeReport {
    probe(&store(double, &settings()), "_driftless/probe/1").await.unwrap()
}

/// `lie`: what is wrong with the server; `expect`: the checks that must see it.
async fn check(lie: impl FnOnce(&mut Config), expect: &[&str]) {
    let mut config = config();
    lie(&mut config);
    let double = S3Double::start(config);
    let report = probed(&double).await;
    let failed: Vec<_> = report
        .checks
        .iter()
        .filter(|check| check.required && check.outcome == Outcome::Fail)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(failed, expect, "{report:#?}");
    match &report.verdict {
        Verdict::Fit => assert!(expect.is_empty()),
        Verdict::Unfit { reason } => {
            assert!(expect.iter().all(|name| reason.contains(name)), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(double.objects("lake").len(), 0, "scratch stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_are_found() {
    check(|_| {}, &[]).await;
    let all = ["create_if_absent", "create_race", "replace_if_match"];
    check(|config| config.no_conditional_put = true, &all).await;
    // Only the race sees this one.
    check(|config| config.racy_conditional_put = true, &["create_race"]).await;
    check(|config| config.ignore_checksums = true, &["wrong_checksum"]).await;
    // No danger to uploads with a checksum, and said so.
    check(|config| config.keep_truncated = true, &[]).await;
    check(|config| config.no_conditional_delete = true, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_listings_are_found() {
    let double = S3Double::start(Config { list_lag_mutations: 2, ..config() });
    let report = probed(&double).await;
    assert!(!report.passed("list_after_write"), "{report:#?}");
    assert!(matches!(report.verdict, Verdict::Unfit { .. }), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_without_danger_are_reported() {
    let lies = Config { keep_truncated: true, no_conditional_delete: true, ..config() };
    let report = probed(&S3Double::start(lies)).await;
    let outcome = |name| report.checks.iter().find(|check| check.name == name).unwrap().outcome;
    assert_eq!(report.verdict, Verdict::Fit);
    assert_eq!(outcome("unsigned_cut_upload"), Outcome::Fail);
    assert_eq!(outcome("delete_if_match"), Outcome::Fail);
}

/// Server errors are no proof of anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_errors_are_inconclusive() {
    let double = S3Double::start(config());
    double.on_mutation(|_, mutation| {
        let races = mutation.key.contains("/race/") && mutation.kind == MutationKind::Put;
        match mutation.phase {
            Phase::After if races && mutation.applied() => Action::Refuse(500, "InternalError"),
            _ => Action::Continue,
        }
    });
    let report = probed(&double).await;
    assert!(matches!(report.verdict, Verdict::Inconclusive { .. }), "{report:#?}");
}
