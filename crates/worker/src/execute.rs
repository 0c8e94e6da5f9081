//! One claimed job: load it, make its one gateway call, settle what came of it, and tell the queue.
//!
//! Nothing is said to the queue before the ledger has it. Where the ledger cannot be reached, the job goes back
//! without losing its attempt, and the call is made again later.

mod check;
mod media;
mod plan;
mod request;
mod restore;

use std::{sync::Arc, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use sincro_core::{
    awaiting::Waits,
    channel::{Channel, Connection, Pause, PausedBy},
    clock,
    drill::{Point, reach, reach_with},
    gateway::{Answer, Call, Refusal},
    job::{Ending, Failure, Job, JobKind, Outcome, Step},
    notice::Notice,
    provider::Capabilities,
    retry::RetryPolicy,
    verdict::{Rest, Verdict, after_failure, judge},
};
use sincro_providers::{Answered, Gateways, capabilities};
use sincro_queue::{Claim, Queue, Ruling};
use sincro_store::{
    Error, Store,
    settle::{Fence, Recorded, Settlement},
    unreadable::{UNREADABLE, UnreadableJob},
};

use crate::{
    connections::Connections,
    deliver::deliver,
    ledger::Ledger,
    outcome::Reading,
    patience::{answered, offered},
    probe::Prober,
    punctual::Punctuality,
    rest,
    suspects::{self, Suspects},
};

/// How long a job rests when the ledger could not be reached: as long as that has lasted, within these bounds.
const LEDGER_AWAY: TimeDelta = TimeDelta::seconds(2);
const LEDGER_AWAY_LONG: TimeDelta = TimeDelta::seconds(10);

/// How long a job rests whose sync stands still in the ledger: the queue will have heard by then.
const UNHEARD: TimeDelta = TimeDelta::seconds(1);

/// How long a job rests whose result did not count.
const OVERTAKEN: TimeDelta = TimeDelta::seconds(1);

/// Executes claims.
pub(crate) struct Executor {
    store: Store,
    queue: Queue,
    gateways: Gateways,
    ledger: Ledger,
    connections: Connections,
    prober: Prober,
    punctuality: Punctuality,
    suspects: Suspects,
    retry: RetryPolicy,
    waits: Waits,
    public_url: String,
    media: Option<crate::target::Settings>,
    /// Since when the ledger has taken nothing.
    refused_since: Mutex<Option<Instant>>,
    /// Until when the place for files is left alone.
    target_away: Mutex<Option<DateTime<Utc>>>,
}

/// What a worker is told of how to go about things.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    pub(crate) retry: RetryPolicy,
    pub(crate) waits: Waits,
    pub(crate) public_url: String,
    pub(crate) media: Option<crate::target::Settings>,
}

impl Executor {
    pub(crate) fn new(store: Store, queue: Queue, gateways: Gateways, ledger: Ledger, ways: Ways) -> Self {
        let connections = Connections::new(store.clone());
        let prober = Prober::new(store.clone(), queue.clone(), gateways.clone());
        let (punctuality, suspects) = (Punctuality::default(), Suspects::default());
        let refused_since = Mutex::default();
        let Ways { retry, waits, public_url, media } = ways;
        Self {
            store,
            queue,
            gateways,
            ledger,
            connections,
            prober,
            punctuality,
            suspects,
            retry,
            waits,
            public_url,
            media,
            refused_since,
            target_away: Mutex::default(),
        }
    }

    /// From claim to ruling.
    pub(crate) async fn execute(&self, claim: Claim) -> Ruling {
        reach(Point::Claimed).await;
        if claim.probe {
            return self.prober.look(&claim).await;
        }
        match self.try_execute(&claim).await {
            Ok(ruling) => {
                *self.refused_since.lock() = None;
                ruling
            }
            Err(error) => self.without_ledger(&claim, &error),
        }
    }

