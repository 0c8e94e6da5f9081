//! What descriptions leave open and nothing else here decides the other way: each reading ends with the truth.

use sincro_core::sync::{SyncState, SyncStatus};
use sincro_simulator::{
    Call, GdbrnsReadings, Population, PositusReadings, Provider, Settings, WsapiReadings, WuzapiReadings,
};

use super::{Line, talkative};

#[tokio::test]
async fn positus_may_say_202_and_put_several_changes_into_one_webhook() {
    for (accepted_is_202, batch) in [(true, 1), (false, 3), (true, 1_000)] {
        let positus =
            PositusReadings { accepted_is_202, batch, chunk: 10, contacts_chunk: 4, ..PositusReadings::default() };
        let gateway =
            Settings { provider: Provider::Positus, population: talkative(12), positus, ..Settings::default() };
        let line = Line::with(gateway, &[]).await;
        let end = line.sync().await;
        assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{positus:?}: {end:?}");
        line.settled().await;
        line.holds_the_truth().await;
        line.receipt(&end).await;
        let names = "SELECT count(*) FROM contacts WHERE name IS NOT NULL";
        assert!(line.world.number(names).await > 0, "the list of contacts was read: {positus:?}");
    }
}

#[tokio::test]
async fn wsapi_may_say_200_to_a_flush() {
    let wsapi = WsapiReadings { flush_is_200: true, ..WsapiReadings::default() };
    let gateway = Settings { provider: Provider::Wsapi, population: talkative(8), wsapi, ..Settings::default() };
    let line = Line::with(gateway, &[]).await;
    line.paired().await;
    let end = line.sync().await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
    line.holds_the_truth().await;
    line.receipt(&end).await;
    let flushes = |call: &Call| call.path.ends_with("/flush-history") && call.status == Some(200);
    assert_eq!(line.gateway.calls().count(flushes), 1);
}

#[tokio::test]
async fn gdbrns_may_refuse_counts_that_are_never_asked_for() {
    let gdbrns = GdbrnsReadings { refuses_counts: true, ..GdbrnsReadings::default() };
    let gateway = Settings { provider: Provider::Gdbrns, population: talkative(3), gdbrns, ..Settings::default() };
    let line = Line::with(gateway, &[]).await;
    for messages in [1, 100] {
        let sync = line.api.start_sync(line.channel, messages).await.id;
        let end = line.api.end_of(sync).await;
        assert_eq!((end.state, end.jobs.empty), (SyncState::Completed, 1), "{end:?}");
        assert_eq!(line.account_job(end.id).await.reason.as_deref(), Some("no bodies"));
    }
    let refused = |call: &Call| call.path.ends_with("/history/sync") && call.status != Some(200);
    assert_eq!(line.gateway.calls().count(refused), 0);
}

#[tokio::test]
async fn a_phone_that_wuzapi_reveals_joins_the_person_that_was_known_by_lid_alone() {
    let wuzapi = WuzapiReadings { reveals_phones: true, ..WuzapiReadings::default() };
    let population = Population {
        share_without_lid: 0.0,
        share_lid_only: 1.0,
        older_on_phone: 60,
        messages_mean: 6,
        messages_max: 12,
        ..talkative(4)
    };
    let gateway = Settings { provider: Provider::Wuzapi, population, wuzapi, ..Settings::default() };
    // It answers whatever is asked here; a busy machine may take its time for it.
    let line = Line::with(gateway, &[("SINCRO_PHONE_DEADLINE_SECONDS", "30")]).await;
    let path = format!("/v1/channels/{}/syncs", line.channel);
    let sync: SyncStatus = line.api.post_json(&path, &serde_json::json!({"deep": true})).await.ok();
    let end = line.api.end_of(sync.id).await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
    line.receipt(&end).await;
    let truth = line.gateway.truth();
    for lid in truth.addresses() {
        let phone = truth.hidden_phone(lid).unwrap();
        let by = async |address: &str| -> Vec<(i64, String)> {
            let messages = line.api.messages_of(line.channel, address).await;
            messages.into_iter().map(|message| (message.contact_id, message.message_id)).collect()
        };
        let (by_lid, by_phone) = (by(lid).await, by(&phone).await);
        assert!(by_lid.len() > truth.chat(lid, 25).len(), "the phone was asked: {lid}");
        assert_eq!(by_lid, by_phone, "one person, one thread");
    }
    assert_eq!(line.world.number("SELECT count(*) FROM contacts WHERE merged_into IS NULL").await, 4);
}
