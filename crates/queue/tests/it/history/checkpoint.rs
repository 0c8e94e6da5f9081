//! A look into Redis: is there what the model holds and what the bookkeeping expects, and nothing else?

use std::collections::BTreeSet;

use redis::{Pipeline, Value, aio::MultiplexedConnection};
use sincro_core::{
    channel::ChannelId,
    job::JobId,
    notice::LaneState,
    schedule::{FULL_PACE, Level, Schedule},
};

use super::{
    broken::{Broken, Kept, keep, same},
    places::Places,
    tally::Tally,
    twin::refused,
};

/// Looks into one shard.
#[derive(Clone)]
pub(crate) struct Glass {
    raw: MultiplexedConnection,
    prefix: String,
}

impl Glass {
    pub(crate) const fn new(raw: MultiplexedConnection, prefix: String) -> Self {
        Self { raw, prefix }
    }

    fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    async fn ask(&mut self, pipeline: &Pipeline) -> Kept<Vec<Value>> {
        pipeline.query_async(&mut self.raw).await.map_err(refused)
    }

    pub(crate) async fn compare(&mut self, model: &Schedule, tally: &Tally) -> Kept {
        self.compare_levels(model, tally).await?;
        self.compare_lanes(&tally.places).await
    }

    /// Limiters, cooldowns and who runs, at both levels.
    async fn compare_levels(&mut self, model: &Schedule, tally: &Tally) -> Kept {
        let servers: BTreeSet<&str> = tally.channels.values().map(|channel| channel.server.as_str()).collect();
        let mut pipeline = Pipeline::new();
        for id in tally.channels.keys() {
            self.ask_level(&mut pipeline, "channel", &id.to_string());
        }
        for server in &servers {
            self.ask_level(&mut pipeline, "server", server);
        }
        let answers = self.ask(&pipeline).await?;
        let (of_channels, of_servers) = answers.split_at(3 * tally.channels.len());
        for ((id, channel), answers) in tally.channels.iter().zip(of_channels.chunks_exact(3)) {
            let level = model.channel_level(*id).unwrap();
            let of = |hold: ChannelId| hold == *id;
            compare_level(&id.to_string(), answers, level, 0, &model.running(*id), &held(tally, of))?;
            let paused = same("who paused a channel", &channel.paused, &model.paused(*id));
            paused.map_err(|Broken { promise, seen }| Broken { promise, seen: format!("{id}: {seen}") })?;
        }
        for (server, answers) in servers.iter().zip(of_servers.chunks_exact(3)) {
            let level = model.server_level(server).unwrap();
            let of = |hold: ChannelId| tally.channels[&hold].server == *server;
            compare_level(server, answers, level, model.hold_us(server), &model.running_at(server), &held(tally, of))?;
        }
        Ok(())
    }

    fn ask_level(&self, pipeline: &mut Pipeline, kind: &str, id: &str) {
        let fields = ["tat", "pace", "cooldown_until", "trial", "hold_us"];
        pipeline.cmd("HMGET").arg(self.key(&format!("{kind}:{id}"))).arg(&fields);
        pipeline.cmd("LRANGE").arg(self.key(&format!("calls:{id}"))).arg(0).arg(-1);
        pipeline.cmd("SMEMBERS").arg(self.key(&format!("running:{id}")));
    }

