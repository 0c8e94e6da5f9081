//! The seam to apalis: jobs in, rulings out.
//!
//! apalis polls [`ClaimBackend`] for tasks and wraps every handler in [`RulingLayer`]. Both only pass things on to and
//! from the driver, which alone talks to Redis: neither a full worker nor a slow handler can hold it up.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    error::BoxDynError,
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use sincro_core::{clock, job::JobId, retry::RetryPolicy};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use crate::{
    settle::Ruling,
    worker::lease::{Claim, HoldKey},
};

/// What a handler came to, on its way to the driver.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) key: HoldKey,
    pub(super) ruling: Ruling,
}

/// Where apalis gets its tasks from.
pub(super) struct ClaimBackend {
    pub(super) claims: UnboundedReceiver<Claim>,
    pub(super) outcomes: UnboundedSender<Outcome>,
    pub(super) retry: RetryPolicy,
    pub(super) stop: CancellationToken,
}

impl Backend for ClaimBackend {
    type Task = Task<Claim>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Ends when the worker is to stop or the driver has ended; what is not started then is handed back at once.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        if !self.stop.is_cancelled() {
            match self.claims.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(claim)) => return Poll::Ready(Some(Ok(task(claim)))),
                Poll::Ready(None) => {}
            }
        }
        self.claims.close();
        while let Ok(Claim { key, .. }) = self.claims.try_recv() {
            let _ = self.outcomes.send(Outcome { key, ruling: Ruling::Back });
        }
        // Without this apalis would wait for a stop signal for ever; it can only say "not started", which cannot be.
        let _ = worker.stop();
        Poll::Ready(None)
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for ClaimBackend {
    type Args = Claim;
    type Id = JobId;
    type Kind = Ephemeral;
    type Config = RetryPolicy;
    type Layer = RulingLayer;

    fn config(&self) -> &RetryPolicy {
        &self.retry
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> RulingLayer {
        RulingLayer { outcomes: self.outcomes.clone(), retry: Arc::new(self.retry) }
    }
}

fn task(claim: Claim) -> Task<Claim> {
    // The ticket keeps two claims of one job apart should a worker hold both.
    let id = TaskId::from_string(format!("{}@{}", claim.job, claim.key.ticket));
    let attempts_before = usize::try_from(claim.attempt - 1).unwrap_or(0);
    TaskBuilder::new(claim).task_id(id).attempt(attempts_before).build()
}

/// Tells the driver what every handler came to.
#[derive(Clone)]
pub(super) struct RulingLayer {
    outcomes: UnboundedSender<Outcome>,
    retry: Arc<RetryPolicy>,
}

impl<S> Layer<S> for RulingLayer {
    type Service = RulingService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RulingService { inner, layer: self.clone() }
    }
}

#[derive(Clone)]
pub(super) struct RulingService<S> {
    inner: S,
    layer: RulingLayer,
}

impl<S> Service<Task<Claim>> for RulingService<S>
where
    S: Service<Task<Claim>, Response = Ruling>,
    S::Future: Send + 'static,
    S::Error: Into<BoxDynError>,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxDynError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    /// Dropped before its end, the future says nothing: the driver hands the job back.
    fn call(&mut self, task: Task<Claim>) -> Self::Future {
        let RulingLayer { outcomes, retry } = self.layer.clone();
        let claim = task.args.clone();
        let handled = self.inner.call(task);
        Box::pin(async move {
            let ruling = handled.await.unwrap_or_else(|error| after_panic(&claim, error.into().as_ref(), &retry));
            // The driver outlives the worker.
            let _ = outcomes.send(Outcome { key: claim.key, ruling });
            Ok(())
        })
    }
}

/// Handlers return rulings and no errors, so an error is a panic: the attempt failed.
fn after_panic(claim: &Claim, error: &(dyn std::error::Error + Send + Sync), retry: &RetryPolicy) -> Ruling {
    let Claim { job, attempt, sync, channel, .. } = claim;
    tracing::error!(job, attempt, %sync, %channel, %error, "the handler panicked; the attempt failed");
    Ruling::Delay { due: clock::now() + retry.delay_after(u32::try_from(*attempt).unwrap_or(1)) }
}
