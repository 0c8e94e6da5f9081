//! Rules and their history.

use sincro_core::{
    channel::Channel,
    limit::{LevelLimit, Limit, LimitRule, Match},
    notice::Notice,
    provider::Provider,
};
use sincro_store::{
    Error, Missing,
    channels::{ChannelChange, LimitChange},
    limits::LimitSource,
};
use uuid::Uuid;

use crate::world::{World, by_phone};

fn rate(rate_per_second: f64) -> LevelLimit {
    Limit { rate_per_second, ..Limit::default() }.into()
}

fn rule(matches: &str, per_second: f64) -> LimitRule {
    LimitRule { matches: matches.parse().unwrap(), admits: rate(per_second) }
}

fn server_rates(notices: &[Notice]) -> Vec<(&str, Option<f64>)> {
    let rate = |notice: &Notice| notice.channel.server_limit.map(|admits| admits.limit.rate_per_second);
    let mut rates: Vec<_> = notices.iter().map(|notice| (notice.channel.server.as_str(), rate(notice))).collect();
    rates.sort_by_key(|(server, _)| *server);
    rates
}

async fn replace(world: &World, rules: &[LimitRule]) -> Vec<Notice> {
    world.store.replace_limit_rules(rules, "ops").await.unwrap()
}

/// What the queue is told of a channel now.
async fn told(world: &World, channel: &Channel) -> Notice {
    world.store.resume_channel(channel.id).await.unwrap().1
}

#[tokio::test]
async fn every_part_of_a_rule_is_kept() {
    let world = World::new().await;
    let limit = Limit { rate_per_second: 0.1, burst: 7, concurrency: 3 };
    let admits = LevelLimit { limit, per_minute: Some(5), per_hour: Some(100), per_day: Some(100_000), weight: 9 };
    let rules = [LimitRule { matches: Match::Server("wuzapi/a:1".into()), admits }, rule("whapi/*", 10_000.0)];
    replace(&world, &rules).await;
    let mut kept = world.store.limit_rules().await.unwrap();
    kept.reverse();
    assert_eq!(kept, [rules[0].clone(), rules[1].clone()]);
}

#[tokio::test]
async fn the_wildcard_reaches_every_server_of_its_provider_but_those_with_a_rule_of_their_own() {
    let world = World::new().await;
    for (provider, url) in [
        (Provider::Wuzapi, "http://127.0.0.1:1"),
        (Provider::Wuzapi, "http://b"),
        (Provider::Wuzapi, "http://c"),
        (Provider::Whapi, "http://b"),
    ] {
        world.channel_at(provider, url).await;
    }
    let first = replace(&world, &[rule("wuzapi/*", 5.0), rule("wuzapi/c", 2.0)]).await;
    assert_eq!(
        server_rates(&first),
        [("wuzapi/127.0.0.1:1", Some(5.0)), ("wuzapi/b", Some(5.0)), ("wuzapi/c", Some(2.0))]
    );
    let second = replace(&world, &[rule("wuzapi/*", 6.0), rule("wuzapi/c", 2.0)]).await;
    assert_eq!(server_rates(&second), [("wuzapi/127.0.0.1:1", Some(6.0)), ("wuzapi/b", Some(6.0))]);
    assert!(second[0].channel.server_version > first[0].channel.server_version);
    assert_eq!(second[0].channel.version, 1, "its own limit is as it was");
    let third = replace(&world, &[rule("wuzapi/*", 6.0)]).await;
    assert_eq!(server_rates(&third), [("wuzapi/c", Some(6.0))], "what is left holds");
    let last = replace(&world, &[]).await;
    assert!(server_rates(&last).iter().all(|(_, rate)| rate.is_none()) && last.len() == 3);
    assert_eq!(told(&world, &world.channel).await.channel.server_version, last[0].channel.server_version);
}

