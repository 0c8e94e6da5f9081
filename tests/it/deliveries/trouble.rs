//! Webhooks that are late, cut short or unsigned, and a session that goes in the middle of a delivery.

use sincro_core::{channel::ChannelState, job::JobState, sync::SyncState};
use sincro_simulator::{Call, Delivery, HookFault, HookFaults, HookRule, PositusReadings, Provider, Settings, When};

use super::{Line, talkative};
use crate::support::within;

/// What WSAPI calls history.
const FLUSHED: &str = "message_history_sync";
/// What Meta calls it.
const CHUNK: &str = "history";

fn is_flush(call: &Call) -> bool {
    call.path.ends_with("/session/flush-history")
}

fn wsapi(contacts: u32) -> Settings {
    Settings { provider: Provider::Wsapi, population: talkative(contacts), ..Settings::default() }
}

fn positus(contacts: u32) -> Settings {
    let positus = PositusReadings { chunk: 20, ..PositusReadings::default() };
    Settings { provider: Provider::Positus, population: talkative(contacts), positus, ..Settings::default() }
}

impl Line {
    async fn until_channel_is(&self, state: ChannelState) {
        let state = state.as_str();
        let said = async { while self.api.channel(self.channel).await["state"] != state {} };
        within(&format!("a channel that is {state}"), said).await;
    }
}

#[tokio::test]
async fn a_session_that_goes_in_the_middle_of_a_flush_keeps_what_came_and_a_new_pairing_brings_the_rest() {
    let line = Line::with(wsapi(12), &[]).await;
    line.paired().await;
    let hooks = line.gateway.hooks();
    hooks.hold();
    let sync = line.api.start_sync(line.channel, 1).await.id;
    let held = within("the flush", hooks.wait_for_held(12)).await;
    for event in &held[..4] {
        hooks.release(event.number).unwrap();
    }
    let sent = |delivery: &Delivery| delivery.event == FLUSHED && delivery.status == Some(200);
    within("four chats", line.gateway.deliveries().wait_for(4, sent)).await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::SessionLost, When::Next(1)).on_event(FLUSHED)).unwrap();
    hooks.go_on();
    line.until_channel_is(ChannelState::Paused).await;
    let end = line.api.end_of(sync).await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
    let receipt = line.receipt(&end).await;
    assert_eq!(receipt.lines.iter().filter(|line| line.contact_id.is_some() && line.fetched > 0).count(), 4);
    assert_eq!(line.account_job(sync).await.state, JobState::Succeeded);

    line.gateway.set_hook_faults(HookFaults::default()).unwrap();
    line.paired().await;
    line.until_channel_is(ChannelState::Active).await;
    let next = line.sync().await;
    assert_eq!((next.state, line.gateway.calls().count(is_flush)), (SyncState::Completed, 2));
    line.holds_the_truth().await;
    line.receipt(&next).await;
}

#[tokio::test]
async fn a_webhook_that_is_late_belongs_to_its_delivery_as_long_as_that_is_open() {
    let line = Line::with(positus(12), &[("SINCRO_DELIVERY_QUIET_SECONDS", "3")]).await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::Delayed { ms: 300 }, When::Next(2)).on_event(CHUNK)).unwrap();
    let end = line.sync().await;
    let job = line.account_job(end.id).await;
    assert_eq!((end.state, job.state, job.reason), (SyncState::Completed, JobState::Succeeded, None));
    line.holds_the_truth().await;
    let receipt = line.receipt(&end).await;
    let unexplained = receipt.lines.iter().filter(|line| line.contact_id.is_some() && line.fetched == 0).count();
    assert_eq!(unexplained, 0, "everybody's messages are credited: {:?}", receipt.lines);
}

#[tokio::test]
async fn a_webhook_that_comes_when_its_delivery_is_over_is_stored_and_credited_to_nobody() {
    let settings = [("SINCRO_DELIVERY_QUIET_SECONDS", "0.2"), ("SINCRO_DELIVERY_BEGINS_SECONDS", "0.2")];
    let line = Line::with(positus(12), &settings).await;
    let hooks = line.gateway.hooks();
    hooks.hold();
    let sync = line.api.start_sync(line.channel, 25).await.id;
    let held = within("all that Meta has to say", hooks.wait_for_held(4)).await;
    let late = held.iter().find(|event| event.body.to_string().contains("\"progress\"")).unwrap().number;
    for event in held.iter().filter(|event| event.number != late) {
        hooks.release(event.number).unwrap();
    }
    let end = line.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    let before = line.world.number("SELECT count(*) FROM messages").await;
    hooks.go_on();
    line.settled().await;
    line.holds_the_truth().await;
    assert!(line.world.number("SELECT count(*) FROM messages").await > before, "the late one had something");
    let after = line.api.status(sync).await;
    assert_eq!((after.messages, after.revision), (end.messages, end.revision));
    line.receipt(&after).await;
}

#[tokio::test]
async fn a_webhook_that_is_cut_short_is_kept_for_people_and_the_others_count() {
    let line = Line::with(wsapi(8), &[]).await;
    line.paired().await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::Garbled, When::Next(2)).on_event(FLUSHED)).unwrap();
    let sync = line.api.start_sync(line.channel, 1).await.id;
    let end = line.api.end_of(sync).await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
    let receipt = line.receipt(&end).await;
    assert_eq!(receipt.lines.iter().filter(|line| line.contact_id.is_some() && line.fetched > 0).count(), 6);
    let unread = line.world.rows("SELECT error IS NOT NULL AS says_why FROM inbox WHERE state = 'unreadable'").await;
    assert_eq!(unread, [serde_json::json!({"says_why": true}), serde_json::json!({"says_why": true})]);
    let kept = "SELECT count(DISTINCT p.inbox_id) FROM inbox_parts p JOIN inbox i ON i.id = p.inbox_id WHERE i.state = 'unreadable'";
    assert_eq!(line.world.number(kept).await, 2, "their bytes are there");
    assert_eq!(line.gateway.deliveries().count(|delivery| delivery.status != Some(200)), 0, "they came whole");
}

#[tokio::test]
async fn unsigned_webhooks_are_refused_and_change_nothing() {
    for provider in [Provider::Wsapi, Provider::Gdbrns] {
        let line = Line::with(Settings { provider, population: talkative(3), ..Settings::default() }, &[]).await;
        line.paired().await;
        line.gateway.deliveries().clear();
        let before = line.world.number("SELECT count(*) FROM inbox").await;
        line.gateway.set_hook_faults(HookRule::new(HookFault::Unsigned, When::Always)).unwrap();
        let end = line.sync().await;
        assert_eq!((end.state, end.messages.fetched), (SyncState::Completed, 0), "{provider:?}");
        assert_eq!(line.account_job(end.id).await.reason.as_deref(), Some("nothing received"), "{provider:?}");
        line.settled().await;
        let answers: Vec<_> = line.gateway.deliveries().all().into_iter().map(|delivery| delivery.status).collect();
        assert!(!answers.is_empty() && answers.iter().all(|status| *status == Some(401)), "{provider:?}: {answers:?}");
        assert_eq!(line.world.number("SELECT count(*) FROM inbox").await, before, "{provider:?}");
        assert_eq!(line.world.number("SELECT count(*) FROM messages").await, 0, "{provider:?}");
    }
}
