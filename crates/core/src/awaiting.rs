//! Accepted is not delivered: what a job waits for when there is nothing to call, and how that ends.
//!
//! A gateway that answers by webhook says no more than that it took the request. What comes is counted in [`Delivered`]; the
//! provider's [`Completion`] says when it was all. Nothing here waits: [`Awaited::look`] is asked again whenever something came,
//! and at the time it named.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    hook::Progress,
    job::{Ending, Failure, NothingReason},
    word::words,
};

words! {
    /// What a job waits for.
    pub enum Awaits {
        /// Another request of its channel, whose answer could not be told from its own.
        Turn = "turn",
        /// The gateway's first sync after the number was paired.
        InitialSync = "initial sync",
        /// What it asked for, by webhook.
        Delivery = "delivery",
        /// The time to look again.
        Reread = "reread",
    }
}

words! {
    /// How it shows that everything has come.
    pub enum Completion {
        /// The answer to the call is everything; of a delivery, that there is none.
        Answer = "answer",
        /// A progress of 100 percent, and nothing for a while after it.
        Progress = "progress",
        /// Nothing for a while.
        Quiescence = "quiescence",
        /// An event says so, and carries no messages as a rule.
        Event = "event",
        /// One chat's messages, and nothing for a moment after them.
        Reply = "reply",
    }
}

/// How long is waited for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// For all of a number's history, from its request on.
    pub history: Duration,
    /// No more of it comes after such a silence.
    pub quiet: Duration,
    /// A gateway that announces no end may begin as late as this.
    pub beginning: Duration,
    /// For an event that says that a request is done.
    pub event: Duration,
    /// For the answer of a phone.
    pub reply: Duration,
    /// No more of a phone's answer comes after such a silence.
    pub reply_quiet: Duration,
    /// How closely requests to a phone may follow one another.
    pub pace: Pace,
    /// A phone that left so many requests in a row unanswered is not asked again by the same sync.
    pub silences: u32,
    /// For a gateway's first sync after the number was paired.
    pub initial_sync: Duration,
    /// Until a message that is being restored is read again, for each further time.
    pub rereads: [Duration; 3],
}

/// How closely requests to one phone may follow one another. Nobody has published what a phone bears: these are guesses on the safe side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between the end of one and the next; the wait is drawn at random between this and twice as much.
    pub gap: Duration,
    /// Within any hour.
    pub per_hour: u32,
    /// Within any day.
    pub per_day: u32,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            history: Duration::from_hours(24),
            quiet: Duration::from_mins(3),
            beginning: Duration::from_mins(5),
            event: Duration::from_mins(20),
            reply: Duration::from_mins(2),
            reply_quiet: Duration::from_secs(5),
            pace: Pace { gap: Duration::from_secs(5), per_hour: 240, per_day: 2_400 },
            silences: 5,
            initial_sync: Duration::from_mins(5),
            rereads: [Duration::from_secs(30), Duration::from_mins(2), Duration::from_mins(5)],
        }
    }
}

impl Waits {
    /// The longest wait for a delivery under a rule.
    #[must_use]
    pub const fn longest(&self, rule: Completion) -> Duration {
        match rule {
            Completion::Answer | Completion::Progress | Completion::Quiescence => self.history,
            Completion::Event => self.event,
            Completion::Reply => self.reply,
        }
    }
}

/// What has come so far; kept in the ledger beside the job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delivered {
    /// Webhooks with something for the job.
    pub events: u64,
    /// Messages in them, those left out not counted.
    pub messages: u64,
    /// Those of them that were not there before.
    pub new: u64,
    /// The last phase heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<u32>,
    /// The highest place within it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u32>,
    /// The highest percentage heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// Chats the gateway says it has, whether it delivers them or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversations: Option<u64>,
    /// An event said that it was all.
    pub complete: bool,
    /// Answers under an address that nobody knows to be this person's.
    #[serde(skip_serializing_if = "is_none")]
    pub unmapped: u64,
    /// The phone said that there is nothing older.
    pub exhausted: bool,
    /// Nobody knows whether the gateway took the request.
    pub uncertain: bool,
    /// Whoever owns the number declined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declined: Option<Failure>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Delivered {
    /// Takes note of how far a delivery is; reports come in any order, and more than once.
    pub fn note(&mut self, progress: &Progress) {
        let place = |delivered: &Self| (delivered.phase, delivered.chunk);
        let told = (progress.phase.or(self.phase), progress.chunk);
        if told > place(self) {
            (self.phase, self.chunk) = told;
        }
        self.percent = self.percent.max(progress.percent);
        if let Some(conversations) = progress.conversations {
            self.conversations = Some(self.conversations.unwrap_or(0) + conversations);
        }
    }

    /// How far it is, in words; none before anything came.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let phase = self.phase.map(|phase| format!("phase {phase}"));
        let chunk = self.chunk.map(|chunk| format!("chunk {chunk}"));
        let percent = self.percent.map(|percent| format!("{percent} %"));
        let messages = (self.messages > 0).then(|| format!("{} messages", self.messages));
        let conversations = self.conversations.map(|count| format!("{count} chats announced"));
        let parts: Vec<String> = [phase, chunk, percent, messages, conversations].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// A job that waits, with all that is known of its wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// For what.
    pub awaits: Awaits,
    /// How a delivery shows its end.
    pub rule: Completion,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when at most.
    pub until: DateTime<Utc>,
    /// When something came last.
    pub heard_at: Option<DateTime<Utc>>,
    /// What has come.
    pub delivered: Delivered,
    /// The messages that the job has in all, earlier steps included.
    pub fetched: i64,
    /// The messages that are stored of whom a phone was asked about, up to as many as are wanted.
    pub known: i64,
    /// The most messages that were asked for, where that counts for one chat.
    pub wanted: i64,
}

