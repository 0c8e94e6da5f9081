//! What the ledger tells the queue.
//!
//! Whoever changes the ledger writes a notice in the same transaction and delivers it afterwards; a sweeper
//! delivers what a crash left behind. Delivering twice changes nothing: channel rules carry the channel's
//! version, and the notices of one sync are numbered without gaps, so the queue applies each exactly
//! once and in order.

use serde::{Deserialize, Serialize};

use crate::{
    channel::{Channel, ChannelId, Pause},
    job::JobId,
    limit::{LevelLimit, Resolved},
    sync::SyncId,
    word::words,
};

/// A notice's row in the ledger's outbox.
pub type NoticeId = i64;

/// A change the queue has to hear of.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Row in the outbox, deleted once delivered.
    pub id: NoticeId,
    /// The channel's rules as of now.
    pub channel: ChannelRule,
    /// The sync's lane and its new jobs, when the notice is about a sync.
    pub lane: Option<LaneNotice>,
}

/// What the queue must know of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelRule {
    /// The channel.
    pub id: ChannelId,
    /// Its provider server; decides the shard.
    pub server: String,
    /// Older versions than the one applied are ignored.
    pub version: i64,
    /// How fast its gateway may be called for it.
    pub limit: LevelLimit,
    /// Why nothing may run, when nothing may.
    pub paused: Option<Pause>,
    /// How fast its server may be called for all its channels together; none: as fast as they may.
    pub server_limit: Option<LevelLimit>,
    /// The number of the change that `server_limit` comes from; older ones than the one applied are ignored.
    pub server_version: i64,
}

words! {
    /// Whether the jobs of a sync may be claimed.
    pub enum LaneState {
        /// Yes.
        Open = "open",
        /// Not now.
        Paused = "paused",
        /// Never again: what is left is dropped.
        Closed = "closed",
    }
}

/// The jobs of one sync form a lane of its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneNotice {
    /// The sync.
    pub sync: SyncId,
    /// Position among the notices of this sync, from 1, without gaps.
    pub seq: i64,
    /// The first of a new life of the lane: creation, or a retry after the end.
    pub opens: bool,
    /// Ahead of every bulk lane of its channel.
    pub urgent: bool,
    /// Whether jobs may be claimed.
    pub state: LaneState,
    /// Jobs that are new in the lane.
    pub jobs: Vec<Entry>,
}

/// Jobs on their way into the queue, as few bytes as they can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Every id from `first` to `last`, none of them attempted before.
    Span {
        /// Lowest id.
        first: JobId,
        /// Highest id.
        last: JobId,
    },
    /// One job that was attempted before.
    Tried {
        /// Its id.
        job: JobId,
        /// Attempts so far.
        attempts: i32,
        /// Not before then (ms since the Unix epoch); 0 for at once.
        due_ms: i64,
    },
}

/// Folds ascending ids of jobs that were never attempted into spans.
#[must_use]
pub fn spans(ids: &[JobId]) -> Vec<Entry> {
    let mut spans = Vec::new();
    for &id in ids {
        add_fresh(&mut spans, id);
    }
    spans
}

/// Adds a job that was never attempted, to the last span where its id follows.
pub fn add_fresh(entries: &mut Vec<Entry>, id: JobId) {
    match entries.last_mut() {
        Some(Entry::Span { last, .. }) if *last + 1 == id => *last = id,
        _ => entries.push(Entry::Span { first: id, last: id }),
    }
}

impl ChannelRule {
    /// The rule of a channel under the rules of `/v1/limits` as of their change number `server_version`.
    #[must_use]
    pub fn of(channel: &Channel, resolved: Resolved, server_version: i64) -> Self {
        Self {
            id: channel.id,
            server: channel.server(),
            version: channel.version,
            limit: resolved.channel.unwrap_or_else(|| channel.limit.into()),
            paused: channel.paused.clone(),
            server_limit: resolved.server,
            server_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_ids_fold_into_spans() {
        assert_eq!(
            spans(&[1, 2, 3, 7, 9, 10]),
            [Entry::Span { first: 1, last: 3 }, Entry::Span { first: 7, last: 7 }, Entry::Span { first: 9, last: 10 }]
        );
        assert_eq!(spans(&[]), []);
    }
}
