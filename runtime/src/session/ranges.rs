//! What lies in the memory of processes.

/// Ranges of processes.
#[derive(Debug, Default)]
pub(super) struct Ranges;
