//! A private Postgres: made on first use, listening on 127.0.0.1 only, with a password of its own.
//!
//! Only the server's life; the tables in it are the store's. Nothing here speaks the protocol of Postgres: readiness is
//! read from `postmaster.pid`, as `pg_ctl` does it, and the database is made before the server first starts.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::folder::{Folder, remove_file_if_there};
use super::leash::{Leash, Program};
use super::{ports, programs};

const NAME: &str = "postgres";
/// Role and database.
const SINCRO: &str = "sincro";
/// A crash recovery may have gigabytes to replay.
const READY_PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(10);

/// Small, and without parallel workers, whose memory segments do not fit into a container's usual `/dev/shm`.
const SETTINGS: [&str; 10] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=128MB",
    "max_parallel_workers_per_gather=0",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "cluster_name=sincro",
    "log_line_prefix=%m [%p] ",
];

/// A single-user server, which is no server yet, reads this one statement. `exec`: the leash signals it, not a shell.
const MAKE_DATABASE: &str = r#"exec "$1" --single -D "$2" -c exit_on_error=on postgres >&2 <<.
CREATE DATABASE $3
."#;

/// A running server.
pub(super) struct Postgres {
    leash: Leash,
    url: String,
}

impl Postgres {
    /// Starts it and waits until it accepts connections. Without `fsync`, only a test's data may be in it.
    pub(super) async fn start(folder: &Folder, fsync: bool) -> anyhow::Result<Self> {
        let lock = folder.vacant(NAME).await?;
        let room = folder.room(NAME)?;
        let site = Site { folder, data: room.join("data"), secret: room.join("password"), room };
        let version = fs::read_to_string(site.data.join("PG_VERSION")).ok();
        let bin = programs::postgres_bin(version.as_deref().map(str::trim))?;
        if version.is_none() {
            site.create(&bin, &lock, fsync).await?;
        }
        let password = fs::read_to_string(&site.secret)
            .with_context(|| format!("the database's password is gone: {}", site.secret.display()))?;
        site.remove_stale_pid()?;
        let (leash, port) = site.launch(&bin, &lock, fsync).await?;
        let url = format!("postgres://{SINCRO}:{}@127.0.0.1:{port}/{SINCRO}", password.trim());
        Ok(Self { leash, url })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Disconnects everybody and stops.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.leash.stop().await
    }
}

/// Where its files are.
struct Site<'a> {
    folder: &'a Folder,
    room: PathBuf,
    data: PathBuf,
    secret: PathBuf,
}

