//! A Redis for one test.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::turn::Turn;

/// A redis-server on a socket in a folder of its own, gone when this is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    keeper: Child,
    folder: TempDir,
}

/// The shell ends the server when its own input ends: also when the test process is killed.
const KEEPER: &str = r#"
    redis-server --port 0 --unixsocket "$0/redis.sock" --save "" --appendonly no --dir "$0" >/dev/null &
    read -r _
    kill $!
    wait
"#;

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("redis+unix://{}/redis.sock", folder.path().display());
        let server = Self { url, keeper: keep(&folder), folder };
        server.await_answer();
        server
    }

    /// Ends it; what it held is gone.
    pub(crate) fn stop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.keeper = keep(&self.folder);
        self.await_answer();
    }

    #[expect(clippy::disallowed_methods, reason = "nothing else runs before the server does")]
    fn await_answer(&self) {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let give_up = Instant::now() + Duration::from_secs(10);
        while client.get_connection().is_err() {
            assert!(
                Instant::now() < give_up,
                "no redis-server answers: install it (apt-get install redis-server) or set REDIS_URL"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn keep(folder: &TempDir) -> Child {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(KEEPER).arg(folder.path()).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
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

    /// For tests that do to a Redis what others would feel.
    pub(crate) fn own() -> Self {
        let turn = Turn::take();
        let server = Server::start();
        Self { url: server.url.clone(), namespace: "test".to_owned(), server: Some(server), _turn: turn }
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
