//! A Redis for one test.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::turn::Turn;

/// Where the instructions are written down.
const COUNTED: &str = "counted.log";

/// A redis-server on a socket in a folder of its own, gone when this is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    keeper: Child,
    folder: TempDir,
}

/// The shell ends the server when its own input ends: also when the test process is killed.
const KEEPER: &str = r#"
    folder=$0
    "$@" redis-server --port 0 --unixsocket "$folder/redis.sock" --save "" --appendonly no --dir "$folder" >/dev/null &
    read -r _
    kill $!
    wait
"#;
/// Counts what a program does, and writes the sum down when that ends.
const COUNTER: [&str; 3] = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_under(tempfile::tempdir().unwrap(), &[])
    }

    /// One whose instructions are counted: fifty times as slow.
    pub(crate) fn counted() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = format!("--log-file={}", folder.path().join(COUNTED).display());
        Self::start_under(folder, &[&COUNTER[..], &[log.as_str()]].concat())
    }

    fn start_under(folder: TempDir, words: &[&str]) -> Self {
        let url = format!("redis+unix://{}/redis.sock", folder.path().display());
        let server = Self { url, keeper: keep(&folder, words), folder };
        server.await_answer();
        server
    }

    /// Ends it, and says how many instructions it ran.
    fn instructions(&mut self) -> u64 {
        self.stop();
        let log = std::fs::read_to_string(self.folder.path().join(COUNTED)).unwrap();
        let count = log.lines().find_map(|line| line.split_once("Collected : "));
        count.unwrap_or_else(|| panic!("{log}")).1.trim().parse().unwrap()
    }

    /// Ends it; what it held is gone.
    pub(crate) fn stop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.keeper = keep(&self.folder, &[]);
        self.await_answer();
    }

    #[expect(clippy::disallowed_methods, reason = "nothing else runs before the server does")]
    fn await_answer(&self) {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let give_up = Instant::now() + Duration::from_mins(1);
        while client.get_connection().is_err() {
            assert!(
                Instant::now() < give_up,
                "no redis-server answers: deploy/local/install-services --for-tests installs what is missing, or set REDIS_URL"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn keep(folder: &TempDir, words: &[&str]) -> Child {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(KEEPER)
        .arg(folder.path())
        .args(words)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A namespace of its own, in a Redis of its own or in the one that `REDIS_URL` names.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) namespace: String,
    pub(crate) server: Option<Server>,
    _turn: Turn,
}

impl Place {
    #[expect(clippy::disallowed_methods, reason = "a Redis to use is given by the environment")]
    pub(crate) fn new() -> Self {
        let namespace = format!("test-{}", uuid::Uuid::now_v7().simple());
        match std::env::var("REDIS_URL") {
            Ok(url) => Self { url, namespace, server: None, _turn: Turn::take() },
            Err(_) => Self::own(),
        }
    }

    /// With a Redis whose instructions are counted.
    pub(crate) fn counted() -> Self {
        Self::with(Server::counted)
    }

    /// For tests that do to a Redis what others would feel.
    pub(crate) fn own() -> Self {
        Self::with(Server::start)
    }

    fn with(start: fn() -> Server) -> Self {
        let turn = Turn::take();
        let server = start();
        Self { url: server.url.clone(), namespace: "test".to_owned(), server: Some(server), _turn: turn }
    }

    /// Ends the Redis, and says how many instructions it ran.
    pub(crate) fn instructions(mut self) -> u64 {
        self.server.as_mut().unwrap().instructions()
    }

    pub(crate) fn raw(&self) -> redis::Connection {
        redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap()
    }

    /// A key of the first shard.
    pub(crate) fn key(&self, rest: &str) -> String {
        format!("sincro:{{{}/0}}:{rest}", self.namespace)
    }

    /// Everything the queue keeps, by key.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut raw = self.raw();
        let pattern = format!("sincro:{{{}/*", self.namespace);
        let mut keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query(&mut raw).unwrap();
        keys.sort();
        keys
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.server.is_none() {
            let mut raw = self.raw();
            for key in self.keys() {
                let _: () = redis::cmd("UNLINK").arg(key).query(&mut raw).unwrap();
            }
        }
    }
}
