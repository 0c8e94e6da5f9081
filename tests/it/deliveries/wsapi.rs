//! WSAPI: its history is flushed once after pairing, chat by chat, and no event says that it was all.

use reqwest::Method;
use serde_json::{Value, json};
use sincro_core::{job::JobState, sync::SyncState};
use sincro_simulator::{Call, Fault, HookFault, HookRule, Provider, Rule, Settings, Step, When, WsapiReadings};

use super::{Line, talkative};
use crate::support::{gateway::people, within};

const HISTORY: &str = "message_history_sync";
const FLUSH: &str = "/session/flush-history";

fn is_flush(call: &Call) -> bool {
    call.path.ends_with(FLUSH)
}

fn wsapi(contacts: u32) -> Settings {
    Settings { provider: Provider::Wsapi, population: talkative(contacts), ..Settings::default() }
}

#[tokio::test]
async fn a_wsapi_channel_is_flushed_once_and_each_chat_is_told_of() {
    let line = Line::of(Provider::Wsapi, people(60)).await;
    line.paired().await;
    let end = line.sync().await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
    line.holds_the_truth().await;
    let receipt = line.receipt(&end).await;
    assert!(
        receipt.lines.iter().any(|line| line.reason.as_deref() == Some("nothing received")),
        "people without words"
    );
    assert_eq!(line.gateway.calls().count(is_flush), 1);
}

#[tokio::test]
async fn the_flush_waits_for_the_initial_sync_and_goes_on_by_itself() {
    let line = Line::with(wsapi(10), &[("SINCRO_INITIAL_SYNC_SECONDS", "60")]).await;
    line.gateway.pair_step(line.gateway.token(), Step::Begin).unwrap();
    line.settled().await;
    let sync = line.api.start_sync(line.channel, 25).await.id;
    line.until_waiting(sync, 1, "initial sync").await;
    assert_eq!(line.gateway.calls().count(is_flush), 0, "half of it would be lost");
    line.gateway.pair_step(line.gateway.token(), Step::Finish).unwrap();
    let end = line.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    line.holds_the_truth().await;
}

#[tokio::test]
async fn a_history_sync_that_is_off_is_found_out_and_said() {
    let line = Line::with(Settings { history: false, ..wsapi(5) }, &[]).await;
    line.paired().await;
    let end = line.sync().await;
    assert_eq!(end.state, SyncState::CompletedWithFailures);
    let job = line.account_job(end.id).await;
    assert_eq!(job.reason.as_deref(), Some("no_initial_sync"));
    assert!(job.last_error.unwrap().contains("history sync is off"));
    assert_eq!(line.gateway.calls().count(is_flush), 0);

    // The page says that the event comes all the same: then an empty cache is found out by what does not come.
    line.gateway.set_wsapi(WsapiReadings { finishes_without_history: true, ..WsapiReadings::default() });
    line.paired().await;
    let end = line.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    assert_eq!(line.account_job(end.id).await.reason.as_deref(), Some("nothing received"));
}

#[tokio::test]
async fn a_flush_is_never_repeated_by_itself_and_a_person_can_allow_another() {
    let line = Line::with(wsapi(8), &[]).await;
    line.paired().await;
    let first = line.sync().await;
    assert_eq!(first.state, SyncState::Completed);
    let second = line.sync().await;
    assert_eq!(line.account_job(second.id).await.reason.as_deref(), Some("already requested"));
    assert!(second.jobs.total > 1, "phones are asked all the same: {second:?}");
    assert_eq!((second.state, line.gateway.calls().count(is_flush)), (SyncState::Completed, 1));
    line.receipt(&second).await;

    let path = format!("/v1/channels/{}/allow-history", line.channel);
    let allowed: Value = line.api.post(&path).await.ok();
    assert_eq!(allowed["put_aside"], 1);
    assert!(allowed["risk"].as_str().unwrap().len() > 20);
    let end = line.sync().await;
    assert_eq!((end.state, line.gateway.calls().count(is_flush)), (SyncState::Completed, 2));
    assert_eq!(line.account_job(end.id).await.reason.as_deref(), Some("nothing received"), "the cache was empty");

    line.paired().await;
    let anew = line.sync().await;
    assert_eq!((anew.state, anew.messages.stored), (SyncState::Completed, 0), "a new pairing is a new chance");
    assert_eq!(anew.messages.duplicate, first.messages.fetched);
}

#[tokio::test]
async fn a_flush_without_an_answer_is_waited_for_and_not_made_again() {
    let line = Line::with(wsapi(8), &[("SINCRO_GATEWAY_TIMEOUT_SECONDS", "1")]).await;
    line.paired().await;
    let broken = Rule::new(Fault::Hang, When::Always).on_path(FLUSH);
    line.gateway.set_faults(broken).unwrap();
    let end = line.sync().await;
    assert_eq!(line.gateway.calls().count(is_flush), 1);
    let job = line.account_job(end.id).await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some("unknown_outcome")));
    let asked = line.world.rows("SELECT state, call FROM account_requests").await;
    assert_eq!(asked, [json!({"state": "unknown", "call": "request_history"})]);
}

