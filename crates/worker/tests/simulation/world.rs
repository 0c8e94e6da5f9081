//! One history: who is there, what they hold, and what was done so far.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use sincro_core::{channel::ChannelId, drill::Point, job::JobId, notice::Notice, sync::SyncId};
use sincro_queue::{Claim, Queue, steps::Settlement};
use sincro_simulator::Simulator;
use tokio::task::AbortHandle;

use crate::{
    book::Book,
    broken::{Kept, keep},
    crew::Worker,
    draw::{self, Kinds, pick},
    janitors::{HEARD, Janitor},
    place::{Place, Snapshot},
    stage::{CameTo, News, Stage, Unit, set_clock},
};

/// When every history begins (µs).
const BEGINNING: i64 = 1_800_000_000_000_000;
/// The clock goes by this, so that what is later by less than a moment of real time is at no other time for anybody.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// Moves while things go wrong.
const MOVES: usize = 90;
/// Rounds without anything going wrong in which nobody gets a job, until everything has ended.
const IDLE_ROUNDS: usize = 60;
/// After so many rounds in a row in which somebody did, the janitors have a turn all the same.
const BUSY_ROUNDS: usize = 10;

/// A channel of the gateway.
pub(crate) struct ChannelRow {
    pub(crate) id: ChannelId,
    pub(crate) token: String,
}

/// A sync that was asked for.
pub(crate) struct SyncRow {
    pub(crate) id: SyncId,
    pub(crate) channel: usize,
    pub(crate) wanted: u32,
    /// Of everybody on the gateway's list.
    pub(crate) whole: bool,
}

/// What a task is about.
pub(crate) enum Kind {
    Job {
        worker: usize,
        claim: Claim,
    },
    Janitor(Janitor),
    /// Somebody who changed the ledger tells the queue.
    Messenger {
        notice: Notice,
    },
}

/// A task on the stage.
pub(crate) struct Task {
    pub(crate) kind: Kind,
    /// Where it stands; none at its beginning.
    pub(crate) at: Option<Point>,
    /// How many steps of its job were done when it was loaded.
    pub(crate) seen: Option<i32>,
    pub(crate) abort: AbortHandle,
}

/// What is told when it begins.
pub(crate) const PEACE: &str = "nothing goes wrong any more";

pub(crate) struct World<'p> {
    pub(crate) dice: StdRng,
    pub(crate) kinds: Kinds,
    pub(crate) place: &'p Place,
    /// Under the history's clock.
    pub(crate) queue: Queue,
    pub(crate) gateway: Simulator,
    pub(crate) channels: Vec<ChannelRow>,
    pub(crate) syncs: Vec<SyncRow>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) born: u32,
    pub(crate) stage: Stage,
    pub(crate) tasks: BTreeMap<Unit, Task>,
    pub(crate) units: Unit,
    /// Notices that somebody still holds in hand.
    pub(crate) letters: Vec<Notice>,
    /// What was said to the queue, and may be heard there once more.
    pub(crate) said: Vec<Settlement>,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) book: Book,
    /// The janitor that holds the shard's lock, and by which session of the server.
    pub(crate) lock: Option<(Unit, i32)>,
    time: Arc<AtomicI64>,
    steps: Vec<String>,
    loud: bool,
}

impl<'p> World<'p> {
    pub(crate) async fn new(seed: u64, place: &'p Place, kinds: Kinds, loud: bool) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let time = Arc::new(AtomicI64::new(BEGINNING));
        set_clock(BEGINNING);
        let gateway = Simulator::start(draw::gateway(&mut dice)).await.unwrap();
        let mut world = Self {
            dice,
            kinds,
            place,
            queue: place.queue.told(Arc::clone(&time)),
            gateway,
            channels: Vec::new(),
            syncs: Vec::new(),
            workers: Vec::new(),
            born: 0,
            stage: Stage::open(),
            tasks: BTreeMap::new(),
            units: 0,
            letters: Vec::new(),
            said: Vec::new(),
            snapshot: None,
            book: Book::default(),
            lock: None,
            time,
            steps: Vec::new(),
            loud,
        };
        world.settle_in().await;
        world
    }

