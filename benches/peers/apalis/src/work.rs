//! What a job is: fetch the chat, parse the answer, store five messages and the result in one transaction.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::PgPool;
use uuid::Uuid;

/// A chat, and whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub number: i64,
    pub channel: Uuid,
    pub token: String,
    pub address: String,
}

impl Job {
    /// One of many; channels of two thousand jobs each.
    pub fn numbered(number: u32) -> Self {
        let channel = number / 2_000;
        Self {
            number: number.into(),
            channel: Uuid::from_u128(channel.into()),
            token: format!("token-{channel}"),
            address: format!("{}@s.whatsapp.net", 5_510_000_000_000 + u64::from(number)),
        }
    }
}

/// Where everything is.
#[derive(Clone)]
pub struct Place {
    pub http: reqwest::Client,
    pub gateway: String,
    pub pool: PgPool,
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
struct Row {
    message_id: String,
    sender_jid: String,
    timestamp: String,
    message_type: String,
    text_content: String,
}

/// Does it.
pub async fn work(job: &Job, place: &Place) -> anyhow::Result<()> {
    let url = format!("{}/chat/history?chat_jid={}&limit=100", place.gateway, job.address.replace('@', "%40"));
    let answer = place.http.get(url).header("token", &job.token).send().await?.error_for_status()?;
    let answer: Answer = serde_json::from_slice(&answer.bytes().await?)?;
    let raw = answer.data.unwrap_or_default();
    let rows = raw.iter().map(|raw| serde_json::from_str(raw.get())).collect::<Result<Vec<Row>, _>>()?;
    let payloads: Vec<&str> = raw.iter().map(|raw| raw.get()).collect();
    store(job, &rows, &payloads, &place.pool).await
}

async fn store(job: &Job, rows: &[Row], payloads: &[&str], pool: &PgPool) -> anyhow::Result<()> {
    let column = |pick: fn(&Row) -> &str| rows.iter().map(pick).collect::<Vec<&str>>();
    let mut tx = pool.begin().await?;
    let stored = sqlx::query(
        "INSERT INTO messages (channel_id, message_id, address, from_me, sent_at, kind, text, payload, job_id, stored_at)
         SELECT $1, id, $2, sender = 'me', sent_at::timestamptz, kind, text, payload::json, $3, now()
         FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
              AS m(id, sender, sent_at, kind, text, payload)
         ON CONFLICT DO NOTHING",
    )
    .bind(job.channel)
    .bind(&job.address)
    .bind(job.number)
    .bind(column(|row| &row.message_id))
    .bind(column(|row| &row.sender_jid))
    .bind(column(|row| &row.timestamp))
    .bind(column(|row| &row.message_type))
    .bind(column(|row| &row.text_content))
    .bind(payloads)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO results (job_id, channel_id, address, state, fetched, stored, settled_at)
         VALUES ($1, $2, $3, 'succeeded', $4, $5, now()) ON CONFLICT (job_id) DO NOTHING",
    )
    .bind(job.number)
    .bind(job.channel)
    .bind(&job.address)
    .bind(i32::try_from(rows.len())?)
    .bind(i32::try_from(stored.rows_affected())?)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}
