//! One Postgres of a test's own, to be crashed and recovered.

use std::{
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::{Kept, free_port, program, stand_in, text};

/// A Postgres with a database of its own and, at most, so many connections.
pub(crate) struct Postgres {
    port: u16,
    connections: u32,
    // Ends before its folder goes.
    kept: Kept,
    folder: TempDir,
}

impl Postgres {
    pub(crate) async fn start(connections: u32) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        give_away(folder.path());
        let mut initdb = unprivileged(&server().with_file_name("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--username=sincro", "--encoding=UTF8", "--locale=C", "-D"]);
        let made = initdb.arg(folder.path().join("data")).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let kept = keep(&folder, port, connections);
        let postgres = Self { port, connections, kept, folder };
        postgres.answers().await;
        postgres
    }

    /// Of the database that is always there.
    pub(crate) fn url(&self) -> String {
        format!("postgres://sincro@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it as a power cut would; nothing answers at its port any more.
    pub(crate) fn crash(&mut self) {
        self.kept.end();
    }

    /// Starts it again where it was.
    pub(crate) async fn recover(&mut self) {
        self.kept = keep(&self.folder, self.port, self.connections);
        self.answers().await;
    }

    async fn answers(&self) {
        let url = self.url();
        let answers = async || match PgConnection::connect(&url).await {
            Ok(connection) => connection.close().await.is_ok(),
            Err(_) => false,
        };
        self.kept.until("an answer", answers).await;
    }
}

fn keep(folder: &TempDir, port: u16, connections: u32) -> Kept {
    let (program, data) = (server(), folder.path().join("data"));
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("unix_socket_directories={}", text(folder.path())),
        format!("max_connections={connections}"),
        "shared_buffers=16MB".to_owned(),
        "fsync=off".to_owned(),
        format!("port={port}"),
    ];
    let mut command = vec![text(&program), "-D", text(&data)];
    command.extend(settings.iter().flat_map(|setting| ["-c", setting.as_str()]));
    // It ends its children with itself on this signal.
    Kept::start(unprivileged(Path::new("sh")), "QUIT", folder.path().join("log"), &command)
}

/// The program itself: a link to it has no `initdb` beside it.
pub(crate) fn server() -> PathBuf {
    program("postgres").canonicalize().unwrap()
}

/// A command for a program that refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = stand_in() {
        command.uid(uid).gid(gid).current_dir("/");
    }
    command
}

fn give_away(folder: &Path) {
    if let Some((uid, gid)) = stand_in() {
        chown(folder, Some(uid), Some(gid)).unwrap();
    }
}
