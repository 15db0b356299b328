//! Names of timeline files.
//!
//! # Laws
//! - A name that means something is the only spelling of that meaning.
//! - Every meaning has a name.
//! - Only layout 2 knows completion times, and only of completed instants.
//! - Of the states of one instant exactly the furthest is kept.

use table_sync_core::InstantTime;
use table_sync_hudi::instant::{Action, InstantName, Layout, State, furthest, parse_bytes};

use super::Verdict;

/// Reads the bytes as a name of each layout, and makes names of them.
pub fn target(data: &[u8]) -> Verdict {
    made_of(data);
    let Ok(text) = std::str::from_utf8(data) else {
        assert_eq!(parse_bytes(data), None);
        return Verdict::Refused;
    };
    let mut accepted = false;
    for layout in [Layout::V1, Layout::V2] {
        let Some(name) = InstantName::parse(text, layout) else { continue };
        accepted = true;
        assert_eq!(spelled(&name), text, "a second spelling");
        assert_eq!(name.to_string(), text);
        assert_eq!(name.layout, layout);
        let timed = name.completion.is_some();
        assert!(!timed || (layout == Layout::V2 && name.state == State::Completed));
        assert!(!text.contains('/') && !text.starts_with('.'), "{text:?} is in another folder");
        let (requested, action) = name.key();
        assert_eq!((requested, action.comparable()), (name.requested, action));
    }
    let other = InstantName::parse(text, Layout::V1).is_some();
    assert!(!other || InstantName::parse(text, Layout::V2).is_some(), "layout 2 takes all of 1");
    assert_eq!(parse_bytes(data).is_some(), accepted);
    Verdict::of(accepted)
}

/// The spelling of a name, by rules written anew.
fn spelled(name: &InstantName) -> String {
    let word = match &name.action {
        Action::Commit => "commit",
        Action::DeltaCommit => "deltacommit",
        Action::ReplaceCommit => "replacecommit",
        Action::Clustering => "clustering",
        Action::Compaction => "compaction",
        Action::LogCompaction => "logcompaction",
        Action::Clean => "clean",
        Action::Rollback => "rollback",
        Action::Restore => "restore",
        Action::Savepoint => "savepoint",
        Action::Indexing => "indexing",
        Action::SchemaCommit => "schemacommit",
        Action::Unknown(word) => {
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{word:?}");
            word
        }
        _ => panic!("an action without a name here: {:?}", name.action),
    };
    let completion = name.completion.map(|time| format!("_{time}")).unwrap_or_default();
    let ending = match name.state {
        State::Requested => format!("{word}.requested"),
        State::Inflight if word == "commit" => "inflight".to_owned(),
        State::Inflight => format!("{word}.inflight"),
        State::Completed => word.to_owned(),
    };
    format!("{}{completion}.{ending}", name.requested)
}

const ACTIONS: [Action; 12] = [
    Action::Commit,
    Action::DeltaCommit,
    Action::ReplaceCommit,
    Action::Clustering,
    Action::Compaction,
    Action::LogCompaction,
    Action::Clean,
    Action::Rollback,
    Action::Restore,
    Action::Savepoint,
    Action::Indexing,
    Action::SchemaCommit,
];

/// Takes times and an action from the bytes and asserts that the names made of them are
/// understood, and that one instant is left of all.
fn made_of(data: &[u8]) {
    let digit = |byte: &u8| char::from(b'0' + byte % 10);
    let time = |skip: usize| {
        let count = 1 + data.get(skip).map_or(16, |byte| usize::from(byte % 17));
        let text: String = data.iter().skip(skip).take(count).map(digit).collect();
        InstantTime::parse(&text).unwrap_or(InstantTime::ZERO)
    };
    let (requested, completed) = (time(0), time(8));
    let action = &ACTIONS[data.first().map_or(0, |byte| usize::from(*byte)) % ACTIONS.len()];
    let mut names = Vec::new();
    for layout in [Layout::V1, Layout::V2] {
        for state in [State::Requested, State::Inflight, State::Completed] {
            let completion =
                (layout == Layout::V2 && state == State::Completed).then_some(completed);
            let name = InstantName { requested, completion, action: action.clone(), state, layout };
            assert_eq!(InstantName::parse(&spelled(&name), layout).as_ref(), Some(&name));
            names.push(name);
        }
        let kept = furthest(
            names.iter().filter(|name| name.layout == layout).cloned().collect(),
            |name| name,
        );
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].state, State::Completed);
    }
}
