//! Whapi's resync: one message that is missing is asked for, looked for, and marked when it is back.

use serde_json::Value;
use sincro_core::{
    job::JobState,
    message::Origin,
    sync::{SyncId, SyncKind, SyncState, SyncStatus},
};
use sincro_simulator::{Call, HookFault, HookRule, Population, Provider, Restoring, Settings, When};

use super::{Line, talkative};
use crate::support::within;

/// Readings one after the other, soon.
const SOON: [(&str, &str); 3] = [
    ("SINCRO_REREAD_FIRST_SECONDS", "0.2"),
    ("SINCRO_REREAD_SECOND_SECONDS", "0.3"),
    ("SINCRO_REREAD_THIRD_SECONDS", "0.4"),
];

/// The first of them as soon, the others when there is more time than a busy machine takes to bring the message back.
const IN_TIME: [(&str, &str); 3] = [
    ("SINCRO_REREAD_FIRST_SECONDS", "0.2"),
    ("SINCRO_REREAD_SECOND_SECONDS", "3"),
    ("SINCRO_REREAD_THIRD_SECONDS", "20"),
];
/// No reading comes in the time of a test.
const LATE: [(&str, &str); 3] = [
    ("SINCRO_REREAD_FIRST_SECONDS", "600"),
    ("SINCRO_REREAD_SECOND_SECONDS", "600"),
    ("SINCRO_REREAD_THIRD_SECONDS", "600"),
];
/// The phone does nothing before the test says so.
const BY_HAND: Restoring = Restoring { hold_ms: 10, readable_after_ms: None, appends_webhooks: false };

fn whapi(restoring: Restoring) -> Settings {
    let population = Population { older_on_phone: 6, ..talkative(3) };
    Settings { provider: Provider::Whapi, population, whapi_restoring: restoring, ..Settings::default() }
}

fn is_resync(call: &Call) -> bool {
    call.is_message()
}

impl Line {
    async fn resync(&self, message: &str) -> SyncStatus {
        let sync = self.ask_back(message).await;
        self.api.end_of(sync).await
    }

    async fn ask_back(&self, message: &str) -> SyncId {
        let path = format!("/v1/channels/{}/messages/{message}/resync", self.channel);
        let sync: SyncStatus = self.api.post(&path).await.ok();
        assert_eq!(sync.kind, SyncKind::Message);
        sync.id
    }

    /// The id of a message that the gateway can bring back.
    fn some_message(&self) -> String {
        let truth = self.gateway.truth();
        let address = truth.addresses().next().unwrap().to_owned();
        truth.chat(&address, 1)[0].message_id.clone()
    }

    /// The id of a message that the phone holds and the gateway does not.
    fn missing_message(&self) -> String {
        let truth = self.gateway.truth();
        truth.addresses().flat_map(|address| truth.older(address)).next().unwrap().message_id
    }

    /// The phone has sent the message.
    fn restore(&self, message: &str) {
        self.gateway.restore(self.gateway.token(), message).unwrap();
    }

    /// What the calls for the message were answered with.
    fn answers(&self) -> Vec<Option<u16>> {
        self.gateway.calls().all().iter().filter(|call| is_resync(call)).map(|call| call.status).collect()
    }

    /// The message is there, once, and marked.
    async fn is_restored(&self, message: &str, end: &SyncStatus) {
        assert_eq!((end.state, end.jobs.total, end.jobs.succeeded), (SyncState::Completed, 1, 1), "{end:?}");
        self.settled().await;
        let stored = self.api.messages(self.channel).await;
        assert_eq!(stored.len(), 1);
        assert_eq!((stored[0].message_id.as_str(), stored[0].origin), (message, Origin::Restored));
        let line = self.receipt(end).await.lines.remove(0);
        assert_eq!(
            (line.outcome, line.expected, line.fetched, line.stored),
            (JobState::Succeeded, 1, 1, 1),
            "{line:?}"
        );
    }
}

#[tokio::test]
async fn a_message_that_comes_back_is_stored_and_marked_as_restored() {
    let line = Line::with(whapi(Restoring::default()), &SOON).await;
    let message = line.some_message();
    let end = line.resync(&message).await;
    line.is_restored(&message, &end).await;
}