    /// What becomes of a job whose result the ledger does not take. The longer it takes none, the longer jobs wait for another
    /// try: the call is made once more with each.
    fn without_ledger(&self, claim: &Claim, error: &Error) -> Ruling {
        let (job, attempt) = (claim.job, claim.attempt);
        if let Error::Unreadable(_) = error {
            tracing::error!(job, attempt, %error, "the ledger cannot work with this job; its attempt has failed");
            return Ruling::Delay { due: clock::now() + LEDGER_AWAY };
        }
        tracing::warn!(job, attempt, %error, "the ledger does not take this job now; it goes back unharmed");
        let lasted = TimeDelta::from_std(self.refused_since.lock().get_or_insert_with(Instant::now).elapsed());
        Ruling::Snooze { due: clock::now() + lasted.unwrap_or(LEDGER_AWAY_LONG).clamp(LEDGER_AWAY, LEDGER_AWAY_LONG) }
    }

    async fn try_execute(&self, claim: &Claim) -> Result<Ruling, Arc<Error>> {
        let job = match self.ledger.load(claim.job).await? {
            // Cancelled, or settled by somebody whose acknowledgement was lost.
            None => return Ok(Ruling::Done),
            Some(Err(unreadable)) => return self.unreadable(claim, &unreadable).await,
            Some(Ok(job)) => job,
        };
        if job.sync != claim.sync {
            // The queue belongs to another ledger.
            return Ok(Ruling::Done);
        }
        let fence = fence(claim, job.steps_done);
        if claim.attempt <= job.attempts {
            // The queue lost count of an attempt that the ledger has: let it count on.
            return Ok(Ruling::Delay { due: clock::now() });
        }
        if claim.attempt > job.attempt_limit && job.ran_alone {
            return self.settle(job, fence, Reading::bare(no_attempt_returned())).await;
        }
        if job.sync_paused {
            return Ok(Ruling::Snooze { due: clock::now() + UNHEARD });
        }
        let _alone = if suspects::suspected(&job, claim.attempt) {
            let Some(turn) = self.suspects.turn() else {
                return Ok(Ruling::Snooze { due: clock::now() + suspects::ASKS_AGAIN });
            };
            answered(self.store.note_alone(job.id)).await?;
            Some(turn)
        } else {
            None
        };
        let connection = match answered(self.connections.of(&job)).await {
            Err(Error::Sealed(reason)) => return self.pause(job, fence, Pause::new(PausedBy::Gateway, reason)).await,
            opened => opened?,
        };
        self.run(claim, job, &connection).await
    }

    /// Does what the job's step says.
    async fn run(&self, claim: &Claim, job: Job, connection: &Connection) -> Result<Ruling, Arc<Error>> {
        if job.kind == JobKind::Plan && job.step.is_listed() {
            return self.plan_kept(claim, job, &connection.channel).await;
        }
        let Some(capabilities) = capabilities(connection.channel.provider) else {
            let fence = fence(claim, job.steps_done);
            return self.fail(job, fence, not_built(&connection.channel)).await;
        };
        match job.step {
            Step::Look { at, connect } => self.look(claim, job, connection, capabilities, at, connect).await,
            Step::RequestContacts | Step::RequestHistory | Step::TopUp { .. } => {
                self.request(claim, job, connection, capabilities).await
            }
            Step::Media { .. } => self.fetch_media(claim, job, connection).await,
            Step::Restore { .. } => self.restore(claim, job, connection).await,
            _ => self.read(claim, job, connection, capabilities).await,
        }
    }

    /// One call whose answer is what was asked for, and what becomes of it.
    async fn read(
        &self,
        claim: &Claim,
        job: Job,
        connection: &Connection,
        capabilities: Capabilities,
    ) -> Result<Ruling, Arc<Error>> {
        let fence = fence(claim, job.steps_done);
        if !self.punctuality.admits(claim, &self.queue).await {
            return Ok(Ruling::Back);
        }
        let Some(call) = Call::for_step(&job.step, job.messages_wanted, job.window_from) else {
            return self.settle(job, fence, Reading::bare(answer_does_not_fit())).await;
        };
        let Some(answer) = self.ask(claim, connection, &call).await else { return Ok(late(claim)) };
        match answer {
            Ok(Answered::Contacts(list)) if job.kind == JobKind::Plan => {
                self.keep_list(claim, job, &connection.channel, list).await
            }
            Ok(Answered::Contacts(_) | Answered::Media(_)) => {
                self.settle(job, fence, Reading::bare(answer_does_not_fit())).await
            }
            Ok(Answered::Whole(Answer::Session(session), _)) if job.step == Step::Prepare => {
                self.prepared(job, fence, &connection.channel, capabilities, &session).await
            }
            // What was read keeps its place in memory until it is settled.
            Ok(Answered::Whole(answer, _held)) => {
                let reading = Reading::of(&job, answer, job.deep && capabilities.top_up);
                self.settle(job, fence, reading.unwrap_or_else(|| Reading::bare(answer_does_not_fit()))).await
            }
            Err(refusal) => self.refused(job, fence, &connection.channel, refusal).await,
        }
    }

