//! The files of messages: written down with them, asked for by syncs of their own, and what became of them.
//!
//! Files themselves are somewhere else; here is where. Which of them are fetched, and when, is decided by whoever asks.

use chrono::{DateTime, Utc};
use sincro_core::{
    channel::ChannelId,
    clock,
    drill::{Point, reach},
    job::{Ending, Failure, Job, JobKind, JobState, NothingReason, Outcome, SkipReason, Step},
    media::{Media, MediaPlace, MediaState},
    notice::Notice,
};
use sqlx::PgConnection;

use crate::{
    Error, Store,
    settle::{Fence, Recorded, Settlement, fence_one, settle_one},
    syncs,
};

/// What a job has to know of the file that it shall fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What became of it so far.
    pub state: MediaState,
    /// Where it is to be had.
    pub place: Option<MediaPlace>,
    /// Its type, as far as somebody says.
    pub mime: Option<String>,
    /// How long it is, as far as somebody says.
    pub bytes: Option<u64>,
}

/// What became of the file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEnd {
    /// It is in its place.
    Stored {
        /// Where: `file:///...` or `s3://...`.
        location: String,
        /// How long it is.
        bytes: u64,
        /// Its SHA-256 in hex.
        sha256: String,
    },
    /// Somebody else has stored it.
    Already,
    /// It is larger than this.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The gateway does not have it: what it says.
    Gone(String),
}

/// Files as columns.
#[derive(Default)]
pub(crate) struct Rows<'m> {
    channels: Vec<ChannelId>,
    messages: Vec<&'m str>,
    sent_at: Vec<DateTime<Utc>>,
    ids: Vec<Option<&'m str>>,
    links: Vec<Option<&'m str>>,
    mimes: Vec<Option<&'m str>>,
    bytes: Vec<Option<i64>>,
    names: Vec<Option<&'m str>>,
    hashes: Vec<Option<&'m str>>,
}

impl<'m> Rows<'m> {
    pub(crate) fn push(&mut self, channel: ChannelId, message: &'m str, sent_at: DateTime<Utc>, media: &'m Media) {
        let (id, link) = match &media.place {
            Some(MediaPlace::Id(id)) => (Some(id.as_str()), None),
            Some(MediaPlace::Link(link)) => (None, Some(link.as_str())),
            None => (None, None),
        };
        self.channels.push(channel);
        self.messages.push(message);
        self.sent_at.push(sent_at);
        self.ids.push(id);
        self.links.push(link);
        self.mimes.push(media.mime.as_deref());
        self.bytes.push(media.bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)));
        self.names.push(media.file_name.as_deref());
        self.hashes.push(media.sha256.as_deref());
    }

    /// Writes down what is known of the files of messages that are there. A place that is news can be asked for again; what is
    /// stored, or too large, stays so.
    pub(crate) async fn insert(self, connection: &mut PgConnection) -> Result<(), Error> {
        if self.messages.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "INSERT INTO media (channel_id, message_id, state, sent_at, media_id, link, mime, bytes, file_name, told_sha256)
             SELECT DISTINCT ON (u.channel, u.message) u.channel, u.message,
                    CASE WHEN u.id IS NULL AND u.link IS NULL THEN 'placeholder' ELSE 'known' END,
                    u.sent_at, u.id, u.link, u.mime, u.bytes, u.name, u.hash
             FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[])
                  AS u(channel, message, sent_at, id, link, mime, bytes, name, hash)
             ORDER BY u.channel, u.message, u.id IS NULL AND u.link IS NULL
             ON CONFLICT (channel_id, message_id) DO UPDATE
             SET state = CASE WHEN media.state = 'too_large' THEN media.state ELSE 'known' END,
                 reason = CASE WHEN media.state = 'too_large' THEN media.reason END, asked_at = NULL,
                 media_id = excluded.media_id, link = excluded.link, mime = coalesce(excluded.mime, media.mime),
                 bytes = coalesce(excluded.bytes, media.bytes), file_name = coalesce(excluded.file_name, media.file_name),
                 told_sha256 = coalesce(excluded.told_sha256, media.told_sha256)
             WHERE media.state <> 'stored' AND excluded.state = 'known'
               AND (media.media_id, media.link) IS DISTINCT FROM (excluded.media_id, excluded.link)",
            &self.channels,
            &self.messages as _,
            &self.sent_at,
            &self.ids as _,
            &self.links as _,
            &self.mimes as _,
            &self.bytes as _,
            &self.names as _,
            &self.hashes as _
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

