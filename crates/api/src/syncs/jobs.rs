//! `GET /v1/syncs/{sync_id}/jobs`: the jobs of a sync, one by one.
//!
//! The ledger knows which jobs wait, the queue which of them are at a worker; a line shows both as one state.

use std::collections::BTreeSet;

use axum::{Json as Answer, extract::State, http::Uri};
use chrono::SecondsFormat;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sincro_core::{
    job::{JobId, JobLine, JobState},
    sync::{SyncId, SyncStatus},
};
use sincro_store::jobs::JobFilter;

use super::live;
use crate::{
    params::{List, Params, SyncPath, one_more},
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::App,
};

/// Reads of single lines that are under way at once for one request.
const AT_ONCE: usize = 4;
/// What a job waits for that nothing holds back.
const FREE_WORKER: &str = "a free worker";

refusals!(Refusals: Code::ANY, Code::QUERY, &[Code::SyncNotFound]);

/// List a sync's jobs
///
/// In the order in which they were planned, with what each waits for. A page can hold fewer jobs than asked for and still have
/// a `next`, because jobs at workers are not among the waiting ones. While Redis does not answer no job is shown as running.
#[utoipa::path(
    get, path = "/v1/syncs/{sync_id}/jobs", operation_id = "list_jobs", tag = "syncs",
    params(
        ("sync_id" = Uuid, Path, description = "The sync"),
        ("state" = Option<JobState>, Query, description = "Only those in this state"),
        ("after" = Option<i64>, Query, description = "Go on behind this job: the last answer's `next`", minimum = 0),
        ("limit" = Option<u16>, Query, description = "At most so many, 1 to 1000", minimum = 1, maximum = 1000, example = 100),
    ),
    responses((status = 200, body = List<JobLine>, description = "A page of jobs"), Refusals),
)]
pub(crate) async fn jobs(
    State(app): State<App>,
    SyncPath(id): SyncPath,
    uri: Uri,
) -> Result<Answer<List<JobLine>>, Problem> {
    let params = Params::read(&uri, &["state", "after", "limit"])?;
    let limit = params.limit(100, 1_000)?;
    let filter = JobFilter { state: params.parsed("state")?, after: params.after_row()? };
    let now = Now::of(&app, id).await?;
    let lines = match filter.state {
        Some(JobState::Running) => running(&app, id, &now.held, filter.after, limit).await?,
        _ => app.store.job_lines(id, &filter, one_more(limit)).await?,
    };
    let mut page = List::page(lines, limit, |line| line.id.to_string());
    for line in &mut page.items {
        now.show_in(line);
    }
    page.items.retain(|line| filter.state.is_none_or(|state| line.state == state));
    Ok(Answer(page))
}

/// The lines of held jobs. There are as many of them as calls may be under way, a handful.
async fn running(
    app: &App,
    sync: SyncId,
    held: &BTreeSet<JobId>,
    after: JobId,
    limit: u16,
) -> Result<Vec<JobLine>, Problem> {
    let wanted = held.range(after.saturating_add(1)..).take(usize::from(limit) + 1).copied();
    let read = stream::iter(wanted.collect::<Vec<_>>()).map(async |job| {
        let only = JobFilter { state: None, after: job - 1 };
        let found = app.store.job_lines(sync, &only, 1).await?;
        Ok::<_, Problem>(found.into_iter().next().filter(|line| line.id == job))
    });
    let lines: Vec<Option<JobLine>> = read.buffered(AT_ONCE).try_collect().await?;
    Ok(lines.into_iter().flatten().collect())
}

/// What the queue says of a sync now.
struct Now {
    held: BTreeSet<JobId>,
    limited_by: Option<String>,
}

impl Now {
    async fn of(app: &App, id: SyncId) -> Result<Self, Problem> {
        let mut status: SyncStatus = app.store.sync(id).await?;
        if status.state.is_terminal() {
            return Ok(Self { held: BTreeSet::new(), limited_by: None });
        }
        let deadline = Deadline::start();
        let server = app.server_of(status.channel_id).await?;
        let held = app.queue.held_jobs(deadline, &server, id).await.unwrap_or_default();
        live::complete(app, &mut status, deadline).await;
        Ok(Self { held: held.into_iter().collect(), limited_by: status.limited_by })
    }

    /// Completes a line: whether it runs, and what it waits for if not.
    fn show_in(&self, line: &mut JobLine) {
        let waits = matches!(line.state, JobState::Queued | JobState::Delayed | JobState::Paused);
        if waits && self.held.contains(&line.id) {
            line.state = JobState::Running;
            line.next_at = None;
        }
        let limited_by = self.limited_by.clone();
        line.waiting_for = match line.state {
            JobState::Queued => Some(limited_by.unwrap_or_else(|| FREE_WORKER.to_owned())),
            JobState::Paused => Some(limited_by.unwrap_or_else(|| JobState::Paused.to_string())),
            JobState::Delayed => {
                line.next_at.map(|at| format!("retry at {}", at.to_rfc3339_opts(SecondsFormat::Secs, true)))
            }
            JobState::Awaiting => Some("delivery by webhook".to_owned()),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn line(id: JobId, state: JobState) -> JobLine {
        JobLine {
            id,
            contact_id: Some(1),
            address_kind: None,
            address: None,
            state,
            attempts: 0,
            reason: None,
            last_error: None,
            waiting_for: None,
            next_at: (state == JobState::Delayed).then_some(DateTime::UNIX_EPOCH),
            fetched: 0,
            stored: 0,
        }
    }

    fn shown(now: &Now, id: JobId, state: JobState) -> (JobState, Option<String>) {
        let mut line = line(id, state);
        now.show_in(&mut line);
        (line.state, line.waiting_for)
    }

    #[test]
    fn a_waiting_job_that_is_at_a_worker_runs() {
        let now = Now { held: BTreeSet::from([1]), limited_by: Some("rate: channel".into()) };
        for state in [JobState::Queued, JobState::Paused, JobState::Delayed] {
            assert_eq!(shown(&now, 1, state), (JobState::Running, None));
        }
        assert_eq!(shown(&now, 1, JobState::Succeeded), (JobState::Succeeded, None));
    }

    #[test]
    fn a_waiting_job_says_what_it_waits_for() {
        let now = |limited_by: Option<&str>| Now { held: BTreeSet::new(), limited_by: limited_by.map(str::to_owned) };
        let waits_for = |limited_by, state| shown(&now(limited_by), 1, state).1.unwrap();
        assert_eq!(waits_for(Some("rate: channel"), JobState::Queued), "rate: channel");
        assert_eq!(waits_for(None, JobState::Queued), FREE_WORKER);
        assert_eq!(waits_for(Some("paused: by crm"), JobState::Paused), "paused: by crm");
        assert_eq!(waits_for(Some("rate: channel"), JobState::Delayed), "retry at 1970-01-01T00:00:00Z");
        assert_eq!(shown(&now(None), 1, JobState::Failed).1, None);
    }
}
