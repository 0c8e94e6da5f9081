//! Single lanes that the queue has lost, and the slots of what it holds: found, and put back while work goes on.
//!
//! The ledger says which lanes there should be; here is what the queue itself can tell of them.

use std::{sync::LazyLock, time::Duration};

use sincro_core::{
    channel::ChannelId,
    notice::{LaneNotice, Notice},
    sync::SyncId,
};
use uuid::Uuid;

use crate::{
    Error, Queue,
    apply::{CALLS_PER_TRIP, Chunk, chunks, lane_args},
    fields::Fields,
    script::{Call, Script},
};

static INSPECT_SHARD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/inspect_shard.lua")));
static INSPECT_LANES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/inspect_lanes.lua")));
static LIST_LANES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/list_lanes.lua")));
static CLOSE_LANES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/close_lanes.lua")));
static MEND_SLOTS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/mend_slots.lua")));
static PUT_LANE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/put_lane.lua")));

/// Keeps a script short; it takes up to 200.
const LANES_PER_CALL: usize = 100;
/// Of a walk through a set or a hash, and its end.
const FROM_THE_START: &str = "0";
/// Fields of a lane in the answer of `inspect_lanes.lua`.
const ROW: usize = 3;

/// What a shard is, as far as that shows without the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspection {
    /// Without a life, or with that of another Redis server.
    Emptied,
    /// Known only to a newer version.
    Newer,
    /// Alive.
    Open {
        /// Its life.
        epoch: i64,
        /// Lanes are still being put back, or whoever did that is gone.
        restoring: bool,
        /// What is held, its leases and its slots agree.
        whole: bool,
        /// It is time to compare it with the ledger, and the asker is to do it.
        due: bool,
    },
}

/// A lane that the ledger knows to be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLane {
    /// Its sync.
    pub sync: SyncId,
    /// Its channel.
    pub channel: ChannelId,
    /// The provider server of that.
    pub server: String,
}

/// The same lane as the queue sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// What is wrong with it, in a word (`inspect_lanes.lua` lists them).
    pub loss: Option<String>,
    /// The last notice that it has heard.
    pub seq: Option<i64>,
    /// Jobs that wait in it or are held.
    pub jobs: i64,
}

/// A lane that the queue has, as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its sync.
    pub sync: SyncId,
    /// The last notice that it has heard.
    pub seq: i64,
}

/// Some of the lanes of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardPage {
    /// In no order; one may come twice.
    pub lanes: Vec<Heard>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

impl Queue {
    /// Looks at a shard as a whole. `every`: from one comparison with the ledger to the next; zero to be told to do one now.
    pub async fn inspect(&self, shard: u16, every: Duration) -> Result<Inspection, Error> {
        let call = self.call(&INSPECT_SHARD, shard).arg(every.as_millis().to_string());
        let answer = Fields(redis::from_redis_value(self.link.run_one(call).await?)?);
        match answer.text(0) {
            Some("emptied") => Ok(Inspection::Emptied),
            Some("newer") => Ok(Inspection::Newer),
            Some("open") => Ok(Inspection::Open {
                epoch: answer.number(1)?,
                restoring: answer.text(2) == Some("1"),
                whole: answer.text(3) == Some("1"),
                due: answer.text(4) == Some("1"),
            }),
            _ => Err(Error::Unreadable("what a shard is".to_owned())),
        }
    }

    /// Looks at lanes of one shard, in their order.
    pub async fn inspect_lanes(&self, shard: u16, lanes: &[OpenLane]) -> Result<Vec<LaneView>, Error> {
        let mut views = Vec::with_capacity(lanes.len());
        // One call per trip, so that others get in between.
        for lanes in lanes.chunks(LANES_PER_CALL) {
            let call = lanes.iter().fold(self.call(&INSPECT_LANES, shard), |call, lane| {
                call.arg(lane.sync.to_string()).arg(lane.channel.to_string()).arg(&lane.server)
            });
            let rows: Vec<String> = redis::from_redis_value(self.link.run_one(call).await?)?;
            if rows.len() != lanes.len() * ROW {
                return Err(Error::Unreadable(format!("{} fields for {} lanes", rows.len(), lanes.len())));
            }
            for row in rows.chunks_exact(ROW) {
                let row = Fields(row.to_vec());
                let loss = row.text(0).map(str::to_owned);
                views.push(LaneView { loss, seq: row.optional(1)?, jobs: row.number(2)? });
            }
        }
        Ok(views)
    }

