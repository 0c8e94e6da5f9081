//! WuzAPI's deep mode: what the gateway does not hold is asked of the phone, chat by chat, one request at a time.

use sincro_core::{job::JobState, sync::SyncState};
use sincro_simulator::{Call, HookFault, HookRule, Population, Provider, Settings, When, WuzapiReadings};

use super::{Line, talkative};

fn wuzapi(contacts: u32) -> Settings {
    let population = Population { older_on_phone: 30, messages_mean: 6, messages_max: 12, ..talkative(contacts) };
    Settings { provider: Provider::Wuzapi, population, ..Settings::default() }
}

fn is_request(call: &Call) -> bool {
    call.path == "/session/history"
}

impl Line {
    async fn deep_sync(&self) -> sincro_core::sync::SyncStatus {
        let body = serde_json::json!({"messages_per_contact": 25, "deep": true});
        let path = format!("/v1/channels/{}/syncs", self.channel);
        let sync: sincro_core::sync::SyncStatus = self.api.post_json(&path, &body).await.ok();
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