#[tokio::test]
async fn a_rule_about_a_channel_takes_the_place_of_its_own_limit_until_it_is_taken_away() {
    let world = World::new().await;
    let id = world.channel.id;
    let capped = LevelLimit { per_minute: Some(10), weight: 4, ..rate(1.0) };
    let [notice] = &replace(&world, &[LimitRule { matches: Match::Channel(id), admits: capped }]).await[..] else {
        panic!("one channel, one notice");
    };
    assert_eq!((notice.channel.limit, notice.channel.version), (capped, world.channel.version + 1));
    assert_eq!(world.store.channel(id).await.unwrap().limit, world.channel.limit, "kept for later");
    let [notice] = &replace(&world, &[]).await[..] else { panic!("one channel, one notice") };
    assert_eq!((notice.channel.limit, notice.channel.version), (world.channel.limit.into(), world.channel.version + 2));
}

#[tokio::test]
async fn rules_about_a_channel_and_its_server_reach_the_queue_with_one_notice_and_with_every_later_one() {
    let world = World::new().await;
    let server = world.channel.server();
    let notices =
        replace(&world, &[rule(&world.channel.id.to_string(), 1.0), rule(&server, 3.0), rule("wuzapi/*", 2.0)]).await;
    assert_eq!(notices.len(), 1);
    let left = world.store.undelivered_notices(sincro_core::clock::now(), 0, &[], 10).await.unwrap().notices;
    assert_eq!(left, notices, "it can be delivered after a crash");
    let (sync, _) = world.sync_of(vec![by_phone(1)]).await;
    let paused = world.store.pause_sync(sync, None).await.unwrap().1.unwrap();
    assert_eq!(paused.channel, notices[0].channel);
    let mut restoration = world.store.lock_restoration("test", 0).await.unwrap().unwrap();
    assert_eq!(restoration.lanes(&[sync]).await.unwrap()[0].channel, notices[0].channel);
    restoration.end().await.unwrap();
}

#[tokio::test]
async fn what_is_as_it_was_is_not_a_change() {
    let world = World::new().await;
    let rules = [rule("wuzapi/*", 5.0), rule(&world.channel.id.to_string(), 1.0)];
    replace(&world, &rules).await;
    assert_eq!(replace(&world, &rules).await, []);
    assert_eq!(replace(&world, &[rules[1].clone(), rules[0].clone()]).await, []);
    assert_eq!(world.store.limit_changes(None, 10).await.unwrap().len(), 2);
    assert_eq!(
        replace(&world, &[rules[0].clone(), rules[1].clone(), rule("whapi/*", 1.0)]).await,
        [],
        "nobody is there"
    );
}

#[tokio::test]
async fn a_rule_about_an_unknown_channel_is_refused_and_nothing_is_changed() {
    let world = World::new().await;
    replace(&world, &[rule("wuzapi/*", 5.0)]).await;
    let rules =
        [rule("wuzapi/*", 6.0), rule(&world.channel.id.to_string(), 1.0), rule(&Uuid::from_u128(7).to_string(), 1.0)];
    let refused = world.store.replace_limit_rules(&rules, "ops").await;
    assert!(matches!(refused, Err(Error::NotFound(Missing::Channel))));
    assert_eq!(world.store.limit_rules().await.unwrap(), [rule("wuzapi/*", 5.0)]);
    assert_eq!(world.store.limit_changes(None, 10).await.unwrap().len(), 1);
    assert_eq!(world.store.channel(world.channel.id).await.unwrap().version, world.channel.version);
}

