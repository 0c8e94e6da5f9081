//! Tasks that stop at the points of `sincro_core::drill`, and are let go one at a time.
//!
//! While a task moves, everybody else stands at a point or waits for it. So nothing depends on how fast the servers
//! answer, and the same choices give the same history.

use std::{
    cell::Cell,
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use chrono::{DateTime, Utc};
use sincro_core::{
    clock,
    drill::{self, Point},
};
use sincro_queue::Ruling;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

/// The number of a task.
pub(crate) type Unit = u32;

/// What a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CameTo {
    /// A claimed job was executed.
    Ruling(Ruling),
    /// A janitor or a messenger is through, and says what it did.
    Said(String),
}

/// What is heard of a task that was let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// It stands at a point.
    Held(Point),
    /// It stands within a transaction and goes nowhere from there: its process is to be killed now.
    Cut(Point),
    /// It is through.
    Ended(CameTo),
    /// It ended without a result.
    Panicked,
}

/// Where tasks wait for their turn.
pub(crate) struct Stage {
    shared: Arc<Shared>,
    news: mpsc::UnboundedReceiver<(Unit, News)>,
}

struct Shared {
    waiting: Mutex<HashMap<Unit, oneshot::Sender<()>>>,
    news: mpsc::UnboundedSender<(Unit, News)>,
    /// Passages of points within transactions until one of them is the last.
    cut_after: Mutex<Option<u8>>,
}

#[derive(Clone, Copy)]
struct Mover {
    unit: Unit,
    /// It works for several tasks of a worker and must not be held while they wait for it.
    serves: bool,
}

thread_local! {
    static MOVES: Cell<Option<Mover>> = const { Cell::new(None) };
}

/// Others would wait for the locks of whoever is held there.
const fn is_within_a_transaction(point: Point) -> bool {
    matches!(point, Point::Planning | Point::Settling)
}

impl Stage {
    /// Puts its gate before all points of this thread.
    pub(crate) fn open() -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { waiting: Mutex::default(), news: sender, cut_after: Mutex::default() });
        let gate = Arc::clone(&shared);
        drill::hold(Some(Arc::new(move |point| {
            let shared = Arc::clone(&gate);
            // Who is not on the stage (the scheduler itself) passes.
            let mover = MOVES.get();
            Box::pin(async move {
                if let Some(mover) = mover {
                    shared.stop(mover, point).await;
                }
            })
        })));
        Self { shared, news }
    }

    /// Puts a task on the stage, which begins when it is let go. Its clock is wrong by so much.
    pub(crate) fn enter(
        &self,
        unit: Unit,
        skew_us: i64,
        task: impl Future<Output = CameTo> + Send + 'static,
    ) -> AbortHandle {
        let (go, gone) = oneshot::channel();
        lock(&self.shared.waiting).insert(unit, go);
        let mut bell = Bell { unit, shared: Arc::clone(&self.shared), rung: false };
        let task = async move {
            let _ = gone.await;
            let came_to = task.await;
            bell.ring(News::Ended(came_to));
        };
        let mover = Mover { unit, serves: false };
        tokio::spawn(OnStage { mover, skew_us, task: Box::pin(task) }).abort_handle()
    }

    /// Puts a task on the stage that goes on whenever another one needs it.
    pub(crate) fn enter_serving(
        unit: Unit,
        skew_us: i64,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let mover = Mover { unit, serves: true };
        tokio::spawn(OnStage { mover, skew_us, task: Box::pin(task) }).abort_handle()
    }

    /// Lets these go to their next points, and says where each of them is then; the one that is cut, alone. They are cut
    /// at the `cut_after`-th point within a transaction (from 0), if they come that far.
    pub(crate) async fn let_go(&mut self, units: &[Unit], cut_after: Option<u8>) -> Vec<(Unit, News)> {
        // What was heard since is of tasks that were killed.
        while self.news.try_recv().is_ok() {}
        *lock(&self.shared.cut_after) = cut_after;
        for unit in units {
            if let Some(go) = lock(&self.shared.waiting).remove(unit) {
                let _ = go.send(());
            }
        }
        let mut heard = Vec::with_capacity(units.len());
        while heard.len() < units.len() {
            // The gate holds a sender, so there is always more to come.
            let Some((unit, news)) = self.news.recv().await else { break };
            if matches!(news, News::Cut(_)) {
                return vec![(unit, news)];
            }
            if units.contains(&unit) {
                heard.push((unit, news));
            }
        }
        *lock(&self.shared.cut_after) = None;
        heard.sort_by_key(|(unit, _)| *unit);
        heard
    }

    /// Who stands somewhere.
    pub(crate) fn waiting(&self) -> Vec<Unit> {
        let mut waiting: Vec<Unit> = lock(&self.shared.waiting).keys().copied().collect();
        waiting.sort_unstable();
        waiting
    }

    pub(crate) fn forget(&self, unit: Unit) {
        lock(&self.shared.waiting).remove(&unit);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drill::hold(None);
        clock::stop_thread(None);
        clock::set_thread(0);
    }
}

impl Shared {
    async fn stop(&self, mover: Mover, point: Point) {
        if mover.serves || is_within_a_transaction(point) {
            if self.cuts() {
                let _ = self.news.send((mover.unit, News::Cut(point)));
                std::future::pending::<()>().await;
            }
            return;
        }
        let (go, gone) = oneshot::channel();
        lock(&self.waiting).insert(mover.unit, go);
        let _ = self.news.send((mover.unit, News::Held(point)));
        let _ = gone.await;
    }

    fn cuts(&self) -> bool {
        let mut left = lock(&self.cut_after);
        let cuts = *left == Some(0);
        *left = left.and_then(|left| left.checked_sub(1));
        cuts
    }
}

/// Says how a task ended, also when it panicked.
struct Bell {
    unit: Unit,
    shared: Arc<Shared>,
    rung: bool,
}

impl Bell {
    fn ring(&mut self, news: News) {
        self.rung = true;
        let _ = self.shared.news.send((self.unit, news));
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if !self.rung {
            self.ring(News::Panicked);
        }
    }
}

/// While it is polled, points know who reaches them, and the clock is that of its machine.
struct OnStage {
    mover: Mover,
    skew_us: i64,
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for OnStage {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        MOVES.set(Some(self.mover));
        clock::set_thread(self.skew_us);
        let poll = self.task.as_mut().poll(cx);
        clock::set_thread(0);
        MOVES.set(None);
        poll
    }
}

/// The clock of this thread stands still at that time.
pub(crate) fn set_clock(at_us: i64) {
    clock::stop_thread(DateTime::<Utc>::from_timestamp_micros(at_us));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
