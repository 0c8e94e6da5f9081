//! The binary as a process: started, listened to, signalled, and never left behind.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread::{self, JoinHandle},
};

use serde_json::Value;
use tokio::sync::watch;

use super::{bounds::within, environment, source};

/// So many lines of its log are shown when a test fails.
const TAIL: usize = 40;

/// Where the build put `sincro`: beside the folder of this test's own binary.
pub(crate) fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a running test has a path");
        let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
        let binary = profile.join("sincro");
        assert!(
            binary.is_file(),
            "{} is missing: run `cargo build -p sincro-cli` first (`./just test` does)",
            binary.display()
        );
        binary
    })
}

/// The command `sincro` with nothing of this process's environment but what every process needs.
pub(crate) fn command() -> Command {
    command_of(binary())
}

/// The same of another build of it.
pub(crate) fn command_of(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for variable in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE"] {
        if let Some(value) = environment::variable(variable) {
            command.env(variable, value);
        }
    }
    command
}

/// What a process has said on stderr.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    ended: bool,
}

/// A running `sincro`. Dropped, it is killed.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: watch::Receiver<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it; `command` decides what it is, `name` is for people.
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let stderr = child.stderr.take().expect("stderr is piped");
        let (said, log) = watch::channel(Log::default());
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                said.send_modify(|log| log.lines.push(line));
            }
            said.send_modify(|log| log.ended = true);
        });
        Self { name: name.to_owned(), child, log, reader: Some(reader) }
    }

    /// Waits for a line of its (JSON) log with this message and gives the line.
    pub(crate) async fn said(&self, message: &str) -> Value {
        let mut log = self.log.clone();
        let heard = async {
            let log =
                log.wait_for(|log| log.ended || find(log, message).is_some()).await.expect("the reader ends last");
            find(&log, message)
        };
        let what = format!("{} did not say {message:?}", self.name);
        within(&what, heard).await.unwrap_or_else(|| panic!("{what} and ended"))
    }

    /// Waits until it has said this more often than so many times.
    pub(crate) async fn said_more_often(&self, message: &str, than: usize) {
        let mut log = self.log.clone();
        let said = |log: &Log| log.lines.iter().filter(|line| is_about(line, message)).count() > than;
        let heard = async { log.wait_for(|log| log.ended || said(log)).await.is_ok_and(|log| said(&log)) };
        let what = format!("{} did not say {message:?} more than {than} times", self.name);
        assert!(within(&what, heard).await, "{what} and ended");
    }

    /// How often it has said this so far.
    pub(crate) fn times_said(&self, message: &str) -> usize {
        self.log.borrow().lines.iter().filter(|line| is_about(line, message)).count()
    }

    /// It has not said this so far, and could have: the message is in the source as it is here.
    pub(crate) fn never_said(&self, message: &str) {
        let mut sources = source::of_crates();
        assert!(sources.any(|source| source.contains(message)), "nothing ever says {message:?}");
        assert_eq!(self.times_said(message), 0, "{} said {message:?}", self.name);
    }

    /// All it has said so far.
    pub(crate) fn whole_log(&self) -> String {
        self.log.borrow().lines.join("\n")
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGTERM; see [`Self::exit`] for what comes of it.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// SIGSTOP: it neither runs nor ends, its connections stay open.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Waits for its end.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let mut log = self.log.clone();
        // Its stderr closes with its end, so the wait that follows is short.
        let closed = async { _ = log.wait_for(|log| log.ended).await };
        within(&format!("the end of {}", self.name), closed).await;
        self.child.wait().expect("it is our child")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success(), "{} did not take SIG{signal}", self.name);
    }

    /// The most memory it has had at once so far, in megabytes.
    pub(crate) fn peak_memory_mb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
        peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") / 1_024
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            let _ = self.reader.take().map(JoinHandle::join);
            let log = self.log.borrow();
            let tail = log.lines.len().saturating_sub(TAIL);
            #[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
            {
                eprintln!("--- {} said at last:\n{}\n---", self.name, log.lines[tail..].join("\n"));
            }
        }
    }
}

fn find(log: &Log, message: &str) -> Option<Value> {
    let line = log.lines.iter().find(|line| is_about(line, message))?;
    serde_json::from_str(line).ok()
}

fn is_about(line: &str, message: &str) -> bool {
    line.contains(message) && serde_json::from_str::<Value>(line).is_ok_and(|line| line["message"] == message)
}
