//! Notices of the ledger on their way into the queue.

use std::{collections::BTreeSet, sync::LazyLock};

use redis::Value;
use sincro_core::{
    limit::{LevelLimit, Period, Spacing},
    notice::{ChannelRule, Entry, LaneNotice, LaneState, Notice, NoticeId},
};

use crate::{
    Error, Queue,
    script::{Call, Script},
};

/// What the script takes at once.
const ENTRIES_PER_CALL: usize = 1_000;
/// Keeps a round trip short and the others' requests flowing.
pub(crate) const CALLS_PER_TRIP: usize = 16;

static APPLY_NOTICE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/apply_notice.lua")));

/// How far notices came.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Those that are in, now or from before: they can be forgotten. The others wait: for an earlier notice of their sync, or for
    /// their shard.
    pub applied: Vec<NoticeId>,
    /// Shards that take nothing for now: out of reach, refusing whatever comes, without a life, or a newer version's.
    pub shut: BTreeSet<u16>,
    /// Why some were not applied, where somebody should hear of it.
    pub failure: Option<Error>,
}

/// What became of one call of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is in, now or from before.
    In,
    /// An earlier notice of the sync is missing.
    Early,
    /// The shard has no life.
    Emptied,
    /// Only a newer version knows the shard's keys.
    Newer,
}

impl Queue {
    /// Applies notices in the order given; delivered twice, they change nothing.
    ///
    /// Returns those that are in and can be forgotten. The others wait: for an earlier notice of their sync, or for the
    /// restoration of their shard. An error means that none is known to be in.
    pub async fn apply(&self, notices: &[Notice]) -> Result<Vec<NoticeId>, Error> {
        let Delivery { applied, failure, .. } = self.deliver(notices).await;
        match failure {
            Some(error) if applied.is_empty() => Err(error),
            Some(error) => {
                tracing::warn!(%error, "some notices were not applied");
                Ok(applied)
            }
            None => Ok(applied),
        }
    }

    /// The same for whoever has more to tell: a shard that takes nothing says nothing of the others.
    pub async fn deliver(&self, notices: &[Notice]) -> Delivery {
        let mut delivery = Delivery::default();
        for shard in self.shards() {
            let of_shard = notices.iter().filter(|notice| self.shard_of(&notice.channel.server) == shard);
            if let Err(error) = self.apply_to(shard, of_shard, &mut delivery).await {
                delivery.failure = Some(error);
            }
        }
        delivery
    }

    /// One shard's part of [`Queue::deliver`]. A notice that Redis refuses does not stop those behind it.
    async fn apply_to<'a>(
        &self,
        shard: u16,
        notices: impl Iterator<Item = &'a Notice>,
        delivery: &mut Delivery,
    ) -> Result<(), Error> {
        // Beside each call the notice that is in when the call is: every notice at its last chunk.
        let (mut calls, mut completes) = (Vec::new(), Vec::new());
        for notice in notices {
            calls.extend(self.notice_calls(shard, notice));
            completes.resize(calls.len() - 1, None);
            completes.push(Some(notice.id));
        }
        // Until it has taken a call.
        let (mut failure, mut taken) = (Ok(()), calls.is_empty());
        delivery.shut.insert(shard);
        for (calls, completes) in calls.chunks(CALLS_PER_TRIP).zip(completes.chunks(CALLS_PER_TRIP)) {
            for (answer, completed) in self.link.run(calls).await?.into_iter().zip(completes) {
                match answer.and_then(read) {
                    Ok(Applied::In) => {
                        self.report_open(shard);
                        delivery.applied.extend(completed);
                        taken = true;
                    }
                    Ok(Applied::Early) => taken = true,
                    Ok(Applied::Newer) => {
                        self.report_newer(shard);
                        return failure;
                    }
                    Ok(Applied::Emptied) => {
                        self.report_emptied(shard);
                        return failure;
                    }
                    Err(error) => {
                        self.report_failure(shard, &error);
                        failure = Err(error);
                    }
                }
            }
        }
        if taken {
            delivery.shut.remove(&shard);
        }
        failure
    }

    /// The calls that bring one notice in: one for each 1,000 of its entries.
    fn notice_calls(&self, shard: u16, notice: &Notice) -> Vec<Call> {
        let Some(lane) = &notice.lane else {
            return vec![self.rule_call(&APPLY_NOTICE, shard, &notice.channel).arg("")];
        };
        let entries: &[Entry] = if lane.state == LaneState::Closed { &[] } else { &lane.jobs };
        let calls = chunks(entries).into_iter().map(|chunk| {
            let call = self.rule_call(&APPLY_NOTICE, shard, &notice.channel);
            self.entry_args(lane_args(call, lane, &chunk), chunk.entries)
        });
        calls.collect()
    }

    /// A call of a script that begins with a channel's rule (`shared/rule.lua`).
    pub(crate) fn rule_call(&self, script: &'static Script, shard: u16, rule: &ChannelRule) -> Call {
        let (by, reason) = match &rule.paused {
            Some(pause) => (pause.by.as_str(), pause.reason.as_str()),
            None => ("", ""),
        };
        let call = self.call(script, shard).arg(rule.id.to_string()).arg(rule.version);
        let call = call.arg(&rule.server).arg(by).arg(reason);
        let call = limit_args(call, Some(&rule.limit)).arg(rule.server_version);
        limit_args(call, rule.server_limit.as_ref())
    }

    /// At the end of a call.
    pub(crate) fn entry_args(&self, call: Call, entries: &[Entry]) -> Call {
        let now_us = self.clock_us();
        entries.iter().fold(call, |call, entry| call.arg(entry_text(entry, now_us)))
    }
}

