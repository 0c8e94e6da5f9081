//! Servers of one test's own: stopped, killed, frozen, saved and started again, without any safety for what they hold.
//!
//! Each runs under a shell that ends it when its own input ends: also when the test process is killed, however the test ends.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{bounds::within, environment};

pub(crate) mod nodes;
pub(crate) mod postgres;
pub(crate) mod redis;

/// Takes the signal that ends the server, and its command; another signal may be said to it.
const KEEPER: &str = r#"
    end=$1
    shift
    "$@" >&2 </dev/null &
    echo $!
    read -r other
    kill -s "${other:-$end}" $! 2>/dev/null
    wait
"#;
/// Whoever may run Postgres where the tests run as root, which Postgres refuses.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];
/// Where programs are beside the `PATH`; where a `*` stands, the latest version counts.
const PLACES: [&str; 6] = [
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/*/bin",
    "/usr/local/opt/*/bin",
];
const BEAT: Duration = Duration::from_millis(20);

/// A server process.
pub(crate) struct Kept {
    keeper: Child,
    process: String,
    log: PathBuf,
}

impl Kept {
    /// Runs a command under this shell; what it says goes on in the log.
    pub(crate) fn start(mut shell: Command, end: &str, log: PathBuf, command: &[&str]) -> Self {
        shell.args(["-c", KEEPER, "keeper", end]).args(command).stdin(Stdio::piped()).stdout(Stdio::piped());
        shell.stderr(File::options().create(true).append(true).open(&log).unwrap());
        let mut keeper = shell.spawn().unwrap();
        let mut process = String::new();
        BufReader::new(keeper.stdout.take().expect("is piped")).read_line(&mut process).unwrap();
        Self { keeper, process: process.trim().to_owned(), log }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(&self.process).status().unwrap();
        assert!(sent.success(), "the server did not take SIG{signal}:\n{}", self.said());
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let waiting = async {
            let mut beat = tokio::time::interval(BEAT);
            while !is_so().await {
                beat.tick().await;
            }
        };
        within(&format!("{what} of a server that says:\n{}", self.said()), waiting).await;
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Has it ended by a signal of its own, and waits until it is gone.
    pub(crate) async fn stop(mut self, signal: &str) {
        let mut keeper = self.keeper.stdin.take().expect("is piped");
        writeln!(keeper, "{signal}").unwrap();
        drop(keeper);
        let gone = async {
            let mut beat = tokio::time::interval(BEAT);
            while self.keeper.try_wait().unwrap().is_none() {
                beat.tick().await;
            }
        };
        within("the end of a server", gone).await;
    }

    /// Ends it, and waits until it is gone.
    fn end(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Where a program is.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = environment::variable("PATH").unwrap_or_default();
    let beside = PLACES.iter().flat_map(|place| {
        let Some((parent, rest)) = place.split_once("/*/") else { return vec![PathBuf::from(place)] };
        let versions = fs::read_dir(parent).into_iter().flatten().flatten();
        let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join(rest)).collect();
        versions.sort();
        versions.reverse();
        versions
    });
    let mut found =
        std::env::split_paths(&path).chain(beside).map(|place| place.join(name)).filter(|file| file.is_file());
    found.next().unwrap_or_else(|| panic!("{name} is missing: `./just install-services` installs it"))
}

/// User and group that run Postgres for us; nobody needs to unless we are root.
pub(crate) fn stand_in() -> Option<(u32, u32)> {
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let found = UNPRIVILEGED.iter().find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)));
    Some(found.expect("Postgres does not run as root, and there is no user to run it instead"))
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().expect("`id` can be run");
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("folders for temporary files have names that are text")
}