    /// The one call of a claim; none where its lease ran out before the answer was there.
    async fn ask(&self, claim: &Claim, connection: &Connection, call: &Call) -> Option<Result<Answered, Refusal>> {
        reach_with(Point::Calling, call).await;
        claim.use_permit();
        let called = Instant::now();
        let answer = tokio::select! {
            biased;
            () = claim.lost() => None,
            answer = self.gateways.call(connection, call) => Some(answer),
        };
        if let Some(Ok(_)) = &answer {
            self.punctuality.note_answer(claim, &connection.channel, call, called.elapsed());
        }
        reach(Point::Called).await;
        answer.filter(|_| claim.holds_lease())
    }

    /// A job that nobody here can read has failed its attempt.
    async fn unreadable(&self, claim: &Claim, job: &UnreadableJob) -> Result<Ruling, Arc<Error>> {
        if job.sync != claim.sync {
            return Ok(Ruling::Done);
        }
        if claim.attempt <= job.attempts {
            return Ok(Ruling::Delay { due: clock::now() });
        }
        tracing::error!(job = job.id, sync = %job.sync, cause = job.cause, "a job cannot be read");
        let fence = fence(claim, job.steps_done);
        let failure = Failure::new(UNREADABLE, job.cause.as_str());
        let outcome = after_failure(failure, claim.attempt, job.attempt_limit, &self.retry, clock::now());
        let due = if let Outcome::Retry { due, .. } = &outcome { Some(*due) } else { None };
        let (recorded, notices) = offered(|| self.store.settle_unreadable(job, fence, due)).await?;
        count_settled(recorded, outcome_name(&outcome));
        Ok(self.ruled(fence, recorded, &notices).await)
    }

    async fn refused(&self, job: Job, fence: Fence, channel: &Channel, refusal: Refusal) -> Result<Ruling, Arc<Error>> {
        match judge(refusal, fence.attempt, job.attempt_limit, &self.retry, clock::now()) {
            Verdict::Settle(outcome) => self.settle(job, fence, Reading::bare(outcome)).await,
            Verdict::Rest(Rest::Pause(pause)) => self.pause(job, fence, pause).await,
            Verdict::Rest(rest) => {
                rest::note(&self.store, channel, &rest);
                Ok(Ruling::Rest(rest))
            }
        }
    }

    /// The channel stands still, unless somebody changed it since the job was loaded: then the job just tries again. One that
    /// stood still already does so in the queue as well from now on. A job that finds the session lost each time, although it is
    /// there when somebody looks, has failed its attempt.
    async fn pause(&self, job: Job, fence: Fence, pause: Pause) -> Result<Ruling, Arc<Error>> {
        let by_session = pause.by == PausedBy::Session;
        if by_session && answered(self.store.has_lost_session(job.channel, job.id)).await? {
            return self.fail(job, fence, Failure::new("session_lost", pause.reason)).await;
        }
        if rest::pause(&self.store, &self.queue, job.channel, job.channel_version, &pause, Some(job.id)).await? {
            return Ok(Ruling::Rest(Rest::Pause(pause)));
        }
        let stands = answered(self.store.channel(job.channel)).await?.paused;
        Ok(stands.map_or(Ruling::Back, |pause| Ruling::Rest(Rest::Pause(pause))))
    }

    /// The attempt has failed; there may be another one.
    async fn fail(&self, job: Job, fence: Fence, failure: Failure) -> Result<Ruling, Arc<Error>> {
        let outcome = after_failure(failure, fence.attempt, job.attempt_limit, &self.retry, clock::now());
        self.settle(job, fence, Reading::bare(outcome)).await
    }