    /// Lists lanes that are open or paused; `after` is where the page before has ended.
    pub async fn list_lanes(&self, shard: u16, after: Option<&str>) -> Result<HeardPage, Error> {
        let call = self.call(&LIST_LANES, shard).arg(after.unwrap_or(FROM_THE_START));
        let answer: Vec<String> = redis::from_redis_value(self.link.run_one(call).await?)?;
        let Some((next, pairs)) = answer.split_first() else {
            return Err(Error::Unreadable("a list of lanes without its cursor".to_owned()));
        };
        // What is no sync was put there by somebody else.
        let heard = |pair: &[String]| Some(Heard { sync: pair[0].parse().ok()?, seq: pair[1].parse().ok()? });
        let lanes = pairs.chunks_exact(2).filter_map(heard).collect();
        Ok(HeardPage { lanes, next: (next != FROM_THE_START).then(|| next.clone()) })
    }

    /// Closes lanes whose syncs are over, but for those that have heard something since they were listed; returns how many.
    pub async fn close_lanes(&self, shard: u16, lanes: &[Heard]) -> Result<usize, Error> {
        let mut closed = 0;
        for lanes in lanes.chunks(LANES_PER_CALL) {
            let call = lanes
                .iter()
                .fold(self.call(&CLOSE_LANES, shard), |call, lane| call.arg(lane.sync.to_string()).arg(lane.seq));
            closed += redis::from_redis_value::<usize>(self.link.run_one(call).await?)?;
        }
        Ok(closed)
    }

    /// Gives every job that is held its slot of its channel and server, should it have lost it.
    pub async fn mend_slots(&self, shard: u16) -> Result<(), Error> {
        let mut cursor = FROM_THE_START.to_owned();
        loop {
            let call = self.call(&MEND_SLOTS, shard).arg(&cursor);
            cursor = redis::from_redis_value(self.link.run_one(call).await?)?;
            if cursor == FROM_THE_START {
                return Ok(());
            }
        }
    }

    /// Puts a lane back as the ledger has it, in the given life of its shard. Whether it is in: not when it has heard more
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::TakenOver`] when somebody else puts it back, or the shard has another life.
    pub async fn put_back(&self, shard: u16, epoch: i64, notice: &Notice) -> Result<bool, Error> {
        let Some(lane) = &notice.lane else { return Ok(false) };
        let token = Uuid::now_v7().to_string();
        let mut put = false;
        for calls in self.put_calls(shard, epoch, notice, lane, &token).chunks(CALLS_PER_TRIP) {
            for answer in self.link.run(calls).await? {
                match redis::from_redis_value::<String>(answer?)?.as_str() {
                    "put" => put = true,
                    "kept" => return Ok(false),
                    "taken" | "over" => return Err(Error::TakenOver(shard)),
                    other => return Err(Error::Unreadable(other.to_owned())),
                }
            }
        }
        Ok(put)
    }

    /// One of the calls of [`Queue::put_back`], for tests that do something in between; what the script says.
    #[doc(hidden)]
    pub async fn put_chunk(
        &self,
        shard: u16,
        epoch: i64,
        notice: &Notice,
        token: &str,
        chunk: usize,
    ) -> Result<String, Error> {
        let lane = notice.lane.as_ref().ok_or_else(|| Error::Settings("no lane".to_owned()))?;
        let call = self.put_calls(shard, epoch, notice, lane, token).into_iter().nth(chunk);
        let call = call.ok_or_else(|| Error::Settings(format!("no chunk {chunk}")))?;
        Ok(redis::from_redis_value(self.link.run_one(call).await?)?)
    }

    /// One call for each 1,000 entries of the lane.
    fn put_calls(&self, shard: u16, epoch: i64, notice: &Notice, lane: &LaneNotice, token: &str) -> Vec<Call> {
        let call = |chunk: Chunk<'_>| {
            let call = lane_args(self.rule_call(&PUT_LANE, shard, &notice.channel), lane, &chunk);
            self.entry_args(call.arg(epoch).arg(token), chunk.entries)
        };
        chunks(&lane.jobs).into_iter().map(call).collect()
    }
}
