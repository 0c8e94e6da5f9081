//! When it will be the turn of a job that waits.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{channel::ChannelId, job::JobId, sync::SyncId};

use crate::{Error, Queue, script::Script};

static READ_TURNS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/read_turns.lua")));

/// Where the jobs of one sync stand.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    /// Spans of jobs with the number of jobs before the first of each.
    spans: Vec<(JobId, JobId, i64)>,
    singles: HashMap<JobId, i64>,
    next_at: Option<DateTime<Utc>>,
    spacing: Option<Duration>,
}

impl Queue {
    /// Where the jobs of a sync stand in their lane, as far as its first thousand entries reach.
    pub async fn turns(&self, server: &str, channel: ChannelId, sync: SyncId) -> Result<Turns, Error> {
        let call = self.call(&READ_TURNS, self.shard_of(server)).arg(sync.to_string());
        let entries: Vec<String> = redis::from_redis_value(self.link.run_one(call).await?)?;
        let (live, before) = self.look_at(server, channel, sync).await?;
        let spacing = live.calls_per_second.filter(|rate| *rate > 0.0);
        let spacing = spacing.and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok());
        let mut turns = Turns { next_at: live.next_at, spacing, ..Turns::default() };
        turns.read(&entries, before);
        Ok(turns)
    }
}

impl Turns {
    /// What the entries alone tell.
    pub(crate) fn of(entries: &[String]) -> Self {
        let mut turns = Self::default();
        turns.read(entries, 0);
        turns
    }

    fn read(&mut self, entries: &[String], mut before: i64) {
        for entry in entries {
            let number = |text: &str| text.parse::<JobId>().ok();
            if let Some((first, last)) = entry.split_once('-')
                && let (Some(first), Some(last)) = (number(first), number(last))
                && first <= last
            {
                self.spans.push((first, last, before));
                before = before.saturating_add(last - first).saturating_add(1);
            } else if let Some(job) = entry.split([':', '+']).next().and_then(number) {
                self.singles.insert(job, before);
                before = before.saturating_add(1);
            }
        }
    }

    /// How many jobs of its channel come first; none when that is not known.
    #[must_use]
    pub fn behind(&self, job: JobId) -> Option<i64> {
        let in_span = || {
            let span = self.spans.iter().find(|(first, last, _)| (*first..=*last).contains(&job));
            span.map(|(first, _, before)| before.saturating_add(job - first))
        };
        self.singles.get(&job).copied().or_else(in_span)
    }

    /// When it will be its turn, at the calls per second that its sync gets now; none when that cannot be told.
    #[must_use]
    pub fn next_at(&self, job: JobId) -> Option<DateTime<Utc>> {
        let behind = u32::try_from(self.behind(job)?).ok()?;
        let wait = TimeDelta::from_std(self.spacing?.checked_mul(behind)?).ok()?;
        self.next_at?.checked_add_signed(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_stands_behind_what_is_before_it_in_its_lane_and_in_the_lanes_before() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let spacing = Some(Duration::from_millis(100));
        let mut turns = Turns { next_at: Some(now), spacing, ..Turns::default() };
        turns.read(&["7+1".into(), "9:2".into(), "20-29".into(), "40-40".into()], 5);
        let behind = |job| turns.behind(job);
        assert_eq!([behind(7), behind(9), behind(20), behind(29), behind(40)], [5, 6, 7, 16, 17].map(Some));
        assert_eq!((behind(8), behind(30)), (None, None));
        assert_eq!(turns.next_at(20), Some(now + Duration::from_millis(700)));
    }
}
