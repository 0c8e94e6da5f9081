//! The plan job: a contact list is kept piece by piece, then its jobs are written piece by piece.
//!
//! A crash while the list is read costs the reading; from then on the gateway is not asked again, and a crash costs the
//! piece that was at work. Planning is no call: its claim gives its permit back, and its slot after a while.

use std::{sync::Arc, time::Duration};

use sincro_core::{
    channel::Channel,
    drill::{Point, reach},
    job::{Failure, Job},
};
use sincro_providers::{ContactList, capabilities};
use sincro_queue::{Claim, Ruling};
use sincro_store::{
    Error,
    settle::{Fence, Recorded},
};
use tokio::time::Instant;

use super::{Executor, fence};
use crate::patience::offered;

/// For so long a claim plans before others of its channel get their turn.
const AT_ONCE: Duration = Duration::from_secs(5);

impl Executor {
    /// Keeps what the gateway has listed, and goes on to plan it.
    pub(super) async fn keep_list(
        &self,
        claim: &Claim,
        mut job: Job,
        channel: &Channel,
        list: ContactList,
    ) -> Result<Ruling, Arc<Error>> {
        if list.left_out > 0 {
            tracing::info!(sync = %job.sync, left_out = list.left_out, "records of the contact list that are no persons");
        }
        let fence = fence(claim, job.steps_done);
        if let Err(refused) = offered(|| self.store.begin_listing(&job, fence)).await? {
            return Ok(self.ruled(fence, refused, &[]).await);
        }
        let next = list.next.clone();
        let mut pieces = list.pieces();
        for place in 0.. {
            let piece = match pieces.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(refusal) => return self.refused(job, fence, channel, refusal).await,
            };
            if !claim.holds_lease() {
                return Ok(super::late(claim));
            }
            match offered(|| self.store.keep_piece(&job, fence, place, &piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => return Ok(self.ruled(fence, refused, &[]).await),
                Err(error) => return self.unplanned(job, fence, error).await,
            }
        }
        match offered(|| self.store.end_listing(&job, fence, next.clone())).await? {
            Ok(step) => job.step = step,
            Err(refused) => return Ok(self.ruled(fence, refused, &[]).await),
        }
        job.steps_done += 1;
        self.plan_kept(claim, job, channel).await
    }

    /// Plans what is kept, each piece in a transaction of its own.
    pub(super) async fn plan_kept(&self, claim: &Claim, mut job: Job, channel: &Channel) -> Result<Ruling, Arc<Error>> {
        let enough = Instant::now() + AT_ONCE;
        let Some(capabilities) = capabilities(channel.provider) else {
            // A newer version knows it, and may run beside this one.
            let fence = fence(claim, job.steps_done);
            return self.fail(job, fence, super::not_built(channel)).await;
        };
        loop {
            if !claim.holds_lease() {
                return Ok(super::late(claim));
            }
            let fence = fence(claim, job.steps_done);
            let plan = || self.store.plan_piece(&job, fence, capabilities, self.retry.max_attempts);
            let planned = match offered(plan).await {
                Ok(planned) => planned,
                Err(error) => return self.unplanned(job, fence, error).await,
            };
            reach(Point::Planned).await;
            let ruling = self.ruled(fence, planned.recorded, &planned.notices).await;
            match planned.step {
                Some(step) if step.is_listed() && planned.recorded == Recorded::Next && Instant::now() < enough => {
                    job = Job { step, steps_done: job.steps_done + 1, ..job };
                }
                _ => return Ok(ruling),
            }
        }
    }

    /// What the database cannot take fails the attempt; where it is away, the job goes back unharmed.
    async fn unplanned(&self, job: Job, fence: Fence, error: Error) -> Result<Ruling, Arc<Error>> {
        let Error::Unreadable(cause) = error else { return Err(error.into()) };
        let failure = Failure::new("unstorable", format!("the contact list cannot be stored: {cause}"));
        self.fail(job, fence, failure).await
    }
}
