//! What the store says when replies are lost, refused or cut.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use driftless_testdata::s3::{Action, MutationKind, Phase, ReadAction, S3Double};
use table_sync_core::Disposition;
use table_sync_store::{Precondition, ReadError, Settings, Store, WriteError};

use crate::bodies::{is_pattern, pattern, whole};
use crate::double::{config, impatient, store};

/// Plays one action at every mutation of a kind.
fn play(double: &S3Double, kind: MutationKind, phase: Phase, action: Action) {
    double.on_mutation(move |_, mutation| {
        let hit = mutation.kind == kind && mutation.phase == phase;
        if hit { action.clone() } else { Action::Continue }
    });
}

/// `expect`: what the error is, what it asks for, and whether the object is there afterwards.
async fn check(phase: Phase, action: Action, expect: (&str, Disposition, bool)) {
    let double = S3Double::start(config());
    let store = store(&double, &impatient());
    play(&double, MutationKind::Put, phase, action.clone());
    let error = store.create("k", Bytes::from_static(b"x")).await.unwrap_err();
    let name = variant(&error);
    double.clear_hooks();
    let there = store.head("k").await.unwrap().is_some();
    assert_eq!((name, error.disposition(), there), expect, "{phase:?} {action:?}: {error:?}");
}

fn variant(error: &WriteError) -> &'static str {
    match error {
        WriteError::Exists { .. } => "exists",
        WriteError::Changed { .. } => "changed",
        WriteError::Refused { .. } => "refused",
        WriteError::Unknown { .. } => "unknown",
        WriteError::Denied { .. } => "denied",
        WriteError::Body { .. } => "body",
        _ => "other",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_lost_replies_are_told_apart() {
    use Disposition::{Halt, Replan, Retry};
    let (before, after) = (Phase::Before, Phase::After);
    check(before, Action::DropRequest, ("unknown", Replan, false)).await;
    check(before, Action::DropReply, ("unknown", Replan, true)).await;
    check(after, Action::DropReply, ("unknown", Replan, true)).await;
    check(before, Action::Hang, ("unknown", Replan, false)).await;
    check(after, Action::Hang, ("unknown", Replan, true)).await;
    check(before, Action::Refuse(500, "InternalError"), ("unknown", Replan, false)).await;
    check(after, Action::Refuse(500, "InternalError"), ("unknown", Replan, true)).await;
    check(after, Action::Refuse(503, "ServiceUnavailable"), ("unknown", Replan, true)).await;
    check(before, Action::Refuse(503, "SlowDown"), ("refused", Retry, false)).await;
    check(before, Action::Refuse(429, "TooManyRequests"), ("refused", Retry, false)).await;
    let conflict = Action::Refuse(409, "ConditionalRequestConflict");
    check(before, conflict, ("refused", Retry, false)).await;
    check(before, Action::Refuse(412, "PreconditionFailed"), ("exists", Replan, false)).await;
    check(before, Action::Refuse(403, "AccessDenied"), ("denied", Halt, false)).await;
    check(before, Action::Refuse(400, "BadDigest"), ("refused", Retry, false)).await;
}

/// No write is repeated by the store itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_writes_are_sent_once() {
    for action in [Action::DropReply, Action::Hang, Action::Refuse(500, "InternalError")] {
        let double = S3Double::start(config());
        let store = store(&double, &impatient());
        play(&double, MutationKind::Put, Phase::Before, action);
        store.create("k", Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(double.mutations().len(), 1);
    }
}

async fn upload_large(store: &Store) -> Result<(), WriteError> {
    let size_bytes = 11 << 20;
    let body = pattern(size_bytes);
    store.upload("k", size_bytes, body, Precondition::Absent).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_parts_leave_no_upload() {
    let refuse = Action::Refuse(500, "InternalError");
    let cases = [
        (MutationKind::CreateUpload, refuse.clone(), "refused"),
        (MutationKind::UploadPart, refuse.clone(), "refused"),
        (MutationKind::UploadPart, Action::DropReply, "refused"),
        (MutationKind::UploadPart, Action::Hang, "refused"),
        (MutationKind::CompleteUpload, refuse, "unknown"),
        (MutationKind::CompleteUpload, Action::Refuse(412, "PreconditionFailed"), "exists"),
        (MutationKind::CompleteUpload, Action::DropRequest, "unknown"),
    ];
    for (kind, action, expect) in cases {
        let double = S3Double::start(config());
        let store = store(&double, &impatient());
        play(&double, kind, Phase::Before, action.clone());
        let error = upload_large(&store).await.unwrap_err();
        assert_eq!(variant(&error), expect, "{kind:?} {action:?}: {error:?}");
        assert_eq!(double.uploads("lake").len(), 0, "{kind:?} {action:?}");
        assert_eq!(double.object("lake", "root/k"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_completion_may_be_done() {
    let double = S3Double::start(config());
    let store = store(&double, &impatient());
    play(&double, MutationKind::CompleteUpload, Phase::After, Action::DropReply);
    let error = upload_large(&store).await.unwrap_err();
    assert_eq!(variant(&error), "unknown");
    let reading = store.read("k", None, None).await.unwrap();
    assert!(is_pattern(reading, 0, 11 << 20).await);
}

/// Plays one action at the first `times` reads.
fn play_reads(double: &S3Double, times: u64, action: ReadAction) {
    let seen = AtomicU64::new(0);
    double.on_read(move |_| {
        let hit = seen.fetch_add(1, Ordering::Relaxed) < times;
        if hit { action.clone() } else { ReadAction::Continue }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_repeated_and_taken_up_again() {
    let size_bytes = 3_000_000;
    let actions = [
        ReadAction::Refuse(503, "SlowDown"),
        ReadAction::Refuse(500, "InternalError"),
        ReadAction::DropReply,
        ReadAction::Hang,
        ReadAction::CutAfter(0),
        ReadAction::CutAfter(1_000_000),
        ReadAction::CutAfter(2_999_999),
        ReadAction::StallAfter(500_000),
    ];
    for action in actions {
        let double = S3Double::start(config());
        let store = store(&double, &impatient());
        store.upload("k", size_bytes, pattern(size_bytes), Precondition::Absent).await.unwrap();
        play_reads(&double, 2, action.clone());
        let reading = store.read("k", None, None).await.unwrap();
        assert!(is_pattern(reading, 0, size_bytes).await, "{action:?}");
        play_reads(&double, 2, action.clone());
        let reading = store.read("k", Some(10..2_000_000), None).await.unwrap();
        assert!(is_pattern(reading, 10, 1_999_990).await, "{action:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_that_was_cut_never_mixes_two_contents() {
    let double = S3Double::start(config());
    let store = store(&double, &impatient());
    store.create("k", Bytes::from(vec![1; 100_000])).await.unwrap();
    play_reads(&double, 1, ReadAction::CutAfter(50_000));
    let reading = store.read("k", None, None).await.unwrap();
    double.put_object("lake", "root/k", vec![2; 100_000]);
    let error = whole(reading).await.unwrap_err();
    assert!(matches!(error, ReadError::Changed { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_give_up_in_time() {
    let double = S3Double::start(config());
    let retry_timeout = std::time::Duration::from_millis(500);
    let short = Settings { retry_timeout, ..impatient() };
    let store = store(&double, &short);
    store.create("k", Bytes::from_static(b"x")).await.unwrap();
    double.on_read(|_| ReadAction::Refuse(503, "SlowDown"));
    let error = store.read("k", None, None).await.unwrap_err();
    assert!(matches!(error, ReadError::Throttled { .. }), "{error:?}");
    double.on_read(|_| ReadAction::Hang);
    let error = store.head("k").await.unwrap_err();
    assert!(matches!(error, ReadError::Io { .. }), "{error:?}");
    double.on_read(|_| ReadAction::Refuse(403, "AccessDenied"));
    let error = store.read("k", None, None).await.unwrap_err();
    assert!(matches!(error, ReadError::Denied { .. }), "{error:?}");
}
