//! Follows a sync to its end: over its event stream, through restarts of the API, until Ctrl-C.
//!
//! Every connection begins by asking for the status, so that nothing depends on the stream's first event; an event that
//! brings nothing new is not shown again.

mod bar;
mod sse;
pub(crate) mod text;

use std::{io, process::ExitCode, time::Duration};

use anyhow::Context as _;
use sincro_core::{
    retry::RetryPolicy,
    sync::{SyncId, SyncStatus},
};
use tokio::time::{Instant, sleep};

pub(crate) use self::bar::{Bar, Screen};
use crate::{
    client::{Call, Client, Error},
    exit, output,
};

/// A connection that was lost is tried again at such intervals, for so long.
struct Patience {
    between: RetryPolicy,
    at_most: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(10));
        // `max_attempts` is not asked for here: the time decides.
        Self { between: RetryPolicy { base, cap, max_attempts: u32::MAX }, at_most: Duration::from_mins(5) }
    }
}

/// Where the changes of a sync are shown.
pub(crate) enum View {
    /// To people, on stderr.
    Bar(Bar),
    /// To programs: one line of JSON on stdout per change.
    Lines,
}

impl View {
    fn show(&mut self, status: &SyncStatus) -> anyhow::Result<()> {
        match self {
            Self::Bar(bar) => bar.show(status),
            Self::Lines => output::json_line(status)?,
        }
        Ok(())
    }

    fn trouble(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.note(text),
            Self::Lines => output::note(text),
        }
    }
}

/// `sincro sync watch`: the exit code tells how the sync ended.
pub(crate) async fn run(client: &Client, id: SyncId, json: bool) -> anyhow::Result<ExitCode> {
    let mut view = if json { View::Lines } else { View::Bar(Bar::new(0)) };
    let end = tokio::select! {
        end = follow(client, id, &mut view) => match end {
            // The reader has seen enough (`| head`).
            Err(error) if is_closed_pipe(&error) => return Ok(ExitCode::SUCCESS),
            end => end?,
        },
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            drop(view);
            output::note(&format!("\nthe sync goes on; to follow it again: sincro sync watch {id}"));
            return Ok(ExitCode::from(exit::INTERRUPTED));
        }
    };
    if let View::Bar(bar) = view {
        bar.finish(&end);
        output::lines(&text::end(&end))?;
    }
    Ok(exit::code_of_sync(end.state))
}

/// Shows every change until the sync is over, and gives its last status.
pub(crate) async fn follow(client: &Client, id: SyncId, view: &mut View) -> anyhow::Result<SyncStatus> {
    follow_with(&Patience::default(), client, id, view).await
}

async fn follow_with(patience: &Patience, client: &Client, id: SyncId, view: &mut View) -> anyhow::Result<SyncStatus> {
    let mut seen = None;
    let mut last_contact = Instant::now();
    let mut fruitless = 0_u32;
    let mut away = false;
    loop {
        let before = seen.clone();
        match follow_once(client, id, view, &mut seen).await {
            Ok(Some(end)) => return Ok(end),
            Ok(None) => (last_contact, away) = (Instant::now(), false),
            Err(error) if is_worth_waiting(&error) && seen.is_some() && last_contact.elapsed() < patience.at_most => {
                if !away {
                    view.trouble(&format!("{error}; trying again"));
                }
                away = true;
            }
            // The API says no, has been away for too long, or never was there.
            Err(error) => return Err(error),
        }
        fruitless = if seen == before { fruitless.saturating_add(1) } else { 1 };
        sleep(patience.between.delay_after(fruitless)).await;
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn is_worth_waiting(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Unreachable { .. } | Error::Failed(_)))
}

/// One connection: the status, then the stream until it ends; the end of the sync, if it was in there.
async fn follow_once(
    client: &Client,
    id: SyncId,
    view: &mut View,
    seen: &mut Option<SyncStatus>,
) -> anyhow::Result<Option<SyncStatus>> {
    let status = client.send(Call::get(format!("v1/syncs/{id}"))).await?.read()?;
    if let Some(end) = take(status, view, seen)? {
        return Ok(Some(end));
    }
    let revision = seen.as_ref().map(|status| status.revision);
    let call = Call::get(format!("v1/syncs/{id}/events")).header("Last-Event-ID", revision);
    let mut stream = client.stream(call).await?;
    let mut parser = sse::Parser::default();
    // A line that breaks in the middle is no news: the next connection finds out what happened.
    while let Ok(Some(bytes)) = stream.chunk().await {
        for event in parser.push(&bytes)?.into_iter().filter(|event| event.name == "status") {
            let status = serde_json::from_str(&event.data).context("the event stream is not understood")?;
            if let Some(end) = take(status, view, seen)? {
                return Ok(Some(end));
            }
        }
    }
    Ok(None)
}

