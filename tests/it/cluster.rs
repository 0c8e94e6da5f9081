//! Several Redis servers: a cluster whose shards move, freeze and die, and a master that is replaced by its replica.

mod away;

use std::time::Duration;

use sincro_core::{
    limit::Limit,
    sync::{SyncId, SyncState},
};
use sincro_simulator::{Latency, Settings};
use uuid::Uuid;

use crate::support::{
    Api, Gateway, Stage, World, audit,
    gateway::people,
    private::nodes::{Cluster, Sealed, Watched},
    process::Process,
    within,
};

/// A second, less what calls may take from their permit to the gateway while other tests run.
const NEARLY_A_SECOND: Duration = Duration::from_millis(900);
/// Slow enough that everything is caught in the middle.
const UNHURRIED: Limit = Limit { rate_per_second: 40.0, burst: 1, concurrency: 8 };
const SLOW_ANSWERS: Latency = Latency { fixed_ms: 5, jitter_ms: 20 };

/// A gateway with one channel, whose sync runs.
struct Site {
    gateway: Gateway,
    channel: Uuid,
    sync: SyncId,
    /// The prefix of its shard's keys.
    shard: String,
    /// The node that has them.
    home: usize,
}

/// An installation on a cluster, with work at each of its primaries; dropped in this order.
struct Spread {
    workers: Vec<Process>,
    api: Api,
    sites: Vec<Site>,
    world: World,
    cluster: Cluster,
}

impl Spread {
    async fn set(cluster: Cluster) -> Self {
        let settings = [
            ("REDIS_URL", cluster.url()),
            ("SINCRO_REDIS_SHARDS", "8".to_owned()),
            ("SINCRO_LEASE_SECONDS", "5".to_owned()),
            ("SINCRO_MAX_ATTEMPTS", "100".to_owned()),
        ];
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let world = World::with(&settings).await;
        let (api, first, second) = tokio::join!(world.api(), world.worker(), world.worker());
        let mut spread = Self { workers: vec![first, second], api, sites: Vec::new(), world, cluster };
        // Where a gateway's shard is depends on its port.
        while !(0..3).all(|node| spread.sites.iter().any(|site| site.home == node)) {
            assert!(spread.sites.len() < 40, "the shards of 40 gateways leave a node without work");
            spread.add_site().await;
        }
        spread
    }

    async fn add_site(&mut self) {
        let settings = Settings { population: people(60), latency: SLOW_ANSWERS, ..Settings::default() };
        let gateway = Gateway::start(settings).await;
        let channel = self.api.create_channel(&gateway, UNHURRIED).await;
        let sync = self.api.start_sync(channel, 25).await.id;
        self.api.follow(sync).await.until_settled(1).await;
        let of_server = format!(":server:wuzapi/{}", gateway.base_url().trim_start_matches("http://"));
        let keys = self.cluster.keys(&format!("sincro:*{of_server}")).await;
        let (home, key) =
            keys.iter().enumerate().find_map(|(node, keys)| Some((node, keys.first()?))).expect("it is held");
        let shard = key.trim_end_matches(of_server.as_str()).to_owned();
        self.sites.push(Site { gateway, channel, sync, shard, home });
    }

    /// How often a shard was filled so far; each is once in its first life.
    fn restorations(&self) -> usize {
        self.workers.iter().map(|worker| worker.times_said("the queue is restored from the ledger")).sum()
    }

    /// Every sync ends by itself, and nothing is lost, doubled or faster than its limit.
    async fn ends_well(&self) {
        for site in &self.sites {
            let end = self.api.end_of(site.sync).await;
            assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 120));
            let truth = site.gateway.truth();
            audit::messages_are_the_truth(&self.api, site.channel, &truth, 25).await;
            let receipt = self.api.receipt(site.sync).await;
            audit::receipt_adds_up(&receipt, &end);
            audit::receipt_tells_the_truth(&receipt, &truth, 25);
            let most = site.gateway.calls().max_in_window(NEARLY_A_SECOND, |_| true);
            assert!(most <= 40, "{most} calls in one second at a rate of 40");
        }
    }
}

