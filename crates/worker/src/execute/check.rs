//! A look at a channel's set-up, one call after the other: what a gateway refuses is a finding, and pauses nothing.
//!
//! A registration is made by the execution that saw what stands there, right before; whoever gets the job after a crash looks again first,
//! as some gateways would take the same address twice. One whose answer was lost is not made again.

use std::sync::Arc;

use chrono::TimeDelta;
use sincro_core::{
    channel::Connection,
    check::{
        Aspect, Finding, Health, Stage, against_registration, clocks, of_proof, of_refusal, of_session, of_settings,
        of_silence, of_subscriptions, untold_secret,
    },
    clock,
    drill::{Point, reach},
    gateway::{Answer, Call, Refusal, Session, Subscriptions},
    job::{Job, Registering, Seen, Step},
    once::{Facts, Hindrance},
    provider::{Capabilities, HookProof},
};
use sincro_providers::{Answered, hook_secret};
use sincro_queue::{Claim, Ruling};
use sincro_store::{Error, checks::Look, settle::Fence};

use super::{Executor, Reading, answer_does_not_fit, fence, late};
use crate::patience::{answered, offered};

/// What is looked at: the channel and what its gateway offers.
struct Subject<'a> {
    connection: &'a Connection,
    capabilities: Capabilities,
    /// Our address for its webhooks.
    ours: String,
}

impl Executor {
    /// One stage, with one call at most.
    pub(super) async fn look(
        &self,
        claim: &Claim,
        job: Job,
        connection: &Connection,
        capabilities: Capabilities,
        at: Stage,
        connect: Option<Registering>,
    ) -> Result<Ruling, Arc<Error>> {
        let fence = fence(claim, job.steps_done);
        let subject = Subject { connection, capabilities, ours: self.hook_url(&connection.channel) };
        if at == Stage::Registration
            && let Some(asked) = connect
            && let Some(looks_again) = before_registering(asked, claim)
        {
            let next = Step::Look { at: Stage::Webhooks, connect: Some(looks_again) };
            return self.noted(job, fence, look(Vec::new(), Some(next))).await;
        }
        let found = if at == Stage::Session { self.at_home(&subject).await? } else { Vec::new() };
        let Some(call) = self.call_of(&job, &subject, at).await? else {
            let next = next(&subject, at, connect);
            return self.noted(job, fence, look(found, next)).await;
        };
        if !self.punctuality.admits(claim, &self.queue).await {
            return Ok(Ruling::Back);
        }
        let Some(answer) = self.ask(claim, connection, &call).await else {
            return Ok(if at == Stage::Registration { another_attempt() } else { late(claim) });
        };
        let seen = match answer {
            Ok(Answered::Whole(Answer::Session(session), _)) => {
                look([found, self.of_status(&session, &subject).await?].concat(), next(&subject, at, connect))
            }
            Ok(Answered::Whole(Answer::Subscriptions(list), _)) => {
                let settings = of_settings(&list, capabilities.provider);
                let seen = registrable(list, &subject, connect, claim);
                Look { findings: [settings, seen.findings].concat(), ..seen }
            }
            Ok(Answered::Whole(Answer::Connected(secret), _)) => Look {
                secret: secret.map(|secret| (hook_secret(connection).0, secret)),
                // Whether it holds is seen by looking.
                ..look(Vec::new(), Some(Step::Look { at: Stage::Webhooks, connect: None }))
            },
            Ok(_) => return self.settle(job, fence, Reading::bare(answer_does_not_fit())).await,
            // It may have been taken: whether it was, is seen by looking.
            Err(Refusal::Transient { .. }) if at == Stage::Registration => {
                let lost = connect.map(|asked| Registering { lost: true, ..asked });
                look(Vec::new(), Some(Step::Look { at: Stage::Webhooks, connect: lost }))
            }
            Err(refusal) => match refused(&refusal, &subject, at) {
                Some(finding) => look([found, vec![finding]].concat(), after_refusal(&refusal, &subject, at, connect)),
                // A wait, as for any other job.
                None => return self.refused(job, fence, &connection.channel, refusal).await,
            },
        };
        let noted = self.noted(job, fence, seen).await;
        if at == Stage::Registration
            && let Err(error) = &noted
        {
            // The next attempt is another one, and looks before it registers.
            tracing::warn!(%error, "what came of a registration could not be written down");
            return Ok(another_attempt());
        }
        noted
    }

    async fn noted(&self, job: Job, fence: Fence, seen: Look) -> Result<Ruling, Arc<Error>> {
        reach(Point::Judged).await;
        let (recorded, notices) = offered(|| self.store.settle_look(&job, fence, &seen)).await?;
        reach(Point::Settled).await;
        Ok(self.ruled(fence, recorded, &notices).await)
    }

    /// The call of a stage; none where the gateway has no such call.
    async fn call_of(&self, job: &Job, subject: &Subject<'_>, at: Stage) -> Result<Option<Call>, Error> {
        Ok(match at {
            Stage::Session => subject.capabilities.status.then_some(Call::Status),
            Stage::Webhooks => subject.capabilities.connect.is_possible().then_some(Call::Subscriptions),
            Stage::Registration => {
                let kept = answered(self.store.kept_receivers(job)).await?;
                Some(Call::Connect { url: subject.ours.clone(), kept })
            }
        })
    }

