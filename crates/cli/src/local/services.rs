//! `sincro services -- COMMAND`: runs a command with a Postgres and a Redis of its own, which are gone afterwards.
//!
//! The command finds them in `DATABASE_URL` and `REDIS_URL`. What is set there already is used as it is. It does not
//! migrate, and it reads no configuration file.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::account::{self, Account};
use super::{LocalServers, Settings, folder, variable};

const PREFIX: &str = "sincro-services-";
/// Younger folders may be about to be claimed.
const ABANDONED_AFTER: Duration = Duration::from_mins(10);

/// Runs the command and returns its exit code, or 128 and the signal's number when a signal ended it.
pub(crate) async fn run_with_services(command: &[OsString]) -> anyhow::Result<ExitCode> {
    let (program, arguments) = command.split_first().context("name a command: sincro services -- COMMAND")?;
    let mut signals = Signals::listen()?;
    let settings = settings_from_environment()?;
    let folder = temporary_folder()?;
    let servers = tokio::select! {
        servers = LocalServers::start_missing(folder.path(), settings) => servers?,
        (number, _) = signals.next() => return Ok(exit_code_of_signal(number)),
    };
    let child = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", servers.database_url())
        .env("REDIS_URL", servers.redis_url())
        .spawn();
    let outcome = match child {
        Ok(child) => wait_for(child, &mut signals).await,
        Err(error) => Err(error).with_context(|| format!("cannot run {}", program.display())),
    };
    servers.stop().await?;
    folder.close().context("cannot remove the servers' folder")?;
    outcome.map(exit_code)
}

fn settings_from_environment() -> anyhow::Result<Settings> {
    let text = |name: &str| {
        let value = variable(name).map(OsString::into_string).transpose();
        value.map_err(|_| anyhow::anyhow!("{name} is not valid UTF-8"))
    };
    let fsync = match text("SINCRO_SERVICES_FSYNC")?.as_deref() {
        None | Some("on") => true,
        Some("off") => false,
        Some(other) => anyhow::bail!("SINCRO_SERVICES_FSYNC is `on` or `off`, not {other:?}"),
    };
    Ok(Settings { database_url: text("DATABASE_URL")?, redis_url: text("REDIS_URL")?, fsync })
}

/// A new folder, removed when dropped, that the servers' user can reach.
fn temporary_folder() -> anyhow::Result<TempDir> {
    let is_root = account::is_root()?;
    let place = temporary_place(is_root)?;
    remove_abandoned(&place);
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&place);
    let folder = folder.with_context(|| format!("cannot make a temporary folder in {}", place.display()))?;
    let mode = if is_root { 0o711 } else { 0o700 };
    fs::set_permissions(folder.path(), Permissions::from_mode(mode))?;
    Ok(folder)
}

fn temporary_place(is_root: bool) -> anyhow::Result<PathBuf> {
    let usual = std::env::temp_dir();
    if !is_root {
        return Ok(usual);
    }
    let account = Account::choose(&[])?;
    let places = [usual.clone(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    let reached = places.into_iter().find(|place| account.ensure_reaches(place).is_ok());
    reached.map_or_else(|| account.ensure_reaches(&usual).map(|()| usual), Ok)
}

/// A run that was killed could not remove its folder. Best effort: what belongs to somebody else stays.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > ABANDONED_AFTER));
        if is_old && entry.file_name().to_string_lossy().starts_with(PREFIX) && folder::is_abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Waits for the command and hands it the signals we get meanwhile.
async fn wait_for(mut child: Child, signals: &mut Signals) -> anyhow::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status.context("cannot wait for the command"),
            (_, name) = signals.next() => {
                // The terminal sends Ctrl-C to the command as well.
                if let (Some(pid), false) = (child.id(), name == "INT" && has_terminal()) {
                    send(name, pid).await?;
                }
            }
        }
    }
}

fn has_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal()
}

/// By the shell's own `kill`: the standard library has none, and a small system may lack the program.
async fn send(name: &str, pid: u32) -> anyhow::Result<()> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "kill -s \"$1\" \"$2\" 2>/dev/null", "send", name, &pid.to_string()]);
    command.status().await.context("cannot run /bin/sh to pass a signal on")?;
    Ok(())
}

fn exit_code(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        (None, Some(number)) => exit_code_of_signal(number),
        (None, None) => ExitCode::FAILURE,
    }
}

/// As shells report it.
fn exit_code_of_signal(number: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + number).unwrap_or(1))
}

/// The signals that ask us to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next one: its number, and its name for `kill -s`.
    async fn next(&mut self) -> (i32, &'static str) {
        tokio::select! {
            _ = self.interrupt.recv() => (SignalKind::interrupt().as_raw_value(), "INT"),
            _ = self.terminate.recv() => (SignalKind::terminate().as_raw_value(), "TERM"),
            _ = self.hangup.recv() => (SignalKind::hangup().as_raw_value(), "HUP"),
        }
    }
}
