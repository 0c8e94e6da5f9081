//! Webhooks on their way, whatever provider they are of: order, attempts, faults, and steering them by HTTP.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sincro_simulator::{
    Delivery, Held, Hook, HookFault, HookFaults, HookRule, Pace, Provider, Settings, Simulator, When,
};

use crate::{
    client::{self, few},
    receiver::{Received, Receiver},
};

async fn speaking(provider: Provider) -> Result<Simulator> {
    Simulator::start(Settings { provider, population: few(3), ..Settings::default() }).await
}

/// Tells so many events, by their numbers.
fn tell(simulator: &Simulator, count: u32) {
    (0..count).for_each(|number| simulator.hooks().tell("news", json!({ "n": number })));
}

fn numbers(received: &[Received]) -> Vec<u64> {
    received.iter().filter_map(|received| received.json()["n"].as_u64()).collect()
}

#[tokio::test]
async fn events_come_in_their_order_and_are_logged() -> Result<()> {
    let (simulator, receiver) = (speaking(Provider::Wsapi).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook()));
    tell(&simulator, 20);
    assert_eq!(numbers(&receiver.wait_for(20).await), (0..20).collect::<Vec<_>>());
    simulator.hooks().idle().await;
    let log = simulator.deliveries().all();
    assert!(log.iter().all(|delivery| (delivery.attempt, delivery.status) == (1, Some(200))), "{log:?}");
    assert!(log.iter().zip(receiver.all()).all(|(delivery, received)| delivery.bytes == received.raw.len() as u64));
    Ok(())
}

#[tokio::test]
async fn an_event_without_a_hook_is_gone() -> Result<()> {
    let simulator = speaking(Provider::Whapi).await?;
    tell(&simulator, 1);
    simulator.hooks().idle().await;
    let log = simulator.deliveries().all();
    assert_eq!(log.iter().map(|delivery| delivery.fault.as_deref()).collect::<Vec<_>>(), [Some("no hook")]);
    Ok(())
}

#[tokio::test]
async fn each_provider_tries_as_often_as_its_page_says() -> Result<()> {
    for (provider, attempts) in [(Provider::Wsapi, 1), (Provider::Gdbrns, 3), (Provider::Wuzapi, 5)] {
        let (simulator, receiver) = (speaking(provider).await?, Receiver::start().await?);
        simulator.hooks().set(Some(receiver.hook()));
        receiver.answer([500; 9]);
        tell(&simulator, 1);
        simulator.hooks().idle().await;
        let tried: Vec<u32> = simulator.deliveries().all().iter().map(|delivery| delivery.attempt).collect();
        assert_eq!(tried, (1..=attempts).collect::<Vec<_>>(), "{provider:?}");
    }
    Ok(())
}

