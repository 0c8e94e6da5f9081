//! `POST /v1/channels/{channel_id}/syncs/plan`: what a channel sync would come to, without starting it.

use axum::{Json as Answer, extract::State};
use serde::Serialize;
use sincro_core::{
    channel::{Channel, ChannelId, Feature, Pause, PausedBy},
    clock,
    contact::Contact,
    forecast::{Forecast, Question, Work, forecast},
    limit::{LevelLimit, Resolved, resolve},
    provider::{Capabilities, HistoryAccess},
    scaling::{ChannelLoad, ServerLoad},
    waiting::WaitsFor,
};
use sincro_queue::ChannelView;
use sincro_store::{Conflict, contacts::ContactCounts};

use super::{
    start::{Start, capabilities_of},
    workload::Workload,
};
use crate::{
    body::Json,
    params::ChannelPath,
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::App,
};

const NOBODY_KNOWN: &str = "nobody knows yet how many contacts the channel has: give `contacts`, or sync it once";
const FROM_LEDGER: &str = "as many contacts as are known from earlier syncs; the gateway may know more by now";
const DELIVERED_LATER: &str =
    "one request for the whole number; what it brings comes later, by webhook, and is not part of this reckoning";
const QUEUE_AWAY: &str =
    "Redis does not answer: reckoned from the configured limits alone, as if nothing else were going on";

/// What a channel sync would come to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SyncPlan)]
pub(crate) struct Plan {
    /// Persons to read.
    contacts: i64,
    /// Whether that number is known: from the request, or from what earlier syncs brought.
    contacts_known: bool,
    /// Jobs of the sync, two per contact; those with nothing to ask among them.
    jobs: i64,
    /// Gateway calls at most: one per address, one more where a LID has to be looked up, and one for the contact list where none was
    /// given. A page that is longer than one answer of the gateway costs more.
    calls: i64,
    /// From now to the last answer; null when it would stand still until a person acts.
    duration_seconds: Option<f64>,
    /// Calls per second that it would get, under all limits and beside what goes on now.
    calls_per_second: f64,
    /// Worker processes that the limits keep busy meanwhile.
    useful_workers: u32,
    /// What would hold it back for most of the time, in the words of a sync's `limited_by`.
    limited_by: String,
    /// What the numbers leave out, when they do.
    note: Option<String>,
}

refusals!(
    Refusals: Code::ANY,
    Code::BODY,
    Code::ADDRESS,
    Code::SYNC_OF_CHANNEL,
);

/// Plan a channel sync
///
/// Takes what `POST /v1/channels/{channel_id}/syncs` takes, and says how many jobs and calls that would be, how long it would take
/// under the limits and beside everything that goes on now, and how many workers are worth having. Nothing is recorded, nothing is
/// queued, and the gateway is not called.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/syncs/plan", operation_id = "plan_channel_sync", tag = "syncs",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    request_body(content = Option<Start>, description = "No body at all stands for the defaults. At most 32 MiB."),
    responses((status = 200, body = Plan, description = "What it would come to"), Refusals),
)]
pub(crate) async fn plan(
    State(app): State<App>,
    ChannelPath(id): ChannelPath,
    Json { value: given, .. }: Json<Start>,
) -> Result<Answer<Plan>, Problem> {
    let asked = given.read()?;
    let channel = app.store.channel(id).await?;
    let capabilities = capabilities_of(&app, &channel)?;
    let contacts = asked.suits(capabilities)?.contacts;
    if !channel.features.contains(&Feature::ImportMessages) {
        return Err(Conflict::FeatureMissing.into());
    }
    let known = match &contacts {
        Some(_) => None,
        None => Some(app.store.contact_counts(id).await?),
    };
    let size = Size::of(contacts.as_deref(), known, capabilities);
    let rules = app.store.limit_rules().await?;
    let deadline = Deadline::start();
    let (view, loads) = tokio::join!(app.queue.channel(deadline, &channel), app.queue.loads(deadline));
    let seen = view.zip(loads).map(|(channel, loads)| Seen { channel, loads });
    let worker_slots = app.settings.worker_slots;
    let resolved = resolve(&rules, &channel.server(), id);
    let reckoned = tokio::task::spawn_blocking(move || reckon(&channel, resolved, size, seen, worker_slots));
    Ok(Answer(reckoned.await.map_err(Problem::internal)?))
}