    async fn settle(&self, job: Job, fence: Fence, reading: Reading) -> Result<Ruling, Arc<Error>> {
        let Reading { outcome, address, messages, left_out, learned } = reading;
        let name = outcome_name(&outcome);
        let settlement = Settlement { job, fence, outcome, address, messages, left_out, learned };
        reach(Point::Judged).await;
        let (recorded, notices) = self.ledger.settle(settlement).await?;
        reach(Point::Settled).await;
        count_settled(recorded, name);
        Ok(self.ruled(fence, recorded, &notices).await)
    }

    /// What the queue is told of what the ledger has.
    async fn ruled(&self, fence: Fence, recorded: Recorded, notices: &[Notice]) -> Ruling {
        deliver(&self.store, &self.queue, notices).await;
        match recorded {
            Recorded::Ended | Recorded::Awaiting => Ruling::Done,
            Recorded::Over => {
                metrics::counter!("sincro_late_results_total").increment(1);
                let Fence { job, attempt, .. } = fence;
                tracing::info!(job, attempt, "the job was over when its result came; it changed nothing");
                Ruling::Done
            }
            Recorded::Next => Ruling::Next,
            Recorded::Delayed { due } => Ruling::Delay { due },
            Recorded::Overtaken => {
                metrics::counter!("sincro_late_results_total").increment(1);
                let Fence { job, attempt, .. } = fence;
                tracing::warn!(
                    job,
                    attempt,
                    "the result came after the job had gone on without it; it changed nothing"
                );
                // Ours no longer, as a rule; if it is (the queue is older than the ledger), not at once again.
                Ruling::Snooze { due: clock::now() + OVERTAKEN }
            }
        }
    }
}

/// What a result is fenced by, for a job of which so many steps were done when it was loaded.
const fn fence(claim: &Claim, steps_done: i32) -> Fence {
    Fence { job: claim.job, attempt: claim.attempt, steps_done, epoch: claim.epoch }
}

fn count_settled(recorded: Recorded, outcome: &'static str) {
    if !matches!(recorded, Recorded::Over | Recorded::Overtaken) {
        metrics::counter!("sincro_jobs_settled_total", "outcome" => outcome).increment(1);
    }
}

/// The lease ran out here: what came of the claim is dropped before anybody is asked.
fn late(claim: &Claim) -> Ruling {
    metrics::counter!("sincro_late_results_total").increment(1);
    tracing::warn!(job = claim.job, attempt = claim.attempt, "the result came after the lease had run out; dropped");
    Ruling::Back
}

fn not_built(channel: &Channel) -> Failure {
    Failure::new("provider_not_built", format!("{} is unknown to this version", channel.provider))
}

/// Every attempt was claimed and none came back: the job kills its workers, or they were killed, or nothing could be recorded.
fn no_attempt_returned() -> Outcome {
    let detail = "no attempt came back: each worker that had the job stopped, or panicked, or could not settle it";
    Outcome::Ended(Ending::Failed(Failure::new("worker_lost", detail)))
}

/// A provider's room gave an answer to another call than it was asked: a bug of ours, named as such.
fn answer_does_not_fit() -> Outcome {
    Outcome::Ended(Ending::Failed(Failure::new("internal", "the provider's answer does not fit the job's step")))
}

const fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ended(Ending::Succeeded | Ending::Partial(_)) => "succeeded",
        Outcome::Ended(Ending::Empty | Ending::Nothing(..)) => "empty",
        Outcome::Ended(Ending::Skipped(_)) => "skipped",
        Outcome::Ended(Ending::Failed(_)) => "failed",
        Outcome::Next(_) => "next_step",
        Outcome::Await(_) => "awaiting",
        Outcome::Retry { .. } => "retry",
    }
}

pub(crate) fn describe_metrics() {
    metrics::describe_counter!("sincro_jobs_settled_total", "Results recorded in the ledger, by outcome");
    metrics::describe_counter!(
        "sincro_moved_permits_total",
        "Permits moved to the present because the way to the call took longer than usual"
    );
    metrics::describe_counter!(
        "sincro_stale_permits_total",
        "Very late calls not made: there was no room for them any more, or the queue did not say that there was"
    );
    metrics::describe_counter!("sincro_late_results_total", "Results that came too late and changed nothing");
    metrics::describe_counter!(
        "sincro_media_bytes_total",
        metrics::Unit::Bytes,
        "Bytes of files that were put into their place"
    );
}