#[tokio::test]
async fn a_message_that_is_missing_at_first_is_found_by_a_later_reading() {
    let line = Line::with(whapi(BY_HAND), &IN_TIME).await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::Lost, When::Always)).unwrap();
    let message = line.missing_message();
    let sync = line.ask_back(&message).await;
    let missing = |call: &Call| is_resync(call) && call.status == Some(404);
    within("the answer that it is not there", line.gateway.calls().wait_for(1, missing)).await;
    line.restore(&message);
    let end = line.api.end_of(sync).await;
    line.is_restored(&message, &end).await;
    let answers = line.answers();
    assert_eq!((answers.first(), answers.last()), (Some(&Some(404)), Some(&Some(200))), "{answers:?}");
    assert_eq!(line.gateway.deliveries().count(|delivery| delivery.status.is_some()), 0, "no webhook brought it");
}

#[tokio::test]
async fn a_message_that_comes_by_webhook_alone_ends_the_wait_for_it() {
    let line = Line::with(whapi(BY_HAND), &LATE).await;
    let message = line.missing_message();
    let sync = line.ask_back(&message).await;
    line.until_waiting(sync, 1, "reread").await;
    line.restore(&message);
    let end = line.api.end_of(sync).await;
    line.is_restored(&message, &end).await;
    assert_eq!(line.answers(), [Some(404)], "it was not read again");
}

#[tokio::test]
async fn a_404_is_no_error_and_an_unrecovered_message_is_an_end_with_a_name() {
    let line = Line::with(whapi(Restoring::default()), &SOON).await;
    let end = line.resync("Ps.gone-forever").await;
    assert_eq!((end.state, end.jobs.empty, end.jobs.failed), (SyncState::Completed, 1, 0));
    let job = line.api.jobs(end.id).await.remove(0);
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Empty, Some("unrecovered")));
    let calls: Vec<Call> = line.gateway.calls().all().into_iter().filter(is_resync).collect();
    // Only the one that asks the phone is held.
    let resyncs = calls.iter().filter(|call| call.ended_us.is_some_and(|ended| ended - call.at_us > 40_000)).count();
    assert_eq!((calls.len(), resyncs), (4, 1), "asked for once, looked for three times: {calls:?}");
}

#[tokio::test]
async fn the_command_line_brings_a_message_back() {
    let line = Line::with(whapi(Restoring::default()), &SOON).await;
    let message = line.some_message();
    let (channel, base) = (line.channel.to_string(), line.api.base().to_owned());
    let arguments = ["--api-url", &base, "--json", "message", "resync", &channel, &message, "--watch"];
    let done = line.world.sincro_with(&arguments, &[("SINCRO_API_KEY", &line.world.key)]).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let last: Value =
        serde_json::from_slice(done.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap())
            .unwrap();
    assert_eq!(last["state"], "completed");
}

#[tokio::test]
async fn a_phone_is_asked_for_messages_with_a_rest_between_them() {
    let spaced = [LATE.as_slice(), &[("SINCRO_PHONE_SPACING_SECONDS", "1")]].concat();
    let line = Line::with(whapi(BY_HAND), &spaced).await;
    let truth = line.gateway.truth();
    let missing: Vec<String> =
        truth.addresses().flat_map(|address| truth.older(address)).map(|message| message.message_id).take(2).collect();
    let (first, second) = (line.ask_back(&missing[0]).await, line.ask_back(&missing[1]).await);
    within("both to be asked for", line.gateway.calls().wait_for(2, is_resync)).await;
    let asked: Vec<u64> =
        line.gateway.calls().all().iter().filter(|call| is_resync(call)).map(|call| call.at_us).collect();
    assert!(asked[1] - asked[0] >= 1_000_000, "{asked:?}");
    for (message, sync) in missing.iter().zip([first, second]) {
        line.until_waiting(sync, 1, "reread").await;
        line.restore(message);
        assert_eq!(line.api.end_of(sync).await.state, SyncState::Completed);
    }
}
