//! A child process that cannot outlive this one, whatever kills us.
//!
//! Each server runs under a few lines of shell (`leash.sh`) which read a pipe that only this process can write to. The
//! kernel closes the pipe when we end, SIGKILL included, and the shell then asks the server to stop and waits for it.
//! The leash has a process group of its own: Ctrl-C in the terminal reaches us, not the servers, and we stop them in
//! order. It knows nothing about what the server is, and whether it is ready.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::account::Account;

/// What a leash runs; every folder has a copy, where the servers' user can read it.
pub(super) const SCRIPT: &str = include_str!("leash.sh");
const POLL: Duration = Duration::from_millis(10);
/// Longer than the shell waits before it stops the server by force.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(35);
const LOG_TAIL_LINES: usize = 12;
const LOG_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// What to run, as whom, and how it is told to end.
pub(super) struct Program<'a> {
    pub(super) name: &'static str,
    /// The copy of [`SCRIPT`].
    pub(super) script: &'a Path,
    pub(super) path: &'a Path,
    pub(super) arguments: Vec<OsString>,
    /// Signal names for `kill -s`.
    pub(super) orderly_stop: &'static str,
    pub(super) forced_stop: &'static str,
    pub(super) account: Account,
    pub(super) working_dir: &'a Path,
    pub(super) log: &'a Path,
    /// Locked by us; stays locked until every process of the program has ended.
    pub(super) lock: File,
}

/// A running program that ends with us; dropping it stops the program and waits for it.
pub(super) struct Leash {
    name: &'static str,
    child: Child,
    line: Option<ChildStdin>,
    log: PathBuf,
    log_start: u64,
}

impl Leash {
    /// Starts the program; does not wait for it to be ready.
    pub(super) fn start(program: Program<'_>) -> anyhow::Result<Self> {
        let (log, log_start) = open_log(program.log)?;
        let mut command = Command::new("/bin/sh");
        command.arg(program.script).args([program.orderly_stop, program.forced_stop]);
        command.arg(program.path).args(program.arguments);
        // Neither our secrets nor the user's PG* variables are any business of the server's.
        command.env_clear().env("PATH", super::search_path()).env("LC_ALL", "C");
        command.current_dir(program.working_dir).process_group(0);
        command.stdin(Stdio::piped()).stdout(program.lock).stderr(log);
        program.account.run_as(&mut command);
        let mut child = command.spawn().with_context(|| format!("cannot start {} through /bin/sh", program.name))?;
        let line = child.stdin.take();
        Ok(Self { name: program.name, child, line, log: program.log.to_owned(), log_start })
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot watch {}", self.name))
    }

    /// Waits until it ends by itself.
    pub(super) async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks it to stop and waits until it has.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.line = None;
        let waited = tokio::time::timeout(STOP_PATIENCE, self.wait()).await;
        let status = waited.with_context(|| format!("{} did not stop\n{}", self.name, self.log_tail()))??;
        anyhow::ensure!(status.success(), "{} stopped with {status}\n{}", self.name, self.log_tail());
        Ok(())
    }

    /// What it has logged last since this start, with the file's name, for an error message.
    pub(super) fn log_tail(&self) -> String {
        let text = read_from(&self.log, self.log_start).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        format!("the end of {}:\n  {}", self.log.display(), shown.join("\n  "))
    }
}

impl Drop for Leash {
    #[expect(clippy::disallowed_methods, reason = "Drop cannot await, and the folder may be removed right after it")]
    fn drop(&mut self) {
        self.line = None;
        let deadline = Instant::now() + STOP_PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    }
}

/// Opens the log for appending; a large one is set aside first. Also says where this run's part begins.
fn open_log(path: &Path) -> anyhow::Result<(File, u64)> {
    let context = || format!("cannot write the log {}", path.display());
    if path.metadata().is_ok_and(|metadata| metadata.len() > LOG_LIMIT_BYTES) {
        std::fs::rename(path, path.with_extension("log.old")).with_context(context)?;
    }
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(path).with_context(context)?;
    let start = log.metadata().with_context(context)?.len();
    Ok((log, start))
}

fn read_from(path: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("leash.sh"), SCRIPT).unwrap();
            Self { dir }
        }

        fn lock(&self) -> File {
            File::create(self.dir.path().join("lock")).unwrap()
        }

        fn is_locked(&self) -> bool {
            self.lock().try_lock().is_err()
        }

        /// A child that another test is just starting holds a copy of every file until it runs its program.
        fn becomes_free(&self) -> bool {
            let deadline = Instant::now() + Duration::from_secs(5);
            while self.is_locked() && Instant::now() < deadline {
                std::thread::yield_now();
            }
            !self.is_locked()
        }

        fn log(&self) -> PathBuf {
            self.dir.path().join("log")
        }

        fn start(&self, script: &str) -> Leash {
            let lock = self.lock();
            lock.lock().unwrap();
            Leash::start(Program {
                name: "test",
                script: &self.dir.path().join("leash.sh"),
                path: Path::new("/bin/sh"),
                arguments: vec!["-c".into(), script.into()],
                orderly_stop: "TERM",
                forced_stop: "KILL",
                account: Account::Own,
                working_dir: self.dir.path(),
                log: &self.log(),
                lock,
            })
            .unwrap()
        }

        async fn wait_for_log(&self, word: &str) {
            let appears = async {
                while !std::fs::read_to_string(self.log()).unwrap_or_default().contains(word) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), appears).await.expect(word);
        }
    }

    const SERVER: &str = "trap 'echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";

    #[tokio::test]
    async fn a_server_is_stopped_in_order_and_its_lock_is_free_afterwards() {
        let place = Place::new();
        let leash = place.start(SERVER);
        place.wait_for_log("ready").await;
        assert!(place.is_locked());
        leash.stop().await.unwrap();
        place.wait_for_log("goodbye").await;
        assert!(place.becomes_free());
    }

    #[tokio::test]
    async fn a_dropped_leash_leaves_no_server_behind() {
        let place = Place::new();
        let leash = place.start(SERVER);
        place.wait_for_log("ready").await;
        drop(leash);
        assert!(place.becomes_free());
    }

    #[tokio::test]
    async fn a_server_that_ends_by_itself_is_noticed_and_its_last_words_are_kept() {
        let place = Place::new();
        let mut leash = place.start("echo 'no room left' >&2; exit 3");
        assert_eq!(leash.wait().await.unwrap().code(), Some(3));
        assert!(leash.log_tail().contains("no room left"));
        assert!(leash.stop().await.unwrap_err().to_string().contains("exit status: 3"));
    }
}
