//! `GET /v1/syncs/{sync_id}/jobs`: the jobs of a sync, one by one.
//!
//! The ledger knows which jobs wait, the queue which of them are at a worker; a line shows both as one state.

use std::collections::BTreeSet;

use axum::{Json as Answer, extract::State, http::Uri};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sincro_core::{
    job::{JobId, JobLine, JobState},
    sync::{Live, SyncId, SyncState, SyncStatus},
    waiting::WaitsFor,
};
use sincro_queue::Turns;
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

refusals!(Refusals: Code::ANY, Code::QUERY, &[Code::SyncNotFound]);

/// List a sync's jobs
///
/// In the order in which they were planned, with what each waits for and when its turn comes, as far as that can be told. A page can hold fewer jobs than asked for and still have
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
    /// None while the queue does not answer.
    live: Option<Live>,
    turns: Option<Turns>,
}

/// When it is one job's turn, as far as the queue can tell.
#[derive(Debug, Clone, Copy, Default)]
struct Turn {
    /// Jobs that wait before it.
    behind: Option<i64>,
    at: Option<DateTime<Utc>>,
}

impl Now {
    async fn of(app: &App, id: SyncId) -> Result<Self, Problem> {
        let status: SyncStatus = app.store.sync(id).await?;
        if status.state.is_terminal() {
            return Ok(Self { held: BTreeSet::new(), live: Some(Live::default()), turns: None });
        }
        let deadline = Deadline::start();
        let (channel, server) = (status.channel_id, app.server_of(status.channel_id).await?);
        let (held, live, turns) = tokio::join!(
            app.queue.held_jobs(deadline, &server, id),
            live::ask(app, &status, deadline),
            app.queue.turns(deadline, &server, channel, id),
        );
        let live = live.map(|live| match status.state {
            // The queue may not have heard of it yet.
            SyncState::Paused => Live { waits_for: live.waits_for.or(Some(WaitsFor::SyncPaused)), ..live },
            _ => live,
        });
        Ok(Self { held: held.into_iter().flatten().collect(), live, turns })
    }

    /// Completes a line: whether it runs, and what it waits for if not.
    fn show_in(&self, line: &mut JobLine) {
        let turns = self.turns.as_ref();
        let turn = Turn {
            behind: turns.and_then(|turns| turns.behind(line.id)),
            at: turns.and_then(|turns| turns.next_at(line.id)),
        };
        self.show_with(line, turn);
    }

    fn show_with(&self, line: &mut JobLine, turn: Turn) {
        let waits = matches!(line.state, JobState::Queued | JobState::Delayed | JobState::Paused);
        if waits && self.held.contains(&line.id) {
            line.state = JobState::Running;
            line.next_at = None;
        }
        line.waiting_for = match line.state {
            JobState::Queued => {
                let (waits_for, at) = self.in_line(turn);
                line.next_at = at;
                Some(waits_for)
            }
            JobState::Paused => Some(self.stands_still()),
            JobState::Delayed => line.next_at.map(|at| WaitsFor::Retry { at }.to_string()),
            // What it waits for stands in the ledger alone.
            JobState::Awaiting => line.waiting_for.take(),
            _ => None,
        };
    }

    /// What a job in the line waits for, and until when: what stops its whole sync for longer than a turn, else those before
    /// it, else what its sync waits for, as its head is this job.
    fn in_line(&self, turn: Turn) -> (String, Option<DateTime<Utc>>) {
        let Some(live) = &self.live else { return (live::QUEUE_AWAY.to_owned(), None) };
        let at = turn.at.or(live.next_at);
        match (&live.waits_for, turn.behind) {
            (Some(reason @ WaitsFor::Cooldown { .. }), _) => (reason.to_string(), at),
            (Some(reason), _) if needs_somebody(reason) => (reason.to_string(), live.next_at),
            (_, Some(jobs)) if jobs > 0 => (WaitsFor::Behind { jobs }.to_string(), turn.at),
            (Some(reason), _) => (reason.to_string(), at),
            (None, _) => (WaitsFor::Worker.to_string(), turn.at),
        }
    }

    /// What a job waits for that is held back with its sync or channel.
    fn stands_still(&self) -> String {
        let Some(live) = &self.live else { return live::QUEUE_AWAY.to_owned() };
        live.waits_for.as_ref().map_or_else(|| JobState::Paused.to_string(), ToString::to_string)
    }
}

/// Whether the sync goes on only when the session is back or a person has acted.
const fn needs_somebody(reason: &WaitsFor) -> bool {
    matches!(reason, WaitsFor::SessionLost { .. } | WaitsFor::ChannelPaused { .. } | WaitsFor::SyncPaused)
}

