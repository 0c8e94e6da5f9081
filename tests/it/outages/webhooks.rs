//! Webhooks that are posted while Postgres is away: nobody says that he has them, so the gateway posts them again.

use std::collections::BTreeSet;

use sincro_core::message::Origin;
use sincro_simulator::{Delivery, Hook, Pace, Population, Provider, Settings};

use super::STEADY;
use crate::support::{Stage, World, gateway::people, private::postgres::Postgres, stage::FAST, within};

fn whapi() -> Settings {
    let population = Population { share_empty: 0.0, older_on_phone: 4, ..people(2) };
    // Whoever waits for a database is answered within some ten seconds.
    let pace = Pace { timeout_ms: 60_000, ..Pace::default() };
    Settings { provider: Provider::Whapi, population, pace, ..Settings::default() }
}

fn refused(delivery: &Delivery) -> bool {
    delivery.status.is_some_and(|status| status >= 500)
}

fn taken(delivery: &Delivery) -> bool {
    delivery.status == Some(200)
}

#[tokio::test]
async fn a_webhook_that_comes_while_postgres_is_away_is_refused_posted_again_and_stored_once() {
    let mut postgres = Postgres::start(60).await;
    let stage = Stage::set(World::on(None, Some(postgres.url()), &STEADY).await, whapi(), FAST).await;
    let channel = stage.api.channel(stage.channel).await;
    stage.gateway.hooks().set(Some(Hook::to(channel["hook_url"].as_str().unwrap())));
    let truth = stage.gateway.truth();
    let older: Vec<String> =
        truth.addresses().flat_map(|address| truth.older(address)).map(|message| message.message_id).collect();
    let news: BTreeSet<&String> = older.iter().take(2).collect();

    postgres.crash();
    for message in &news {
        stage.gateway.restore(stage.gateway.token(), message).unwrap();
    }
    let deliveries = stage.gateway.deliveries();
    within("a refusal of each", deliveries.wait_for(2, |delivery| refused(delivery) && delivery.attempt == 1)).await;
    assert_eq!(deliveries.count(taken), 0, "nobody has them");
    postgres.recover().await;
    within("the attempts that were taken", deliveries.wait_for(2, taken)).await;
    within("the gateway's last word", stage.gateway.hooks().idle()).await;
    let all = deliveries.all();
    assert!(all.iter().all(|delivery| refused(delivery) || taken(delivery)), "{all:?}");

    let unread = "SELECT count(*) FROM inbox WHERE state <> 'read'";
    within("the end of the inbox", async { while stage.world.number(unread).await > 0 {} }).await;
    assert_eq!(stage.world.number("SELECT count(*) FROM inbox").await, 2, "one row for each");
    let stored = stage.api.messages(stage.channel).await;
    assert_eq!(stored.iter().map(|message| &message.message_id).collect::<BTreeSet<_>>(), news);
    assert!(stored.len() == 2 && stored.iter().all(|message| message.origin == Origin::Live), "{stored:?}");
}
