//! Owning a replica: whose it is, and whose turn it is to write there.
//!
//! # Invariants
//! - Nothing is written at a replica whose descriptor names another table or a later owner, as far
//!   as it was read.
//! - Our epoch is in the descriptor, by compare-and-set, before the first write of a pass.

use table_sync_core::{BlockCode, Blocked};

use super::{Run, arrive};
use crate::Target;
use crate::descriptor::Descriptor;
use crate::lane::Stop;
use crate::registration::Standing;
use crate::report::{Failure, FailureCode};
use crate::transfer::Context;

/// Stops where the replica is another table's, or another owner's.
pub(super) fn check(context: &Context, target: &Target, found: &Descriptor) -> Result<(), Stop> {
    let Some(registration) = &context.options.registration else { return Ok(()) };
    match registration.standing(&target.url, found) {
        Standing::Ours | Standing::Open => Ok(()),
        Standing::Fenced(fenced) => Err(Stop::Failed(Failure::new(FailureCode::Fenced, &fenced))),
        Standing::Foreign { found, ours } => {
            let message = format!(
                "{} holds a replica of {found}, not of {ours}; replicate to another location",
                target.url
            );
            Err(Stop::Blocked(Blocked::table(BlockCode::ForeignReplica, message)))
        }
    }
}

/// The descriptor in our name.
pub(super) fn marked(context: &Context, target: &Target, descriptor: Descriptor) -> Descriptor {
    match &context.options.registration {
        Some(registration) => registration.mark(&target.url, &descriptor),
        None => descriptor,
    }
}

/// Puts our name into a descriptor that has another.
pub(super) async fn take(context: &Context, run: &mut Run) -> Result<(), Stop> {
    let Some(known) = arrive::descriptor_of(run).cloned() else { return Ok(()) };
    let wanted = marked(context, &run.target, known.clone());
    if wanted == known {
        return Ok(());
    }
    arrive::save(context, run, wanted).await
}
