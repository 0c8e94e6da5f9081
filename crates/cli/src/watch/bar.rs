//! The progress bar, on stderr: drawn where a terminal is, a plain line now and then where none is.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sincro_core::sync::{SyncState, SyncStatus};
use tokio::time::Instant;

use super::text::{self, Pace};
use crate::output;

/// Without a terminal, changes are told at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);
const REDRAW_EVERY: Duration = Duration::from_millis(120);
const BAR: &str = "{spinner:.cyan} [{bar:28.cyan/dim}] {percent:>3}% {msg}";
const SPINNER: &str = "{spinner:.cyan} {msg}";

/// What bars and log lines share: a line is written above the bars instead of through them.
pub(crate) type Screen = MultiProgress;

/// The progress of one sync.
pub(crate) struct Bar {
    drawn: ProgressBar,
    on_terminal: bool,
    begun: Instant,
    pace: Pace,
    line_every: Duration,
    last_line: Option<(Instant, String)>,
}

impl Bar {
    /// A bar for so many jobs; the total follows what [`Bar::show`] hears.
    pub(crate) fn new(total: u64) -> Self {
        Self::on(&Screen::new(), total)
    }

    /// The same on a screen that log lines go to as well (see `telemetry::start`).
    pub(crate) fn on(screen: &Screen, total: u64) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        // Hidden at first: nothing is drawn before there is something to say.
        let drawn = if on_terminal { screen.add(ProgressBar::new(total)) } else { ProgressBar::hidden() };
        drawn.set_style(style(SPINNER));
        Self {
            drawn,
            on_terminal,
            begun: Instant::now(),
            pace: Pace::default(),
            line_every: LINE_EVERY,
            last_line: None,
        }
    }

    /// Shows where the sync is now.
    pub(crate) fn show(&mut self, status: &SyncStatus) {
        let now = Instant::now();
        self.pace.observe(now - self.begun, status.jobs.settled());
        let text = output::plain(&text::progress(status, self.pace.per_second()));
        if self.on_terminal {
            self.draw(status, text);
        } else {
            self.tell(now, text);
        }
    }

    /// Says something above the bar.
    pub(crate) fn note(&self, text: &str) {
        self.drawn.suspend(|| output::note(text));
    }

    /// Leaves the bar where the sync ended; [`text::end`] has more to say.
    pub(crate) fn finish(mut self, status: &SyncStatus) {
        self.line_every = Duration::ZERO;
        self.show(status);
        self.drawn.abandon();
    }

    fn draw(&self, status: &SyncStatus, text: String) {
        let counted = status.state != SyncState::Planning && status.jobs.total > 0;
        self.drawn.set_style(style(if counted { BAR } else { SPINNER }));
        self.drawn.set_length(u64::try_from(status.jobs.total).unwrap_or(0));
        self.drawn.set_position(u64::try_from(status.jobs.settled()).unwrap_or(0));
        self.drawn.set_message(text);
        if !status.state.is_terminal() {
            self.drawn.enable_steady_tick(REDRAW_EVERY);
        }
    }

    fn tell(&mut self, now: Instant, text: String) {
        let due = self.last_line.as_ref().is_none_or(|(at, last)| now - *at >= self.line_every && *last != text);
        if due {
            output::note(&text);
            self.last_line = Some((now, text));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        // A bar that was not finished belongs to something that went wrong: what is said of that comes next.
        if !self.drawn.is_finished() {
            self.drawn.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; should one be wrong, the plain bar is better than none.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::status_for_tests;

    #[test]
    fn the_templates_are_sound() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
        assert!(ProgressStyle::with_template(SPINNER).is_ok());
    }

    #[test]
    fn without_a_terminal_lines_are_told_now_and_then_and_not_twice() {
        let mut bar = Bar::new(10);
        let start = bar.begun;
        let told = |bar: &Bar| bar.last_line.clone().unwrap().1;
        bar.tell(start, "a".to_owned());
        bar.tell(start + Duration::from_secs(1), "b".to_owned());
        assert_eq!(told(&bar), "a");
        bar.tell(start + LINE_EVERY, "c".to_owned());
        assert_eq!(told(&bar), "c");
        bar.tell(start + LINE_EVERY * 3, "c".to_owned());
        assert_eq!(bar.last_line.clone().unwrap().0, start + LINE_EVERY);
    }

    #[test]
    fn a_bar_can_be_shown_and_finished_in_every_state() {
        for state in sincro_core::sync::SyncState::ALL {
            let mut bar = Bar::new(0);
            let status = status_for_tests(state.as_str(), 3, 10);
            bar.show(&status);
            bar.finish(&status);
        }
    }
}
