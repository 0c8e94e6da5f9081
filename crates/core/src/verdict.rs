//! What a gateway's refusal means for the job and for its channel: decided here, for every provider.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    channel::{Pause, PausedBy},
    gateway::Refusal,
    job::{Ending, Failure, Outcome},
    limit::Level,
    retry::RetryPolicy,
};

/// The wait after a 429 without `Retry-After`; doubles while it keeps happening.
const THROTTLED_FOR: Duration = Duration::from_secs(1);
/// The wait while nobody answers at the gateway's address; doubles while that lasts.
const UNREACHABLE_FOR: Duration = Duration::from_secs(2);

/// What follows from a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The attempt is spent: record this.
    Settle(Outcome),
    /// Not the job's fault: it goes back without losing an attempt, and its channel rests.
    Rest(Rest),
}

/// How long a channel or its server rests, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// Until then by itself; exactly one call tries it afterwards.
    Cooldown {
        /// Who rests.
        level: Level,
        /// How long.
        wait: Duration,
        /// Doubles with each cooldown that follows without a good answer between.
        grows: bool,
        /// It was called too fast: its rate halves, and climbs back with good answers.
        slower: bool,
        /// For people: `throttled`, `unreachable`.
        reason: &'static str,
        /// The call and the cause.
        detail: String,
    },
    /// The channel stands still: until a probe finds its session back, or until a person resumes it.
    Pause(Pause),
}

/// Judges a refusal of attempt number `attempt`, of at most `attempt_limit`.
#[must_use]
pub fn judge(refusal: Refusal, attempt: i32, attempt_limit: i32, policy: &RetryPolicy, now: DateTime<Utc>) -> Verdict {
    match refusal {
        Refusal::Throttled { level, retry_after, detail } => Verdict::Rest(Rest::Cooldown {
            level,
            wait: retry_after.unwrap_or(THROTTLED_FOR),
            grows: retry_after.is_none(),
            slower: true,
            reason: "throttled",
            detail,
        }),
        Refusal::Unreachable { detail } => Verdict::Rest(Rest::Cooldown {
            level: Level::Server,
            wait: UNREACHABLE_FOR,
            grows: true,
            slower: false,
            reason: "unreachable",
            detail,
        }),
        Refusal::SessionLost { detail } => Verdict::Rest(Rest::Pause(Pause::new(PausedBy::Session, detail))),
        Refusal::Unauthorized { detail } => {
            Verdict::Rest(Rest::Pause(Pause::new(PausedBy::Gateway, format!("unauthorized: {detail}"))))
        }
        Refusal::Banned { detail } => {
            Verdict::Rest(Rest::Pause(Pause::new(PausedBy::Gateway, format!("banned: {detail}"))))
        }
        Refusal::Permanent { code, detail } => Verdict::Settle(failed(Failure::new(code, detail))),
        Refusal::Transient { code, detail } => {
            Verdict::Settle(after_failure(Failure::new(code, detail), attempt, attempt_limit, policy, now))
        }
    }
}

/// The outcome of a failed attempt: another one later, or the end.
#[must_use]
pub fn after_failure(
    failure: Failure,
    attempt: i32,
    attempt_limit: i32,
    policy: &RetryPolicy,
    now: DateTime<Utc>,
) -> Outcome {
    if attempt >= attempt_limit {
        return failed(failure);
    }
    let attempts_left = attempt_limit - attempt;
    let nth = u32::try_from(i64::from(policy.max_attempts) - i64::from(attempts_left)).unwrap_or(0).max(1);
    Outcome::Retry { failure, due: now + policy.delay_after(nth) }
}

fn failed(failure: Failure) -> Outcome {
    Outcome::Ended(Ending::Failed(failure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn transient() -> Refusal {
        Refusal::Transient { code: "timeout", detail: "GET /chat/history: no answer within 30 s".into() }
    }

    #[test]
    fn a_transient_failure_is_tried_again_until_the_attempts_are_spent() {
        let policy = RetryPolicy::default();
        let now = clock::now();
        for attempt in 1..5 {
            let Verdict::Settle(Outcome::Retry { due, .. }) = judge(transient(), attempt, 5, &policy, now) else {
                panic!("attempt {attempt} was not retried");
            };
            assert!(due >= now && due <= now + policy.cap);
        }
        assert!(matches!(judge(transient(), 5, 5, &policy, now), Verdict::Settle(Outcome::Ended(Ending::Failed(_)))));
    }

    #[test]
    fn a_limit_of_the_gateway_costs_no_attempt_even_on_the_last_one() {
        let refusal = Refusal::Throttled {
            level: Level::Channel,
            retry_after: Some(Duration::from_secs(7)),
            detail: String::new(),
        };
        let verdict = judge(refusal, 5, 5, &RetryPolicy::default(), clock::now());
        assert!(matches!(
            verdict,
            Verdict::Rest(Rest::Cooldown { wait, grows: false, .. }) if wait == Duration::from_secs(7)
        ));
    }

    #[test]
    fn refused_credentials_wait_for_a_person() {
        let refusal = Refusal::Unauthorized { detail: "GET /user/contacts: 401".into() };
        assert!(matches!(
            judge(refusal, 1, 5, &RetryPolicy::default(), clock::now()),
            Verdict::Rest(Rest::Pause(Pause { by: PausedBy::Gateway, .. }))
        ));
    }
}