/// What a look at a waiting job comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing to do before then.
    Later(DateTime<Utc>),
    /// Its step is due.
    GoOn,
    /// It is over.
    Over(Ending),
}

impl Awaited {
    /// Whether the wait is over by now.
    #[must_use]
    pub fn look(&self, waits: &Waits, now: DateTime<Utc>) -> Look {
        match self.awaits {
            // A webhook was faster.
            Awaits::Turn | Awaits::Reread if self.fetched > 0 && self.rule == Completion::Answer => {
                Look::Over(Ending::Succeeded)
            }
            Awaits::Turn => Look::Later(later(now, Duration::from_hours(24))),
            Awaits::Reread if now >= self.until => Look::GoOn,
            Awaits::InitialSync if now >= self.until => Look::Over(Ending::Failed(no_initial_sync())),
            Awaits::Reread | Awaits::InitialSync => Look::Later(self.until),
            Awaits::Delivery => self.look_at_delivery(waits, now),
        }
    }

    fn look_at_delivery(&self, waits: &Waits, now: DateTime<Utc>) -> Look {
        if let Some(declined) = &self.delivered.declined {
            return Look::Over(Ending::Failed(declined.clone()));
        }
        match self.ends_at(waits) {
            Some(end) if now >= end => self.at_its_end(),
            _ if now >= self.until => Look::Over(self.cut_off()),
            Some(end) => Look::Later(end.min(self.until)),
            None => Look::Later(self.until),
        }
    }

    /// When it counts as whole, should nothing more come; none while something is missing for certain.
    fn ends_at(&self, waits: &Waits) -> Option<DateTime<Utc>> {
        let (delivered, heard) = (&self.delivered, self.heard_at);
        match self.rule {
            Completion::Answer => Some(self.since),
            Completion::Progress => {
                (delivered.percent >= Some(100)).then(|| later(heard.unwrap_or(self.since), waits.quiet))
            }
            Completion::Quiescence => {
                let begun_by = later(self.since, waits.beginning);
                Some(heard.map_or(begun_by, |heard| later(heard, waits.quiet).max(begun_by)))
            }
            Completion::Event => delivered.complete.then(|| later(heard.unwrap_or(self.since), waits.reply_quiet)),
            Completion::Reply if delivered.exhausted => heard,
            Completion::Reply => heard.map(|heard| later(heard, waits.reply_quiet)),
        }
    }

    fn at_its_end(&self) -> Look {
        let delivered = &self.delivered;
        // A phone that sends what was there already has nothing else. A webhook can come more than once, so what counts is what is there.
        if self.rule == Completion::Reply && delivered.new > 0 && !delivered.exhausted && self.known < self.wanted {
            return Look::GoOn;
        }
        Look::Over(match (self.fetched, self.rule) {
            (1.., _) => Ending::Succeeded,
            (_, Completion::Answer) => Ending::Nothing(NothingReason::AlreadyRequested, None),
            (_, Completion::Event) => Ending::Nothing(NothingReason::NoBodies, delivered.told()),
            (_, Completion::Quiescence) if delivered.uncertain => Ending::Failed(unknown_outcome()),
            (_, Completion::Quiescence) if delivered.events == 0 => {
                Ending::Nothing(NothingReason::NothingReceived, None)
            }
            _ => Ending::Empty,
        })
    }

    /// Its time is up, and something is missing.
    fn cut_off(&self) -> Ending {
        let delivered = &self.delivered;
        if self.fetched > 0 && self.rule == Completion::Reply {
            return Ending::Succeeded;
        }
        if self.fetched > 0 || delivered.events > 0 {
            let told = delivered.told().unwrap_or_else(|| "nothing that could be counted".to_owned());
            return Ending::Partial(format!("the end was never announced; what came: {told}"));
        }
        if delivered.uncertain {
            return Ending::Failed(unknown_outcome());
        }
        let told = "the phone answered under an address that nobody knows to be this person's; what came is stored under that one";
        Ending::Nothing(NothingReason::NothingReceived, (delivered.unmapped > 0).then(|| told.to_owned()))
    }
}

fn later(time: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(wait).ok().and_then(|wait| time.checked_add_signed(wait)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn no_initial_sync() -> Failure {
    Failure::new(
        "no_initial_sync",
        "the gateway never said that its first sync after pairing was over: its history sync is off (turn it on, pair again), or the \
         number was paired before this channel was set up (then `sincro channel allow-history`)",
    )
}

/// What is said where a request that is made once may have been made or not.
#[must_use]
pub fn unknown_outcome() -> Failure {
    Failure::new(
        "unknown_outcome",
        "nobody knows whether the gateway took the request, and nothing came of it; it is not made again until somebody says `sincro channel allow-history`",
    )
}

#[cfg(test)]
mod tests;
