//! What an error asks for.

/// What the caller does next. A new variant is a design change, not a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Same plan, after a delay.
    Retry,
    /// Discard the plan, observe both sides again.
    Replan,
    /// Stop without alarm: another owner is active.
    Yield,
    /// Stop this table and call a person.
    Halt,
}
