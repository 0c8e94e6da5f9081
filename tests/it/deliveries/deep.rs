//! WuzAPI's deep mode: what the gateway does not hold is asked of the phone, chat by chat, one request at a time.

use sincro_core::{
    job::JobState,
    sync::{SyncState, SyncStatus},
};
use sincro_simulator::{Call, HookFault, HookRule, Population, Provider, Settings, When, WuzapiReadings};
use uuid::Uuid;

use super::{Line, talkative};
use crate::support::{Person, stage::FAST};

fn wuzapi(contacts: u32) -> Settings {
    let population = Population { older_on_phone: 30, messages_mean: 6, messages_max: 12, ..talkative(contacts) };
    Settings { provider: Provider::Wuzapi, population, ..Settings::default() }
}

fn is_request(call: &Call) -> bool {
    call.path == "/session/history"
}

impl Line {
    async fn deep_sync(&self) -> SyncStatus {
        self.deep_sync_of(self.channel).await
    }

    async fn deep_sync_of(&self, channel: Uuid) -> SyncStatus {
        let body = serde_json::json!({"messages_per_contact": 25, "deep": true});
        let sync: SyncStatus = self.api.post_json(&format!("/v1/channels/{channel}/syncs"), &body).await.ok();
        self.api.end_of(sync.id).await
    }

    /// How many of the messages that only phones held are stored now.
    async fn older_ones_stored(&self) -> (usize, usize) {
        let truth = self.gateway.truth();
        let older: std::collections::BTreeSet<String> =
            truth.addresses().flat_map(|address| truth.older(address)).map(|message| message.message_id).collect();
        let stored = self.api.messages(self.channel).await;
        (stored.iter().filter(|message| older.contains(&message.message_id)).count(), older.len())
    }
}

#[tokio::test]
async fn a_deep_sync_asks_phones_for_what_the_gateway_does_not_hold_one_request_at_a_time() {
    let line = Line::with(wuzapi(12), &[]).await;
    let shallow = line.sync().await;
    assert_eq!((shallow.state, line.older_ones_stored().await.0), (SyncState::Completed, 0));
    assert_eq!(line.gateway.calls().count(is_request), 0);
    let end = line.deep_sync().await;
    assert_eq!(end.state, SyncState::Completed, "{end:?}");
    let (stored, older) = line.older_ones_stored().await;
    assert!(stored > 0 && stored <= older, "{stored} of {older}");
    line.receipt(&end).await;
    let requests: Vec<Call> = line.gateway.calls().all().into_iter().filter(is_request).collect();
    assert!(requests.len() >= 12);
}

#[tokio::test]
async fn the_answer_may_come_under_the_other_identity_as_a_form_and_in_another_case() {
    for readings in [
        WuzapiReadings { format: sincro_simulator::Format::Form, ..WuzapiReadings::default() },
        WuzapiReadings { answers_under: sincro_simulator::AnswersUnder::Other, ..WuzapiReadings::default() },
        WuzapiReadings { camel_case: true, no_end_told: true, ..WuzapiReadings::default() },
    ] {
        let line = Line::with(Settings { wuzapi: readings, ..wuzapi(4) }, &[]).await;
        let end = line.deep_sync().await;
        assert_eq!(end.state, SyncState::Completed, "{readings:?}: {end:?}");
        assert!(line.older_ones_stored().await.0 > 0, "{readings:?}");
        line.receipt(&end).await;
        let threads = "SELECT count(*) FROM (SELECT 1 FROM messages GROUP BY message_id HAVING count(*) > 1) twice";
        assert_eq!(line.world.number(threads).await, 0);
    }
}

#[tokio::test]
async fn a_silent_phone_keeps_what_the_gateway_had_and_is_not_asked_for_ever() {
    let line = Line::with(wuzapi(10), &[]).await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::Silent, When::Always)).unwrap();
    let end = line.deep_sync().await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0));
    assert_eq!(line.older_ones_stored().await.0, 0);
    assert!(end.messages.stored > 0);
    assert!(line.gateway.calls().count(is_request) <= 4, "two silences are enough");
    let jobs = line.api.jobs(end.id).await;
    assert!(jobs.iter().all(|job| job.state != JobState::Skipped || job.fetched == 0));
    assert!(jobs.iter().any(|job| job.reason.as_deref() == Some("phone silent")));
}

#[tokio::test]
async fn two_channels_of_one_instance_share_the_turn_of_its_phone() {
    let line = Line::with(wuzapi(4), &[]).await;
    let twin = line.api.create_channel(&line.gateway, FAST).await;
    let (end, of_twin) = tokio::join!(line.deep_sync(), line.deep_sync_of(twin));
    assert_eq!((end.state, of_twin.state), (SyncState::Completed, SyncState::Completed));
    assert_eq!(line.world.number("SELECT count(*) FROM account_turns").await, 1);
    let credentials = serde_json::json!({"credentials": {"token": "another instance"}});
    let _: serde_json::Value = line.api.patch(&format!("/v1/channels/{twin}"), &credentials).await.ok();
    assert_eq!(line.world.number("SELECT count(DISTINCT account) FROM channels").await, 2);
}

#[tokio::test]
async fn stored_chats_are_read_while_the_gateway_is_not_connected() {
    let line = Line::with(wuzapi(6), &[]).await;
    line.gateway.set_session(false);
    line.settled().await;
    let told = "SELECT count(*) FROM inbox WHERE state = 'read' AND events::text LIKE '%Disconnected%'";
    assert_eq!(line.world.number(told).await, 1);
    // Whose LID is not known is looked up, which takes a session.
    let truth = line.gateway.truth();
    let known = truth.persons().iter().filter(|person| person.phone_jid.is_some() && person.lid.is_some());
    let persons: Vec<Person> = known.map(Person::from).collect();
    let sync = line.api.start_sync_of(line.channel, 25, &persons).await.id;
    let end = line.api.end_of(sync).await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0));
    assert!(end.messages.stored > 0);
}