    /// Things go wrong; then nothing does any more and everything has to end well.
    pub(crate) async fn run(&mut self) -> Kept {
        for _ in 0..MOVES {
            self.step().await?;
        }
        self.make_good().await?;
        self.finish().await?;
        self.audit().await?;
        // What had failed while things went wrong, can be done now. Of two channel syncs, one after the other.
        while self.retry_everything().await? {
            self.finish().await?;
            self.audit().await?;
        }
        self.audit_truth().await?;
        self.book.check_permits()
    }

    /// Everybody works until nothing is left.
    async fn finish(&mut self) -> Kept {
        self.tell(PEACE);
        let (mut idle, mut busy) = (0, 0);
        while idle < IDLE_ROUNDS {
            (idle, busy) = if self.let_everybody_work().await? > 0 { (0, busy + 1) } else { (idle + 1, 0) };
            // A job may come back again and again until the queue hears of something.
            if idle > 0 || busy % BUSY_ROUNDS == 0 {
                self.look_after_everything(idle % 3 == 1).await?;
                if idle > 0 && self.is_over().await? {
                    return Ok(());
                }
            }
            // What rests, waits for its time or belongs to the dead comes after a while.
            let ticks = pick(&mut self.dice, if idle < 3 { &[4] } else { &[20, 80] });
            self.pass(TICK * ticks);
        }
        let left = self.what_is_left().await;
        keep("every_job_ends", false, || left)
    }

    pub(crate) fn now(&self) -> i64 {
        self.time.load(Ordering::Relaxed)
    }

    /// Time passes for everybody.
    pub(crate) fn pass(&mut self, by: Duration) {
        let now = self.now() + i64::try_from(by.as_micros()).unwrap();
        self.time.store(now, Ordering::Relaxed);
        set_clock(now);
        for worker in &self.workers {
            worker.hands.pass(by);
        }
    }

    pub(crate) fn tell(&mut self, what: impl Display) {
        let step = format!("{:>9.3} s  {what}", micros_to_seconds(self.now() - BEGINNING));
        if self.loud {
            println!("  {step}");
        }
        self.steps.push(step);
    }

    /// Lets these tasks go to their next points, and takes note of what they come to.
    pub(crate) async fn let_go(&mut self, units: &[Unit], cut_after: Option<u8>) -> Kept {
        let late = self.late_rows(units).await?;
        let names: Vec<String> = units.iter().map(|unit| self.name_of(*unit)).collect();
        self.tell(format_args!("{} move on", names.join(", ")));
        let heard = self.stage.let_go(units, cut_after).await;
        self.note_lock(units).await;
        for (unit, news) in heard {
            match news {
                News::Held(point) => {
                    self.note_told(unit, point);
                    self.tell(format_args!("  {} is at {point}", self.name_of(unit)));
                    let seen = if point == Point::Calling { self.steps_seen(unit).await? } else { None };
                    if let Some(task) = self.tasks.get_mut(&unit) {
                        task.at = Some(point);
                        task.seen = task.seen.or(seen);
                    }
                }
                News::Cut(point) => {
                    self.note_told(units[0], point);
                    self.tell(format_args!("  cut off at {point}"));
                    self.kill(units[0]).await?;
                }
                News::Ended(came_to) => self.note_end(unit, came_to),
                News::Panicked => {
                    let name = self.name_of(unit);
                    keep("nothing_panics", false, || name)?;
                }
            }
        }
        self.check_unchanged(&late).await
    }

    /// A messenger has told the queue: maybe of the beginning of a sync of whose end it no longer knows.
    fn note_told(&mut self, unit: Unit, point: Point) {
        let Some(Kind::Messenger { notice }) = self.tasks.get(&unit).map(|task| &task.kind) else { return };
        if let (Point::Delivered, Some(lane)) = (point, &notice.lane) {
            self.book.note_told(lane.sync, lane.seq);
        }
    }

