//! What must hold at every moment, kept by somebody who knows neither the queue nor the ledger.

use std::collections::{HashMap, HashSet};

use sincro_core::{
    channel::ChannelId,
    job::JobId,
    limit::{Level, LevelLimit},
    sync::SyncId,
    verdict::Rest,
};
use sincro_queue::{
    Claim, Ruling,
    steps::{Settlement, Ticket},
};

use crate::broken::{Kept, keep};

/// A claim, by what fences it.
pub(crate) type Key = (JobId, Ticket);

/// Leave for one call.
struct Permit {
    channel: usize,
    at: i64,
}

/// What the queue has heard of a channel or a sync.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    /// The version or the number of the notice.
    pub(crate) number: i64,
    pub(crate) stands_still: bool,
}

#[derive(Default)]
pub(crate) struct Book {
    /// Of the channels, by their positions.
    pub(crate) limits: Vec<LevelLimit>,
    pub(crate) server_limit: Option<LevelLimit>,
    permits: HashMap<Key, Permit>,
    /// Until when (µs) a channel rests, and the server.
    rests: HashMap<usize, i64>,
    server_rests: i64,
    channels: HashMap<usize, Heard>,
    syncs: HashMap<SyncId, Heard>,
    /// Those of which it was told the beginning after it may have forgotten the end.
    begun_late: HashSet<SyncId>,
    /// Whether something was lost.
    lost: bool,
}

impl Book {
    /// A permit was given out. Whether it is a new one: an answer may be repeated.
    pub(crate) fn note_permit(&mut self, now: i64, channel: usize, key: Key) -> Kept<bool> {
        if self.permits.contains_key(&key) {
            return Ok(false);
        }
        self.permits.insert(key, Permit { channel, at: now });
        let until = self.rests.get(&channel).copied().unwrap_or(0).max(self.server_rests);
        keep("rests_are_kept", now >= until, || {
            format!("job {} of channel {channel} is given out {} µs before its rest is over", key.0, until - now)
        })?;
        Ok(true)
    }

    /// A ruling has reached the queue and was not stale.
    pub(crate) fn note_settled(&mut self, now: i64, Settlement { job, ticket, ruling, used }: &Settlement) {
        let key = (*job, *ticket);
        let Some(channel) = self.permits.get(&key).map(|permit| permit.channel) else { return };
        if used.is_none() {
            self.permits.remove(&key);
        }
        if let Ruling::Rest(Rest::Cooldown { level, wait, .. }) = ruling {
            let until = now + i64::try_from(wait.as_micros()).unwrap();
            let rests = match level {
                Level::Server => &mut self.server_rests,
                Level::Channel => self.rests.entry(channel).or_default(),
            };
            *rests = until.max(*rests);
        }
    }

    /// Nobody else is at the job with a lease that he believes in, and its channel is not fuller than it may be.
    pub(crate) fn check_alone<'c>(
        &self,
        name: &str,
        claim: &Claim,
        channel: usize,
        others: impl Iterator<Item = (&'c str, &'c Claim)>,
    ) -> Kept {
        let mut beside: HashMap<ChannelId, u32> = HashMap::new();
        let mut in_all = 0;
        for (other, held) in others.filter(|(_, held)| held.holds_lease() && held.epoch == claim.epoch) {
            keep("no_two_workers_are_at_one_job", held.job != claim.job, || {
                format!("job {} is {name}'s and {other}'s, both in life {} of the queue", claim.job, claim.epoch)
            })?;
            *beside.entry(held.channel).or_default() += 1;
            in_all += 1;
        }
        let beside = beside.get(&claim.channel).copied().unwrap_or(0);
        let most = self.limits[channel].limit.concurrency;
        let most_in_all = self.server_limit.map_or(u32::MAX, |limit| limit.limit.concurrency);
        let fits = beside < most && in_all < most_in_all;
        keep("no_more_calls_at_once_than_the_limit", fits, || {
            format!("{beside} calls of channel {channel} ({most}), {in_all} in all ({most_in_all}), and one more")
        })
    }

    /// No window of time holds more permits than the limits admit.
    pub(crate) fn check_permits(&self) -> Kept {
        for (channel, limit) in self.limits.iter().enumerate() {
            let of_channel = self.permits.values().filter(|permit| permit.channel == channel);
            check_window(of_channel.map(|permit| permit.at).collect(), limit, &format!("channel {channel}"))?;
        }
        match &self.server_limit {
            Some(limit) => check_window(self.permits.values().map(|permit| permit.at).collect(), limit, "the server"),
            None => Ok(()),
        }
    }

    /// The queue has lost something.
    pub(crate) fn note_loss(&mut self) {
        self.lost = true;
    }

    pub(crate) fn hear_channel(&mut self, channel: usize, heard: Heard) {
        let known = self.channels.entry(channel).or_insert(heard);
        if known.number < heard.number {
            *known = heard;
        }
    }

    pub(crate) fn hear_sync(&mut self, sync: SyncId, heard: Heard) {
        let known = self.syncs.entry(sync).or_insert(heard);
        if known.number < heard.number {
            *known = heard;
        }
    }

    /// The queue was told something of a sync by somebody who had it in hand.
    pub(crate) fn note_told(&mut self, sync: SyncId, number: i64) {
        if self.lost && self.syncs.get(&sync).is_some_and(|known| known.number > number) {
            self.begun_late.insert(sync);
        }
    }

    /// The version by which the queue knows that a channel stands still.
    pub(crate) fn channel_stands_still(&self, channel: usize) -> Option<i64> {
        self.channels.get(&channel).filter(|heard| heard.stands_still).map(|heard| heard.number)
    }

    /// Whether the queue may believe that a sync goes on that is over. Then the ledger refuses its jobs, before they call.
    pub(crate) fn may_have_begun_late(&self, sync: SyncId) -> bool {
        self.begun_late.contains(&sync)
    }

    /// The number of the notice by which the queue knows that a sync stands still or is over.
    pub(crate) fn sync_stands_still(&self, sync: SyncId) -> Option<i64> {
        self.syncs.get(&sync).filter(|heard| heard.stands_still).map(|heard| heard.number)
    }
}

fn check_window(mut times: Vec<i64>, limit: &LevelLimit, of: &str) -> Kept {
    times.sort_unstable();
    let window = limit.spacing().windows[0];
    let (calls, micros) = (usize::try_from(window.calls).unwrap(), i64::try_from(window.micros).unwrap());
    for pair in times.windows(calls + 1) {
        let took = pair[calls] - pair[0];
        keep("no_limit_is_exceeded", took >= micros, || {
            format!("{} calls of {of} within {took} µs, {calls} may be in {micros} µs", calls + 1)
        })?;
    }
    Ok(())
}