/// How much there is to do, and how that is known.
#[derive(Debug, Clone, Copy)]
struct Size {
    load: Workload,
    known: bool,
    note: Option<&'static str>,
}

impl Size {
    fn of(list: Option<&[Contact]>, known: Option<ContactCounts>, capabilities: Capabilities) -> Self {
        if let Some(list) = list {
            return Self { load: Workload::of_list(list, capabilities), known: true, note: None };
        }
        let load = Workload::of_counts(&known.unwrap_or_default(), capabilities);
        let known = load.contacts > 0;
        let note = match capabilities.history {
            HistoryAccess::PerAccount => DELIVERED_LATER,
            HistoryAccess::PerAddress if known => FROM_LEDGER,
            HistoryAccess::PerAddress => NOBODY_KNOWN,
        };
        let load = if capabilities.contact_list { load.and_contact_list() } else { load };
        Self { load, known, note: Some(note) }
    }
}

/// What the queue says.
struct Seen {
    /// None where it has not heard of the channel yet.
    channel: Option<ChannelView>,
    loads: Vec<ServerLoad>,
}

/// What is seen is none while the queue does not answer.
fn reckon(channel: &Channel, resolved: Resolved, size: Size, seen: Option<Seen>, worker_slots: u32) -> Plan {
    let away = seen.is_none();
    let (view, mut loads) = seen.map_or((None, Vec::new()), |seen| (seen.channel, seen.loads));
    let server = channel.server();
    let own = resolved.channel.unwrap_or_else(|| channel.limit.into());
    if let Some(view) = &view {
        add_idle(&mut loads, &server, channel.id, own, view);
    }
    let Forecast { duration_seconds, calls_per_second, useful_workers, limited_by } = forecast(&Question {
        work: Work { jobs: size.load.asking, calls: size.load.calls },
        channel: channel.id,
        server: &server,
        channel_limit: own,
        server_limit: resolved.server,
        blocked: blocked(channel, view),
        loads: &loads,
        worker_slots,
        now: clock::now(),
    });
    let notes: Vec<_> = size.note.into_iter().chain(away.then_some(QUEUE_AWAY)).collect();
    Plan {
        contacts: size.load.contacts,
        contacts_known: size.known,
        jobs: size.load.jobs,
        calls: size.load.calls,
        duration_seconds,
        calls_per_second,
        useful_workers,
        limited_by,
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    }
}

/// Adds the channel to the loads where it has no work yet: its rate, or its server's, may have been lowered all the same.
fn add_idle(loads: &mut Vec<ServerLoad>, server: &str, channel: ChannelId, own: LevelLimit, view: &ChannelView) {
    let idle = ChannelLoad {
        id: channel,
        rate: view.channel.effective_rate.unwrap_or(own.limit.rate_per_second),
        concurrency: own.limit.concurrency,
        weight: own.weight,
        queued: 0,
        running: 0,
        blocked: None,
    };
    match loads.iter_mut().find(|load| load.server == server) {
        Some(load) if load.channels.iter().any(|known| known.id == channel) => {}
        Some(load) => load.channels.push(idle),
        None => loads.push(ServerLoad {
            server: server.to_owned(),
            rate: view.server.effective_rate,
            concurrency: view.server.concurrency,
            running: 0,
            call_seconds: None,
            blocked: None,
            channels: vec![idle],
        }),
    }
}

/// What keeps the channel from being called, longer than a rate does.
fn blocked(channel: &Channel, view: Option<ChannelView>) -> Option<WaitsFor> {
    match &channel.paused {
        Some(Pause { by: PausedBy::Session, reason }) => Some(WaitsFor::SessionLost { detail: reason.clone() }),
        Some(Pause { by, reason }) => Some(WaitsFor::ChannelPaused { by: *by, reason: reason.clone() }),
        None => view?.waits_for.filter(|reason| {
            matches!(reason, WaitsFor::Cooldown { .. } | WaitsFor::SessionLost { .. } | WaitsFor::ChannelPaused { .. })
        }),
    }
}

