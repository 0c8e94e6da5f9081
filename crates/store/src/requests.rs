//! Requests that a webhook may answer: written down before they are made.
//!
//! Whoever is about to make one takes the account's turn and writes that the job waits, so that a delivery that is faster than the
//! request's own answer finds it. What must not be made twice stands in `account_requests` as well, from before the call; nothing but a
//! person, or a new pairing, takes it out of the way.

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{
    awaiting::{Awaits, Completion, Pace},
    channel::ChannelId,
    clock,
    gateway::Anchor,
    job::{Job, JobKind, Step},
    once::Facts,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Error, Missing, Store, channels,
    settle::{Fence, Recorded, fence_one},
    syncs, turns,
};

/// A request that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What will be waited for.
    pub awaits: Awaits,
    /// How what comes of it shows its end.
    pub rule: Completion,
    /// Its name, where it is made once.
    pub once: Option<&'static str>,
    /// This execution's own: an offer that is repeated is known by it, and a late word of another execution changes nothing.
    pub token: Uuid,
}

/// Whether a request may be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// It is written down: make it.
    Go,
    /// It was made, or may have been, by this very job, which did not live to see the answer.
    Made {
        /// Whether the gateway took it, as far as anybody knows.
        surely: bool,
    },
    /// Another request of the account comes first, or its phone has been asked often enough for now.
    NotYet,
    /// It was made before, for another job, and must not be made again.
    Spent {
        /// When.
        at: DateTime<Utc>,
        /// Whether the gateway surely took it.
        accepted: bool,
        /// `accepted`, `unknown`, ...
        state: String,
    },
}

