//! A look at a lost session: one call under a permit of its own, and work goes on by itself when the session is back.
//!
//! The queue decides when to look and claims the look like a job. The ledger decides whether there is anything to look
//! for: a channel that somebody resumed, paused or deleted meanwhile is not called.

use std::time::Instant;

use sincro_core::{
    channel::{Channel, Connection, Pause, PausedBy},
    clock,
    drill::{Point, reach},
    gateway::{Answer, Call, Refusal, Session},
    retry::RetryPolicy,
    verdict::{Rest, Verdict, judge},
};
use sincro_providers::{Answered, Gateways};
use sincro_queue::{Claim, Queue, Ruling};
use sincro_store::{Error, Missing, Store};

use crate::{deliver::deliver, patience::answered, punctual::Punctuality, rest};

/// Looks at sessions.
pub(crate) struct Prober {
    store: Store,
    queue: Queue,
    gateways: Gateways,
    /// Apart from that of jobs: the way to this call is another one.
    punctuality: Punctuality,
}

/// What a look comes to.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// Connected and logged in.
    Back,
    /// Not back, or nothing to be told from the answer.
    StillLost,
    /// The gateway wants to be left alone for now.
    Rest(Rest),
    /// Something that no waiting mends.
    Stopped(Pause),
}

/// What the queue is told, and the word of the metric.
type Told = (Ruling, &'static str);

impl Prober {
    pub(crate) fn new(store: Store, queue: Queue, gateways: Gateways) -> Self {
        Self { store, queue, gateways, punctuality: Punctuality::default() }
    }

    /// From claim to ruling.
    pub(crate) async fn look(&self, claim: &Claim) -> Ruling {
        let (ruling, result) = match self.try_look(claim).await {
            Ok(told) => told,
            Err(Error::NotFound(Missing::Channel)) => (Ruling::Done, "gone"),
            Err(error) => {
                tracing::warn!(channel = %claim.channel, %error, "the ledger has no say on a lost session; looking again");
                (Ruling::Back, "ledger_failed")
            }
        };
        metrics::counter!("sincro_session_probes_total", "result" => result).increment(1);
        ruling
    }

    async fn try_look(&self, claim: &Claim) -> Result<Told, Error> {
        let connection = answered(self.store.connection(claim.channel)).await?;
        if let Some(told) = without_a_look(connection.channel.paused.as_ref()) {
            return Ok(told);
        }
        if !self.punctuality.admits(claim, &self.queue).await {
            return Ok((Ruling::Back, "late"));
        }
        let seen = tokio::select! {
            biased;
            () = claim.lost() => return Ok((Ruling::Back, "late")),
            answer = self.call(claim, &connection) => see(answer),
        };
        self.rule(&connection.channel, seen).await
    }

    async fn call(&self, claim: &Claim, connection: &Connection) -> Result<Answer, Refusal> {
        claim.use_permit();
        let called = Instant::now();
        let answer = self.gateways.call(connection, &Call::Status).await?;
        self.punctuality.note_answer(claim, &connection.channel, &Call::Status, called.elapsed());
        match answer {
            Answered::Whole(answer, _) => Ok(answer),
            Answered::Contacts(_) | Answered::Media(_) => {
                let detail = "the provider's answer is no session status".to_owned();
                Err(Refusal::Permanent { code: "internal", detail })
            }
        }
    }

    async fn rule(&self, channel: &Channel, seen: Seen) -> Result<Told, Error> {
        match seen {
            Seen::Back => {
                // None: somebody steered the channel since, and the queue hears of that by itself.
                let Some(notice) = answered(self.store.session_back(channel.id)).await? else {
                    return Ok((Ruling::StillLost, "overtaken"));
                };
                tracing::info!(channel = %channel.id, "the session is back; the channel goes on");
                reach(Point::Resumed).await;
                deliver(&self.store, &self.queue, &[notice]).await;
                Ok((Ruling::Done, "back"))
            }
            Seen::StillLost => Ok((Ruling::StillLost, "still_lost")),
            Seen::Rest(rest) => {
                rest::note(&self.store, channel, &rest);
                Ok((Ruling::Rest(rest), "rest"))
            }
            Seen::Stopped(pause) => {
                if rest::pause(&self.store, &self.queue, channel.id, channel.version, &pause, None).await? {
                    Ok((Ruling::Rest(Rest::Pause(pause)), "stopped"))
                } else {
                    Ok((Ruling::StillLost, "overtaken"))
                }
            }
        }
    }
}

/// What is told without a call, because the ledger knows of no lost session.
fn without_a_look(paused: Option<&Pause>) -> Option<Told> {
    match paused {
        Some(pause) if pause.by == PausedBy::Session => None,
        // Resumed by hand.
        None => Some((Ruling::Done, "resumed")),
        // A person or the gateway's final word stopped it; the queue hears of that by itself, and must not go on before.
        Some(_) => Some((Ruling::StillLost, "overtaken")),
    }
}

/// Judges the answer. A refusal means to the channel what it would mean after a job; what would only fail the job, says
/// nothing about the session.
fn see(answer: Result<Answer, Refusal>) -> Seen {
    let refusal = match answer {
        Ok(Answer::Session(Session { connected: true, logged_in: true, .. })) => return Seen::Back,
        Ok(_) => return Seen::StillLost,
        Err(refusal) => refusal,
    };
    match judge(refusal, 1, 1, &RetryPolicy::default(), clock::now()) {
        Verdict::Rest(Rest::Pause(pause)) if pause.by != PausedBy::Session => Seen::Stopped(pause),
        Verdict::Rest(rest @ Rest::Cooldown { .. }) => Seen::Rest(rest),
        Verdict::Rest(Rest::Pause(_)) | Verdict::Settle(_) => Seen::StillLost,
    }
}

pub(crate) fn describe_metrics() {
    metrics::describe_counter!("sincro_session_probes_total", "Looks at lost sessions, by what they came to");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sincro_core::limit::Level;

    use super::*;

    fn status(connected: bool, logged_in: bool) -> Answer {
        Answer::Session(Session { connected, logged_in, keeps_history: None, clock: None })
    }

    fn detail() -> String {
        "GET /session/status: it said so".to_owned()
    }

    #[test]
    fn a_session_is_back_when_it_is_both_connected_and_logged_in() {
        assert_eq!(see(Ok(status(true, true))), Seen::Back);
        for (connected, logged_in) in [(true, false), (false, true), (false, false)] {
            assert_eq!(see(Ok(status(connected, logged_in))), Seen::StillLost);
        }
    }

    #[test]
    fn a_refusal_that_says_nothing_about_the_session_leaves_it_lost() {
        for refusal in [
            Refusal::SessionLost { detail: detail() },
            Refusal::Transient { code: "timeout", detail: detail() },
            Refusal::Permanent { code: "not_found", detail: detail() },
        ] {
            assert_eq!(see(Err(refusal)), Seen::StillLost);
        }
        assert_eq!(see(Ok(Answer::Lid(None))), Seen::StillLost);
    }

    #[test]
    fn a_gateway_that_is_asked_too_much_or_not_there_rests_as_after_a_job() {
        let throttled =
            Refusal::Throttled { level: Level::Channel, retry_after: Some(Duration::from_secs(9)), detail: detail() };
        assert!(matches!(
            see(Err(throttled)),
            Seen::Rest(Rest::Cooldown { level: Level::Channel, wait, .. }) if wait == Duration::from_secs(9)
        ));
        assert!(matches!(
            see(Err(Refusal::Unreachable { detail: detail() })),
            Seen::Rest(Rest::Cooldown { level: Level::Server, .. })
        ));
    }

    #[test]
    fn a_refused_token_and_a_ban_end_the_looking_until_a_person_acts() {
        for refusal in [Refusal::Unauthorized { detail: detail() }, Refusal::Banned { detail: detail() }] {
            assert!(matches!(see(Err(refusal)), Seen::Stopped(Pause { by: PausedBy::Gateway, .. })));
        }
    }

    #[test]
    fn only_a_channel_that_waits_for_its_session_is_called() {
        let paused = |by| without_a_look(Some(&Pause::new(by, "so")));
        assert_eq!(paused(PausedBy::Session), None);
        assert_eq!(paused(PausedBy::Operator), Some((Ruling::StillLost, "overtaken")));
        assert_eq!(paused(PausedBy::Gateway), Some((Ruling::StillLost, "overtaken")));
        assert_eq!(without_a_look(None), Some((Ruling::Done, "resumed")));
    }
}