    fn note_end(&mut self, unit: Unit, came_to: CameTo) {
        let name = self.name_of(unit);
        let Some(task) = self.tasks.remove(&unit) else { return };
        match (task.kind, came_to) {
            (Kind::Job { worker, claim }, CameTo::Ruling(ruling)) => {
                self.tell(format_args!("  {name} came to {}", draw::word(&ruling)));
                let hands = &self.workers[worker].hands;
                let settlement = hands.settlement(&claim, ruling);
                self.workers[worker].pending.push(settlement);
            }
            (Kind::Messenger { notice }, CameTo::Said(said)) => {
                self.tell(format_args!("  {name}: {said}"));
                if said == HEARD {
                    self.note_heard(&notice);
                }
            }
            (_, CameTo::Said(said)) => self.tell(format_args!("  {name}: {said}")),
            (_, CameTo::Ruling(_)) => {}
        }
    }

    /// Whoever runs this task dies, with all that he had in hand.
    pub(crate) async fn kill(&mut self, unit: Unit) -> Kept {
        match self.tasks.get(&unit).map(|task| &task.kind) {
            Some(Kind::Job { worker, .. }) => {
                let worker = *worker;
                self.crash(worker);
            }
            Some(_) => {
                self.tell(format_args!("{} dies", self.name_of(unit)));
                self.drop_task(unit);
                self.await_free_lock(unit).await;
            }
            None => {}
        }
        Ok(())
    }

    pub(crate) fn drop_task(&mut self, unit: Unit) {
        if let Some(task) = self.tasks.remove(&unit) {
            task.abort.abort();
            self.stage.forget(unit);
        }
    }

    /// Puts a task on the stage.
    pub(crate) fn begin(
        &mut self,
        kind: Kind,
        skew_us: i64,
        task: impl Future<Output = CameTo> + Send + 'static,
    ) -> Unit {
        let unit = self.next_unit();
        let abort = self.stage.enter(unit, skew_us, task);
        self.tasks.insert(unit, Task { kind, at: None, seen: None, abort });
        unit
    }

    pub(crate) fn next_unit(&mut self) -> Unit {
        self.units += 1;
        self.units
    }

    /// Lets a task go until it is through.
    pub(crate) async fn run_to_its_end(&mut self, unit: Unit) -> Kept {
        while self.tasks.contains_key(&unit) {
            self.let_go(&[unit], None).await?;
        }
        Ok(())
    }

    fn name_of(&self, unit: Unit) -> String {
        match self.tasks.get(&unit).map(|task| &task.kind) {
            Some(Kind::Job { worker, claim }) if claim.probe => {
                format!("{}'s look at channel {}", self.workers[*worker].name, self.channel_name(claim.channel))
            }
            Some(Kind::Job { worker, claim }) => {
                format!("{}'s job {}/{}", self.workers[*worker].name, claim.job, claim.attempt)
            }
            Some(Kind::Janitor(janitor)) => format!("{janitor} {unit}"),
            Some(Kind::Messenger { .. }) => format!("messenger {unit}"),
            None => format!("task {unit}"),
        }
    }

    pub(crate) fn channel_index(&self, id: ChannelId) -> Option<usize> {
        self.channels.iter().position(|channel| channel.id == id)
    }

    fn channel_name(&self, id: ChannelId) -> String {
        self.channel_index(id).map_or_else(|| "?".to_owned(), |index| index.to_string())
    }

    pub(crate) fn sync_name(&self, id: SyncId) -> String {
        self.syncs.iter().position(|sync| sync.id == id).map_or_else(|| "?".to_owned(), |index| index.to_string())
    }

    /// For a history that does not go on.
    pub(crate) fn whereabouts(&self) -> String {
        let standing = self.stage.waiting();
        let tasks = self.tasks.iter().map(|(unit, task)| {
            let stands = if standing.contains(unit) { "stands" } else { "moves" };
            format!("{} {stands} behind {:?}", self.name_of(*unit), task.at)
        });
        tasks.collect::<Vec<_>>().join("; ")
    }

    /// The end of the history: its steps.
    pub(crate) fn leave(mut self) -> Vec<String> {
        for worker in &self.workers {
            worker.stop();
        }
        for task in self.tasks.values() {
            task.abort.abort();
        }
        std::mem::take(&mut self.steps)
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn micros_to_seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// Jobs as short as a line allows.
pub(crate) fn list(jobs: &[JobId]) -> String {
    jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
