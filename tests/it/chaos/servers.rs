//! A Redis and a Postgres of the run's own, to be stopped, killed and emptied.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sqlx::{Connection as _, PgConnection};

use super::folder::Folder;
use crate::support::private::{Kept, free_port, postgres, program, text};

const POSTGRES: &str = "postgres";
const REDIS: &str = "redis";
const REDIS_SETTINGS: &str =
    "--bind 127.0.0.1 --appendonly yes --appendfsync everysec --maxmemory-policy noeviction --save  --port";
/// Little is lost with a process that dies while the machine lives on, so nothing is forced to the disk.
const POSTGRES_SETTINGS: &str = "-D data -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=100 \
    -c max_parallel_workers_per_gather=0 -c fsync=off -c log_line_prefix=%m:%p: -p";

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
    kept: Option<Kept>,
}

impl Server {
    pub(super) fn redis() -> Self {
        Self { name: REDIS, port: free_port(), program: program("redis-server"), kept: None }
    }

    /// With an empty cluster.
    pub(super) fn postgres(folder: &Folder) -> Self {
        let program = postgres::server();
        let made = folder
            .command(&program.with_file_name("initdb"), POSTGRES)
            .args(["-D", "data", "-U", "sincro", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed: {}", folder.log_path(POSTGRES).display());
        Self { name: POSTGRES, port: free_port(), program, kept: None }
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
        if self.kept.is_some() {
            return;
        }
        let port = self.port.to_string();
        let settings = if self.name == REDIS { REDIS_SETTINGS } else { POSTGRES_SETTINGS };
        let mut command = vec![text(&self.program)];
        command.extend(settings.split(' '));
        command.push(&port);
        // A killed Postgres would leave its family behind.
        let end = if self.name == REDIS { "KILL" } else { "QUIT" };
        let shell = folder.command(Path::new("sh"), self.name);
        let kept = Kept::start(shell, end, folder.log_path(self.name), &command);
        kept.until("an answer", async || self.answers().await).await;
        self.kept = Some(kept);
    }

    /// Stops it and waits until it is gone.
    pub(super) async fn stop(&mut self, end: End) {
        let Some(kept) = self.kept.take() else { return };
        let signal = match (self.name, end) {
            (REDIS, End::Orderly) => "TERM",
            (REDIS, End::Crash) => "KILL",
            (_, End::Orderly) => "INT",
            (_, End::Crash) => "QUIT",
        };
        kept.stop(signal).await;
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

/// Sends a signal to a child of ours that was not waited for yet.
pub(super) fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap();
    assert!(sent.success(), "{pid} did not take SIG{signal}");
}

/// Replaces a folder by a copy of another one, with the owners of its files.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-pR").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} cannot be copied", from.display());
}
