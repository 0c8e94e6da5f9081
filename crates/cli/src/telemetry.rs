//! Logs, to stderr and nowhere else: stdout belongs to what a command was asked for.

use std::io::{self, IsTerminal as _, Write};

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{config::LogFormat, watch::Screen};

/// Starts logging by filter directives, once per process. Bars that are drawn on the screen it gives back and log
/// lines do not disturb each other.
pub(crate) fn start(directives: &str, format: LogFormat) -> anyhow::Result<Screen> {
    let screen = Screen::new();
    let filter = EnvFilter::try_new(directives).context("log")?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Above(screen.clone()));
    let started = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        // Left alone on a terminal, so that NO_COLOR is heard.
        LogFormat::Text if io::stderr().is_terminal() => lines.try_init(),
        LogFormat::Text => lines.with_ansi(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))?;
    Ok(screen)
}

/// Writes above the bars of a screen.
struct Above(Screen);

/// One log line on its way.
struct Line<'a>(&'a Screen);

impl<'a> MakeWriter<'a> for Above {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
