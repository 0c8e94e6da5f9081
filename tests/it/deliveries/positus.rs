//! Positus, which hands on what Meta pushes: contacts, then history, once per onboarding and for the whole number.

use serde_json::Value;
use sincro_core::{
    job::JobState,
    sync::{SyncState, SyncStatus},
};
use sincro_simulator::{
    Call, Fault, HookFault, HookFaults, HookRule, PositusReadings, Provider, Refusal, Rule, Settings, When,
};

use super::{Line, talkative};
use crate::support::within;

const HISTORY_CALL: &str = "sync-message-history";
/// The same as the simulator knows it.
const HISTORY_PATH: &str = "/v2/whatsapp/numbers/{number}/onboarding-smb-app/sync-message-history";

fn is_history_request(call: &Call) -> bool {
    call.path.ends_with(HISTORY_CALL)
}

fn positus(contacts: u32) -> Settings {
    let readings = PositusReadings { chunk: 20, contacts_chunk: 7, ..PositusReadings::default() };
    Settings { provider: Provider::Positus, population: talkative(contacts), positus: readings, ..Settings::default() }
}

#[tokio::test]
async fn a_positus_channel_asks_for_contacts_then_history_and_the_receipt_adds_up() {
    let line = Line::with(positus(40), &[]).await;
    let end = line.sync().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 1), "{end:?}");
    line.settled().await;
    line.holds_the_truth().await;
    line.receipt(&end).await;
    let asked: Vec<String> = line.gateway.calls().all().into_iter().map(|call| call.path.into_owned()).collect();
    let posts: Vec<&str> =
        asked.iter().filter_map(|path| path.rsplit('/').next()).filter(|last| last.starts_with("sync-")).collect();
    assert_eq!(posts, ["sync-contacts", HISTORY_CALL]);
}

#[tokio::test]
async fn phase_chunk_and_percent_are_shown_while_chunks_come_in_any_order() {
    let line = Line::with(positus(20), &[("SINCRO_DELIVERY_DEADLINE_SECONDS", "600")]).await;
    let hooks = line.gateway.hooks();
    hooks.hold();
    let sync = line.api.start_sync(line.channel, 25).await.id;
    line.until_waiting(sync, 1, "delivery").await;
    let held = within("all that Meta has to say", hooks.wait_for_held(4)).await;
    let history: Vec<_> = held.iter().filter(|held| held.body.to_string().contains("\"progress\"")).collect();
    hooks.release(history.last().unwrap().number).unwrap();
    line.until_waiting(sync, 1, "delivery: phase").await;
    for other in history.iter().rev().skip(1) {
        hooks.release(other.number).unwrap();
    }
    hooks.go_on();
    let end = line.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    line.settled().await;
    line.holds_the_truth().await;
}

#[tokio::test]
async fn a_second_request_in_one_onboarding_is_refused_before_it_is_made_and_understood_where_it_is() {
    for refusal in [Refusal::LimitExceeded, Refusal::AlreadySynced] {
        let readings = PositusReadings { refusal, meta_errors: true, ..PositusReadings::default() };
        let line = Line::with(Settings { positus: readings, ..positus(3) }, &[]).await;
        line.sync().await;
        let again = line.sync().await;
        assert_eq!(line.account_job(again.id).await.reason.as_deref(), Some("already_requested"));
        assert_eq!(line.gateway.calls().count(is_history_request), 1, "our own ledger knows");
        line.api.post(&format!("/v1/channels/{}/allow-history", line.channel)).await.ok::<Value>();
        line.api.post(&format!("/v1/syncs/{}/retry", again.id)).await.ok::<Value>();
        let end = line.api.end_of(again.id).await;
        assert_eq!(line.gateway.calls().count(is_history_request), 2);
        let job = line.account_job(end.id).await;
        assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some("already_requested")), "{job:?}");
    }
}

#[tokio::test]
async fn a_number_that_was_onboarded_more_than_a_day_ago_is_not_asked() {
    let line = Line::with(positus(3), &[]).await;
    line.world.run("UPDATE channels SET created_at = now() - interval '25 hours'").await;
    let end = line.sync().await;
    assert_eq!(line.account_job(end.id).await.reason.as_deref(), Some("too_late"));
    assert_eq!(line.gateway.calls().count(is_history_request), 0);
}

#[tokio::test]
async fn an_owner_who_declined_is_told_of_in_both_shapes() {
    for bare_decline in [false, true] {
        let readings = PositusReadings { bare_decline, ..PositusReadings::default() };
        let line = Line::with(Settings { positus: readings, ..positus(3) }, &[]).await;
        line.gateway.set_hook_faults(HookRule::new(HookFault::Declined, When::Always)).unwrap();
        let end = line.sync().await;
        let job = line.account_job(end.id).await;
        assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some("declined")));
        assert!(job.last_error.unwrap().contains("2593109"));
    }
}

