//! A Redis of one test's own, which it may save, kill and start again.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::bounds::within;

/// A redis-server on a port of its own that writes to disk only when it is told to. Gone when this is dropped.
pub(crate) struct OwnRedis {
    pub(crate) url: String,
    port: u16,
    folder: TempDir,
    server: Child,
}

impl OwnRedis {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = serve(port, &folder);
        let redis = Self { url: format!("redis://127.0.0.1:{port}/"), port, folder, server };
        redis.answers().await;
        redis
    }

    pub(crate) fn connect(&self) -> redis::Connection {
        redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap()
    }

    /// Writes everything it holds to disk.
    pub(crate) fn save(&self) {
        let _: () = redis::cmd("SAVE").query(&mut self.connect()).unwrap();
    }

    /// Ends it without a word and starts it again with what it saved last.
    pub(crate) async fn die_and_come_back(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        self.server = serve(self.port, &self.folder);
        self.answers().await;
    }

    async fn answers(&self) {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let answers = async {
            while client.get_connection().is_err() {
                tokio::task::yield_now().await;
            }
        };
        within("an answer of redis-server", answers).await;
    }
}

fn serve(port: u16, folder: &TempDir) -> Child {
    let mut server = Command::new("redis-server");
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
    server.arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    server.spawn().expect("redis-server is installed")
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
