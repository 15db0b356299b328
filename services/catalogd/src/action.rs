//! What a person does about a reason: one sentence for each code.

use table_sync_core::BlockCode;

/// What to do about the reason with this code.
pub(crate) fn action(code: &str) -> &'static str {
    match BlockCode::ALL.iter().find(|known| known.as_str() == code) {
        Some(code) => of_block(*code),
        None => {
            "nothing for now: it is tried again. If it stays, read the message, and check that \
             the store answers and that the credentials are good"
        }
    }
}

fn of_block(code: BlockCode) -> &'static str {
    match code {
        BlockCode::NotATable => {
            "check the table's source: there is no Delta or Hudi log. If the table was dropped, \
             unregister it"
        }
        BlockCode::UnsupportedReaderFeature => {
            "turn the feature that the message names off at the source, or upgrade this program"
        }
        BlockCode::UnsupportedVersion => {
            "upgrade this program, or keep the source at a version that it knows"
        }
        BlockCode::ForeignPath => {
            "let the policy have absolute_paths: alias, with the other folders in alias_roots, if \
             they lie at every site; otherwise rewrite the table with relative paths"
        }
        BlockCode::CatalogManaged => {
            "let the table publish its commits to its log: turn catalog-managed commits off"
        }
        BlockCode::HistoryLost => {
            "resync the table: the source no longer holds what was still to be published. Then \
             lengthen the source's retention or the table's priority"
        }
        BlockCode::SourceDamaged => {
            "repair the source: its newest version is not whole. The message names the object"
        }
        BlockCode::CommitDamaged => {
            "repair or roll back the commit at the source. The message names the object"
        }
        BlockCode::CommitRewritten | BlockCode::Rewound => {
            "find out who changed the source's history. If it is meant, resync the table; its \
             readers keep the old history until then"
        }
        BlockCode::Diverged => {
            "find out who writes at the site: it holds what was not published there. Then resync \
             the table at this site"
        }
        BlockCode::ForeignReplica => {
            "the location holds a table of somebody else: adopt it with sync --adopt, or empty it"
        }
        BlockCode::UnfitTarget => {
            "use another store for this site, or one that keeps what the message asks for"
        }
        BlockCode::V6Window => {
            "let the policy have hudi_v6_window: allow, or upgrade the table at the source"
        }
        BlockCode::LimitExceeded => {
            "make the commit or the log entry that the message names smaller, or ask for a higher \
             limit"
        }
        _ => "read the message, and see the manual's page of reasons",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_way_out() {
        let general = action("no_such_code");
        for code in BlockCode::ALL {
            let text = action(code.as_str());
            assert_ne!(text, general, "{code}");
            assert_ne!(text, "read the message, and see the manual's page of reasons", "{code}");
        }
    }
}
