//! Whapi's resync: one message that is missing is asked for, looked for, and marked when it is back.

use serde_json::Value;
use sincro_core::{
    job::JobState,
    message::Origin,
    sync::{SyncKind, SyncState, SyncStatus},
};
use sincro_simulator::{Call, Provider, Restoring, Settings};

use super::{Line, talkative};

/// Readings one after the other, soon.
const SOON: [(&str, &str); 3] = [
    ("SINCRO_REREAD_FIRST_SECONDS", "0.2"),
    ("SINCRO_REREAD_SECOND_SECONDS", "0.3"),
    ("SINCRO_REREAD_THIRD_SECONDS", "0.4"),
];

fn whapi(restoring: Restoring) -> Settings {
    Settings { provider: Provider::Whapi, population: talkative(3), whapi_restoring: restoring, ..Settings::default() }
}

fn is_resync(call: &Call) -> bool {
    call.is_message()
}

impl Line {
    async fn resync(&self, message: &str) -> SyncStatus {
        let path = format!("/v1/channels/{}/messages/{message}/resync", self.channel);
        let sync: SyncStatus = self.api.post(&path).await.ok();
        assert_eq!(sync.kind, SyncKind::Message);
        self.api.end_of(sync.id).await
    }

    /// The id of a message that the gateway can bring back.
    fn some_message(&self) -> String {
        let truth = self.gateway.truth();
        let address = truth.addresses().next().unwrap().to_owned();
        truth.chat(&address, 1)[0].message_id.clone()
    }
}

#[tokio::test]
async fn a_message_that_comes_back_is_stored_and_marked_as_restored() {
    let line = Line::with(whapi(Restoring::default()), &SOON).await;
    let message = line.some_message();
    let end = line.resync(&message).await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 1), "{end:?}");
    line.settled().await;
    let stored = line.api.messages(line.channel).await;
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].message_id.as_str(), stored[0].origin), (message.as_str(), Origin::Restored));
    line.receipt(&end).await;
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
