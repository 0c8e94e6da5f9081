//! Redis servers that belong together: a cluster, a master that a Sentinel watches, and one that speaks TLS.

use super::{
    super::authority::Authority,
    free_port,
    redis::{Login, Redis},
};

/// How long the nodes of a cluster, or a Sentinel, wait for a server before they call it gone.
const GONE_AFTER_MS: u32 = 1_000;

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
