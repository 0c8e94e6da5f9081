//! gdbrns: one request for the whole number, which as a rule is answered with counts and nothing else.

use sincro_core::{job::JobState, sync::SyncState};
use sincro_simulator::{
    Bodies, Call, Fault, GdbrnsReadings, HookFault, HookRule, Population, Provider, Rule, Settings, When,
};

use super::{Line, talkative};

fn is_request(call: &Call) -> bool {
    call.path.ends_with("/history/sync")
}

fn gdbrns(readings: GdbrnsReadings) -> Settings {
    // Nobody has more messages than are asked for.
    let population = Population { messages_max: 25, ..talkative(15) };
    Settings { provider: Provider::Gdbrns, population, gdbrns: readings, ..Settings::default() }
}

#[tokio::test]
async fn a_gdbrns_channel_makes_one_request_and_keeps_the_counts_as_its_result() {
    let line = Line::with(gdbrns(GdbrnsReadings::default()), &[]).await;
    let end = line.sync().await;
    assert_eq!((end.state, end.jobs.total, end.jobs.empty), (SyncState::Completed, 1, 1), "{end:?}");
    let job = line.account_job(end.id).await;
    assert_eq!(job.reason.as_deref(), Some("no bodies"));
    assert!(job.last_error.unwrap().contains("chats announced"));
    assert_eq!(line.gateway.calls().count(is_request), 1);
    line.receipt(&end).await;
}

#[tokio::test]
async fn messages_are_taken_wherever_an_event_carries_them() {
    for bodies in [Bodies::Messages, Bodies::Conversations] {
        let line = Line::with(gdbrns(GdbrnsReadings { bodies, ..GdbrnsReadings::default() }), &[]).await;
        let end = line.sync().await;
        assert_eq!(end.state, SyncState::Completed);
        line.settled().await;
        line.holds_the_truth().await;
        line.receipt(&end).await;
    }
}

#[tokio::test]
async fn a_request_that_no_event_answers_expires_and_is_not_repeated() {
    for readings in [
        GdbrnsReadings { phone_answers: false, ..GdbrnsReadings::default() },
        GdbrnsReadings { completes: false, ..GdbrnsReadings::default() },
    ] {
        let line = Line::with(gdbrns(readings), &[]).await;
        let end = line.sync().await;
        let job = line.account_job(end.id).await;
        assert!(matches!(job.reason.as_deref(), Some("nothing received" | "partial")), "{job:?}");
        assert_eq!((end.state, line.gateway.calls().count(is_request)), (SyncState::Completed, 1));
    }
}

#[tokio::test]
async fn a_completion_that_nobody_asked_for_completes_no_job() {
    let readings = GdbrnsReadings { phone_answers: false, ..GdbrnsReadings::default() };
    let line = Line::with(gdbrns(readings), &[]).await;
    line.paired().await;
    let end = line.sync().await;
    assert_eq!(line.account_job(end.id).await.reason.as_deref(), Some("nothing received"));
}

#[tokio::test]
async fn a_queue_that_the_gateway_drops_is_a_normal_absence() {
    let line = Line::with(gdbrns(GdbrnsReadings::default()), &[]).await;
    line.gateway.set_hook_faults(HookRule::new(HookFault::QueueDropped, When::Always)).unwrap();
    let end = line.sync().await;
    let job = line.account_job(end.id).await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Empty, Some("nothing received")));
}

#[tokio::test]
async fn a_request_without_an_answer_is_not_repeated_and_what_comes_of_it_counts() {
    let line = Line::with(gdbrns(GdbrnsReadings::default()), &[("SINCRO_GATEWAY_TIMEOUT_SECONDS", "1")]).await;
    line.gateway.set_faults(Rule::new(Fault::Hang, When::Always).on_path("/history/sync")).unwrap();
    let end = line.sync().await;
    let job = line.account_job(end.id).await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Empty, Some("nothing received")));
    assert_eq!(line.gateway.calls().count(is_request), 1, "it may have been taken: not again within minutes");
}