impl Store {
    /// What is known of the file of a message; none where it has none.
    pub async fn wanted_media(&self, channel: ChannelId, message: &str) -> Result<Option<Wanted>, Error> {
        let row = sqlx::query!(
            "SELECT state, media_id, link, mime, bytes FROM media WHERE channel_id = $1 AND message_id = $2",
            channel,
            message
        );
        let Some(row) = row.fetch_optional(&self.pool).await? else { return Ok(None) };
        Ok(Some(Wanted {
            state: row.state.parse().map_err(Error::unreadable)?,
            place: row.media_id.map(MediaPlace::Id).or(row.link.map(MediaPlace::Link)),
            mime: row.mime,
            bytes: row.bytes.map(i64::unsigned_abs),
        }))
    }

    /// Records what became of a file, and that its job is over.
    pub async fn settle_media(&self, job: &Job, fence: Fence, end: &FileEnd) -> Result<(Recorded, Vec<Notice>), Error> {
        let mut tx = self.pool.begin().await?;
        syncs::lock(&mut tx, job.sync).await?;
        let before = match fence_one(&mut tx, fence).await? {
            Ok(state) => state,
            Err(refused) => return Ok((refused, Vec::new())),
        };
        if let Step::Media { message_id, .. } = &job.step {
            note(&mut tx, job.channel, message_id, end).await?;
        }
        let settlement = Settlement::bare(job, fence, Outcome::Ended(ending(end)));
        let counts = match end {
            FileEnd::Stored { .. } => (1, 1),
            FileEnd::Already => (1, 0),
            FileEnd::TooLarge { .. } | FileEnd::Gone(_) => (0, 0),
        };
        let notices = settle_one(&mut tx, &settlement, before, counts).await?;
        reach(Point::Settling).await;
        tx.commit().await?;
        Ok((Recorded::Ended, notices))
    }
}

fn ending(end: &FileEnd) -> Ending {
    match end {
        FileEnd::Stored { .. } | FileEnd::Already => Ending::Succeeded,
        FileEnd::TooLarge { .. } => Ending::Skipped(SkipReason::TooLarge),
        FileEnd::Gone(told) => Ending::Nothing(NothingReason::MediaGone, Some(told.clone())),
    }
}

/// Of a file whose place is news since its job was written nothing is said: that was about the old one.
async fn note(connection: &mut PgConnection, channel: ChannelId, message: &str, end: &FileEnd) -> Result<(), Error> {
    let (state, reason, limit) = match end {
        FileEnd::Stored { location, bytes, sha256 } => {
            sqlx::query!(
                "UPDATE media SET state = 'stored', reason = NULL, limit_bytes = NULL, location = $3, stored_bytes = $4, sha256 = $5, stored_at = $6
                 WHERE channel_id = $1 AND message_id = $2",
                channel,
                message,
                location,
                i64::try_from(*bytes).unwrap_or(i64::MAX),
                sha256,
                clock::now()
            )
            .execute(connection)
            .await?;
            return Ok(());
        }
        FileEnd::Already => return Ok(()),
        FileEnd::TooLarge { limit } => {
            let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
            (MediaState::TooLarge, format!("larger than {limit} bytes"), Some(limit))
        }
        FileEnd::Gone(told) => (MediaState::Gone, told.clone(), None),
    };
    sqlx::query!(
        "UPDATE media SET state = $3, reason = $4, limit_bytes = $5 WHERE channel_id = $1 AND message_id = $2 AND state <> 'stored'
           AND state <> 'placeholder' AND asked_at IS NOT NULL",
        channel,
        message,
        state.as_str(),
        reason,
        limit
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes the files whose jobs have failed for good.
pub(crate) async fn note_failures(
    connection: &mut PgConnection,
    passed: &[(&Settlement, JobState)],
) -> Result<(), Error> {
    let mut failures: Vec<(ChannelId, &str, &Failure)> = Vec::new();
    for (settlement, _) in passed {
        if let (JobKind::Media, Step::Media { message_id, .. }, Outcome::Ended(Ending::Failed(failure))) =
            (settlement.job.kind, &settlement.job.step, &settlement.outcome)
        {
            failures.push((settlement.job.channel, message_id, failure));
        }
    }
    failures.sort_by_key(|(channel, message, _)| (*channel, *message));
    for (channel, message, failure) in failures {
        sqlx::query!(
            "UPDATE media SET state = 'failed', reason = $3, limit_bytes = NULL
             WHERE channel_id = $1 AND message_id = $2 AND state IN ('known', 'too_large', 'failed', 'gone') AND asked_at IS NOT NULL",
            channel,
            message,
            format!("{}: {}", failure.code, failure.detail)
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
