//! Requests that are answered by webhook: looked at beforehand, written down, made once, and waited for.
//!
//! The order protects the one thing that cannot be had again: what must not be made twice is in the ledger before it is made. A
//! worker that dies after that leaves a request that may have been made; whoever gets the job next waits for what comes of it, and
//! makes no second one.

use std::sync::Arc;

use chrono::TimeDelta;
use sincro_core::{
    awaiting::{Awaits, Completion},
    channel::{Channel, Connection},
    clock,
    drill::{Point, reach},
    gateway::{Answer, Call, Refusal, Session},
    job::{Await, Ending, Failure, Job, Outcome, SkipReason, Step},
    once::Hindrance,
    plan::{TOP_UP_AT_ONCE, behind},
    provider::{Capabilities, OneShot},
    verdict::after_failure,
};
use sincro_providers::Answered;
use sincro_queue::{Claim, Ruling};
use sincro_store::{
    Error,
    requests::{Leave, Request, RequestEnd, made_once},
    settle::Fence,
};
use uuid::Uuid;

use super::{Executor, Reading, answer_does_not_fit, fence, late};
use crate::patience::{answered, offered};

impl Executor {
    /// A number that can be asked for everything is asked; one without a session is paused.
    pub(super) async fn prepared(
        &self,
        job: Job,
        fence: Fence,
        channel: &Channel,
        capabilities: Capabilities,
        session: &Session,
    ) -> Result<Ruling, Arc<Error>> {
        if !(session.connected && session.logged_in) {
            let what = if session.connected { "not logged in" } else { "not connected" };
            let detail = format!("status: {what}; nothing is asked for before it is");
            return self.refused(job, fence, channel, Refusal::SessionLost { detail }).await;
        }
        let outcome = behind(&job.step, capabilities).map_or_else(answer_does_not_fit, Outcome::Next);
        self.settle(job, fence, Reading::bare(outcome)).await
    }

    /// Makes the request of a step, unless it was made, or must not be made now.
    pub(super) async fn request(
        &self,
        claim: &Claim,
        job: Job,
        connection: &Connection,
        capabilities: Capabilities,
    ) -> Result<Ruling, Arc<Error>> {
        let fence = fence(claim, job.steps_done);
        let once = capabilities.one_shot.and_then(|_| made_once(&job.step));
        if let Some(call) = once
            && let Some(one_shot) = capabilities.one_shot
            // What was made is waited for, whatever keeps another one from being made.
            && answered(self.store.earlier_request(&job, call)).await?.is_none()
            && let Some(outcome) = self.hindered(&job, fence, &connection.channel, one_shot).await?
        {
            return self.settle(job, fence, Reading::bare(outcome)).await;
        }
        let Some(call) = self.request_of(&job, capabilities.anchors_incoming).await? else {
            return self.settle(job, fence, Reading::bare(Outcome::Ended(Ending::Skipped(SkipReason::NoAnchor)))).await;
        };
        let rule = if job.contact.is_some() { Completion::Reply } else { capabilities.completion };
        let request = Request { awaits: Awaits::Delivery, rule, once, token: Uuid::now_v7() };
        let outcome = match offered(|| self.store.begin_request(&job, fence, request, &self.waits.pace)).await? {
            Err(recorded) => return Ok(self.ruled(fence, recorded, &[]).await),
            Ok(Leave::Go) => return self.make(claim, job, fence, connection, &call, request).await,
            Ok(Leave::NotYet) => self.waiting(&job, Awaits::Turn, rule),
            Ok(Leave::Made { surely }) => self.accepted(&job, rule, !surely),
            // Contacts were asked for before: history can be asked for all the same.
            Ok(Leave::Spent { .. }) if job.step == Step::RequestContacts => Outcome::Next(Step::RequestHistory),
            // Phones can be asked for more all the same.
            Ok(Leave::Spent { accepted: true, .. }) if capabilities.top_up => {
                self.waiting(&job, Awaits::Delivery, Completion::Answer)
            }
            Ok(Leave::Spent { at, state, .. }) => Outcome::Ended(Ending::Failed(spent(at, &state))),
        };
        self.settle(job, fence, Reading::bare(outcome)).await
    }

