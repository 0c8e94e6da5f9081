//! A Redis and a Postgres of the run's own, to be stopped, killed and emptied.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

use super::folder::Folder;
use crate::support::{environment, within};

const POLL: Duration = Duration::from_millis(10);
const POSTGRES: &str = "postgres";
const REDIS: &str = "redis";
/// Little is lost with a process that dies while the machine lives on, so nothing is forced to the disk.
const POSTGRES_SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=100",
    "max_parallel_workers_per_gather=0",
    "fsync=off",
    "log_line_prefix=%m [%p] ",
];

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As its operator would stop it.
    Orderly,
    /// As a crash would: Postgres by its "immediate" stop, which ends the whole family of processes and recovers at
    /// the next start.
    Crash,
}

/// A server process, or the place of one.
pub(super) struct Server {
    name: &'static str,
    pub(super) port: u16,
    program: PathBuf,
    child: Option<Child>,
}

impl Server {
    pub(super) fn redis() -> Self {
        let program = find("redis-server", &["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"], &[]);
        Self { name: REDIS, port: free_port(), program, child: None }
    }

    /// With an empty cluster.
    pub(super) fn postgres(folder: &Folder) -> Self {
        let program = find("postgres", &[], &["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"]);
        // A link on the PATH has no `initdb` beside it.
        let program = program.canonicalize().unwrap();
        let made = folder
            .command(&program.with_file_name("initdb"), POSTGRES)
            .args(["-D", "data", "-U", "sincro", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed: {}", folder.log_path(POSTGRES).display());
        Self { name: POSTGRES, port: free_port(), program, child: None }
    }

    /// The same server over a line at this port.
    pub(super) fn url(&self, port: u16) -> String {
        match self.name {
            REDIS => format!("redis://127.0.0.1:{port}/0"),
            _ => format!("postgres://sincro@127.0.0.1:{port}/postgres"),
        }
    }

    /// Starts it and waits until it answers.
    pub(super) async fn start(&mut self, folder: &Folder) {
        if self.child.is_some() {
            return;
        }
        let mut command = folder.command(&self.program, self.name);
        if self.name == REDIS {
            command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""]);
            command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]);
        } else {
            command.args(["-D", "data", "-c", &format!("port={}", self.port)]);
            command.args(POSTGRES_SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        }
        let mut child = command.spawn().unwrap();
        folder.warden.note(self.name, &child);
        within(&format!("a ready {}", self.name), async {
            while !self.answers().await {
                let ended = child.try_wait().unwrap();
                assert!(ended.is_none(), "{} did not start: {}", self.name, folder.log_path(self.name).display());
                sleep(POLL).await;
            }
        })
        .await;
        self.child = Some(child);
    }

    /// Stops it and waits until it is gone.
    pub(super) async fn stop(&mut self, end: End) {
        let Some(mut child) = self.child.take() else { return };
        let signal = match (self.name, end) {
            (REDIS, End::Orderly) => "TERM",
            (REDIS, End::Crash) => "KILL",
            (_, End::Orderly) => "INT",
            (_, End::Crash) => "QUIT",
        };
        send(signal, child.id());
        within(&format!("the end of {}", self.name), async {
            while child.try_wait().unwrap().is_none() {
                sleep(POLL).await;
            }
        })
        .await;
    }

    /// What it kept, as it is now.
    pub(super) fn keep_copy(&self, folder: &Folder) {
        let room = folder.room(self.name);
        copy(&room.join("appendonlydir"), &room.join("copy"));
    }

    /// Puts what was kept in the place of what there is. For a Redis that stands still.
    pub(super) fn go_back_to_copy(&self, folder: &Folder) {
        self.empty(folder);
        let room = folder.room(self.name);
        copy(&room.join("copy"), &room.join("appendonlydir"));
    }

    /// Removes everything it has written. For a Redis that stands still.
    pub(super) fn empty(&self, folder: &Folder) {
        fs::remove_dir_all(folder.room(self.name).join("appendonlydir")).unwrap();
    }

    async fn answers(&self) -> bool {
        let url = self.url(self.port);
        if self.name == REDIS {
            let client = redis::Client::open(url).unwrap();
            let Ok(mut redis) = client.get_multiplexed_async_connection().await else { return false };
            redis::cmd("PING").exec_async(&mut redis).await.is_ok()
        } else {
            match PgConnection::connect(&url).await {
                Ok(connection) => connection.close().await.is_ok(),
                Err(_) => false,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // A killed Postgres would leave its family behind.
        send(if self.name == REDIS { "KILL" } else { "QUIT" }, child.id());
        let _ = child.wait();
    }
}

/// Sends a signal to a child of ours that was not waited for yet.
pub(super) fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap();
    assert!(sent.success(), "{pid} did not take SIG{signal}");
}

/// A port nobody listens at now; what is started there keeps it over its lives.
pub(super) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A program on the `PATH`, in one of these folders, or in `bin` of what lies in one of those.
fn find(program: &str, places: &[&str], parents: &[&str]) -> PathBuf {
    let path = environment::variable("PATH").unwrap_or_default();
    let children = parents.iter().flat_map(|parent| fs::read_dir(parent).into_iter().flatten().flatten());
    let mut versions: Vec<PathBuf> = children.map(|child| child.path().join("bin")).collect();
    versions.sort();
    let mut found = std::env::split_paths(&path)
        .chain(places.iter().map(PathBuf::from))
        .chain(versions.into_iter().rev())
        .map(|place| place.join(program))
        .filter(|file| file.is_file());
    found.next().unwrap_or_else(|| panic!("{program} is missing: `./just install-services` installs it"))
}

/// Replaces a folder by a copy of another one, with the owners of its files.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-pR").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} cannot be copied", from.display());
}
