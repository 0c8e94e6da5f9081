//! A database and a part of Redis for one history after the other.

use std::time::Duration;

use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use secrecy::SecretString;
use sincro_providers::{GatewaySettings, Gateways};
use sincro_queue::{Queue, QueueSettings};
use sincro_store::{SecretKey, Store};
use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

const HOW_TO_RUN: &str = "run it with ./just simulate or ./just test, which start the servers it needs";

/// A migrated database and a namespace, and the handles on them; both are gone when it is closed.
pub(crate) struct Place {
    pub(crate) store: Store,
    /// Under the clock of Redis; a history has a clock of its own.
    pub(crate) queue: Queue,
    pub(crate) gateways: Gateways,
    /// For looking at rows that the ledger's own functions do not show.
    pub(crate) sql: PgPool,
    redis: MultiplexedConnection,
    admin: String,
    name: String,
}

impl Place {
    pub(crate) async fn open() -> Self {
        let (admin, redis_url) = (needed("DATABASE_URL"), needed("REDIS_URL"));
        let name = format!("sincro_simulation_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(&admin).await.expect(HOW_TO_RUN);
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        let mut url = url::Url::parse(&admin).unwrap();
        url.set_path(&name);
        let key = SecretKey::from_base64("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").unwrap();
        let store = Store::connect(url.as_str(), 8, Some(key)).await.unwrap();
        store.migrate().await.unwrap();
        let sql = PgPoolOptions::new().max_connections(1).connect(url.as_str()).await.unwrap();

        let client = redis::Client::open(redis_url.as_str()).unwrap();
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
        let redis = client.get_multiplexed_async_connection_with_config(&patient).await.expect(HOW_TO_RUN);
        let namespace = format!("sim-{}", &name[name.len() - 20..]);
        let settings = QueueSettings { redis_url: SecretString::from(redis_url), namespace, shards: 1 };
        let queue = Queue::connect(settings).await.unwrap();
        let gateways = Gateways::new(&GatewaySettings::default()).unwrap();
        Self { store, queue, gateways, sql, redis, admin, name }
    }

    /// As it was when it was opened, so that a history that is told again finds the same.
    pub(crate) async fn clean(&self) {
        self.forget(&self.keys("").await).await;
        sqlx::raw_sql(CLEAN).execute(&self.sql).await.unwrap();
    }

    pub(crate) async fn close(self) {
        self.forget(&self.keys("").await).await;
        self.store.close().await;
        self.sql.close().await;
        let mut connection = PgConnection::connect(&self.admin).await.unwrap();
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
    }

    /// What all keys of the queue begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("sincro:{{{}/0}}:", self.queue.namespace())
    }

    /// The queue's keys that have this in their names, in order.
    pub(crate) async fn keys(&self, with: &str) -> Vec<String> {
        let pattern = format!("{}*{with}*", self.prefix());
        let mut keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut self.redis.clone()).await.unwrap();
        keys.sort_unstable();
        keys
    }

    pub(crate) async fn forget(&self, keys: &[String]) {
        if !keys.is_empty() {
            let () = redis::cmd("UNLINK").arg(keys).query_async(&mut self.redis.clone()).await.unwrap();
        }
    }

    /// Everything the queue holds now.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        let mut values = Vec::new();
        for key in self.keys("").await {
            let value: Vec<u8> = redis::cmd("DUMP").arg(&key).query_async(&mut self.redis.clone()).await.unwrap();
            values.push((key, value));
        }
        Snapshot(values)
    }

    /// What a Redis server holds that came back with its state of then: another life of it, by another run id.
    pub(crate) async fn roll_back(&self, Snapshot(values): &Snapshot) {
        self.forget(&self.keys("").await).await;
        let mut redis = self.redis.clone();
        for (key, value) in values {
            let () = redis::cmd("RESTORE").arg(key).arg(0).arg(value).query_async(&mut redis).await.unwrap();
        }
        let home = self.prefix() + "home";
        let found: Option<String> = redis::cmd("GET").arg(&home).query_async(&mut redis).await.unwrap();
        if let Some((_, layout)) = found.as_deref().and_then(|found| found.split_once('|')) {
            let other = format!("{}|{layout}", "0".repeat(40));
            let () = redis::cmd("SET").arg(&home).arg(other).query_async(&mut redis).await.unwrap();
        }
    }

    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.sql).await.unwrap()
    }
}

/// The keys of the queue at some moment.
pub(crate) struct Snapshot(Vec<(String, Vec<u8>)>);

/// Empties all tables and starts all numbers again.
const CLEAN: &str = "
    SET session_replication_role = replica;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
        FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
            EXECUTE format('ALTER SEQUENCE %I RESTART', name);
        END LOOP;
    END $$;
    SET session_replication_role = origin;";

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where their servers are")]
fn needed(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: {HOW_TO_RUN}"))
}
