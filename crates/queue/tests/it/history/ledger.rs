//! What the ledger of a history knows: servers, channels and syncs, and the notices about them.

use sincro_core::{
    channel::{ChannelId, Pause},
    job::JobId,
    limit::LevelLimit,
    notice::{ChannelRule, LaneNotice, LaneState, Notice},
    sync::SyncId,
};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) servers: Vec<ServerRow>,
    pub(crate) channels: Vec<ChannelRow>,
    pub(crate) syncs: Vec<SyncRow>,
    pub(crate) next_job: JobId,
    pub(crate) notices: i64,
}

#[derive(Debug)]
pub(crate) struct ServerRow {
    pub(crate) name: String,
    pub(crate) limit: Option<LevelLimit>,
    pub(crate) version: i64,
}

#[derive(Debug)]
pub(crate) struct ChannelRow {
    pub(crate) id: ChannelId,
    pub(crate) server: usize,
    pub(crate) limit: LevelLimit,
    pub(crate) paused: Option<Pause>,
    pub(crate) version: i64,
    /// How it was before its last change.
    pub(crate) before: Option<ChannelRule>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SyncRow {
    pub(crate) sync: SyncId,
    pub(crate) channel: usize,
    pub(crate) urgent: bool,
    pub(crate) state: LaneState,
    pub(crate) seq: i64,
}

impl Ledger {
    pub(crate) fn rule(&self, channel: usize) -> ChannelRule {
        let row = &self.channels[channel];
        let server = &self.servers[row.server];
        ChannelRule {
            id: row.id,
            server: server.name.clone(),
            version: row.version,
            limit: row.limit,
            paused: row.paused.clone(),
            server_limit: server.limit,
            server_version: server.version,
        }
    }

    /// Changes a channel, in a version of its own.
    pub(crate) fn change(&mut self, channel: usize, change: impl FnOnce(&mut ChannelRow)) {
        let before = self.rule(channel);
        let row = &mut self.channels[channel];
        change(row);
        (row.version, row.before) = (row.version + 1, Some(before));
    }

    pub(crate) fn notice(&mut self, channel: ChannelRule, lane: Option<LaneNotice>) -> Notice {
        self.notices += 1;
        Notice { id: self.notices, channel, lane }
    }

    /// The numbers of jobs that are new.
    pub(crate) const fn fresh_jobs(&mut self, jobs: i64) -> (JobId, JobId) {
        let first = self.next_job;
        self.next_job += jobs;
        (first, self.next_job - 1)
    }
}