    /// Every job where it should be, and every lane's numbers.
    async fn compare_lanes(&mut self, places: &Places) -> Kept {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("HKEYS").arg(self.key("held"));
        let open = || places.lanes.iter().filter(|(_, lane)| lane.state != LaneState::Closed).map(|(sync, _)| sync);
        for sync in open() {
            pipeline.cmd("LRANGE").arg(self.key(&format!("lane:{sync}"))).arg(0).arg(-1);
            pipeline.cmd("ZRANGE").arg(self.key(&format!("later:{sync}"))).arg(0).arg(-1);
            pipeline.cmd("HGET").arg(self.key("queued")).arg(sync.to_string());
            pipeline.cmd("HGET").arg(self.key(&format!("sync:{sync}"))).arg("running");
        }
        let mut answers = self.ask(&pipeline).await?.into_iter();
        let mut seen: Vec<JobId> = read(answers.next().unwrap_or(Value::Nil))?;
        for sync in open() {
            let mut next = || answers.next().unwrap_or(Value::Nil);
            let waiting: Vec<JobId> = read::<Vec<String>>(next())?.iter().flat_map(|entry| jobs_of(entry)).collect();
            let later: Vec<JobId> = read::<Vec<String>>(next())?.iter().flat_map(|entry| jobs_of(entry)).collect();
            let mut number = || Ok(read::<Option<i64>>(next())?.unwrap_or_default());
            let (queued, running) = (number()?, number()?);
            let delayed = i64::try_from(later.len()).unwrap();
            same("queued, delayed, running of a lane", &[queued, delayed, running], &places.lanes[sync].numbers)?;
            same("the length of a lane and its number", &i64::try_from(waiting.len()).unwrap(), &queued)?;
            seen.extend(waiting);
            seen.extend(later);
        }
        let all: BTreeSet<JobId> = seen.iter().copied().collect();
        keep("no_job_is_in_two_places", all.len() == seen.len(), || format!("one of {seen:?} is there twice"))?;
        let expected: BTreeSet<JobId> = places.alive().chain(places.held.keys().copied()).collect();
        let lost: Vec<_> = expected.difference(&all).collect();
        keep("no_job_is_lost", lost.is_empty(), || format!("{lost:?} are nowhere"))?;
        let extra: Vec<_> = all.difference(&expected).collect();
        keep("no_job_is_in_two_places", extra.is_empty(), || format!("{extra:?} are over, and there"))
    }

    /// When everything is settled, nothing is held and nobody stands in line.
    pub(crate) async fn check_nothing_is_left(&mut self, tally: &Tally) -> Kept {
        let mut keys: Vec<String> =
            ["held", "leases", "queued", "delayed", "ready:u", "ready:b"].map(|rest| self.key(rest)).into();
        for (id, channel) in &tally.channels {
            keys.push(self.key(&format!("running:{id}")));
            keys.push(self.key(&format!("lanes:{id}")));
            keys.extend(
                ["running:", "round:u:", "round:b:", "due:u:", "due:b:", "working:"]
                    .map(|line| self.key(&format!("{line}{}", channel.server))),
            );
        }
        let mut pipeline = Pipeline::new();
        for key in &keys {
            pipeline.cmd("EXISTS").arg(key);
        }
        for (key, there) in keys.iter().zip(self.ask(&pipeline).await?) {
            keep("no_slot_is_leaked", read::<i64>(there)? == 0, || format!("{key} holds something"))?;
        }
        Ok(())
    }

    /// Makes room for the next history.
    pub(crate) async fn forget(&mut self) -> Kept {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(self.key("*")).query_async(&mut self.raw).await.map_err(refused)?;
        if keys.is_empty() {
            return Ok(());
        }
        redis::cmd("UNLINK").arg(keys).exec_async(&mut self.raw).await.map_err(refused)
    }
}

fn held(tally: &Tally, of: impl Fn(ChannelId) -> bool) -> Vec<JobId> {
    tally.places.held.iter().filter(|(_, hold)| of(hold.channel)).map(|(job, _)| *job).collect()
}

fn compare_level(id: &str, answers: &[Value], level: &Level, hold_us: i64, model: &[JobId], held: &[JobId]) -> Kept {
    let [tat, pace, cooldown_until, trial, took] = read::<[Option<i64>; 5]>(answers[0].clone())?;
    let scripts = (tat.unwrap_or(0), pace.unwrap_or(FULL_PACE), cooldown_until.unwrap_or(0), trial == Some(1));
    let expected = (level.tat, level.pace, level.cooldown_until, level.trial);
    same(&format!("{id}: tat, pace, cooldown, trial"), &scripts, &expected)?;
    same(&format!("{id}: how long jobs are at workers"), &took.unwrap_or(0), &hold_us)?;
    let calls: Vec<i64> = read(answers[1].clone())?;
    same(&format!("{id}: calls"), &calls, &level.calls.iter().copied().collect())?;
    let mut running: Vec<JobId> = read(answers[2].clone())?;
    running.sort_unstable();
    keep("no_slot_is_leaked", running == held, || format!("{id}: {running:?} run, {held:?} are held"))?;
    same(&format!("{id}: running"), &running, &model.to_vec())
}

/// `first-last`, `job:attempts` or `job+attempts`.
fn jobs_of(entry: &str) -> Vec<JobId> {
    let (job, rest) = entry.split_once(['-', ':', '+']).unwrap();
    let first = job.parse().unwrap();
    let last = if entry.contains('-') { rest.parse().unwrap() } else { first };
    (first..=last).collect()
}

fn read<T: redis::FromRedisValue>(answer: Value) -> Kept<T> {
    redis::from_redis_value(answer).map_err(refused)
}
