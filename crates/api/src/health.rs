//! Liveness and readiness, for whoever restarts processes and routes requests. The only calls without a key.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use tokio::time::timeout;

use crate::{queue_view::Health, state::App};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The process is alive.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Alive {
    /// Always `ok`.
    status: &'static str,
}

/// Whether a part can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// It answers.
    Ok,
    /// It does not.
    Unavailable,
    /// It answers and takes no writes: out of memory, a replica, a disk that is full. Redis only.
    Refusing,
}

/// Whether requests can be served.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    /// Requests are served.
    ready: bool,
    /// Requests are served, but nothing runs until Redis is well again.
    degraded: bool,
    /// Postgres: without it nothing can be served.
    database: Part,
    /// Redis: without it syncs are accepted and wait.
    redis: Part,
    /// The schema is at least as new as this version needs.
    migrated: bool,
}

impl Readiness {
    /// `migrated` is none where the database does not answer.
    fn of(migrated: Option<bool>, redis: Health) -> Self {
        let ready = migrated == Some(true);
        let redis = match redis {
            Health::Well => Part::Ok,
            Health::Refuses => Part::Refusing,
            Health::Away => Part::Unavailable,
        };
        Self {
            ready,
            degraded: ready && redis != Part::Ok,
            database: if migrated.is_some() { Part::Ok } else { Part::Unavailable },
            redis,
            migrated: ready,
        }
    }
}

/// Alive
///
/// Answers as long as the process runs, whatever else is away.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "process",
    responses((status = 200, body = Alive, description = "The process is alive")),
)]
pub(crate) async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Ready
///
/// Requests can be served: the database answers and has the schema that this version needs. While Redis is
/// away, or takes no writes, the API is ready but degraded: syncs are accepted and begin when Redis is well again.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "process",
    responses(
        (status = 200, body = Readiness, description = "Requests are served"),
        (status = 503, body = Readiness, description = "The database is away, or its schema is older than this version"),
    ),
)]
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let (migrated, redis) = tokio::join!(timeout(PATIENCE, app.store.is_migrated()), app.queue.health());
    let migrated = match migrated {
        Ok(Ok(migrated)) => Some(migrated),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            None
        }
        Err(_) => {
            tracing::warn!("not ready: the database does not answer in time");
            None
        }
    };
    let readiness = Readiness::of(migrated, redis);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn without_redis_requests_are_served_and_it_is_said_that_nothing_runs() {
        for (redis, said) in [(Health::Away, "unavailable"), (Health::Refuses, "refusing")] {
            let readiness = json!(Readiness::of(Some(true), redis));
            let expected = json!({
                "ready": true, "degraded": true, "database": "ok", "redis": said, "migrated": true
            });
            assert_eq!(readiness, expected);
        }
        assert!(!Readiness::of(Some(true), Health::Well).degraded);
    }

    #[test]
    fn without_the_database_or_with_an_old_schema_nothing_is_served() {
        let away = Readiness::of(None, Health::Well);
        assert!(!away.ready && away.database == Part::Unavailable);
        let old = Readiness::of(Some(false), Health::Well);
        assert!(!old.ready && old.database == Part::Ok && !old.migrated);
    }
}