    async fn make(
        &self,
        claim: &Claim,
        job: Job,
        fence: Fence,
        connection: &Connection,
        call: &Call,
        request: Request,
    ) -> Result<Ruling, Arc<Error>> {
        let Request { rule, once, token, .. } = request;
        reach(Point::Attempting).await;
        if !self.punctuality.admits(claim, &self.queue).await {
            let why = "not sent: it was too late for its permit";
            offered(|| self.store.end_request(&job, token, RequestEnd::Refused, why)).await?;
            return Ok(Ruling::Back);
        }
        let Some(answer) = self.ask(claim, connection, call).await else { return Ok(late(claim)) };
        match answer {
            Ok(Answered::Whole(Answer::Accepted(told), _)) => {
                offered(|| self.store.end_request(&job, token, RequestEnd::Accepted, &told)).await?;
                let outcome = self.accepted(&job, rule, false);
                self.settle(job, fence, Reading::bare(outcome)).await
            }
            Ok(_) => {
                offered(|| self.store.end_request(&job, token, RequestEnd::Unknown, "an answer to another call"))
                    .await?;
                self.settle(job, fence, Reading::bare(answer_does_not_fit())).await
            }
            Err(refusal) => {
                // Nobody knows whether a request was taken whose answer did not come.
                let unknown = once.is_some() && matches!(refusal, Refusal::Transient { .. });
                let is_kept = unknown || may_be_taken(&job.step, &refusal);
                let end = if is_kept { RequestEnd::Unknown } else { RequestEnd::Refused };
                let told = refusal.to_string();
                offered(|| self.store.end_request(&job, token, end, &told)).await?;
                if unknown {
                    tracing::warn!(job = job.id, %refusal, "nobody knows whether the gateway took a request that is made once");
                    let outcome = self.accepted(&job, rule, true);
                    return self.settle(job, fence, Reading::bare(outcome)).await;
                }
                if once.is_none() && may_be_taken(&job.step, &refusal) {
                    // Not made again within minutes: what comes of it may come yet.
                    tracing::warn!(job = job.id, %refusal, "nobody knows whether the gateway took a request; what comes of it is waited for");
                    let outcome = self.accepted(&job, rule, false);
                    return self.settle(job, fence, Reading::bare(outcome)).await;
                }
                if job.step == Step::RequestContacts
                    && matches!(refusal, Refusal::Permanent { code: "already_requested", .. })
                {
                    tracing::warn!(job = job.id, %refusal, "contacts were asked for before; history is asked for all the same");
                    return self.settle(job, fence, Reading::bare(Outcome::Next(Step::RequestHistory))).await;
                }
                self.refused(job, fence, &connection.channel, refusal).await
            }
        }
    }

    /// The call of a request; none where there is nothing to begin from.
    async fn request_of(&self, job: &Job, incoming: bool) -> Result<Option<Call>, Error> {
        let Step::TopUp { address } = &job.step else {
            return Ok(Call::for_step(&job.step, job.messages_wanted, job.window_from));
        };
        let Some(anchor) = answered(self.store.anchor(job, incoming)).await? else { return Ok(None) };
        let count = job.messages_wanted.min(TOP_UP_AT_ONCE);
        Ok(Some(Call::TopUp { address: address.clone(), anchor, count }))
    }

    /// What a job is once its request was taken, as far as anybody knows.
    fn accepted(&self, job: &Job, rule: Completion, uncertain: bool) -> Outcome {
        if job.step == Step::RequestContacts {
            return Outcome::Next(Step::RequestHistory);
        }
        let Outcome::Await(wait) = self.waiting(job, Awaits::Delivery, rule) else { return answer_does_not_fit() };
        Outcome::Await(Await { uncertain, ..wait })
    }

    pub(super) fn waiting(&self, job: &Job, awaits: Awaits, rule: Completion) -> Outcome {
        let longest = match awaits {
            Awaits::InitialSync => self.waits.initial_sync,
            Awaits::Turn => self.waits.history,
            Awaits::Delivery | Awaits::Reread => self.waits.longest(rule),
        };
        let until = clock::now() + TimeDelta::from_std(longest).unwrap_or(TimeDelta::days(1));
        Outcome::Await(Await { awaits, rule, until, uncertain: false, step: job.step.clone() })
    }

    /// What keeps a request from being made that can be made once: found out before anything is sent.
    async fn hindered(
        &self,
        job: &Job,
        fence: Fence,
        channel: &Channel,
        one_shot: OneShot,
    ) -> Result<Option<Outcome>, Error> {
        let facts = answered(self.store.facts(channel.id)).await?;
        match facts.hindrance(one_shot, clock::now()) {
            Some(Hindrance::InitialSync) => {
                return Ok(Some(self.waiting(job, Awaits::InitialSync, Completion::Quiescence)));
            }
            Some(Hindrance::TooLate(failure)) => return Ok(Some(Outcome::Ended(Ending::Failed(failure)))),
            None => {}
        }
        let url = self.hook_url(channel);
        if let Err(why) = self.gateways.knock(&url).await {
            let detail = format!(
                "nothing was asked for, because what comes would be lost: our own address for webhooks does not answer ({why}); see public_url"
            );
            let failure = Failure::new("receiver_unreachable", detail);
            return Ok(Some(after_failure(failure, fence.attempt, job.attempt_limit, &self.retry, clock::now())));
        }
        Ok(None)
    }

    pub(super) fn hook_url(&self, channel: &Channel) -> String {
        format!("{}/hooks/{}/{}", self.public_url, channel.provider, channel.hook_token)
    }
}

/// Whether a request without an answer may have been taken all the same.
fn may_be_taken(step: &Step, refusal: &Refusal) -> bool {
    match step {
        Step::RequestHistory => {
            matches!(refusal, Refusal::Transient { code: "timeout" | "connection" | "unreadable_answer", .. })
        }
        // What a phone was asked for it may send, and should not be asked for twice.
        Step::TopUp { .. } => matches!(refusal, Refusal::Transient { code: "timeout", .. }),
        _ => false,
    }
}

fn spent(at: chrono::DateTime<chrono::Utc>, state: &str) -> Failure {
    let detail = format!(
        "history was asked for at {} already ({state}), and can be asked for once; onboard the number again, or allow another request",
        at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    );
    Failure::new("already_requested", detail)
}
