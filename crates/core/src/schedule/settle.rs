//! What becomes of the jobs that were claimed, and what the answers mean for their levels.

use std::time::Duration;

use super::{Schedule, Text, apply::FIRST_PROBE_US, channel::Channel};
use crate::{channel::PausedBy, job::JobId, limit::Level as At, verdict::Rest};

/// The longest time between two looks at a session (µs).
const LAST_PROBE_US: i64 = 300_000_000;
/// After a look that could not be made (µs).
const PROBE_AGAIN_US: i64 = 1_000_000;

/// One job on its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The job.
    pub job: JobId,
    /// Of its claim.
    pub ticket: i64,
    /// What becomes of it.
    pub ruling: Ruling,
    /// Whether its call was made; else its permits are given back.
    pub used: bool,
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It is over; of a look at a session: the session is back.
    Done,
    /// Its next call, under the same attempt: in front of everything else of its class in its channel.
    Next,
    /// The attempt failed; not before so many µs.
    Delay(i64),
    /// The attempt does not count; at once, in front.
    Back,
    /// The attempt does not count; not before so many µs.
    Snooze(i64),
    /// Back, and its channel or server rests; to the end of its lane after a pause, or when its call tried the level again.
    Rest(Rest),
    /// Of a look at a session: it is not back.
    StillLost,
}

impl Schedule {
    /// Settles jobs in that order; returns those that are not held under their ticket, for which nothing changed.
    pub fn settle(&mut self, now: i64, settlements: &[Settlement]) -> Vec<JobId> {
        let mut stale = Vec::new();
        for settlement in settlements {
            if !self.settle_one(now, settlement) {
                stale.push(settlement.job);
            }
        }
        self.place_touched(now, 0);
        stale
    }

    /// Puts off the expiry of a lease (µs); false when the job is not held under that ticket.
    pub fn renew(&mut self, now: i64, job: JobId, ticket: i64, lease_us: i64) -> bool {
        let Some(hold) = self.held.get_mut(&job).filter(|hold| hold.ticket == ticket) else { return false };
        self.leases.remove(&(hold.expires, Text::from(job), job));
        hold.expires = now + lease_us;
        self.leases.insert((hold.expires, Text::from(job), job));
        true
    }

    fn settle_one(&mut self, now: i64, settlement: &Settlement) -> bool {
        let Settlement { job, ticket, ref ruling, used } = *settlement;
        if self.held.get(&job).is_none_or(|hold| hold.ticket != ticket) {
            return false;
        }
        let Some(hold) = self.release(job) else { return false };
        match hold.lane {
            Some(lane) if self.is_refused_again(hold.channel, ticket, ruling) => {
                self.put_last(lane, job, hold.attempt - 1);
            }
            Some(lane) => self.rule(now, lane, job, hold.attempt, ruling),
            None => self.channels[hold.channel].rule_probe(now, ticket, ruling),
        }
        self.account(now, hold.channel, ticket, ruling, used);
        true
    }

    /// Whether a job is refused although it was the one call that was to try the level again: others try first the next time.
    fn is_refused_again(&self, channel: usize, ticket: i64, ruling: &Ruling) -> bool {
        let channel = &self.channels[channel];
        match ruling {
            Ruling::Rest(Rest::Pause(_)) => true,
            Ruling::Rest(Rest::Cooldown { level, .. }) => {
                let level = if *level == At::Server { &self.servers[channel.server].level } else { &channel.level };
                level.trial && level.tells_news(ticket)
            }
            _ => false,
        }
    }

    fn rule(&mut self, now: i64, lane: usize, job: JobId, attempt: i32, ruling: &Ruling) {
        match ruling {
            Ruling::Done => {}
            Ruling::Next => self.put_back(lane, job, attempt - 1, true),
            Ruling::Delay(wait_us) => self.delay(lane, job, attempt, now + wait_us),
            Ruling::Snooze(wait_us) => self.delay(lane, job, attempt - 1, now + wait_us),
            Ruling::Back | Ruling::Rest(_) | Ruling::StillLost => self.put_back(lane, job, attempt - 1, false),
        }
    }

    /// What the call, or that there was none, means for the limits of both levels.
    fn account(&mut self, now: i64, channel: usize, ticket: i64, ruling: &Ruling, used: bool) {
        let channel = &mut self.channels[channel];
        let server = &mut self.servers[channel.server];
        if used {
            let took = (now - ticket).max(0);
            server.hold_us =
                if server.hold_us == 0 { took } else { server.hold_us + (took - server.hold_us).div_euclid(16) };
        } else {
            channel.level.give_back(ticket);
            server.level.give_back(ticket);
        }
        if used && matches!(ruling, Ruling::Done | Ruling::Next) {
            channel.level.good_answer(now, ticket);
            server.level.good_answer(now, ticket);
        }
        match ruling {
            Ruling::Rest(Rest::Cooldown { level, wait, grows, slower, .. }) => {
                let resting = if *level == At::Server { &mut server.level } else { &mut channel.level };
                resting.cool_down(now, ticket, micros(*wait), *grows, *slower);
            }
            Ruling::Rest(Rest::Pause(pause)) => channel.pause(now, ticket, pause.by),
            _ => {}
        }
    }
}

impl Channel {
    fn rule_probe(&mut self, now: i64, ticket: i64, ruling: &Ruling) {
        if self.paused != Some(PausedBy::Session) {
            return; // somebody decided something else meanwhile
        }
        match ruling {
            // It may have been lost once more since.
            Ruling::Done if ticket < self.ruled_at => {}
            Ruling::Done => self.stand_still(None, now),
            Ruling::StillLost => {
                self.probes += 1;
                let grown = FIRST_PROBE_US << self.probes.min(20);
                self.probe_at = now + grown.min(LAST_PROBE_US);
            }
            _ => self.probe_at = now + PROBE_AGAIN_US,
        }
    }

    /// Ahead of the ledger's notice, which follows. A rule that is newer than the call knew better, and so does a person.
    fn pause(&mut self, now: i64, ticket: i64, by: PausedBy) {
        let replaced = match self.paused {
            None => true,
            Some(PausedBy::Session) => by != PausedBy::Session,
            Some(PausedBy::Operator | PausedBy::Gateway) => false,
        };
        if replaced && ticket >= self.ruled_at {
            self.stand_still(Some(by), now);
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
