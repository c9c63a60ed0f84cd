//! Harness of the tests that need the real thing: an unmodified engine that generates text, the `profinfer` binary
//! beside it, and the kernel's own tracefs as an independent witness of what happened.
//!
//! A harness may panic: its panics are the messages of failed tests. What is missing on a machine makes a test fail
//! with the cure in its text; nothing is skipped.

pub mod cache;
pub mod callback;
pub mod engine;
pub mod lab;
pub mod limit;
pub mod offload;
pub mod perf;
pub mod profinfer;
pub mod program;
pub mod routing;
pub mod system;
pub mod tracefs;
pub mod truth;

/// Turns what cannot be done into a failed test that says what it was.
pub trait OrFail<T> {
    /// The value, or a panic with `what` and the cause.
    ///
    /// # Panics
    /// When there is no value.
    #[track_caller]
    fn or_fail(self, what: impl std::fmt::Display) -> T;
}

impl<T, E: std::fmt::Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, what: impl std::fmt::Display) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_fail(self, what: impl std::fmt::Display) -> T {
        match self {
            Some(value) => value,
            None => panic!("{what}"),
        }
    }
}
