//! What a sync does at this moment: the ledger's account, completed by what only the queue knows.

use sincro_core::{
    clock,
    sync::{Live, SyncState, SyncStatus},
    waiting::WaitsFor,
};

use crate::{queue_view::Deadline, state::App};

/// What an open sync waits for while nobody can be asked.
pub(super) const QUEUE_AWAY: &str = "queue unavailable";

/// Completes an open sync; one that is over is complete already.
pub(super) async fn complete(app: &App, status: &mut SyncStatus, deadline: Deadline) {
    if status.state.is_terminal() {
        return;
    }
    let live = ask(app, status, deadline).await;
    put(status, live.as_ref());
}

/// What the queue says of an open sync; none while it does not answer.
pub(super) async fn ask(app: &App, status: &SyncStatus, deadline: Deadline) -> Option<Live> {
    let server = app.server_of(status.channel_id).await.ok()?;
    app.queue.live(deadline, &server, status.channel_id, status.id).await
}

fn put(status: &mut SyncStatus, live: Option<&Live>) {
    match live {
        Some(live) => status.show(live, clock::now()),
        None => status.limited_by = Some(QUEUE_AWAY.to_owned()),
    }
    // The queue may not have heard of it yet.
    if status.state == SyncState::Paused && status.limited_by.is_none() {
        status.limited_by = Some(WaitsFor::SyncPaused.to_string());
    }
}

/// A status with so many of its jobs waiting, for tests.
#[cfg(test)]
pub(super) fn status_for_tests(state: SyncState, queued: i64) -> SyncStatus {
    use sincro_core::sync::{JobCounts, MessageCounts, SyncKind};
    let now = clock::now();
    SyncStatus {
        id: uuid::Uuid::from_u128(1),
        channel_id: uuid::Uuid::from_u128(2),
        kind: SyncKind::Channel,
        state,
        revision: 7,
        jobs: JobCounts { total: queued, queued, ..JobCounts::default() },
        messages: MessageCounts::default(),
        window_days: None,
        delivery: None,
        progress: 0.0,
        eta_seconds: None,
        limited_by: None,
        next_at: None,
        error: None,
        created_at: now,
        started_at: Some(now),
        finished_at: None,
    }
}

#[cfg(test)]
mod tests {
    use sincro_core::limit::Level;

    use super::*;

    #[test]
    fn while_the_queue_is_away_an_open_sync_says_so_instead_of_guessing() {
        let mut status = status_for_tests(SyncState::Running, 10);
        put(&mut status, None);
        assert_eq!(status.limited_by.as_deref(), Some(QUEUE_AWAY));
        assert_eq!((status.jobs.queued, status.jobs.running), (10, 0));
    }

    #[test]
    fn a_paused_sync_says_so_before_the_queue_has_heard_of_it() {
        let mut status = status_for_tests(SyncState::Paused, 10);
        put(&mut status, Some(&Live::default()));
        assert_eq!(status.limited_by.as_deref(), Some("paused by operator: sync"));
    }

    #[test]
    fn jobs_at_workers_are_taken_out_of_the_waiting_ones() {
        let mut status = status_for_tests(SyncState::Running, 10);
        let live = Live {
            running: 4,
            waits_for: Some(WaitsFor::Rate { level: Level::Server, per: None }),
            calls_per_second: Some(2.0),
            ..Live::default()
        };
        put(&mut status, Some(&live));
        assert_eq!((status.jobs.queued, status.jobs.running), (6, 4));
        assert_eq!(status.limited_by.as_deref(), Some("rate: server"));
        assert!(status.eta_seconds.is_some());
    }
}