#[cfg(test)]
mod tests {
    use sincro_core::{
        limit::{Level, Limit},
        provider::Provider,
    };
    use sincro_queue::LevelView;

    use super::*;
    use crate::channels::view::channel_for_tests;

    const WUZAPI: Capabilities = Capabilities { lid_lookup: true, ..Capabilities::per_address(Provider::Wuzapi) };
    const NO_RULES: Resolved = Resolved { server: None, channel: None };

    fn planned(channel: &Channel, counts: ContactCounts, seen: Option<Seen>) -> Plan {
        reckon(channel, NO_RULES, Size::of(None, Some(counts), WUZAPI), seen, 64)
    }

    fn idle() -> Seen {
        Seen { channel: None, loads: Vec::new() }
    }

    fn thousand() -> ContactCounts {
        ContactCounts { with_phone_only: 0, with_lid_only: 0, with_both: 1_000 }
    }

    #[test]
    fn a_quiet_channel_takes_its_calls_over_its_pace() {
        let plan = planned(&channel_for_tests(), thousand(), Some(idle()));
        assert_eq!((plan.contacts, plan.jobs, plan.calls, plan.contacts_known), (1_000, 2_000, 2_001, true));
        let seconds = plan.duration_seconds.unwrap();
        // Eight calls at once, half a second each as long as nothing is known of them: 16 a second.
        assert!((120.0..130.0).contains(&seconds), "{seconds}");
        assert_eq!(plan.note.as_deref(), Some(FROM_LEDGER));
    }

    #[test]
    fn before_the_first_sync_it_is_said_that_nobody_knows() {
        let plan = planned(&channel_for_tests(), ContactCounts::default(), Some(idle()));
        assert_eq!((plan.contacts, plan.jobs, plan.calls, plan.contacts_known), (0, 0, 1, false));
        assert_eq!(plan.note.as_deref(), Some(NOBODY_KNOWN));
    }

    #[test]
    fn without_redis_the_configured_limits_are_reckoned_with_and_that_is_said() {
        let plan = planned(&channel_for_tests(), thousand(), None);
        assert!(plan.duration_seconds.is_some() && plan.note.unwrap().ends_with(QUEUE_AWAY));
    }

    #[test]
    fn a_channel_that_waits_for_a_person_has_no_end() {
        let paused = Some(Pause::new(PausedBy::Operator, "new phone"));
        let plan = planned(&Channel { paused, ..channel_for_tests() }, thousand(), Some(idle()));
        assert_eq!((plan.duration_seconds, plan.limited_by.as_str()), (None, "paused by operator: new phone"));
    }

    #[test]
    fn a_rate_that_was_lowered_and_a_rest_count_also_where_nothing_runs_yet() {
        let level = |effective_rate| LevelView {
            configured_rate: Some(10.0),
            effective_rate: Some(effective_rate),
            observed_rate: 0.0,
            concurrency: Some(100),
            running: 0,
            cooldown: None,
        };
        let view = |effective_rate, waits_for| ChannelView {
            paused: None,
            channel: level(effective_rate),
            server: LevelView { configured_rate: None, effective_rate: None, concurrency: None, ..level(0.0) },
            waits_for,
            next_call_at: None,
            probe_at: None,
        };
        let limit = Limit { rate_per_second: 10.0, burst: 1, concurrency: 100 };
        let channel = Channel { limit, ..channel_for_tests() };
        let seconds = |view| {
            let seen = Some(Seen { channel: Some(view), ..idle() });
            planned(&channel, ContactCounts { with_both: 500, ..ContactCounts::default() }, seen)
                .duration_seconds
                .unwrap()
        };
        let until = clock::now() + chrono::TimeDelta::seconds(60);
        let rest = WaitsFor::Cooldown { level: Level::Channel, until, reason: "throttled".into() };
        let (full, lowered, resting) =
            (seconds(view(10.0, None)), seconds(view(5.0, None)), seconds(view(10.0, Some(rest))));
        assert!(
            (95.0..105.0).contains(&full) && lowered > full + 3.0 && resting > full + 55.0,
            "{full} {lowered} {resting}"
        );
    }
}
