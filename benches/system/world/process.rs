//! A process that ends with us, whatever ends us, and what it says.
//!
//! Each runs under a few lines of shell that wait for the end of a pipe which only the driver holds. Its standard output is read
//! line by line, its standard error goes into a file.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{sleep, timeout},
};

/// Takes the signal that ends the program, and the program with its arguments; the first line said is the program's number.
const KEEPER: &str = r#"
    end=$1
    shift
    sh -c 'echo $$; exec "$@"' run "$@" </dev/null &
    program=$!
    exec >&-
    while read -r _; do :; done
    kill -s "$end" "$program" 2>/dev/null
    (
        seconds=0
        while [ "$seconds" -lt 40 ] && kill -s 0 "$program"; do
            sleep 1
            seconds=$((seconds + 1))
        done
        kill -s KILL "$program"
    ) 2>/dev/null &
    wait "$program"
"#;
/// What only something broken takes.
const PATIENCE: Duration = Duration::from_mins(20);
const BEAT: Duration = Duration::from_millis(10);
const LAST_LINES: usize = 15;

/// What to run.
pub(crate) struct Program<'a> {
    /// For people, and for the name of its log.
    pub(crate) name: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) variables: Vec<(&'static str, String)>,
    /// The signal that ends it in good order.
    pub(crate) end: &'static str,
    /// User and group, if not our own.
    pub(crate) account: Option<(u32, u32)>,
    /// Where it runs and where its log is.
    pub(crate) folder: &'a Path,
}

/// A running program. Dropped, it is ended and waited for.
pub(crate) struct Process {
    name: String,
    pid: u32,
    keeper: Child,
    line: Option<ChildStdin>,
    said: UnboundedReceiver<String>,
    log: PathBuf,
}

impl Process {
    /// Starts it and waits for nothing.
    pub(crate) async fn start(program: Program<'_>) -> anyhow::Result<Self> {
        let log = program.folder.join(format!("{}.log", program.name));
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper", program.end]).arg(program.path).args(program.arguments);
        command.env_clear().env("PATH", super::programs::search_path()).env("LC_ALL", "C.UTF-8");
        command.envs(program.variables).current_dir(program.folder);
        // Ctrl-C in a terminal is for us; everything else ends in order.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::options().create(true).append(true).open(&log)?);
        if let Some((uid, gid)) = program.account {
            command.uid(uid).gid(gid);
        }
        let mut keeper = command.spawn().with_context(|| format!("cannot start {}", program.name))?;
        let (line, output) = (keeper.stdin.take(), keeper.stdout.take());
        let (hear, said) = unbounded_channel();
        thread::spawn(move || {
            let lines = output.map(|output| BufReader::new(output).lines());
            for line in lines.into_iter().flatten().map_while(Result::ok) {
                // Nobody may be left to hear it; it is read all the same, so that nobody waits to be heard.
                let _ = hear.send(line);
            }
        });
        let mut process = Self { name: program.name.to_owned(), pid: 0, keeper, line, said, log };
        process.pid = process.next_line().await?.parse().context("a process says its number first")?;
        Ok(process)
    }

    /// Waits for a line of JSON with this field, and gives the field.
    pub(crate) async fn says(&mut self, field: &str) -> anyhow::Result<Value> {
        loop {
            let line = self.next_line().await?;
            let told: Option<Value> = serde_json::from_str(&line).ok();
            if let Some(value) = told.and_then(|mut told| told.get_mut(field).map(Value::take)) {
                return Ok(value);
            }
        }
    }

    async fn next_line(&mut self) -> anyhow::Result<String> {
        let line = timeout(PATIENCE, self.said.recv()).await;
        match line {
            Ok(Some(line)) => Ok(line),
            Ok(None) => bail!("{} ended:\n{}", self.name, self.last_words()),
            Err(_) => bail!("{} says nothing:\n{}", self.name, self.last_words()),
        }
    }

    /// Waits until it is so, as long as it runs.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let waiting = async {
            while !is_so().await {
                if !Path::new(&format!("/proc/{}", self.pid)).exists() && Path::new("/proc/self").exists() {
                    bail!("{} ended before {what}:\n{}", self.name, self.last_words());
                }
                sleep(BEAT).await;
            }
            Ok(())
        };
        let waited = timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| bail!("{} is not {what}:\n{}", self.name, self.last_words()))
    }

    /// The memory it has now, in megabytes; none where the system does not tell.
    pub(crate) fn resident_mb(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kilobytes / 1_024.0)
    }

    /// The processor time it has taken so far, in seconds, with that of its own children that ended.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds_of(self.pid).unwrap_or(0.0)
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends it in good order and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        self.line = None;
        while matches!(self.keeper.try_wait(), Ok(None)) {
            sleep(BEAT).await;
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.line = None;
        let _ = self.keeper.wait();
    }
}

/// Ticks are hundredths of a second on every Linux that there is.
pub(crate) fn cpu_seconds_of(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold blanks.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(4).map(str::parse::<f64>);
    Some(ticks.map_while(Result::ok).sum::<f64>() / 100.0)
}

/// The same of all processes that one has started and that are still there.
pub(crate) fn cpu_seconds_of_children(pid: u32) -> f64 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| cpu_seconds_of(child.parse().ok()?)).sum()
}