    /// What can be told without the gateway.
    async fn at_home(&self, subject: &Subject<'_>) -> Result<Vec<Finding>, Error> {
        let receiver = match self.gateways.knock(&subject.ours).await {
            Ok(()) => Finding::good(Aspect::Receiver, "our address for webhooks answers, as seen from the worker"),
            Err(why) => Finding::of(
                Aspect::Receiver,
                Health::Bad,
                format!("our address for webhooks does not answer: {why}"),
                "let public_url be the address under which the gateway reaches the API",
            ),
        };
        let (HookProof::Signature(header) | HookProof::Secret(header)) = subject.capabilities.proof;
        let (field, has_secret) = hook_secret(subject.connection);
        let mut found = vec![receiver, of_proof(header, field, has_secret)];
        let facts = answered(self.store.facts(subject.connection.channel.id)).await?;
        found.extend(of_history(&facts, subject.capabilities));
        if !subject.capabilities.connect.is_possible() {
            found.push(of_silence(facts.heard_at, subject.capabilities.provider));
        }
        if !subject.capabilities.status {
            found.push(clocks(answered(self.store.clock_ahead()).await?, None));
            let says =
                format!("{} has no call that shows whether the credentials are right", subject.capabilities.provider);
            found.push(Finding::of(Aspect::Credentials, Health::Unknown, says, "the first sync will tell"));
        }
        Ok(found)
    }

    async fn of_status(&self, session: &Session, subject: &Subject<'_>) -> Result<Vec<Finding>, Error> {
        let mut found = of_session(session, subject.capabilities.provider);
        let gateway = session.clock.map(|there| there - clock::now());
        found.push(clocks(answered(self.store.clock_ahead()).await?, gateway));
        Ok(found)
    }
}

/// What stands at the gateway changes no faster, as a rule.
const FRESH: TimeDelta = TimeDelta::seconds(30);

/// What is looked at once more before a registration, where somebody else saw what stands there, or that was a while ago. Where calls are
/// far between it always was: then the second look has to do.
fn before_registering(asked: Registering, claim: &Claim) -> Option<Registering> {
    let own = asked.seen.filter(|seen| seen.is_by(claim.attempt, claim.epoch));
    let is_fresh = own.is_some_and(|seen| asked.again || clock::now() - seen.at < FRESH);
    (!is_fresh).then(|| Registering { again: own.is_some(), ..asked })
}

/// At once; nobody takes himself for the execution that went before.
fn another_attempt() -> Ruling {
    Ruling::Delay { due: clock::now() }
}

fn look(findings: Vec<Finding>, next: Option<Step>) -> Look {
    Look { findings, next, kept: None, secret: None }
}

/// What follows on a stage that found nothing against it.
fn next(subject: &Subject<'_>, at: Stage, connect: Option<Registering>) -> Option<Step> {
    let goes_on = at == Stage::Session && subject.capabilities.connect.is_possible();
    goes_on.then_some(Step::Look { at: Stage::Webhooks, connect })
}

/// Where webhooks go, and whether they shall come here from now on.
fn registrable(list: Subscriptions, subject: &Subject<'_>, connect: Option<Registering>, claim: &Claim) -> Look {
    let how = subject.capabilities.connect;
    let Some(asked) = connect else { return look(vec![of_subscriptions(&list, &subject.ours, how)], None) };
    let broke_off = asked.seen.is_some_and(|seen| !seen.is_by(claim.attempt, claim.epoch));
    if (broke_off || asked.lost)
        && let Some(finding) = untold_secret(&list, &subject.ours, how)
    {
        return look(vec![finding], None);
    }
    if let Some(finding) = against_registration(&list, &subject.ours, how, asked.replace) {
        return look(vec![finding], None);
    }
    if asked.lost {
        return look(vec![of_subscriptions(&list, &subject.ours, how)], None);
    }
    let seen = Seen { attempt: claim.attempt, epoch: claim.epoch, at: clock::now() };
    let connect = Some(Registering { seen: Some(seen), ..asked });
    Look { kept: list.kept, ..look(Vec::new(), Some(Step::Look { at: Stage::Registration, connect })) }
}

fn refused(refusal: &Refusal, subject: &Subject<'_>, at: Stage) -> Option<Finding> {
    let about = if at == Stage::Session { Aspect::Session } else { Aspect::Webhooks };
    of_refusal(about, refusal, subject.capabilities.provider)
}

/// A number without a session has webhooks all the same; where nobody answers or lets us in, there is nothing more to see.
fn after_refusal(refusal: &Refusal, subject: &Subject<'_>, at: Stage, connect: Option<Registering>) -> Option<Step> {
    match refusal {
        Refusal::SessionLost { .. } | Refusal::Banned { .. } => next(subject, at, connect),
        _ => None,
    }
}

/// Whether history can be asked for, where that is possible once.
fn of_history(facts: &Facts, capabilities: Capabilities) -> Option<Finding> {
    let one_shot = capabilities.one_shot?;
    Some(match facts.hindrance(one_shot, clock::now()) {
        None if facts.is_gone(one_shot, clock::now()) => Finding::of(
            Aspect::History,
            Health::Warning,
            "the gateway's first sync is so long over that what it cached is gone, as a rule: a sync would receive nothing",
            "pair the number again, and start a sync at once",
        ),
        None => Finding::good(Aspect::History, format!("can be asked for, once: {}", one_shot.risk)),
        Some(Hindrance::InitialSync) => Finding::of(
            Aspect::History,
            Health::Warning,
            "the gateway has not said that its first sync after pairing is over; a sync waits for that",
            "turn history sync on at the gateway and pair the number with webhooks registered; where it was paired before, \
             `sincro channel allow-history CHANNEL --yes`",
        ),
        Some(Hindrance::TooLate(why)) => Finding::of(
            Aspect::History,
            Health::Bad,
            why.detail,
            "onboard the number again, or `sincro channel allow-history CHANNEL --yes`",
        ),
    })
}
