//! A Redis for one test.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A redis-server on a socket in a folder of its own, gone when this is dropped.
pub struct Server {
    pub url: String,
    keeper: Child,
    _folder: TempDir,
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("redis.sock");
        // The shell ends the server when its input ends: also when the test process is killed.
        let keeper = Command::new("sh")
            .arg("-c")
            .arg(r#"redis-server --port 0 --unixsocket "$0" --save "" --appendonly no --dir "$1" >/dev/null & read -r _; kill $!"#)
            .arg(&socket)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("redis+unix://{}", socket.display());
        let server = Self { url, keeper, _folder: folder };
        server.await_answer();
        server
    }

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

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A namespace of its own, in a Redis of its own or in the one that `REDIS_URL` names.
pub struct Place {
    pub url: String,
    pub namespace: String,
    _server: Option<Server>,
}

impl Place {
    pub fn new() -> Self {
        let namespace = format!("test-{}", uuid::Uuid::now_v7().simple());
        match std::env::var("REDIS_URL") {
            Ok(url) => Self { url, namespace, _server: None },
            Err(_) => Self::own(),
        }
    }

    /// For tests that do to a Redis what others would feel.
    pub fn own() -> Self {
        let server = Server::start();
        Self { url: server.url.clone(), namespace: "test".to_owned(), _server: Some(server) }
    }

    pub fn raw(&self) -> redis::Connection {
        redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap()
    }

    /// A key of the first shard.
    pub fn key(&self, rest: &str) -> String {
        format!("sincro:{{{}/0}}:{rest}", self.namespace)
    }

    /// Everything the queue keeps, by key.
    pub fn keys(&self) -> Vec<String> {
        let mut raw = self.raw();
        let pattern = format!("sincro:{{{}/*", self.namespace);
        let mut keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query(&mut raw).unwrap();
        keys.sort();
        keys
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self._server.is_none() {
            let mut raw = self.raw();
            for key in self.keys() {
                let _: () = redis::cmd("UNLINK").arg(key).query(&mut raw).unwrap();
            }
        }
    }
}