/// What one call takes of a lane's entries.
pub(crate) struct Chunk<'a> {
    pub(crate) entries: &'a [Entry],
    /// Entries in the chunks before it.
    before: usize,
    last: bool,
}

/// At least one chunk, be it an empty one.
pub(crate) fn chunks(entries: &[Entry]) -> Vec<Chunk<'_>> {
    let chunks = entries.len().div_ceil(ENTRIES_PER_CALL).max(1);
    let chunk = |i: usize| {
        let before = i * ENTRIES_PER_CALL;
        let entries = &entries[before..entries.len().min(before + ENTRIES_PER_CALL)];
        Chunk { entries, before, last: i + 1 == chunks }
    };
    (0..chunks).map(chunk).collect()
}

/// The lane, and which part of it follows.
pub(crate) fn lane_args(call: Call, lane: &LaneNotice, chunk: &Chunk<'_>) -> Call {
    call.arg(lane.sync.to_string())
        .arg(lane.seq)
        .arg(i32::from(lane.opens))
        .arg(i32::from(lane.urgent))
        .arg(lane.state.as_str())
        .arg(chunk.before)
        .arg(i32::from(chunk.last))
}

/// Six arguments, empty where there is no limit.
fn limit_args(call: Call, limit: Option<&LevelLimit>) -> Call {
    let Some(limit) = limit else { return (0..6).fold(call, |call, _| call.arg("")) };
    let Spacing { interval_us, windows } = limit.spacing();
    let windows = windows.iter().map(|window| {
        let name = window.period.map_or("rate", Period::as_str);
        format!("{}:{}:{name}", window.calls, window.micros)
    });
    call.arg(interval_us)
        .arg(windows.collect::<Vec<_>>().join(" "))
        .arg(limit.limit.burst)
        .arg(limit.limit.concurrency)
        .arg(limit.weight)
        .arg(limit.limit.rate_per_second)
}

fn entry_text(entry: &Entry, now_us: i64) -> String {
    match entry {
        Entry::Span { first, last } => format!("{first}-{last}"),
        Entry::Tried { job, attempts, due_ms } => match due_ms.saturating_mul(1_000) - now_us {
            ..=0 => format!("{job}:{attempts}"),
            wait_us => format!("{job}:{attempts}@{wait_us}"),
        },
    }
}

/// Reads the script's answer.
pub(crate) fn read(answer: Value) -> Result<Applied, Error> {
    match redis::from_redis_value::<String>(answer)?.as_str() {
        "applied" => Ok(Applied::In),
        "early" => Ok(Applied::Early),
        "emptied" => Ok(Applied::Emptied),
        "newer" => Ok(Applied::Newer),
        other => Err(Error::Unreadable(other.to_owned())),
    }
}
