//! How a server process ends: the first signal drains it, the second ends it at once.
//!
//! Ending at once loses nothing either: what was claimed is given back when its lease runs out.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::exit::{INTERRUPTED, TERMINATED};

/// Between the hard stop and the end of the process: time to signal child processes, not to wait for them.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The two stops of this process; clones are the same stops.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lifecycle {
    /// Claim nothing new, finish or hand back what is under way, then end with exit code 0.
    pub drain: CancellationToken,
    /// The process ends in a moment, whatever is under way.
    pub hard: CancellationToken,
}

/// What somebody wants of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Interrupt,
    Terminate,
}

impl Lifecycle {
    /// Listens to SIGINT and SIGTERM from now on, instead of dying of them.
    pub(crate) fn listen() -> io::Result<Self> {
        let stops = Self::default();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, signals) = mpsc::channel(2);
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    Some(()) = interrupt.recv() => Signal::Interrupt,
                    Some(()) = terminate.recv() => Signal::Terminate,
                    else => return,
                };
                if sender.send(signal).await.is_err() {
                    return;
                }
            }
        });
        let listening = stops.clone();
        tokio::spawn(async move {
            if let Some(code) = listening.obey(signals).await {
                sleep(LAST_WORDS).await;
                end_now(code);
            }
        });
        Ok(stops)
    }

    /// Drains at the first signal; gives the exit code at the second.
    async fn obey(&self, mut signals: mpsc::Receiver<Signal>) -> Option<u8> {
        let first = signals.recv().await?;
        tracing::info!(signal = ?first, "draining: nothing new is started; a second signal ends at once");
        self.drain.cancel();
        let second = signals.recv().await?;
        tracing::warn!(signal = ?second, "ending at once");
        self.hard.cancel();
        Some(match second {
            Signal::Interrupt => INTERRUPTED,
            Signal::Terminate => TERMINATED,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "the second signal ends the process whatever it is doing")]
fn end_now(code: u8) {
    std::process::exit(i32::from(code));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_ends_at_once() {
        for (second, code) in [(Signal::Interrupt, 130), (Signal::Terminate, 143)] {
            let stops = Lifecycle::default();
            let (sender, signals) = mpsc::channel(2);
            let obeying = tokio::spawn({
                let stops = stops.clone();
                async move { stops.obey(signals).await }
            });
            sender.send(Signal::Terminate).await.unwrap();
            stops.drain.cancelled().await;
            assert!(!stops.hard.is_cancelled());
            sender.send(second).await.unwrap();
            assert_eq!(obeying.await.unwrap(), Some(code));
            assert!(stops.hard.is_cancelled());
        }
    }

    #[tokio::test]
    async fn without_signals_nothing_stops() {
        let stops = Lifecycle::default();
        let (sender, signals) = mpsc::channel(2);
        drop(sender);
        assert_eq!(stops.obey(signals).await, None);
        assert!(!stops.drain.is_cancelled() && !stops.hard.is_cancelled());
    }
}