/// Shows a status that is new; gives it back if it is the last one.
fn take(status: SyncStatus, view: &mut View, seen: &mut Option<SyncStatus>) -> anyhow::Result<Option<SyncStatus>> {
    // The stream may repeat what a newer answer has overtaken.
    let is_old = seen.as_ref().is_some_and(|seen| status.revision < seen.revision || *seen == status);
    if !is_old {
        view.show(&status)?;
        *seen = Some(status.clone());
    }
    Ok((!is_old && status.state.is_terminal()).then_some(status))
}

/// A status with so many of its jobs succeeded.
#[cfg(test)]
pub(crate) fn status_for_tests(state: &str, succeeded: i64, total: i64) -> SyncStatus {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let progress = succeeded as f64 / total.max(1) as f64;
    serde_json::from_value(serde_json::json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "channel_id": "01890a5d-ac96-774b-bcce-b302099a8058",
        "kind": "channel", "state": state, "revision": succeeded + 1,
        "jobs": {"total": total, "queued": total - succeeded, "running": 0, "delayed": 0, "awaiting": 0,
                 "succeeded": succeeded, "empty": 0, "skipped": 0, "failed": 0, "cancelled": 0},
        "messages": {"fetched": 25 * succeeded, "stored": 24 * succeeded, "duplicate": succeeded},
        "progress": progress, "eta_seconds": null, "limited_by": null, "error": null,
        "created_at": "2025-01-02T03:04:05Z", "started_at": "2025-01-02T03:04:06Z", "finished_at": null
    }))
    .unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::canned::{Canned, answer, stream};

    fn patience() -> Patience {
        let short = Duration::from_millis(1);
        Patience {
            between: RetryPolicy { base: short, cap: short, max_attempts: 1 },
            at_most: Duration::from_millis(300),
        }
    }

    fn json(state: &str, succeeded: i64) -> String {
        serde_json::to_string(&status_for_tests(state, succeeded, 10)).unwrap()
    }

    fn event(state: &str, succeeded: i64) -> String {
        format!("id: {}\nevent: status\ndata: {}\n\n", succeeded + 1, json(state, succeeded))
    }

    async fn end_of(answers: Vec<String>) -> (anyhow::Result<SyncStatus>, Vec<String>) {
        let server = Canned::serving(answers).await;
        let client = Client::new(server.options()).unwrap();
        let mut view = View::Bar(Bar::new(0));
        let end = follow_with(&patience(), &client, uuid::Uuid::nil(), &mut view).await;
        (end, server.requests())
    }

    #[tokio::test]
    async fn a_stream_is_followed_to_the_end_of_the_sync() {
        let events = [event("running", 5), ": still here\n\n".to_owned(), event("completed", 10)].concat();
        let (end, requests) = end_of(vec![answer("200 OK", &json("planning", 0)), stream(&events)]).await;
        assert_eq!(end.unwrap(), status_for_tests("completed", 10, 10));
        assert!(requests[1].contains("/events HTTP/1.1") && requests[1].contains("last-event-id: 1\r\n"));
        assert!(requests[1].contains("accept: text/event-stream\r\n"));
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_is_taken_up_where_it_was() {
        let broken = event("running", 5) + "id: 7\nevent: status\ndata: {\"id\"";
        let (end, requests) = end_of(vec![
            answer("200 OK", &json("running", 0)),
            stream(&broken),
            answer("503 Service Unavailable", ""),
            answer("200 OK", &json("running", 5)),
            stream(&event("completed_with_failures", 10)),
        ])
        .await;
        assert_eq!(end.unwrap().jobs.succeeded, 10);
        assert!(requests[4].contains("last-event-id: 6\r\n"), "{}", requests[4]);
    }

    #[tokio::test]
    async fn a_sync_that_is_over_needs_no_stream() {
        let (end, requests) = end_of(vec![answer("200 OK", &json("cancelled", 3))]).await;
        assert_eq!(end.unwrap().state, sincro_core::sync::SyncState::Cancelled);
        assert_eq!(requests.len(), 1);
    }

    #[tokio::test]
    async fn an_unknown_sync_and_an_api_that_never_was_there_end_at_once() {
        let (end, _) = end_of(vec![answer("404 Not Found", r#"{"title":"No such sync","code":"not_found"}"#)]).await;
        assert_eq!(end.unwrap_err().to_string(), "No such sync (not_found)");
        let (end, _) = end_of(vec![answer("503 Service Unavailable", "")]).await;
        assert!(end.unwrap_err().to_string().starts_with("the API failed"));
    }

    #[tokio::test]
    async fn an_api_that_stays_away_is_given_up_in_the_end() {
        let (end, _) = end_of(vec![answer("200 OK", &json("running", 0)), stream("")]).await;
        let error = end.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Error::Unreachable { .. })), "{error}");
    }

    #[test]
    fn an_older_event_does_not_take_the_bar_back() {
        let (mut view, mut seen) = (View::Bar(Bar::new(0)), None);
        take(status_for_tests("running", 5, 10), &mut view, &mut seen).unwrap();
        take(status_for_tests("running", 4, 10), &mut view, &mut seen).unwrap();
        assert_eq!(seen.unwrap().jobs.succeeded, 5);
    }
}
