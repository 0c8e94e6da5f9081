//! What people and gateways do meanwhile: syncs are asked for, paused, cancelled and retried, and gateways refuse.

use std::collections::BTreeSet;

use rand::{Rng as _, seq::IndexedRandom as _};
use secrecy::SecretString;
use sincro_core::{
    address::Address,
    channel::{Feature, PausedBy},
    contact::Contact,
    limit::{LevelLimit, LimitRule, Match},
    notice::Notice,
    provider::Provider,
    sync::{SyncKind, SyncState},
};
use sincro_providers::capabilities;
use sincro_simulator::{Faults, Rule, When};
use sincro_store::{
    Error,
    channels::{NewChannel, NewCredentials},
    steer::Steered,
    syncs::NewSync,
};
use sincro_worker::steps;

use crate::{
    book::Heard,
    broken::{Kept, refused},
    crew::RETRY,
    draw,
    world::{ChannelRow, SyncRow, World},
};

/// A history stays short.
const MOST_SYNCS: usize = 4;

impl World<'_> {
    /// Everybody is there, and somebody has asked for something.
    pub(crate) async fn settle_in(&mut self) {
        let tokens: Vec<String> = self.gateway.tokens().map(str::to_owned).collect();
        for token in tokens {
            let limit = draw::limit(&mut self.dice);
            let new = NewChannel {
                name: String::new(),
                provider: Provider::Wuzapi,
                base_url: self.gateway.base_url().parse().unwrap(),
                credentials: NewCredentials {
                    text: SecretString::from(format!(r#"{{"token":"{token}"}}"#)),
                    account: Some(SecretString::from(token.as_str())),
                },
                features: BTreeSet::from([Feature::ImportMessages]),
                limit,
            };
            let id = self.place.store.create_channel(new).await.unwrap().id;
            self.book.limits.push(limit.into());
            self.channels.push(ChannelRow { id, token });
        }
        if self.dice.random_bool(0.4) {
            let admits: LevelLimit = draw::limit(&mut self.dice).into();
            let rule = LimitRule { matches: Match::EachServer(Provider::Wuzapi), admits };
            self.place.store.replace_limit_rules(&[rule], "simulation").await.unwrap();
            self.book.server_limit = Some(admits);
        }
        self.staff();
        for _ in 0..self.channels.len() {
            self.ask_for_sync().await.unwrap();
        }
    }

    /// A person does something, or something that a person did is heard of late.
    pub(crate) async fn steer(&mut self) -> Kept {
        match self.dice.random_range(0..50) {
            0..18 => self.ask_for_sync().await,
            18..38 => self.steer_sync().await,
            38..45 => self.steer_channel().await,
            _ => {
                if !self.letters.is_empty() {
                    let which = self.dice.random_range(0..self.letters.len());
                    let notice = self.letters.remove(which);
                    self.tell("what somebody had in hand is sent");
                    self.send(notice);
                }
                Ok(())
            }
        }
    }

    async fn ask_for_sync(&mut self) -> Kept {
        if self.syncs.len() == MOST_SYNCS {
            return Ok(());
        }
        let channel = self.dice.random_range(0..self.channels.len());
        let truth = self.gateway.truth_of(&self.channels[channel].token).unwrap();
        let addresses: Vec<&str> = truth.addresses().collect();
        let ticket = self.dice.random_bool(0.3) && !addresses.is_empty();
        let listed = ticket || self.dice.random_bool(0.25);
        let contacts = listed.then(|| {
            let few = if ticket { 1 } else { 3 };
            let some = addresses.choose_multiple(&mut self.dice, few);
            some.map(|address| Contact::under(address.parse::<Address>().unwrap(), None)).collect::<Vec<_>>()
        });
        let kind = if ticket { SyncKind::Contact } else { SyncKind::Channel };
        let wanted = self.dice.random_range(1..8);
        let new = NewSync {
            channel: self.channels[channel].id,
            kind,
            messages_wanted: wanted,
            contacts,
            only: None,
            deep: false,
            window_days: None,
            capabilities: capabilities(Provider::Wuzapi).unwrap(),
            max_attempts: RETRY.max_attempts,
            idempotency: None,
        };
        match self.place.store.create_sync(new).await {
            Ok(created) => {
                self.syncs.push(SyncRow { id: created.id, channel, wanted, whole: !listed });
                let index = self.syncs.len() - 1;
                self.tell(format_args!("sync {index} of channel {channel} is asked for ({kind}, {wanted} messages)"));
                self.pass_on(created.notice);
                Ok(())
            }
            Err(Error::Conflict(_)) => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }

    async fn steer_sync(&mut self) -> Kept {
        let Some(sync) = self.syncs.choose(&mut self.dice).map(|sync| sync.id) else { return Ok(()) };
        let store = &self.place.store;
        let (what, steered) = match self.dice.random_range(0..20) {
            0..6 => ("paused", store.pause_sync(sync, None).await),
            6..13 => ("resumed", store.resume_sync(sync).await),
            13..16 => ("cancelled", store.cancel_sync(sync, None).await),
            _ => ("retried", store.retry_sync(sync, RETRY.max_attempts).await),
        };
        self.note_steered(what, sync, steered)
    }

    fn note_steered(&mut self, what: &str, sync: sincro_core::sync::SyncId, steered: Result<Steered, Error>) -> Kept {
        match steered {
            Ok((_, None)) | Err(Error::Conflict(_)) => Ok(()),
            Ok((status, notice)) => {
                self.tell(format_args!("sync {} is {what}: {}", self.sync_name(sync), status.state));
                self.pass_on(notice);
                Ok(())
            }
            Err(error) => Err(refused(error)),
        }
    }

    async fn steer_channel(&mut self) -> Kept {
        let channel = self.dice.random_range(0..self.channels.len());
        let id = self.channels[channel].id;
        let (what, steered) = if self.dice.random_bool(0.4) {
            ("paused", self.place.store.pause_channel(id, "by lot").await)
        } else {
            ("resumed", self.place.store.resume_channel(id).await)
        };
        let (_, notice) = steered.map_err(refused)?;
        self.tell(format_args!("channel {channel} is {what}"));
        self.pass_on(Some(notice));
        Ok(())
    }

    /// Most people tell the queue at once; some die before they do, and some are slow.
    fn pass_on(&mut self, notice: Option<Notice>) {
        let Some(notice) = notice else { return };
        match self.dice.random_range(0..20) {
            0..4 if self.kinds.has(draw::Kinds::DEATHS) => self.tell("  and nobody tells the queue"),
            4..7 if self.kinds.has(draw::Kinds::LOST_REPLIES) => self.letters.push(notice),
            _ => self.send(notice),
        }
    }

    /// The gateway refuses some calls of a channel, or its session goes or comes back.
    pub(crate) fn turn_gateway(&mut self) {
        let channel = self.dice.random_range(0..self.channels.len());
        let token = self.channels[channel].token.clone();
        match self.dice.random_range(0..10) {
            0 | 1 => {
                self.gateway.lose_session_of(&token).unwrap();
                self.tell(format_args!("channel {channel} loses its session"));
            }
            2..4 => {
                self.gateway.set_session_of(&token, true).unwrap();
                self.tell(format_args!("the session of channel {channel} is there"));
            }
            _ => {
                let (fault, times) = (draw::refusal(&mut self.dice), self.dice.random_range(1..4));
                self.tell(format_args!("the gateway has {fault:?} for {times} calls of channel {channel}"));
                self.gateway.add_fault(Rule::new(fault, When::Next(times)).on_channel(channel)).unwrap();
            }
        }
    }

    /// From now on the gateway does what it is asked.
    pub(crate) fn mend_gateway(&mut self) {
        self.gateway.set_faults(Faults::default()).unwrap();
        self.gateway.set_session(true);
    }

    /// Whatever waits for a person goes on.
    pub(crate) async fn resume_everything(&mut self) -> Kept {
        let store = &self.place.store;
        let mut notices = Vec::new();
        for channel in &self.channels {
            let paused = store.channel(channel.id).await.map_err(refused)?.paused;
            if paused.is_some_and(|pause| pause.by != PausedBy::Session) {
                notices.push(store.resume_channel(channel.id).await.map_err(refused)?.1);
            }
        }
        for sync in &self.syncs {
            if store.sync(sync.id).await.map_err(refused)?.state == SyncState::Paused {
                notices.extend(store.resume_sync(sync.id).await.map_err(refused)?.1);
            }
        }
        steps::deliver(store, &self.queue, &notices).await;
        Ok(())
    }

    /// What failed is tried once more; whether there was anything.
    pub(crate) async fn retry_everything(&mut self) -> Kept<bool> {
        let mut any = false;
        for sync in self.syncs.iter().map(|sync| sync.id).collect::<Vec<_>>() {
            match self.place.store.retry_sync(sync, RETRY.max_attempts).await {
                Ok((_, Some(notice))) => {
                    self.tell(format_args!("sync {} is retried", self.sync_name(sync)));
                    steps::deliver(&self.place.store, &self.queue, &[notice]).await;
                    any = true;
                }
                Ok((_, None)) | Err(Error::Conflict(_)) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(any)
    }

    /// The queue has heard a notice: what it says holds for every claim from now on, as long as the ledger says nothing newer.
    pub(crate) fn note_heard(&mut self, notice: &Notice) {
        let rule = &notice.channel;
        if let Some(channel) = self.channel_index(rule.id) {
            self.book.hear_channel(channel, Heard { number: rule.version, stands_still: rule.paused.is_some() });
        }
        if let Some(lane) = &notice.lane {
            let stands_still = lane.state != sincro_core::notice::LaneState::Open;
            self.book.hear_sync(lane.sync, Heard { number: lane.seq, stands_still });
        }
    }

    /// Nothing is given out of what the queue knows to stand still.
    pub(crate) async fn check_given(&self, channel: usize, sync: Option<sincro_core::sync::SyncId>) -> Kept {
        let id = self.channels[channel].id;
        let Some(sync) = sync else { return Ok(()) };
        if let Some(version) = self.book.channel_stands_still(channel) {
            let now = self.place.store.channel(id).await.map_err(refused)?;
            crate::broken::keep("what_stands_still_is_not_called", now.version != version, || {
                format!("channel {channel} is given out, and its pause (version {version}) is known")
            })?;
        }
        if let Some(seq) = self.book.sync_stands_still(sync) {
            let query = "SELECT lane_seq, finished_at IS NOT NULL FROM syncs WHERE id = $1";
            let now = sqlx::query_as(query).bind(sync).fetch_one(&self.place.sql).await.map_err(refused)?;
            let (now, over): (i64, bool) = now;
            let newer = now != seq || over && self.book.may_have_begun_late(sync);
            crate::broken::keep("what_stands_still_is_not_called", newer, || {
                format!("sync {} is given out, and its pause or end (notice {seq}) is known", self.sync_name(sync))
            })?;
        }
        Ok(())
    }
}
