//! One message that is brought back: asked for once, then looked for a few times, each later than the one before.
//!
//! That it is not there yet is no failure. Should a webhook bring it meanwhile, that counts as well.

use std::sync::Arc;

use chrono::TimeDelta;
use sincro_core::{
    awaiting::{Awaits, Completion},
    channel::ChannelId,
    clock,
    gateway::Restored,
    job::{Await, Ending, Job, NothingReason, Outcome, Step},
};
use sincro_queue::Ruling;
use sincro_store::{Error, settle::Fence};

use super::{Executor, Reading, answer_does_not_fit};
use crate::patience::{answered, offered};

impl Executor {
    pub(super) async fn restored(
        &self,
        job: Job,
        fence: Fence,
        found: Option<Box<Restored>>,
    ) -> Result<Ruling, Arc<Error>> {
        if let Some(found) = found {
            let channel: ChannelId = job.channel;
            tracing::debug!(%channel, job = job.id, "a message is back");
            let (recorded, notices) = offered(|| self.store.settle_restored(&job, fence, &found)).await?;
            return Ok(self.ruled(fence, recorded, &notices).await);
        }
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
