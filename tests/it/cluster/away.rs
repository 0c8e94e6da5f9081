//! A node that is away for long: what the others have is looked after all the same.

use serde_json::json;
use sincro_core::limit::Limit;
use sincro_simulator::Settings;

use super::Site;
use crate::support::{Api, Gateway, World, gateway::people, private::nodes::Cluster, within};

/// Slow enough that the syncs outlast the test.
const SLOW: Limit = Limit { rate_per_second: 2.0, burst: 1, concurrency: 1 };

/// A sync at the node that has its gateway's shard.
async fn add_site(api: &Api, cluster: &Cluster) -> Site {
    let gateway = Gateway::start(Settings { population: people(60), ..Settings::default() }).await;
    let channel = api.create_channel(&gateway, SLOW).await;
    let sync = api.start_sync(channel, 25).await.id;
    api.follow(sync).await.until_settled(1).await;
    let of_server = format!(":server:wuzapi/{}", gateway.base_url().trim_start_matches("http://"));
    let keys = cluster.keys(&format!("sincro:*{of_server}")).await;
    let (home, key) = keys.iter().enumerate().find_map(|(node, keys)| Some((node, keys.first()?))).expect("it is held");
    let shard = key.trim_end_matches(of_server.as_str()).to_owned();
    Site { gateway, channel, sync, shard, home }
}

/// Waits until a query counts something.
async fn until_some(world: &World, what: &str, query: String) {
    let counted = async { while world.rows(&query).await[0]["count"] == 0 {} };
    within(what, counted).await;
}

#[tokio::test]
async fn while_a_node_is_away_the_others_hear_their_notices_get_back_what_they_lose_and_are_reported() {
    let cluster = Cluster::start().await;
    let url = cluster.url();
    let world = World::with(&[("REDIS_URL", &url), ("SINCRO_REDIS_SHARDS", "8")]).await;
    let (api, worker) = tokio::join!(world.api(), world.worker());
    let capped = json!({"rules": [{"match": "wuzapi/*", "rate_per_second": 100, "per_minute": 5_000}]});
    api.send(api.request(reqwest::Method::PUT, "/v1/limits").json(&capped)).await.ok::<serde_json::Value>();
    // Whoever goes through the shards comes upon the first one first.
    let first = format!("sincro:{{{}/0}}:", world.queue.name);
    let slot: u16 = cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", &first]).await.unwrap();
    let gone = [5_460, 10_922, 16_383].iter().position(|last| slot <= *last).expect("a node has it");
    let (mut hit, mut well) = (None, None);
    while hit.is_none() || well.is_none() {
        let site = add_site(&api, &cluster).await;
        _ = if site.home == gone { hit.insert(site) } else { well.insert(site) };
    }
    let (Some(hit), Some(well)) = (hit, well) else { unreachable!("both were found") };

    cluster.nodes[gone].kill();
    // More than a sweep reads at once, and older.
    world
        .run(&format!(
            "INSERT INTO notices (channel_id, created_at) SELECT '{}', now() - interval '1 minute' FROM generate_series(1, 600);
             INSERT INTO notices (channel_id, created_at) VALUES ('{}', now() - interval '1 minute')",
            hit.channel, well.channel
        ))
        .await;
    let heard = format!("SELECT (count(*) = 0)::int AS count FROM notices WHERE channel_id = '{}'", well.channel);
    until_some(&world, "the delivery of what is behind the notices for the node that is away", heard).await;

    let lane = format!("{}:lane:{}", well.shard, well.sync);
    let lost: i64 = cluster.nodes[well.home].ask(&["DEL", &lane]).await.unwrap();
    assert_eq!(lost, 1, "{lane}");
    worker.said("lanes that the queue had lost are back from the ledger").await;

    let now = world.rows("SELECT now()").await[0]["now"].as_str().unwrap().to_owned();
    let reported = format!("FROM sync_outlooks WHERE sync_id = '{}' AND seen_at > '{now}'", well.sync);
    until_some(&world, "the outlook of a sync that goes on", format!("SELECT count(*) {reported}")).await;
    let server = well.gateway.base_url().replace("http://", "wuzapi/");
    let counted = format!("FROM call_counts WHERE key = '{server}' AND noted_at > '{now}'");
    until_some(&world, "the count of calls under a cap", format!("SELECT count(*) {counted}")).await;
    assert_eq!(world.number("SELECT count(*) FROM notices").await, 600, "what cannot be told yet stays");
}