#[tokio::test]
async fn every_change_is_kept_with_who_made_it_and_what_was_before() {
    let world = World::new().await;
    let id = world.channel.id;
    replace(&world, &[rule("wuzapi/*", 5.0)]).await;
    world.store.replace_limit_rules(&[rule("wuzapi/*", 6.0)], "night shift").await.unwrap();
    let limit = LimitChange { rate_per_second: Some(2.5), ..LimitChange::default() };
    world.store.change_channel(id, ChannelChange { limit, ..ChannelChange::default() }, "day shift").await.unwrap();
    let renamed = ChannelChange { name: Some("other".into()), limit, ..ChannelChange::default() };
    world.store.change_channel(id, renamed, "day shift").await.unwrap();
    replace(&world, &[]).await;

    let changes = world.store.limit_changes(None, 10).await.unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.by.as_str(), change.matches.clone(), change.source, change.before, change.after))
        .collect();
    let wildcard = Match::EachServer(Provider::Wuzapi);
    assert_eq!(
        told,
        [
            ("ops", wildcard.clone(), LimitSource::Rule, Some(rate(6.0)), None),
            ("day shift", Match::Channel(id), LimitSource::Channel, Some(rate(20.0)), Some(rate(2.5))),
            ("night shift", wildcard.clone(), LimitSource::Rule, Some(rate(5.0)), Some(rate(6.0))),
            ("ops", wildcard, LimitSource::Rule, None, Some(rate(5.0))),
        ]
    );
    assert!(changes.is_sorted_by(|newer, older| newer.at >= older.at && newer.id > older.id));
    let older = world.store.limit_changes(Some(changes[1].id), 1).await.unwrap();
    assert_eq!(older, changes[2..3]);
}

#[tokio::test]
async fn the_history_of_a_channel_outlives_it_and_says_who_ended_it() {
    let world = World::new().await;
    let capped = LevelLimit { per_hour: Some(10), ..rate(1.0) };
    replace(&world, &[LimitRule { matches: Match::Channel(world.channel.id), admits: capped }]).await;
    world.store.delete_channel(world.channel.id, "cleaner").await.unwrap();
    assert_eq!(world.store.limit_rules().await.unwrap(), []);
    let changes = world.store.limit_changes(None, 10).await.unwrap();
    assert_eq!(changes.len(), 2);
    let end = &changes[0];
    assert_eq!((end.by.as_str(), &end.matches), ("cleaner", &Match::Channel(world.channel.id)));
    assert_eq!((end.before, end.after), (Some(capped), None));
}

#[tokio::test]
async fn of_two_callers_at_once_the_later_replaces_what_the_earlier_wrote() {
    let world = World::new().await;
    let (one, other) = ([rule("wuzapi/*", 1.0)], [rule("wuzapi/*", 2.0), rule("whapi/*", 2.0)]);
    let (first, second) =
        tokio::join!(world.store.replace_limit_rules(&one, "one"), world.store.replace_limit_rules(&other, "other"));
    let notices = [first.unwrap().remove(0), second.unwrap().remove(0)];
    let newest = notices.iter().max_by_key(|notice| notice.channel.server_version).unwrap();
    let holds = world.store.limit_rules().await.unwrap();
    assert!(holds == one || holds == [other[1].clone(), other[0].clone()]);
    assert_eq!(
        newest.channel.server_limit,
        holds.iter().find(|rule| rule.matches == one[0].matches).map(|rule| rule.admits)
    );
}

#[tokio::test]
async fn the_views_show_the_rules_and_where_they_hold() {
    let world = World::new().await;
    replace(&world, &[rule("wuzapi/*", 5.0)]).await;
    world.store.replace_limit_rules(&[rule("wuzapi/*", 6.0)], "night shift").await.unwrap();
    let shown = world.row("SELECT * FROM limit_status").await;
    assert_eq!((&shown["matches"], &shown["level"]), (&"wuzapi/*".into(), &"server".into()));
    assert_eq!((shown["rate_per_second"].as_f64(), &shown["changed_by"]), (Some(6.0), &"night shift".into()));
    let server = world.row("SELECT * FROM server_status").await;
    assert_eq!((&server["server"], &server["rule"]), (&"wuzapi/127.0.0.1:1".into(), &"wuzapi/*".into()));
    assert_eq!((server["rate_per_second"].as_f64(), server["channels"].as_i64()), (Some(6.0), Some(1)));
}
