//! Servers of one test's own, for faults that hit whoever uses a server: stopped, killed, full, read-only.
//!
//! Plain processes in a folder that goes with them, without any safety for what they hold; killed when dropped.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use tempfile::TempDir;
use tokio::sync::watch;

use super::within;

/// How often a server is started anew when somebody else took its port.
const TRIES: u32 = 5;
/// Whoever may run Postgres where the tests run as root, which Postgres refuses.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A Redis that keeps nothing on a disk.
pub(crate) struct PrivateRedis {
    server: Server,
    _folder: TempDir,
}

impl PrivateRedis {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..TRIES {
            let port = free_port();
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
            command.arg("--dir").arg(folder.path());
            if let Some(server) = Server::start(command, port, "Ready to accept connections").await {
                return Self { server, _folder: folder };
            }
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.server.port)
    }

    /// Runs one command, its words separated by blanks.
    pub(crate) fn run(&self, command: &str) {
        let mut words = command.split(' ');
        let mut sent = redis::cmd(words.next().unwrap());
        for word in words {
            sent.arg(word);
        }
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        sent.exec(&mut connection).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

/// A Postgres with a database of its own and, at most, so many connections.
pub(crate) struct PrivatePostgres {
    server: Server,
    folder: TempDir,
    bin: PathBuf,
    settings: Vec<String>,
}

impl PrivatePostgres {
    pub(crate) async fn start(connections: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        give_away(folder.path());
        let bin = postgres_programs();
        let mut initdb = unprivileged(&bin.join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--username=sincro", "--encoding=UTF8", "--locale=C", "-D"]);
        let made = initdb.arg(folder.path().join("data")).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", folder.path().display()),
            format!("max_connections={connections}"),
            "shared_buffers=16MB".to_owned(),
            "fsync=off".to_owned(),
        ];
        for _ in 0..TRIES {
            if let Some(server) = launch(&bin, folder.path(), &settings, free_port()).await {
                return Self { server, folder, bin, settings };
            }
        }
        panic!("postgres does not start");
    }

    /// Of the database that is always there.
    pub(crate) fn url(&self) -> String {
        format!("postgres://sincro@127.0.0.1:{}/postgres", self.server.port)
    }

    /// Ends it as a power cut would; nothing answers at its port any more.
    pub(crate) fn crash(&mut self) {
        self.server.end("QUIT");
    }

    /// Starts it again where it was.
    pub(crate) async fn recover(&mut self) {
        let port = self.server.port;
        self.server = launch(&self.bin, self.folder.path(), &self.settings, port).await.expect("its port is its own");
    }
}

async fn launch(bin: &Path, folder: &Path, settings: &[String], port: u16) -> Option<Server> {
    let mut command = unprivileged(&bin.join("postgres"));
    command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    Server::start(command, port, "database system is ready to accept connections").await
}

/// A process that listens at a port of 127.0.0.1.
struct Server {
    child: Child,
    port: u16,
}

/// What is known of a server that was started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Unknown,
    Ready,
    Ended,
}

impl Server {
    /// Waits until it says that it is ready; none if it ends before.
    async fn start(mut command: Command, port: u16, ready: &'static str) -> Option<Self> {
        let (reader, writer) = std::io::pipe().unwrap();
        let child = command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{} cannot be started: {error}", command.get_program().display()));
        // The command holds the writing end; the reader would never see its end.
        drop(command);
        let (said, mut start) = watch::channel(Start::Unknown);
        thread::spawn(move || listen(reader, ready, &said));
        let server = Self { child, port };
        let known = start.wait_for(|start| *start != Start::Unknown);
        let known = within("a server of the test's own", known).await.is_ok_and(|start| *start == Start::Ready);
        known.then_some(server)
    }

    fn end(&mut self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([format!("-{signal}").as_str(), &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the server did not take SIG{signal}");
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // Postgres ends its children with itself on this signal, and Redis just ends.
            self.end("QUIT");
        }
    }
}

/// Reads what a server says until its end, so that it never waits for a reader.
fn listen(from: impl Read, ready: &str, said: &watch::Sender<Start>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if line.contains(ready) {
            said.send_replace(Start::Ready);
        }
    }
    said.send_replace(Start::Ended);
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The folder with `postgres` and `initdb`: on the path, or the newest where Debian keeps them.
fn postgres_programs() -> PathBuf {
    let path = super::environment::variable("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file());
    on_path.unwrap_or_else(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").expect("Postgres is installed").flatten();
        let bins = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").is_file());
        bins.max().expect("Postgres is installed")
    })
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

/// Who runs Postgres for us; nobody needs to unless we are root.
fn stand_in() -> Option<(u32, u32)> {
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
