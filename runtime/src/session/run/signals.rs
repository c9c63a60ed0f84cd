//! What wakes the loop, and the signals among it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What wakes the loop.
pub(super) enum Wake {
    Interrupt,
    Terminate,
    ShowAll,
    Resized,
    Loaded(Vec<u32>),
    Exited(usize),
    Timer(usize),
    Tick,
    /// Time to look at what the run costs.
    Measure,
    /// Time to look at the budget.
    Budget,
    /// None of the observed processes lives: is it over?
    Deserted,
    Deadline,
}

/// The signals that a run listens to.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    show: Signal,
    resized: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            show: signal(SignalKind::user_defined1())?,
            resized: signal(SignalKind::window_change())?,
        })
    }

    pub(super) async fn next(&mut self) -> Wake {
        tokio::select! {
            _ = self.interrupt.recv() => Wake::Interrupt,
            _ = self.terminate.recv() => Wake::Terminate,
            _ = self.hang_up.recv() => Wake::Terminate,
            _ = self.show.recv() => Wake::ShowAll,
            _ = self.resized.recv() => Wake::Resized,
        }
    }
}