#[tokio::test]
async fn a_request_without_an_answer_is_waited_for_and_what_comes_counts() {
    let line = Line::with(positus(5), &[("SINCRO_GATEWAY_TIMEOUT_SECONDS", "1")]).await;
    line.gateway.set_faults(Rule::new(Fault::Hang, When::Always).on_path(HISTORY_PATH)).unwrap();
    let end = line.sync().await;
    let job = line.account_job(end.id).await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some("unknown_outcome")));
    assert_eq!(line.gateway.calls().count(is_history_request), 1);
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_after_it_was_taken_is_made_once_and_brings_everything() {
    let line = Line::with(positus(15), &[]).await;
    line.gateway.set_faults(Rule::new(Fault::LostAnswer, When::Always).on_path(HISTORY_PATH)).unwrap();
    let end = line.sync().await;
    let job = line.account_job(end.id).await;
    assert_eq!((end.state, job.state, job.reason), (SyncState::Completed, JobState::Succeeded, None));
    let asked = line.world.rows("SELECT state FROM account_requests WHERE call = 'request_history'").await;
    assert_eq!(asked, [serde_json::json!({"state": "unknown"})], "nobody could know that it was taken");
    line.settled().await;
    line.holds_the_truth().await;
    line.receipt(&end).await;
    assert_eq!(line.gateway.calls().count(is_history_request), 1);
}

#[tokio::test]
async fn what_is_missing_at_the_deadline_is_partial_and_says_how_far_it_came() {
    let line = Line::with(positus(20), &[]).await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::LastMissing, When::Always)).unwrap();
    let end = line.sync().await;
    let job = line.account_job(end.id).await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Succeeded, Some("partial")));
    assert!(job.last_error.unwrap().contains('%'));
    line.receipt(&end).await;
}

#[tokio::test]
async fn a_subscription_to_nothing_ends_as_nothing_received() {
    let line = Line::with(positus(5), &[]).await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::Silent, When::Always)).unwrap();
    let end = line.sync().await;
    assert_eq!(line.account_job(end.id).await.reason.as_deref(), Some("nothing received"));
}

#[tokio::test]
async fn repeated_and_reordered_deliveries_are_stored_once() {
    let line = Line::with(positus(25), &[]).await;
    let rules = [HookFault::Duplicated, HookFault::Reordered].map(|fault| HookRule::new(fault, When::Share(0.3)));
    line.gateway.set_hook_faults(HookFaults { rules: rules.into(), ..HookFaults::default() }).unwrap();
    let end = line.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    line.settled().await;
    line.holds_the_truth().await;
    line.receipt(&end).await;
}

#[tokio::test]
async fn what_is_older_than_the_window_is_left_out_and_counted() {
    let line = Line::with(positus(12), &[]).await;
    let path = format!("/v1/channels/{}/syncs", line.channel);
    for days in ["0", "366"] {
        let body = serde_json::json!({"window_days": days.parse::<u32>().unwrap()});
        assert_eq!(line.api.post_json(&path, &body).await.refused(422), "invalid_value");
    }
    let sync: SyncStatus = line.api.post_json(&path, &serde_json::json!({"window_days": 1})).await.ok();
    let end = line.api.end_of(sync.id).await;
    line.settled().await;
    let end = line.api.status(end.id).await;
    let told = i64::try_from(line.gateway.truth().account(usize::MAX).len()).unwrap();
    assert_eq!((end.messages.fetched, end.messages.left_out, end.window_days), (0, told, Some(1)), "{end:?}");
    assert_eq!(line.world.number("SELECT count(*) FROM messages").await, 0);
    line.receipt(&end).await;
}

#[tokio::test]
async fn meta_verifies_the_address_with_the_channels_own_token() {
    let line = Line::with(positus(1), &[]).await;
    assert!(line.gateway.hooks().verify("verify me").await.unwrap());
    assert!(!line.gateway.hooks().verify("somebody else").await.unwrap());
}

#[tokio::test]
async fn single_contacts_cannot_be_asked_for_and_that_is_said_at_once() {
    let line = Line::with(positus(1), &[]).await;
    let path = format!("/v1/channels/{}/contacts/5511988887777@s.whatsapp.net/syncs", line.channel);
    assert_eq!(line.api.post(&path).await.refused(422), "not_supported");
    let body = serde_json::json!({"contacts": [{"phone_jid": "5511988887777@s.whatsapp.net"}]});
    let path = format!("/v1/channels/{}/syncs", line.channel);
    assert_eq!(line.api.post_json(&path, &body).await.refused(422), "not_supported");
    assert_eq!(line.api.post_json(&path, &serde_json::json!({"deep": true})).await.refused(422), "not_supported");
}

#[tokio::test]
async fn an_account_that_is_reconnected_goes_on_whatever_took_it_away() {
    let line = Line::with(positus(5), &[]).await;
    for word in ["ACCOUNT_DISCONNECTED", "PRIMARY_INACTIVITY"] {
        line.gateway.lose_session_with(line.gateway.token(), word).unwrap();
        line.settled().await;
        let channel = line.api.channel(line.channel).await;
        assert_eq!((&channel["state"], &channel["paused_by"]), (&"paused".into(), &"session".into()), "{channel}");
        line.gateway.set_session(true);
        line.settled().await;
        assert_eq!(line.api.channel(line.channel).await["state"], "active");
    }
    let end = line.sync().await;
    assert_eq!(end.state, SyncState::Completed);
}

#[tokio::test]
async fn contacts_that_are_refused_do_not_spend_the_one_request_for_history() {
    let line = Line::with(positus(3), &[]).await;
    let contacts = HISTORY_PATH.replace(HISTORY_CALL, "sync-contacts");
    line.gateway.set_faults(Rule::new(Fault::Redirect { location: None }, When::Always).on_path(&contacts)).unwrap();
    let end = line.sync().await;
    let job = line.account_job(end.id).await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some("redirect")));
    assert_eq!(line.gateway.calls().count(is_history_request), 0);
}
