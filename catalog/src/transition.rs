//! State machines: what may follow what. Pure functions; nothing else changes a state.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::words;

words! {
    /// What is wanted of a table.
    Desired {
        /// To be kept in step.
        Active => "active",
        /// To be left alone, its replicas readable.
        Paused => "paused",
        /// To be forgotten, once its owner has let go.
        Unregistering => "unregistering",
    }
}

words! {
    /// What a person asks of a table.
    Wish {
        /// Leave it alone.
        Pause => "pause",
        /// Go on.
        Resume => "resume",
        /// Forget it.
        Unregister => "unregister",
    }
}

words! {
    /// How far an operation is.
    OperationState {
        /// Nobody works on it yet.
        Pending => "pending",
        /// Somebody does.
        Running => "running",
        /// Done.
        Succeeded => "succeeded",
        /// Ended; the error says why.
        Failed => "failed",
        /// Ended because somebody asked for it.
        Cancelled => "cancelled",
    }
}

/// A wish that does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wish} a table that is {state}")]
pub struct NotNow {
    /// The wish.
    pub wish: Wish,
    /// What the table is.
    pub state: Desired,
}

/// What is wanted after a wish. Wishing the same again changes nothing.
///
/// # Errors
/// A table that is being forgotten takes no other wish.
pub fn desire(state: Desired, wish: Wish) -> Result<Desired, NotNow> {
    match (state, wish) {
        (_, Wish::Unregister) => Ok(Desired::Unregistering),
        (Desired::Unregistering, _) => Err(NotNow { wish, state }),
        (_, Wish::Pause) => Ok(Desired::Paused),
        (_, Wish::Resume) => Ok(Desired::Active),
    }
}

impl OperationState {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }

    /// Whether `next` may follow.
    pub fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Pending, Self::Running | Self::Failed | Self::Cancelled) => true,
            // Its owner was lost, and another one begins again.
            (Self::Running, Self::Pending) => true,
            (Self::Running, next) => next.is_final() || next == Self::Running,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        use Desired::{Active, Paused, Unregistering};
        for (state, wish, expect) in [
            (Active, Wish::Pause, Some(Paused)),
            (Active, Wish::Resume, Some(Active)),
            (Active, Wish::Unregister, Some(Unregistering)),
            (Paused, Wish::Pause, Some(Paused)),
            (Paused, Wish::Resume, Some(Active)),
            (Paused, Wish::Unregister, Some(Unregistering)),
            (Unregistering, Wish::Pause, None),
            (Unregistering, Wish::Resume, None),
            (Unregistering, Wish::Unregister, Some(Unregistering)),
        ] {
            assert_eq!(desire(state, wish).ok(), expect, "{state} {wish}");
        }
    }

    #[test]
    fn operations_end_once() {
        use OperationState::{Cancelled, Failed, Pending, Running, Succeeded};
        let allowed = [
            (Pending, Running),
            (Pending, Failed),
            (Pending, Cancelled),
            (Running, Pending),
            (Running, Running),
            (Running, Succeeded),
            (Running, Failed),
            (Running, Cancelled),
        ];
        for from in OperationState::ALL {
            for to in OperationState::ALL {
                let expect = allowed.contains(&(*from, *to));
                assert_eq!(from.may_become(*to), expect, "{from} {to}");
            }
        }
    }
}