#[cfg(test)]
mod tests {
    use sincro_core::{
        channel::PausedBy,
        limit::{Level, Period},
    };

    use super::*;

    const EPOCH: DateTime<Utc> = DateTime::UNIX_EPOCH;
    const LATER: DateTime<Utc> = DateTime::from_timestamp(60, 0).unwrap();

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
            next_at: (state == JobState::Delayed).then_some(EPOCH),
            fetched: 0,
            stored: 0,
            left_out: 0,
            awaiting_until: None,
        }
    }

    fn now(waits_for: Option<WaitsFor>, next_at: Option<DateTime<Utc>>) -> Now {
        let live = Live { waits_for, next_at, ..Live::default() };
        Now { held: BTreeSet::from([1]), live: Some(live), turns: None }
    }

    fn shown(now: &Now, id: JobId, state: JobState, turn: Turn) -> (JobState, Option<String>, Option<DateTime<Utc>>) {
        let mut line = line(id, state);
        now.show_with(&mut line, turn);
        (line.state, line.waiting_for, line.next_at)
    }

    fn waits(now: &Now, state: JobState, turn: Turn) -> (String, Option<DateTime<Utc>>) {
        let (_, waits_for, at) = shown(now, 2, state, turn);
        (waits_for.unwrap(), at)
    }

    fn rate() -> WaitsFor {
        WaitsFor::Rate { level: Level::Channel, per: Some(Period::Hour) }
    }

    #[test]
    fn a_waiting_job_that_is_at_a_worker_runs() {
        let now = now(Some(rate()), None);
        for state in [JobState::Queued, JobState::Paused, JobState::Delayed] {
            assert_eq!(shown(&now, 1, state, Turn::default()), (JobState::Running, None, None));
        }
        assert_eq!(shown(&now, 1, JobState::Succeeded, Turn::default()).0, JobState::Succeeded);
    }

    #[test]
    fn a_job_in_the_line_waits_for_those_before_it_and_the_first_one_for_what_its_sync_waits_for() {
        let turn = |behind| Turn { behind: Some(behind), at: Some(LATER) };
        let now = now(Some(rate()), Some(EPOCH));
        assert_eq!(waits(&now, JobState::Queued, turn(7)), ("behind 7 jobs".to_owned(), Some(LATER)));
        assert_eq!(waits(&now, JobState::Queued, turn(0)), ("rate: channel per hour".to_owned(), Some(LATER)));
        assert_eq!(waits(&now, JobState::Queued, Turn::default()), ("rate: channel per hour".to_owned(), Some(EPOCH)));
        let idle = self::now(None, None);
        assert_eq!(waits(&idle, JobState::Queued, turn(0)).0, "a free worker");
    }

    #[test]
    fn what_stops_the_whole_sync_for_longer_goes_before_the_place_in_the_line() {
        let turn = Turn { behind: Some(7), at: Some(LATER) };
        let cooldown = WaitsFor::Cooldown { level: Level::Channel, until: EPOCH, reason: "throttled".into() };
        let (text, at) = waits(&now(Some(cooldown), Some(EPOCH)), JobState::Queued, turn);
        assert_eq!((text.as_str(), at), ("cooldown until 1970-01-01T00:00:00Z: throttled", Some(LATER)));
        let lost = WaitsFor::SessionLost { detail: "not logged in".into() };
        assert_eq!(
            waits(&now(Some(lost), None), JobState::Queued, turn),
            ("session lost: not logged in".to_owned(), None)
        );
        let paused = WaitsFor::ChannelPaused { by: PausedBy::Operator, reason: "by crm".into() };
        for state in [JobState::Queued, JobState::Paused] {
            let now = now(Some(paused.clone()), None);
            assert_eq!(waits(&now, state, turn), ("paused by operator: by crm".to_owned(), None));
        }
    }

    #[test]
    fn a_delayed_job_waits_for_its_next_attempt() {
        let expected = ("retry at 1970-01-01T00:00:00Z".to_owned(), Some(EPOCH));
        assert_eq!(waits(&now(Some(rate()), Some(LATER)), JobState::Delayed, Turn::default()), expected);
        assert_eq!(shown(&now(None, None), 2, JobState::Failed, Turn::default()).1, None);
    }

    #[test]
    fn while_the_queue_is_away_that_is_what_is_waited_for() {
        let away = Now { held: BTreeSet::new(), live: None, turns: None };
        for state in [JobState::Queued, JobState::Paused] {
            assert_eq!(waits(&away, state, Turn::default()), (live::QUEUE_AWAY.to_owned(), None));
        }
    }
}