#[tokio::test]
async fn channels_are_spread_over_the_nodes_of_a_cluster_and_a_shard_moves_with_its_jobs() {
    let spread = Spread::set(Cluster::start().await).await;
    let moving = spread.sites.last().unwrap();
    spread.cluster.move_slot(&format!("{}:", moving.shard), moving.home, (moving.home + 1) % 3).await;
    spread.ends_well().await;
    let (moved, stayed): (Vec<_>, Vec<_>) = spread.sites.iter().partition(|site| site.shard == moving.shard);
    let attempts = spread.world.number("SELECT count(*) FROM jobs WHERE attempts > 1").await;
    let at_work = audit::count(8 * moved.len());
    assert!(attempts <= at_work, "{attempts} jobs were tried again: only what was at work in the moving shard may be");
    assert_eq!(spread.api.get("/readyz").await.status, 200);
    let most = |site: &Site| site.gateway.calls().max_in_flight(|_| true);
    assert!(stayed.into_iter().all(|site| most(site) <= 8), "at most 8 calls at once");

    let doctor = spread.world.sincro(&["doctor"]).await;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.success(), "{said}");
    for node in &spread.cluster.nodes {
        assert!(said.contains(&format!("127.0.0.1:{}: version ", node.port)), "{said}");
    }
}

#[tokio::test]
async fn a_node_of_a_cluster_that_freezes_and_dies_holds_up_only_what_it_has() {
    let mut spread = Spread::set(Cluster::start().await).await;
    let Some(&Site { sync: hit, home, .. }) = spread.sites.last() else { panic!("there are sites") };
    let other = spread.sites.iter().rfind(|site| site.home != home).expect("two others have work").sync;
    spread.cluster.nodes[home].freeze();
    // Somebody waits for the frozen node, for a while; then the others go on without it.
    assert_eq!(spread.api.end_of(other).await.state, SyncState::Completed);
    spread.cluster.nodes[home].thaw();
    let settled = spread.api.status(hit).await.jobs.settled();
    spread.api.follow(hit).await.until_settled(settled + 10).await;

    let before = spread.restorations();
    spread.cluster.nodes[home].kill();
    spread.cluster.nodes[home].start_again().await;
    spread.ends_well().await;
    assert!(spread.restorations() > before, "what the dead node had was put back");
}

#[tokio::test]
async fn a_replica_that_takes_over_from_a_dead_node_goes_on_with_its_channels() {
    let spread = Spread::set(Cluster::start_with_replicas().await).await;
    let Some(&Site { sync: hit, home, .. }) = spread.sites.last() else { panic!("there are sites") };
    let settled = spread.api.follow(hit).await.until_settled(20).await.jobs.settled();
    spread.cluster.nodes[home].kill();
    within("the failover", spread.cluster.replicas[home].becomes_master()).await;
    spread.api.follow(hit).await.until_settled(settled + 10).await;
    spread.ends_well().await;
    let ended = |worker: &Process| worker.times_said("the worker works") != 1;
    assert!(!spread.workers.iter().any(ended), "the same workers all the time");
}

#[tokio::test]
async fn a_sync_survives_the_death_of_the_master_that_sentinels_watch() {
    let watched = Watched::start().await;
    let limit = Limit { rate_per_second: 100.0, ..UNHURRIED };
    let url = watched.url();
    let world =
        World::with(&[("REDIS_URL", &url), ("SINCRO_LEASE_SECONDS", "1"), ("SINCRO_MAX_ATTEMPTS", "100")]).await;
    let gateway = Settings { population: people(200), latency: SLOW_ANSWERS, ..Settings::default() };
    let mut stage = Stage::set(world, gateway, limit).await;
    let second = stage.world.worker().await;
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    let settled = events.until_settled(100).await.jobs.settled();
    watched.master.kill();
    within("the failover", watched.failed_over()).await;
    events.until_settled(settled + 50).await;
    // The new master is found by whoever starts now, too.
    let third = stage.world.worker().await;
    std::mem::replace(&mut stage.worker, third).kill();
    let end = events.end().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 400));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    let most = stage.gateway.calls().max_in_window(NEARLY_A_SECOND, |_| true);
    assert!(most <= 100, "{most} calls in one second at a rate of 100");
    drop(second);
}

