//! Who may call, and answers that were given before.

use chrono::{DateTime, Duration, Utc};
use secrecy::SecretString;
use sincro_core::{clock, sync::SyncId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Conflict, Error, Store, secret};

/// What a key may do. `admin` includes `enqueue`, `enqueue` includes `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Look at everything but secrets.
    Read,
    /// Ask for syncs and steer them.
    Enqueue,
    /// Change channels.
    Admin,
}

impl Scope {
    /// All scopes, weakest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Enqueue, Self::Admin];

    /// The scope's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Enqueue => "enqueue",
            Self::Admin => "admin",
        }
    }

    /// Reads a scope's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A caller that showed a valid key.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The key's id.
    pub key_id: Uuid,
    /// What the key was made for.
    pub name: String,
    /// The strongest thing it may do.
    pub scope: Scope,
}

/// A request that carried an `Idempotency-Key`.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Whose request.
    pub key_id: Uuid,
    /// The header's value.
    pub key: String,
    /// What was asked: path and body.
    pub request: Vec<u8>,
}

/// How long a first answer is remembered.
pub const ANSWERS_KEPT: Duration = Duration::hours(24);

impl Store {
    /// Makes a key; the returned text is the only copy there will ever be.
    pub async fn create_api_key(&self, name: &str, scopes: &[Scope]) -> Result<SecretString, Error> {
        let key = secret::new_api_key()?;
        let scopes: Vec<String> = scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
        sqlx::query!(
            "INSERT INTO api_keys (id, name, hash, scopes, created_at) VALUES ($1, $2, $3, $4, $5)",
            Uuid::now_v7(),
            name,
            secret::hash_api_key(&key),
            &scopes,
            clock::now()
        )
        .execute(&self.pool)
        .await?;
        Ok(key)
    }

    /// Who a key belongs to, or nobody.
    pub async fn authenticate(&self, key: &SecretString) -> Result<Option<Principal>, Error> {
        let row = sqlx::query!(
            "SELECT id, name, scopes, last_used_at FROM api_keys WHERE hash = $1 AND revoked_at IS NULL",
            secret::hash_api_key(key)
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        self.note_use(row.id, row.last_used_at).await?;
        let scope = row.scopes.iter().filter_map(|word| Scope::parse(word)).max();
        Ok(scope.map(|scope| Principal { key_id: row.id, name: row.name, scope }))
    }

    async fn note_use(&self, key_id: Uuid, last_used_at: Option<DateTime<Utc>>) -> Result<(), Error> {
        let now = clock::now();
        if last_used_at.is_some_and(|last| now - last < Duration::minutes(1)) {
            return Ok(());
        }
        sqlx::query!("UPDATE api_keys SET last_used_at = $2 WHERE id = $1", key_id, now).execute(&self.pool).await?;
        Ok(())
    }

    /// Forgets answers older than [`ANSWERS_KEPT`]; returns how many.
    pub async fn forget_old_answers(&self) -> Result<u64, Error> {
        let before = clock::now() - ANSWERS_KEPT;
        let done =
            sqlx::query!("DELETE FROM idempotency_keys WHERE created_at < $1", before).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }
}

/// The first answer to this request, if there was one. Waits for a request under way with the same key.
pub(crate) async fn recall(
    connection: &mut PgConnection,
    request: &Idempotency,
) -> Result<Option<serde_json::Value>, Error> {
    let first = sqlx::query!(
        "INSERT INTO idempotency_keys (api_key_id, key, request_hash, sync_id, answer, created_at)
         VALUES ($1, $2, $3, $4, 'null', $5) ON CONFLICT DO NOTHING",
        request.key_id,
        request.key,
        secret::sha256(&request.request),
        Uuid::nil(),
        clock::now()
    )
    .execute(&mut *connection)
    .await?;
    if first.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query!(
        "SELECT request_hash, answer FROM idempotency_keys WHERE api_key_id = $1 AND key = $2",
        request.key_id,
        request.key
    )
    .fetch_one(connection)
    .await?;
    if row.request_hash != secret::sha256(&request.request) {
        return Err(Conflict::IdempotencyKeyReused.into());
    }
    Ok(Some(row.answer))
}

/// Keeps the answer beside the key that [`recall`] has taken in the same transaction.
pub(crate) async fn remember(
    connection: &mut PgConnection,
    request: &Idempotency,
    sync: SyncId,
    answer: &serde_json::Value,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE idempotency_keys SET sync_id = $3, answer = $4 WHERE api_key_id = $1 AND key = $2",
        request.key_id,
        request.key,
        sync,
        answer
    )
    .execute(connection)
    .await?;
    Ok(())
}
