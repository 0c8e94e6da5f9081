//! One message that is brought back: asked for once, when it is its turn, then looked for a few times, each later than the one before.
//!
//! That it is not there yet is no failure. Should a webhook bring it meanwhile, that counts as well.

use std::sync::Arc;

use chrono::TimeDelta;
use sincro_core::{
    awaiting::{Awaits, Completion},
    channel::Connection,
    clock,
    gateway::{Answer, Call, Refusal, Restored},
    job::{Await, Ending, Job, NothingReason, Outcome, Step},
};
use sincro_providers::Answered;
use sincro_queue::{Claim, Ruling};
use sincro_store::{
    Error,
    requests::{Leave, Request, RequestEnd},
    settle::Fence,
};
use uuid::Uuid;

use super::{Executor, Reading, answer_does_not_fit, fence, late};
use crate::patience::{answered, offered};

impl Executor {
    /// Asks for the message, or looks for it.
    pub(super) async fn restore(&self, claim: &Claim, job: Job, connection: &Connection) -> Result<Ruling, Arc<Error>> {
        let fence = fence(claim, job.steps_done);
        let request = Request { awaits: Awaits::Reread, rule: Completion::Answer, once: None, token: Uuid::now_v7() };
        match offered(|| self.store.begin_request(&job, fence, request, &self.waits.pace)).await? {
            Err(recorded) => return Ok(self.ruled(fence, recorded, &[]).await),
            Ok(Leave::Go) => {}
            Ok(_) => {
                let turn = self.waiting(&job, Awaits::Turn, Completion::Answer);
                return self.settle(job, fence, Reading::bare(turn)).await;
            }
        }
        let not_asked =
            async |why: &str| offered(|| self.store.end_request(&job, request.token, RequestEnd::Refused, why)).await;
        if !self.punctuality.admits(claim, &self.queue).await {
            not_asked("not sent: it was too late for its permit").await?;
            return Ok(Ruling::Back);
        }
        let Some(call) = Call::for_step(&job.step, job.messages_wanted, job.window_from) else {
            return self.settle(job, fence, Reading::bare(answer_does_not_fit())).await;
        };
        let Some(answer) = self.ask(claim, connection, &call).await else { return Ok(late(claim)) };
        match answer {
            Ok(Answered::Whole(Answer::Message(Some(found)), _held)) => self.restored(&job, fence, &found).await,
            Ok(Answered::Whole(Answer::Message(None), _)) => self.missing(job, fence).await,
            Ok(_) => self.settle(job, fence, Reading::bare(answer_does_not_fit())).await,
            Err(refusal) => {
                // The phone may have been asked where no answer came.
                if !matches!(refusal, Refusal::Transient { .. }) {
                    not_asked(&refusal.to_string()).await?;
                }
                self.refused(job, fence, &connection.channel, refusal).await
            }
        }
    }

    async fn restored(&self, job: &Job, fence: Fence, found: &Restored) -> Result<Ruling, Arc<Error>> {
        tracing::debug!(channel = %job.channel, job = job.id, "a message is back");
        let (recorded, notices) = offered(|| self.store.settle_restored(job, fence, found)).await?;
        Ok(self.ruled(fence, recorded, &notices).await)
    }

    /// It is not there: looked for later, until that was done often enough.
    async fn missing(&self, job: Job, fence: Fence) -> Result<Ruling, Arc<Error>> {
        let Step::Restore { message_id, reads } = &job.step else {
            return self.settle(job, fence, Reading::bare(answer_does_not_fit())).await;
        };
        let outcome = match self.waits.rereads.get(usize::from(*reads)) {
            // A webhook may have brought it.
            None if answered(self.store.has_message(job.channel, message_id)).await? => {
                Outcome::Ended(Ending::Succeeded)
            }
            None => Outcome::Ended(Ending::Nothing(NothingReason::Unrecovered, None)),
            Some(wait) => Outcome::Await(Await {
                awaits: Awaits::Reread,
                rule: Completion::Answer,
                until: clock::now() + TimeDelta::from_std(*wait).unwrap_or_default(),
                uncertain: false,
                step: Step::Restore { message_id: message_id.clone(), reads: reads + 1 },
            }),
        };
        self.settle(job, fence, Reading::bare(outcome)).await
    }
}