impl Site<'_> {
    fn leash(&self, program: &Path, arguments: Vec<OsString>, lock: File) -> anyhow::Result<Leash> {
        Leash::start(Program {
            name: NAME,
            script: &self.folder.leash(),
            path: program,
            arguments,
            // "Fast": open transactions are rolled back. "Immediate": recovers at the next start.
            orderly_stop: "INT",
            forced_stop: "QUIT",
            account: self.folder.account(),
            working_dir: self.folder.path(),
            log: &self.folder.log(NAME),
            lock,
        })
    }

    /// Makes the cluster and its database in a folder that gets its real name only when all is done.
    async fn create(&self, bin: &Path, lock: &File, fsync: bool) -> anyhow::Result<()> {
        let draft = self.room.join("data.new");
        if draft.exists() {
            fs::remove_dir_all(&draft).with_context(|| format!("cannot remove {}", draft.display()))?;
        }
        self.folder.password(&self.secret)?;
        let mut initdb: Vec<OsString> = vec!["-D".into(), draft.clone().into(), "--pwfile".into()];
        initdb.push(self.secret.clone().into());
        initdb.extend(["--username", SINCRO, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"].map(Into::into));
        initdb.push("--data-checksums".into());
        if !fsync {
            initdb.push("--no-sync".into());
        }
        self.complete(&bin.join("initdb"), initdb, lock).await?;
        let mut shell: Vec<OsString> = vec!["-c".into(), MAKE_DATABASE.into(), "make-database".into()];
        shell.extend([bin.join("postgres").into(), draft.clone().into(), SINCRO.into()]);
        self.complete(Path::new("/bin/sh"), shell, lock).await?;
        fs::rename(&draft, &self.data).with_context(|| format!("cannot rename {}", draft.display()))
    }

    async fn complete(&self, program: &Path, arguments: Vec<OsString>, lock: &File) -> anyhow::Result<()> {
        let mut leash = self.leash(program, arguments, lock.try_clone()?)?;
        let status = leash.wait().await?;
        anyhow::ensure!(status.success(), "cannot make a database ({status}); {}", leash.log_tail());
        Ok(())
    }

    async fn launch(&self, bin: &Path, lock: &File, fsync: bool) -> anyhow::Result<(Leash, u16)> {
        let remembered = self.room.join("port");
        let mut attempt = 1;
        loop {
            let port = ports::pick(&remembered)?;
            let mut arguments: Vec<OsString> = vec!["-D".into(), self.data.clone().into()];
            let own = [format!("port={port}"), format!("fsync={}", if fsync { "on" } else { "off" })];
            for setting in SETTINGS.into_iter().chain(own.iter().map(String::as_str)) {
                arguments.extend(["-c".into(), setting.into()]);
            }
            let mut leash = self.leash(&bin.join("postgres"), arguments, lock.try_clone()?)?;
            match self.wait_until_ready(&mut leash, port).await {
                Ok(()) => {
                    self.folder.write_private(&remembered, &port.to_string())?;
                    return Ok((leash, port));
                }
                Err(_) if attempt < ports::ATTEMPTS && leash.ended()?.is_some() && !ports::is_free(port) => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn wait_until_ready(&self, leash: &mut Leash, port: u16) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + READY_PATIENCE;
        let pid_file = self.data.join("postmaster.pid");
        loop {
            if let Some(status) = leash.ended()? {
                anyhow::bail!("Postgres did not start ({status}); {}", leash.log_tail());
            }
            if fs::read_to_string(&pid_file).is_ok_and(|text| says_ready(&text, port)) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                anyhow::bail!("Postgres is not ready after {} s; {}", READY_PATIENCE.as_secs(), leash.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// After a power cut the file may name a process that is now something else, and Postgres would refuse to start.
    ///
    /// No server of ours is alive, we hold its lock. A Postgres that somebody started here by hand keeps its file.
    fn remove_stale_pid(&self) -> anyhow::Result<()> {
        let path = self.data.join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
        if pid.is_some_and(|pid| is_postgres_in(pid, &self.data)) { Ok(()) } else { remove_file_if_there(&path) }
    }
}

/// Line 4 of `postmaster.pid` is the port, line 8 the state (`pidfile.h` of Postgres 10 and newer).
fn says_ready(pid_file: &str, port: u16) -> bool {
    let lines: Vec<&str> = pid_file.lines().map(str::trim).collect();
    lines.get(3).is_some_and(|line| *line == port.to_string()) && lines.get(7) == Some(&"ready")
}

/// Whether a process of that number is a Postgres in that folder, which a Postgres makes its working directory.
///
/// Where there is no `/proc`, any Postgres counts as one.
fn is_postgres_in(pid: u32, data: &Path) -> bool {
    if Path::new("/proc/self").exists() {
        return fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|dir| dir == data);
    }
    let answer = Command::new("ps").args(["-p", &pid.to_string(), "-o", "comm="]).output();
    answer.map_or(true, |output| String::from_utf8_lossy(&output.stdout).contains("postgres"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_its_pid_file_says_so_for_its_port() {
        let file = |state: &str| format!("4711\n/data\n1700000000\n5555\n\n127.0.0.1\n  123 456\n{state}\n");
        assert!(says_ready(&file("ready   "), 5555));
        assert!(!says_ready(&file("ready   "), 5556), "another server's file");
        assert!(!says_ready(&file("starting"), 5555));
        assert!(!says_ready("4711\n/data\n1700000000\n5555\n", 5555), "half written");
    }
}
