//! Many callers, one call: whoever asks while a call is under way shares the next one.
//!
//! Under load the batches grow by themselves, and then a moment is waited for more; whoever comes alone is answered at once.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// The work of a [`Batcher`], to be spawned beside its callers. Ends when the last batcher is dropped.
pub(crate) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// After a batch of so many the next one will be of many as well.
const MANY: usize = 32;
/// Unless so much time has passed.
const QUIET: Duration = Duration::from_millis(100);

/// What is waited for before a batch is answered, if the one before it was of many: each costs much more than each request in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gathering {
    /// So many requests at the most.
    pub(crate) enough: usize,
    /// No longer than this.
    pub(crate) within: Duration,
}

impl Gathering {
    /// Whoever is there.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { enough: 0, within: Duration::ZERO };
}

/// A place to put single requests that are answered in batches.
#[derive(Debug)]
pub(crate) struct Batcher<I, O> {
    requests: mpsc::Sender<(I, oneshot::Sender<O>)>,
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// `call` answers a batch of at most `most` requests with one answer each, in the same order.
    pub(crate) fn new<F, Fut>(most: usize, gathering: Gathering, call: F) -> (Self, Serving)
    where
        F: Fn(Vec<I>) -> Fut + Send + 'static,
        Fut: Future<Output = Vec<O>> + Send,
    {
        let (requests, mut waiting) = mpsc::channel::<(I, oneshot::Sender<O>)>(most.max(1) * 4);
        let serving = async move {
            let mut batch = Vec::with_capacity(most);
            let mut last = 0;
            loop {
                let idle_since = Instant::now();
                if waiting.recv_many(&mut batch, most).await == 0 {
                    return;
                }
                if last >= MANY && idle_since.elapsed() < QUIET {
                    // No more than twice as many: there may be no more.
                    let enough = gathering.enough.min(2 * last).min(most);
                    gather(&mut waiting, &mut batch, enough, gathering.within).await;
                }
                last = batch.len();
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

/// Takes in who comes while there is time, until there are enough.
async fn gather<T>(waiting: &mut mpsc::Receiver<T>, batch: &mut Vec<T>, enough: usize, within: Duration) {
    let over = tokio::time::sleep(within);
    tokio::pin!(over);
    while batch.len() < enough {
        tokio::select! {
            biased;
            received = waiting.recv_many(batch, enough - batch.len()) => if received == 0 { return },
            () = &mut over => return,
        }
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
        let (batcher, serving) = Batcher::new(100, Gathering::NONE, move |batch: Vec<u32>| {
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

    #[tokio::test(start_paused = true)]
    async fn a_moment_is_waited_for_more_after_a_batch_of_many_and_only_then() {
        let within = Duration::from_millis(10);
        let (sizes, mut seen) = mpsc::unbounded_channel();
        let (batcher, serving) = Batcher::new(100, Gathering { enough: 60, within }, move |batch: Vec<usize>| {
            sizes.send(batch.len()).unwrap();
            async move { batch }
        });
        let serving = tokio::spawn(serving);
        let batcher = Arc::new(batcher);
        let ask = |n| {
            let batcher = batcher.clone();
            tokio::spawn(async move { batcher.ask(n).await })
        };
        let ask_all = |of: usize| futures::future::join_all((0..of).map(ask));
        let begun = Instant::now();

        ask_all(MANY).await;
        assert_eq!(
            (seen.recv().await, begun.elapsed()),
            (Some(MANY), Duration::ZERO),
            "nobody knew that many would come"
        );
        ask_all(2).await;
        assert_eq!((seen.recv().await, begun.elapsed()), (Some(2), within), "after many, the first waits for others");
        ask_all(1).await;
        assert_eq!((seen.recv().await, begun.elapsed()), (Some(1), within), "after a few, nobody waits");
        ask_all(MANY).await;
        ask_all(60).await;
        assert_eq!((seen.recv().await, seen.recv().await), (Some(MANY), Some(60)));
        assert_eq!(begun.elapsed(), within, "enough are enough");
        tokio::time::advance(QUIET).await;
        ask_all(1).await;
        assert_eq!((seen.recv().await, begun.elapsed()), (Some(1), within + QUIET), "after a quiet time, nobody waits");
        drop(batcher);
        serving.await.unwrap();
    }
}