#[tokio::test]
async fn nothing_is_flushed_while_nobody_could_receive_it() {
    let settings = [("SINCRO_PUBLIC_URL", "http://127.0.0.1:9"), ("SINCRO_MAX_ATTEMPTS", "2")];
    let line = Line::with(wsapi(3), &settings).await;
    let line = line.reached_at_its_own_address().await;
    line.paired().await;
    let end = line.sync().await;
    let job = line.account_job(end.id).await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some("receiver_unreachable")));
    assert_eq!(line.gateway.calls().count(is_flush), 0);
}

#[tokio::test]
async fn lost_doubled_and_reordered_webhooks_leave_an_account_that_adds_up() {
    let line = Line::with(wsapi(30), &[]).await;
    line.paired().await;
    let faults = [
        HookRule::new(HookFault::Duplicated, When::Share(0.3)).on_event(HISTORY),
        HookRule::new(HookFault::Reordered, When::Share(0.3)).on_event(HISTORY),
    ];
    line.gateway.set_hook_faults(sincro_simulator::HookFaults { rules: faults.into(), ..Default::default() }).unwrap();
    let end = line.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    line.holds_the_truth().await;
    assert!(end.messages.duplicate > 0);
    line.receipt(&end).await;
}

#[tokio::test]
async fn a_dead_receiver_costs_what_wsapi_does_not_repeat_and_the_receipt_says_whom() {
    let line = Line::with(wsapi(12), &[]).await;
    line.paired().await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::Lost, When::Next(4)).on_event(HISTORY)).unwrap();
    let end = line.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    let receipt = line.receipt(&end).await;
    let flushed = receipt.lines.iter().filter(|line| line.contact_id.is_some() && line.expected == line.fetched);
    let without = flushed.filter(|line| line.reason.as_deref() == Some("nothing received")).count();
    assert_eq!(without, 4, "{:?}", receipt.lines);
}

#[tokio::test]
async fn a_logged_out_webhook_pauses_the_channel() {
    let line = Line::with(wsapi(3), &[]).await;
    line.paired().await;
    line.gateway.hooks().tell(
        "logged_out",
        json!({"eventId": "e1", "instanceId": line.gateway.name_of(line.gateway.token()), "eventType": "logged_out",
               "receivedAt": "2026-11-01T10:00:00Z", "eventData": {"reason": "server_logout"}}),
    );
    let paused = async { while line.api.channel(line.channel).await["state"] != "paused" {} };
    within("a channel that stands still", paused).await;
    let channel = line.api.channel(line.channel).await;
    assert!(
        channel["reason"].as_str().unwrap().contains("logged out")
            || channel["reason"].as_str().unwrap().contains("server_logout"),
        "{channel}"
    );
}

#[tokio::test]
async fn webhooks_without_the_right_signature_change_nothing() {
    let line = Line::with(wsapi(6), &[]).await;
    line.paired().await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::WronglySigned, When::Always)).unwrap();
    let end = line.sync().await;
    assert_eq!((end.messages.fetched, end.state), (0, SyncState::Completed));
    assert_eq!(line.account_job(end.id).await.reason.as_deref(), Some("nothing received"));
    let refused = "sincro_hooks_total{provider=\"wsapi\",result=\"refused\"}";
    assert!(line.api.get("/metrics").await.body.contains(refused));
}

#[tokio::test]
async fn history_of_another_instance_is_kept_and_not_used() {
    let line = Line::with(wsapi(6), &[]).await;
    line.paired().await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::WrongNumber, When::Next(3)).on_event(HISTORY)).unwrap();
    let end = line.sync().await;
    let receipt = line.receipt(&end).await;
    assert_eq!(receipt.lines.iter().filter(|line| line.fetched > 0).count(), 3);
    let foreign = "SELECT count(*) FROM inbox WHERE events::text LIKE '%foreign%'";
    assert_eq!(line.world.number(foreign).await, 3);
}

#[tokio::test]
async fn a_ticket_asks_the_phone_for_what_is_older_than_what_is_known() {
    let line = Line::with(wsapi(5), &[]).await;
    line.paired().await;
    line.sync().await;
    let known = line.api.messages(line.channel).await;
    let address = &known[0].address;
    let ticket = line.api.start_ticket(line.channel, address, 50).await;
    let end = line.api.end_of(ticket.id).await;
    assert_eq!(end.state, SyncState::Completed);
    let asked = line.gateway.calls().count(|call| call.path.starts_with("/chats/"));
    assert!(asked > 0);
    let nobody = line.api.start_ticket(line.channel, "5511900009999@s.whatsapp.net", 50).await;
    let end = line.api.end_of(nobody.id).await;
    assert_eq!(line.api.jobs(end.id).await[0].reason.as_deref(), Some("no anchor"));
}

#[tokio::test]
async fn what_a_provider_cannot_do_is_refused_with_the_field_named() {
    let line = Line::with(wsapi(1), &[]).await;
    let path = format!("/v1/channels/{}/messages/abc/resync", line.channel);
    let reply = line.api.send(line.api.request(Method::POST, &path)).await;
    assert_eq!(reply.refused(422), "not_supported");
}