/// How a request that is made once ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEnd {
    /// The gateway took it.
    Accepted,
    /// It surely did not.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl RequestEnd {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl Store {
    /// What is known of a channel.
    pub async fn facts(&self, channel: ChannelId) -> Result<Facts, Error> {
        let row = sqlx::query_as!(
            Facts,
            r#"SELECT coalesce(f.onboarded_at, c.created_at) AS "onboarded_at!", f.initial_sync_at, f.allowed_at, f.heard_at
               FROM channels c LEFT JOIN channel_facts f ON f.channel_id = c.id WHERE c.id = $1"#,
            channel
        );
        row.fetch_optional(&self.pool).await?.ok_or(Error::NotFound(Missing::Channel))
    }

    /// Writes down that a job's request is about to be made. Offered again by the same execution, it changes nothing.
    pub async fn begin_request(
        &self,
        job: &Job,
        fence: Fence,
        request: Request,
        pace: &Pace,
    ) -> Result<Result<Leave, Recorded>, Error> {
        let Request { once, token, .. } = request;
        let mut tx = self.pool.begin().await?;
        channels::lock(&mut tx, job.channel).await?;
        syncs::lock(&mut tx, job.sync).await?;
        if let Err(refused) = fence_one(&mut tx, fence).await? {
            return Ok(Err(refused));
        }
        if let Some(call) = once
            && let Some(leave) = earlier(&mut tx, job, call, token).await?
        {
            return Ok(Ok(leave));
        }
        let now = clock::now();
        if job.step.is_awaited() || job.step.asks_phone() {
            let asking = job.into();
            if !turns::take_turn(&mut tx, &asking, pace, now).await? {
                return Ok(Ok(Leave::NotYet));
            }
            turns::note_asked(&mut tx, &asking, token, now).await?;
        }
        if job.step.is_awaited() || job.kind == JobKind::Restore {
            arm(&mut tx, job, request, now).await?;
        }
        if let Some(call) = once {
            sqlx::query!(
                "INSERT INTO account_requests (channel_id, job_id, call, state, made_at, token) VALUES ($1, $2, $3, 'attempting', $4, $5)",
                job.channel,
                job.id,
                call,
                now,
                token
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(Ok(Leave::Go))
    }

    /// What became of a request that is made once, if it was made before: by this job, or by another one.
    pub async fn earlier_request(&self, job: &Job, call: &str) -> Result<Option<Leave>, Error> {
        let mut connection = self.pool.acquire().await?;
        earlier(&mut connection, job, call, Uuid::nil()).await
    }

    /// Writes down how a request of this execution ended. One that was not made leaves no trace but its line.
    pub async fn end_request(&self, job: &Job, token: Uuid, end: RequestEnd, answer: &str) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query!(
            "UPDATE account_requests SET state = $2, answered_at = $3, answer = $4
             WHERE job_id = $1 AND token = $5 AND state = 'attempting'",
            job.id,
            end.as_str(),
            clock::now(),
            answer,
            token
        )
        .execute(&mut *tx)
        .await?;
        if end == RequestEnd::Refused {
            // Unless somebody else has the job meanwhile, and waits for what it asked.
            let armed = sqlx::query!("DELETE FROM awaiting_jobs WHERE job_id = $1 AND token = $2", job.id, token);
            if armed.execute(&mut *tx).await?.rows_affected() > 0 {
                turns::note_not_asked(&mut tx, job.id, token).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Somebody allows a channel's requests to be made once more, whatever is known of earlier ones; how many earlier ones that
    /// are put aside.
    pub async fn allow_requests(&self, channel: ChannelId) -> Result<u64, Error> {
        let mut tx = self.pool.begin().await?;
        channels::lock(&mut tx, channel).await?;
        let now = clock::now();
        let aside = put_aside(&mut tx, channel, now).await?;
        sqlx::query!(
            "INSERT INTO channel_facts (channel_id, allowed_at) VALUES ($1, $2)
             ON CONFLICT (channel_id) DO UPDATE SET allowed_at = excluded.allowed_at",
            channel,
            now
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(aside)
    }

    /// Where a request for what is older than everything known of a contact begins, or than everything that came from it; none where
    /// nothing is known.
    pub async fn anchor(&self, job: &Job, incoming: bool) -> Result<Option<Anchor>, Error> {
        let anchor = sqlx::query_as!(
            Anchor,
            "SELECT m.message_id, m.from_me, m.sent_at FROM contacts c
             JOIN messages m ON m.contact_id = coalesce(c.merged_into, c.id)
             WHERE c.id = $1 AND NOT (m.from_me AND $2) ORDER BY m.sent_at, m.message_id LIMIT 1",
            job.contact,
            incoming
        );
        Ok(anchor.fetch_optional(&self.pool).await?)
    }
}

/// Earlier requests no longer stand in the way of another.
pub(crate) async fn put_aside(
    connection: &mut PgConnection,
    channel: ChannelId,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let aside = sqlx::query!(
        "UPDATE account_requests SET allowed_at = $2 WHERE channel_id = $1 AND allowed_at IS NULL AND state <> 'refused'",
        channel,
        now
    );
    Ok(aside.execute(connection).await?.rows_affected())
}

/// What stands in the way of a request that is made once.
async fn earlier(connection: &mut PgConnection, job: &Job, call: &str, token: Uuid) -> Result<Option<Leave>, Error> {
    let earlier = sqlx::query!(
        "SELECT job_id, state, made_at, token FROM account_requests
         WHERE channel_id = $1 AND call = $2 AND state <> 'refused' AND allowed_at IS NULL",
        job.channel,
        call
    );
    Ok(earlier.fetch_optional(connection).await?.map(|row| {
        if row.token == token && row.state == "attempting" {
            // Committed, and the answer to that was lost: nothing was sent.
            Leave::Go
        } else if row.job_id == job.id {
            Leave::Made { surely: row.state == "accepted" }
        } else {
            Leave::Spent { at: row.made_at, accepted: row.state == "accepted", state: row.state }
        }
    }))
}

/// From now on what comes is the job's, though its request has not even left.
async fn arm(connection: &mut PgConnection, job: &Job, request: Request, now: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO awaiting_jobs (job_id, channel_id, awaits, rule, since, until, look_at, token)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7)
         ON CONFLICT (job_id) DO UPDATE SET awaits = excluded.awaits, rule = excluded.rule, token = excluded.token,
             since = CASE WHEN awaiting_jobs.awaits = excluded.awaits THEN awaiting_jobs.since ELSE excluded.since END",
        job.id,
        job.channel,
        request.awaits.as_str(),
        request.rule.as_str(),
        now,
        now + TimeDelta::minutes(1),
        request.token
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The step of a job whose request is made once, by the name under which it is kept.
#[must_use]
pub const fn made_once(step: &Step) -> Option<&'static str> {
    match step {
        Step::RequestContacts => Some("request_contacts"),
        Step::RequestHistory => Some("request_history"),
        _ => None,
    }
}
