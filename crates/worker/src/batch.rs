//! Many callers, one call: whoever asks while a call is under way shares the next one.
//!
//! Under load the batches grow by themselves. Where callers come in swarms, whoever is first waits a moment for the others.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::sync::{mpsc, oneshot};

/// The work of a [`Batcher`], to be spawned beside its callers. Ends when the last batcher is dropped.
pub(crate) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A place to put single requests that are answered in batches.
#[derive(Debug)]
pub(crate) struct Batcher<I, O> {
    requests: mpsc::Sender<(I, oneshot::Sender<O>)>,
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// `call` answers a batch of at most `most` requests with one answer each, in the same order; the first one waits for others as long
    /// as `moment`.
    pub(crate) fn new<F, Fut>(most: usize, moment: Duration, call: F) -> (Self, Serving)
    where
        F: Fn(Vec<I>) -> Fut + Send + 'static,
        Fut: Future<Output = Vec<O>> + Send,
    {
        let (requests, mut waiting) = mpsc::channel::<(I, oneshot::Sender<O>)>(most.max(1) * 4);
        let serving = async move {
            let mut batch = Vec::with_capacity(most);
            while waiting.recv_many(&mut batch, most).await > 0 {
                if !moment.is_zero() {
                    tokio::time::sleep(moment).await;
                    while batch.len() < most
                        && let Ok(another) = waiting.try_recv()
                    {
                        batch.push(another);
                    }
                }
                let (inputs, callers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                for (caller, answer) in callers.into_iter().zip(call(inputs).await) {
                    // A caller that gave up does not need its answer.
                    let _ = caller.send(answer);
                }
            }
        };
        (Self { requests }, Box::pin(serving))
    }

    /// The answer, or none when the serving future has ended.
    pub(crate) async fn ask(&self, request: I) -> Option<O> {
        let (caller, answer) = oneshot::channel();
        self.requests.send((request, caller)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn requests_that_wait_for_a_call_share_the_next_one() {
        let gate = Arc::new(Semaphore::new(0));
        let (sizes, mut seen) = mpsc::unbounded_channel();
        let at_gate = gate.clone();
        let (batcher, serving) = Batcher::new(100, Duration::ZERO, move |batch: Vec<u32>| {
            sizes.send(batch.len()).unwrap();
            let gate = at_gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                batch.into_iter().map(|n| n * 2).collect()
            }
        });
        tokio::spawn(serving);
        let batcher = Arc::new(batcher);
        let ask = |n| {
            tokio::spawn({
                let batcher = batcher.clone();
                async move { batcher.ask(n).await }
            })
        };

        let first = ask(1);
        assert_eq!(seen.recv().await, Some(1));
        let later: Vec<_> = (2..=10).map(ask).collect();
        while batcher.requests.capacity() > batcher.requests.max_capacity() - 9 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Some(2));
        assert_eq!(seen.recv().await, Some(9));
        for (n, answer) in (2..=10).zip(later) {
            assert_eq!(answer.await.unwrap(), Some(n * 2));
        }
    }
}