#[tokio::test]
async fn a_master_that_freezes_is_replaced_and_not_written_to_when_it_wakes() {
    let watched = Watched::start().await;
    let limit = Limit { rate_per_second: 50.0, ..UNHURRIED };
    let url = watched.url();
    let world =
        World::with(&[("REDIS_URL", &url), ("SINCRO_LEASE_SECONDS", "1"), ("SINCRO_MAX_ATTEMPTS", "100")]).await;
    let gateway = Settings { population: people(200), latency: SLOW_ANSWERS, ..Settings::default() };
    let stage = Stage::set(world, gateway, limit).await;
    let second = stage.world.worker().await;
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    events.until_settled(50).await;
    watched.master.freeze();
    within("the failover", watched.failed_over()).await;
    let settled = events.until_settled(100).await.jobs.settled();

    // Requests that had reached it before are answered now, and nobody listens.
    watched.master.thaw();
    let scripts = watched.master.scripts_run().await;
    assert!(scripts > 50, "it was the master");
    let end = events.end().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 400));
    assert!(end.jobs.settled() > settled + 100, "it woke in the middle");
    assert_eq!(watched.master.scripts_run().await, scripts, "what woke is asked for nothing any more");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    let most = stage.gateway.calls().max_in_window(NEARLY_A_SECOND, |_| true);
    assert!(most <= 50, "{most} calls in one second at a rate of 50");
    drop(second);
}

#[tokio::test]
async fn servers_and_sentinels_ask_for_users_of_their_own() {
    let watched = Watched::start_for(Some(("crm", "pass")), Some(("look", "other"))).await;
    let port = watched.sentinel.port;
    let url = format!("redis+sentinel://crm:pass@127.0.0.1:{port}/queue?sentinel_user=look&sentinel_password=other");
    let stage = Stage::set(
        World::on(Some(watched.namespace_url("crm:pass@")), None, &[("REDIS_URL", &url)]).await,
        Settings { population: people(20), ..Settings::default() },
        UNHURRIED,
    )
    .await;
    let end = stage.sync().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 40));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;

    for (wrong, expected) in [
        (url.replace("other", "wrong"), "no Sentinel tells who the master \"queue\" is"),
        (url.replace("&sentinel_password=other", ""), "no Sentinel tells who the master \"queue\" is"),
        (url.replace("pass@", "wrong@"), "Password authentication failed"),
    ] {
        let doctor = stage.world.sincro_with(&["doctor"], &[("REDIS_URL", &wrong)]).await;
        let said = String::from_utf8_lossy(&doctor.stdout);
        assert!(!doctor.status.success() && said.contains(expected), "{said}");
        assert!(!said.contains("wrong@") && !said.contains("=wrong"), "no password is shown: {said}");
    }
}

#[tokio::test]
async fn a_sync_runs_over_tls_for_whoever_trusts_the_authority_of_the_server() {
    let sealed = Sealed::start().await;
    let (url, trusted) = (sealed.url(), sealed.authority.file());
    let plain = format!("redis://127.0.0.1:{}", sealed.redis.port);
    let world = World::on(Some(plain), None, &[("REDIS_URL", &url), ("SSL_CERT_FILE", &trusted)]).await;
    let stage = Stage::set(world, Settings { population: people(20), ..Settings::default() }, UNHURRIED).await;
    let end = stage.sync().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 40));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;

    let doctor = stage.world.sincro_with(&["doctor"], &[("SSL_CERT_FILE", "")]).await;
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(!doctor.status.success() && said.contains("broken   Redis"), "nobody else trusts it: {said}");
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_with_a_url_of_several_servers() {
    let (watched, world) = tokio::join!(Watched::start(), World::new());
    let doctor = async |url: &str| {
        let doctor = world.sincro_with(&["doctor"], &[("REDIS_URL", url)]).await;
        (doctor.status.success(), String::from_utf8_lossy(&doctor.stdout).into_owned())
    };
    let (master, sentinel) = (watched.master.port, watched.sentinel.port);
    let (well, said) = doctor(&watched.url()).await;
    assert!(well && said.contains(&format!("127.0.0.1:{master}: version ")) && said.contains(", a replica"), "{said}");
    for (url, expected) in [
        (watched.url_of("other"), "no Sentinel tells who the master \"other\" is"),
        (format!("redis://127.0.0.1:{sentinel}"), "its URL must begin with redis+sentinel://"),
        (format!("redis+cluster://127.0.0.1:{master}"), "is no part of a cluster; begin its URL with redis://"),
        (
            format!("redis+sentinel://127.0.0.1:{sentinel}"),
            "redis_url (from REDIS_URL): the name of the master must follow",
        ),
    ] {
        let (well, said) = doctor(&url).await;
        assert!(!well && said.contains(expected), "{said}");
    }
    // The Sentinel names it still, and is not believed.
    let _: () = watched.master.ask(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    let (well, said) = doctor(&watched.url_of("queue")).await;
    assert!(!well && said.contains("which is no master but a slave"), "{said}");
}
