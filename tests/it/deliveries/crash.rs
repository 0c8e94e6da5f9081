//! Workers that die around a request that is made once, and over a webhook that they read.

use std::os::unix::process::ExitStatusExt as _;

use sincro_core::{drill::Point, job::JobState, sync::SyncState};
use sincro_simulator::{Provider, Settings};

use super::{Line, talkative};

/// The dead are missed soon.
const MORTAL: [(&str, &str); 1] = [("SINCRO_LEASE_SECONDS", "1")];
/// SIGABRT: how a process dies at a point.
const ABORTED: Option<i32> = Some(6);

fn positus() -> Settings {
    Settings { provider: Provider::Positus, population: talkative(6), ..Settings::default() }
}

impl Line {
    async fn worker_dies_at(&self, point: Point) {
        let mut worker = self.worker_to_die_at(point);
        assert_eq!(worker.exit().await.signal(), ABORTED, "a worker at {point}");
    }

    fn history_requests(&self) -> usize {
        self.gateway.calls().count(|call| call.path.ends_with("sync-message-history"))
    }
}

#[tokio::test]
async fn a_request_that_was_written_down_and_perhaps_made_is_not_made_by_whoever_comes_next() {
    let line = Line::without_worker(positus(), &MORTAL).await;
    let sync = line.api.start_sync(line.channel, 25).await.id;
    line.worker_dies_at(Point::Attempting).await;
    let _next = line.worker().await;
    let end = line.api.end_of(sync).await;
    // It died over the request for contacts: history was asked for once, by the next one.
    let job = line.account_job(sync).await;
    assert_eq!((end.state, line.history_requests()), (SyncState::Completed, 1), "{job:?}");
    let contacts = "SELECT count(*) FROM account_requests WHERE call = 'request_contacts' AND state = 'attempting'";
    assert_eq!(line.world.number(contacts).await, 1);
}

#[tokio::test]
async fn a_worker_that_dies_between_the_request_and_its_answer_costs_nothing_if_the_delivery_comes() {
    let line = Line::without_worker(positus(), &MORTAL).await;
    let sync = line.api.start_sync(line.channel, 25).await.id;
    // The first call is the one for contacts.
    let order = ("SINCRO_DRILL", "abort=called:2");
    let mut worker = line.world.start(&["worker"], &[order, ("SINCRO_PUBLIC_URL", line.api.base())]);
    assert_eq!(worker.exit().await.signal(), ABORTED);
    assert_eq!(line.history_requests(), 1);
    let _next = line.worker().await;
    let end = line.api.end_of(sync).await;
    assert_eq!((end.state, line.history_requests()), (SyncState::Completed, 1));
    assert_eq!(line.account_job(sync).await.state, JobState::Succeeded);
    line.settled().await;
    line.holds_the_truth().await;
    line.receipt(&end).await;
}

#[tokio::test]
async fn a_webhook_whose_reader_dies_is_read_again_and_counts_once() {
    let line = Line::without_worker(positus(), &MORTAL).await;
    let sync = line.api.start_sync(line.channel, 25).await.id;
    line.worker_dies_at(Point::Ingesting).await;
    line.world.run("UPDATE inbox SET taken_until = now()").await;
    let _next = line.worker().await;
    let end = line.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    line.settled().await;
    line.holds_the_truth().await;
    line.receipt(&end).await;
}
