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

use redis::{FromRedisValue, IntoConnectionInfo as _, RedisConnectionInfo, RedisResult};
use tempfile::TempDir;

use super::{authority::Authority, bounds::within};

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

/// A user and a password.
pub(crate) type Login = (&'static str, &'static str);

/// A running redis-server on loopback.
pub(crate) struct Redis {
    pub(crate) port: u16,
    /// User and password; without, whoever comes may do everything.
    login: Option<Login>,
    mode: &'static str,
    folder: TempDir,
    keeper: Child,
    process: String,
}

impl Redis {
    /// With these lines of configuration beside the usual ones; a Sentinel with the mode `--sentinel`.
    async fn start(mode: &'static str, settings: &str) -> Self {
        Self::start_for(None, mode, settings).await
    }

    /// One that lets nobody in but this user.
    async fn start_for(login: Option<Login>, mode: &'static str, settings: &str) -> Self {
        let settings = match login {
            Some((user, password)) => format!("user default off\nuser {user} on >{password} ~* &* +@all\n{settings}"),
            None => settings.to_owned(),
        };
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
        let redis = Self { port, login, mode, folder, keeper, process };
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
        let place = (Ipv4Addr::LOCALHOST.to_string(), self.port).into_connection_info()?;
        let settings = self.login.map_or_else(RedisConnectionInfo::default, |(user, password)| {
            RedisConnectionInfo::default().set_username(user).set_password(password)
        });
        let client = redis::Client::open(place.set_redis_settings(settings))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await
    }

    /// Waits until it is no replica any more.
    pub(crate) async fn becomes_master(&self) {
        self.says(&["INFO", "replication"], &["role:master"]).await;
    }

    /// How many calls of scripts it has run so far.
    pub(crate) async fn scripts_run(&self) -> u64 {
        let stats: String = self.ask(&["INFO", "commandstats"]).await.unwrap();
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split_once(','));
        calls.map_or(0, |(calls, _)| calls.parse().unwrap())
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

/// One server that speaks TLS at a second port.
pub(crate) struct Sealed {
    pub(crate) redis: Redis,
    pub(crate) authority: Authority,
    tls_port: u16,
}

impl Sealed {
    pub(crate) async fn start() -> Self {
        let (authority, tls_port) = (Authority::new(), free_port());
        let redis = Redis::start("", &authority.settings(tls_port)).await;
        Self { redis, authority, tls_port }
    }

    pub(crate) fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.tls_port)
    }
}

/// Three primaries, started together.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Redis>,
    /// One for each of them in their order, or none at all.
    pub(crate) replicas: Vec<Redis>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::join(3).await
    }

    /// Each with a replica.
    pub(crate) async fn start_with_replicas() -> Self {
        let cluster = Self::join(6).await;
        for (node, replica) in cluster.nodes.iter().zip(&cluster.replicas) {
            let primary: String = node.ask(&["CLUSTER", "MYID"]).await.unwrap();
            replica.says(&["CLUSTER", "NODES"], &[&primary]).await;
            let _: () = replica.ask(&["CLUSTER", "REPLICATE", &primary]).await.unwrap();
        }
        for replica in &cluster.replicas {
            replica.says(&["INFO", "replication"], &["role:slave", "master_link_status:up"]).await;
        }
        let ports: Vec<_> = cluster.replicas.iter().map(|replica| replica.port.to_string()).collect();
        for node in &cluster.nodes {
            node.says(&["CLUSTER", "SLOTS"], &ports.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        cluster
    }

    async fn join(size: usize) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..size {
            let settings = format!(
                "cluster-enabled yes\ncluster-port {}\ncluster-node-timeout {GONE_AFTER_MS}\ncluster-require-full-coverage no",
                free_port()
            );
            nodes.push(Redis::start("", &settings).await);
        }
        let replicas = nodes.split_off(3);
        let cluster = Self { nodes, replicas };
        for (i, slots) in [("0", "5460"), ("5461", "10922"), ("10923", "16383")].into_iter().enumerate() {
            let node = &cluster.nodes[i];
            let _: () = node.ask(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]).await.unwrap();
            let _: () = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]).await.unwrap();
        }
        for node in &cluster.nodes {
            let bus: Vec<String> = node.ask(&["CONFIG", "GET", "cluster-port"]).await.unwrap();
            for other in cluster.nodes.iter().chain(&cluster.replicas) {
                let meet = ["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus[1]];
                let _: () = other.ask(&meet).await.unwrap();
            }
        }
        for node in cluster.nodes.iter().chain(&cluster.replicas) {
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
        Self::start_for(None, None).await
    }

    /// With a user for the servers, and one for the Sentinel.
    pub(crate) async fn start_for(of_servers: Option<Login>, of_sentinel: Option<Login>) -> Self {
        let (mut own, mut watching) = (String::new(), String::new());
        if let Some((user, password)) = of_servers {
            own = format!("masteruser {user}\nmasterauth {password}");
            watching = format!("sentinel auth-user queue {user}\nsentinel auth-pass queue {password}");
        }
        let master = Redis::start_for(of_servers, "", &own).await;
        let settings = format!("replicaof 127.0.0.1 {}\n{own}", master.port);
        let replica = Redis::start_for(of_servers, "", &settings).await;
        replica.says(&["INFO", "replication"], &["master_link_status:up"]).await;
        let settings = format!(
            "sentinel monitor queue 127.0.0.1 {} 1\nsentinel down-after-milliseconds queue {GONE_AFTER_MS}\n\
             sentinel failover-timeout queue 5000\n{watching}",
            master.port
        );
        let sentinel = Redis::start_for(of_sentinel, "--sentinel", &settings).await;
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
        self.replica.becomes_master().await;
    }

    /// The master itself, for whoever has these credentials.
    pub(crate) fn namespace_url(&self, login: &str) -> String {
        format!("redis://{login}127.0.0.1:{}", self.master.port)
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
        redis::Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
