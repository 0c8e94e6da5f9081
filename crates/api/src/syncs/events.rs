//! `GET /v1/syncs/{sync_id}/events`: a sync as it goes on, as server-sent events.
//!
//! Every event is the whole status, so nothing has to be kept for readers who come back: the newest status holds what they
//! missed. A stream reads the ledger when the client takes the next event and not before: a slow reader skips what was
//! overtaken in the meantime, and nothing piles up for it.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{
        IntoResponse as _, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, stream};
use sincro_core::sync::{SyncId, SyncStatus};
use sincro_store::Error as LedgerError;
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{Receiver, error::RecvError, error::TryRecvError},
    },
    time::{Instant, sleep, sleep_until},
};

use super::live;
use crate::{
    params::SyncPath,
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::App,
};

/// Between two events of a stream at least: a burst of changes is one event.
const PACE: Duration = Duration::from_millis(100);
/// Without news from the ledger it is read again after so long: for what only the queue knows, and for lost news.
const READ_AGAIN: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Tells nginx to pass events on at once.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

refusals!(Refusals: Code::ANY, &[Code::SyncNotFound, Code::TooManyStreams]);

/// One event, by the names of its fields in the stream.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its shape is needed, for the description")]
pub(crate) struct StatusEvent {
    /// `status`.
    event: String,
    /// The revision of the sync.
    id: String,
    /// The sync as `GET /v1/syncs/{sync_id}` answers it, as JSON.
    data: String,
}

/// Follow a sync
///
/// Server-sent events named `status`: the first at once, then one after each change, at most ten per second, until the sync
/// is over. The `id` is the status's revision, the `data` the whole status as `GET /v1/syncs/{sync_id}` answers it. Numbers
/// that only the queue knows (`running`, `limited_by`, `eta_seconds`) can change without a new revision. A comment every 15
/// seconds keeps the line alive.
///
/// With `Last-Event-ID` the first event comes with the first change after that revision. Nothing is lost by that: each event
/// holds everything. For a sync that is over, a reader who has seen its end is answered 204, which tells an `EventSource` to
/// stop reconnecting. The stream also ends when this process is stopped: connect again.
#[utoipa::path(
    get, path = "/v1/syncs/{sync_id}/events", operation_id = "follow_sync", tag = "syncs",
    params(
        ("sync_id" = Uuid, Path, description = "The sync"),
        ("Last-Event-ID" = Option<i64>, Header, description = "The last revision that was seen"),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = StatusEvent, description = "Events, each of this shape",
         example = json!("event: status\nid: 42\ndata: {\"id\":\"01890a5d-ac96-774b-bcce-b302099a8057\",\"state\":\"running\"}\n\n")),
        (status = 204, description = "The sync is over, and its end has been seen"),
        Refusals,
    ),
)]
pub(crate) async fn events(
    State(app): State<App>,
    SyncPath(id): SyncPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let full = |_| Problem::new(Code::TooManyStreams, "this process serves as many event streams as it may");
    let leave = app.streams.clone().try_acquire_owned().map_err(full)?;
    // From here on no change is missed.
    let changes = app.changes.subscribe();
    let mut status = app.store.sync(id).await?;
    live::complete(&app, &mut status, Deadline::start()).await;
    let seen = last_event_id(&headers) == Some(status.revision);
    if seen && status.state.is_terminal() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follower =
        Follower { app, id, changes, shown: status, shown_at: Instant::now(), over: false, _open: Open::one(leave) };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("still here");
    Ok(([UNBUFFERED], Sse::new(follower.into_stream(seen)).keep_alive(keep_alive)).into_response())
}

/// The revision that the client has seen; what is no revision is ignored, as an unknown id is.
fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// One open stream.
struct Follower {
    app: App,
    id: SyncId,
    changes: Receiver<SyncId>,
    /// What the client has seen.
    shown: SyncStatus,
    shown_at: Instant,
    over: bool,
    _open: Open,
}

impl Follower {
    fn into_stream(self, seen: bool) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold((self, !seen), |(mut follower, at_once)| async move {
            if !at_once {
                follower.advance().await?;
            }
            follower.over = follower.shown.state.is_terminal();
            Some((Ok(event_of(&follower.shown)), (follower, false)))
        })
    }

    /// Waits until there is something new to show; none at the end of the stream.
    async fn advance(&mut self) -> Option<()> {
        if self.over {
            return None;
        }
        let closing = self.app.closing.clone();
        tokio::select! {
            () = closing.cancelled() => None,
            news = self.news() => {
                self.shown = news?;
                self.shown_at = Instant::now();
                Some(())
            }
        }
    }

    /// The next status that differs from what was shown; none when the sync is gone.
    async fn news(&mut self) -> Option<SyncStatus> {
        let mut not_before = self.shown_at + PACE;
        loop {
            sleep_until(not_before).await;
            self.wait_for_change().await;
            match self.read().await {
                Ok(status) if status != self.shown => return Some(status),
                Ok(_) => {}
                Err(LedgerError::NotFound(_)) => return None,
                Err(error) => tracing::debug!(%error, "an event stream waits for the ledger"),
            }
            not_before = Instant::now() + PACE;
        }
    }

    async fn read(&self) -> Result<SyncStatus, LedgerError> {
        let mut status = self.app.store.sync(self.id).await?;
        live::complete(&self.app, &mut status, Deadline::start()).await;
        Ok(status)
    }

    /// Returns when the sync has changed, may have changed, or has not been looked at for a while.
    async fn wait_for_change(&mut self) {
        let changed = async {
            loop {
                match self.changes.recv().await {
                    Ok(id) if id != self.id => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => break,
                    // The sender lives as long as the state of this stream.
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = changed => {}
            () = sleep(READ_AGAIN) => {}
        }
        // The read that follows covers everything that was announced until now.
        while !matches!(self.changes.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {}
    }
}

fn event_of(status: &SyncStatus) -> Event {
    let data = serde_json::to_string(status).unwrap_or_default();
    Event::default().event("status").id(status.revision.to_string()).data(data)
}

/// Counts an open stream for as long as it lives.
struct Open {
    _leave: OwnedSemaphorePermit,
}

impl Open {
    fn one(leave: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("sincro_http_event_streams").increment(1.0);
        Self { _leave: leave }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("sincro_http_event_streams").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, http::HeaderMap};
    use sincro_core::sync::SyncState;

    use super::*;
    use crate::syncs::live::status_for_tests;

    #[test]
    fn a_reader_comes_back_with_a_revision_and_anything_else_is_ignored() {
        for (text, revision) in [("7", Some(7)), (" 7 ", Some(7)), ("", None), ("seven", None), ("7.0", None)] {
            let headers = HeaderMap::from_iter([("last-event-id".parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(last_event_id(&headers), revision, "{text:?}");
        }
        assert_eq!(last_event_id(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn an_event_is_the_whole_status_under_its_revision() {
        let status = status_for_tests(SyncState::Running, 3);
        let event = event_of(&status);
        let body = Sse::new(stream::iter([Ok::<_, Infallible>(event)])).into_response().into_body();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        assert_eq!(serde_json::from_str::<SyncStatus>(data).unwrap(), status);
        assert!(text.contains("event: status\n") && text.contains("id: 7\n"), "{text}");
    }
}