#[tokio::test]
async fn whapi_and_meta_go_on_until_200() -> Result<()> {
    for provider in [Provider::Whapi, Provider::Positus] {
        let (simulator, receiver) = (speaking(provider).await?, Receiver::start().await?);
        simulator.hooks().set(Some(receiver.hook()));
        receiver.answer([204, 500, 202, 404, 500]);
        tell(&simulator, 1);
        simulator.hooks().idle().await;
        assert_eq!(receiver.all().len(), 6, "{provider:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_event_does_not_hold_up_the_next() -> Result<()> {
    let (simulator, receiver) = (speaking(Provider::Wuzapi).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook()));
    simulator.set_pace(Pace { time_scale: 0.01, ..Pace::default() })?;
    receiver.answer([500]);
    tell(&simulator, 3);
    simulator.hooks().idle().await;
    assert_eq!(numbers(&receiver.all()), [0, 1, 2, 0]);
    Ok(())
}

#[tokio::test]
async fn a_test_decides_the_order_of_what_is_held() -> Result<()> {
    let (simulator, receiver) = (speaking(Provider::Positus).await?, Receiver::start().await?);
    let hooks = simulator.hooks();
    hooks.set(Some(receiver.hook()));
    hooks.hold();
    tell(&simulator, 4);
    let held = hooks.wait_for_held(4).await;
    assert_eq!(held.iter().map(|held| held.body["n"].as_u64()).collect::<Vec<_>>(), [0, 1, 2, 3].map(Some));
    for index in [2, 0] {
        hooks.release(held[index].number)?;
    }
    assert_eq!(numbers(&receiver.wait_for(2).await), [2, 0]);
    assert!(hooks.release(held[2].number).is_err(), "it is gone");
    assert_eq!(hooks.waiting(), 2);
    hooks.go_on();
    assert_eq!(numbers(&receiver.wait_for(4).await), [2, 0, 1, 3]);
    Ok(())
}

#[tokio::test]
async fn faults_strike_on_the_way() -> Result<()> {
    for (fault, expected) in [
        ("lost=x1", vec![1, 2]),
        ("duplicated=x1", vec![0, 0, 1, 2]),
        ("reordered=x1", vec![1, 0, 2]),
        ("delayed:200=x1", vec![1, 2, 0]),
        ("queue-dropped@news=x1", vec![]),
    ] {
        let (simulator, receiver) = (speaking(Provider::Wsapi).await?, Receiver::start().await?);
        let hooks = simulator.hooks();
        hooks.set(Some(receiver.hook()));
        simulator.set_hook_faults(fault.parse::<HookFaults>()?)?;
        hooks.hold();
        tell(&simulator, 3);
        hooks.go_on();
        hooks.idle().await;
        assert_eq!(numbers(&receiver.all()), expected, "{fault}");
        let name = fault.split([':', '=', '@']).next();
        assert!(simulator.deliveries().count(|delivery| delivery.fault.as_deref() == name) > 0, "{fault}");
    }
    Ok(())
}

#[tokio::test]
async fn a_share_strikes_the_same_events_for_the_same_seed() -> Result<()> {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (simulator, receiver) = (speaking(Provider::Wsapi).await?, Receiver::start().await?);
        simulator.hooks().set(Some(receiver.hook()));
        simulator.set_hook_faults("seed=5,lost=0.5".parse::<HookFaults>()?)?;
        tell(&simulator, 40);
        simulator.hooks().idle().await;
        runs.push(numbers(&receiver.all()));
    }
    assert_eq!(runs[0], runs[1]);
    assert!((10..30).contains(&runs[0].len()), "{:?}", runs[0]);
    Ok(())
}

#[tokio::test]
async fn half_a_body_is_still_signed() -> Result<()> {
    let (simulator, receiver) = (speaking(Provider::Wsapi).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook().signed("key")));
    let unsigned = HookRule::new(HookFault::Unsigned, When::Next(1));
    simulator.set_hook_faults(unsigned)?;
    tell(&simulator, 1);
    simulator.hooks().idle().await;
    simulator.set_hook_faults("garbled=x1,wrongly-signed=x1".parse::<HookFaults>()?)?;
    tell(&simulator, 3);
    simulator.hooks().idle().await;
    let posts = receiver.all();
    let signatures: Vec<Option<&str>> = posts.iter().map(|post| post.header("x-webhook-signature")).collect();
    assert_eq!(signatures[0], None);
    assert_eq!((posts[1].json(), posts[1].raw.len()), (Value::Null, 4));
    assert!(signatures[1].is_some() && signatures[2] != signatures[3]);
    Ok(())
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_dropped() -> Result<()> {
    let (simulator, receiver) = (speaking(Provider::Gdbrns).await?, Receiver::start().await?);
    let hooks = simulator.hooks();
    hooks.set(Some(receiver.hook()));
    simulator.set_pace(Pace { capacity: Some(2), ..Pace::default() })?;
    hooks.hold();
    tell(&simulator, 5);
    hooks.go_on();
    hooks.idle().await;
    assert_eq!(numbers(&receiver.all()), [0, 1]);
    assert_eq!(simulator.deliveries().count(|delivery| delivery.fault.as_deref() == Some("full")), 3);
    Ok(())
}

