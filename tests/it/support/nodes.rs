//! Redis servers of a test's own: to be killed and frozen, as a cluster or behind a Sentinel.
//!
//! They keep nothing on the disk: what is killed comes back empty. All are gone when their test is, however it ends.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

use super::bounds::within;

/// The shell ends the server when its own input ends: also when the test process is killed, and also a frozen server.
const KEEPER: &str = r#"
    redis-server "$0/redis.conf" $1 >"$0/log" 2>&1 &
    echo $!
    read -r _
    kill -9 $! 2>/dev/null
    wait
"#;
const BEAT: Duration = Duration::from_millis(20);
/// How long the nodes of a cluster, or a Sentinel, wait for a server before they call it gone.
const GONE_AFTER_MS: u32 = 1_000;

/// A running redis-server on loopback.
pub(crate) struct Redis {
    pub(crate) port: u16,
    mode: &'static str,
    folder: TempDir,
    keeper: Child,
    process: String,
}

impl Redis {
    /// With these lines of configuration beside the usual ones; a Sentinel with the mode `--sentinel`.
    async fn start(mode: &'static str, settings: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let configuration = format!(
            "bind 127.0.0.1\nport {port}\ndir \"{}\"\nsave \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n{settings}\n",
            folder.path().display()
        );
        // A Sentinel refuses what is not its own.
        let known =
            |line: &&str| mode.is_empty() || !["save", "append", "repl"].iter().any(|word| line.starts_with(word));
        let configuration: Vec<_> = configuration.lines().filter(known).collect();
        fs::write(folder.path().join("redis.conf"), configuration.join("\n")).unwrap();
        let (keeper, process) = keep(&folder, mode);
        let redis = Self { port, mode, folder, keeper, process };
        redis.answers().await;
        redis
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        self.signal("KILL");
    }

    /// SIGSTOP: it neither answers nor ends, its connections stay open.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// At the same place, without what it held; it remembers who it is in its cluster.
    pub(crate) async fn start_again(&mut self) {
        self.end();
        (self.keeper, self.process) = keep(&self.folder, self.mode);
        self.answers().await;
    }

    /// Sends a command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let client = redis::Client::open((Ipv4Addr::LOCALHOST.to_string(), self.port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await
    }

    /// Waits until the answer to a command contains all of these words.
    async fn says(&self, command: &[&str], words: &[&str]) {
        let said = async {
            let mut beat = tokio::time::interval(BEAT);
            loop {
                beat.tick().await;
                let answer: RedisResult<redis::Value> = self.ask(command).await;
                let text = answer.map(|answer| text_of(&answer)).unwrap_or_default();
                if words.iter().all(|word| text.contains(word)) {
                    break;
                }
            }
        };
        within(&format!("{words:?} of the redis-server at port {}, which says:\n{}", self.port, self.log()), said)
            .await;
    }

    async fn answers(&self) {
        self.says(&["PING"], &["PONG"]).await;
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(&self.process).status().unwrap();
        assert!(sent.success(), "the redis-server at port {} did not take SIG{signal}", self.port);
    }

    fn end(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end();
    }
}

/// Three primaries without replicas, started together.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Redis>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let settings = format!(
                "cluster-enabled yes\ncluster-port {}\ncluster-node-timeout {GONE_AFTER_MS}\ncluster-require-full-coverage no",
                free_port()
            );
            nodes.push(Redis::start("", &settings).await);
        }
        let cluster = Self { nodes };
        for (i, slots) in [("0", "5460"), ("5461", "10922"), ("10923", "16383")].into_iter().enumerate() {
            let node = &cluster.nodes[i];
            let _: () = node.ask(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]).await.unwrap();
            let _: () = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]).await.unwrap();
        }
        for node in &cluster.nodes {
            let bus: Vec<String> = node.ask(&["CONFIG", "GET", "cluster-port"]).await.unwrap();
            for other in &cluster.nodes {
                let meet = ["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus[1]];
                let _: () = other.ask(&meet).await.unwrap();
            }
        }
        for node in &cluster.nodes {
            node.says(&["CLUSTER", "INFO"], &["cluster_state:ok", "cluster_slots_ok:16384", "cluster_size:3"]).await;
        }
        cluster
    }

    /// Names two of the nodes; the third one has to be found.
    pub(crate) fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.nodes[0].port, self.nodes[1].port)
    }

    /// How many of the keys that match the pattern each node has.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<Vec<String>> {
        let mut keys = Vec::new();
        for node in &self.nodes {
            keys.push(node.ask(&["KEYS", pattern]).await.unwrap());
        }
        keys
    }

    /// Gives the slot of a key, with all that is in it, from one node to another, as an operator's tool does.
    pub(crate) async fn move_slot(&self, key: &str, from: usize, to: usize) {
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        let slot: u16 = from.ask(&["CLUSTER", "KEYSLOT", key]).await.unwrap();
        let slot = slot.to_string();
        let (source, target): (String, String) =
            (from.ask(&["CLUSTER", "MYID"]).await.unwrap(), to.ask(&["CLUSTER", "MYID"]).await.unwrap());
        let _: () = to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).await.unwrap();
        let _: () = from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).await.unwrap();
        loop {
            let keys: Vec<String> = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await.unwrap();
            let Some(_) = keys.first() else { break };
            let port = to.port.to_string();
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            let _: () = from.ask(&migrate).await.unwrap();
        }
        for node in [to, from].into_iter().chain(&self.nodes) {
            let _: () = node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await.unwrap();
        }
    }
}

/// A master with a replica, and a Sentinel that watches them under the name `queue`.
pub(crate) struct Watched {
    pub(crate) master: Redis,
    replica: Redis,
    pub(crate) sentinel: Redis,
}

impl Watched {
    pub(crate) async fn start() -> Self {
        let master = Redis::start("", "").await;
        let replica = Redis::start("", &format!("replicaof 127.0.0.1 {}", master.port)).await;
        replica.says(&["INFO", "replication"], &["master_link_status:up"]).await;
        let settings = format!(
            "sentinel monitor queue 127.0.0.1 {} 1\nsentinel down-after-milliseconds queue {GONE_AFTER_MS}\n\
             sentinel failover-timeout queue 5000",
            master.port
        );
        let sentinel = Redis::start("--sentinel", &settings).await;
        sentinel.says(&["SENTINEL", "REPLICAS", "queue"], &["master-link-status ok"]).await;
        Self { master, replica, sentinel }
    }

    /// Names a Sentinel that is gone before the one there is.
    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{}/queue", free_port(), self.sentinel.port)
    }

    /// The master with another name.
    pub(crate) fn url_of(&self, name: &str) -> String {
        format!("redis+sentinel://127.0.0.1:{}/{name}", self.sentinel.port)
    }

    /// Waits until the replica has taken over.
    pub(crate) async fn failed_over(&self) {
        self.replica.says(&["INFO", "replication"], &["role:master"]).await;
    }
}

fn keep(folder: &TempDir, mode: &str) -> (Child, String) {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(KEEPER).arg(folder.path()).arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut keeper = shell.spawn().unwrap();
    let mut process = String::new();
    BufReader::new(keeper.stdout.take().expect("is piped")).read_line(&mut process).unwrap();
    // Nothing is said to it; that it can hear is what keeps it.
    keeper.stdin.as_mut().expect("is piped").flush().unwrap();
    (keeper, process.trim().to_owned())
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// All words of an answer, separated by blanks.
fn text_of(answer: &redis::Value) -> String {
    match answer {
        redis::Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        redis::Value::SimpleString(text) => text.clone(),
        redis::Value::Array(parts) => parts.iter().map(text_of).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}