#[tokio::test]
async fn several_go_at_once_where_the_pace_says_so() -> Result<()> {
    let (simulator, receiver) = (speaking(Provider::Wsapi).await?, Receiver::start().await?);
    simulator.hooks().set(Some(receiver.hook()));
    simulator.set_pace(Pace { at_once: 16, between_ms: 0, ..Pace::default() })?;
    tell(&simulator, 300);
    simulator.hooks().idle().await;
    let mut all = numbers(&receiver.all());
    all.sort_unstable();
    assert_eq!(all, (0..300).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_is_away_is_logged_without_a_status() -> Result<()> {
    let simulator = speaking(Provider::Wsapi).await?;
    simulator.hooks().set(Some(Hook::to("http://127.0.0.1:9/nobody")));
    tell(&simulator, 1);
    simulator.hooks().idle().await;
    assert_eq!(simulator.deliveries().count(|delivery| delivery.attempt == 1 && delivery.status.is_none()), 1);
    Ok(())
}

#[tokio::test]
async fn everything_is_steered_over_http() -> Result<()> {
    let (simulator, receiver) = (speaking(Provider::Wsapi).await?, Receiver::start().await?);
    let post = |path: &'static str, body: String| {
        let simulator = &simulator;
        async move { client::send(simulator, "POST", path, None, &body).await }
    };
    let hook = json!({ "channel": 0, "hook": receiver.hook() });
    assert_eq!(post("/__sim/hook", hook.to_string()).await?.status, 204);
    let hooks: Vec<Hook> = serde_json::from_str(&client::get(&simulator, "/__sim/hook").await?.body)?;
    assert_eq!(hooks, [receiver.hook()]);
    assert_eq!(post("/__sim/hold", "{}".to_owned()).await?.status, 204);
    let news = json!({ "event": "news", "body": { "n": 7 } });
    assert_eq!(post("/__sim/tell", news.to_string()).await?.status, 204);
    let held: Vec<Held> = serde_json::from_str(&client::get(&simulator, "/__sim/held").await?.body)?;
    let number = held.first().context("held")?.number;
    assert_eq!(post("/__sim/release", json!({ "number": number }).to_string()).await?.status, 204);
    assert_eq!(numbers(&receiver.wait_for(1).await), [7]);
    assert_eq!(post("/__sim/go-on", "{}".to_owned()).await?.status, 204);
    assert_eq!(post("/__sim/pace", r#"{"between_ms":0,"at_once":4}"#.to_owned()).await?.status, 204);
    assert_eq!(post("/__sim/pace", r#"{"at_once":0}"#.to_owned()).await?.status, 400);
    assert_eq!(post("/__sim/hook-faults", "lost=all".to_owned()).await?.status, 200);
    assert_eq!(post("/__sim/hook-faults", "vanished=all".to_owned()).await?.status, 400);
    tell(&simulator, 1);
    simulator.hooks().idle().await;
    let log: Vec<Delivery> = serde_json::from_str(&client::get(&simulator, "/__sim/deliveries").await?.body)?;
    assert_eq!(log.iter().map(|delivery| delivery.fault.as_deref()).collect::<Vec<_>>(), [None, Some("lost")]);
    assert_eq!(client::send(&simulator, "DELETE", "/__sim/deliveries", None, "").await?.status, 204);
    assert!(simulator.deliveries().all().is_empty());
    assert_eq!(post("/__sim/pair", r#"{"channel":3}"#.to_owned()).await?.status, 404);
    assert_eq!(post("/__sim/readings/wsapi", r#"{"flush_is_200":true}"#.to_owned()).await?.status, 204);
    assert_eq!(post("/__sim/readings/positus", r#"{"chunk":0}"#.to_owned()).await?.status, 400);
    Ok(())
}
