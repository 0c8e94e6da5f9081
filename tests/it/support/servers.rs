//! A database and a Redis namespace for one test; both are gone when it ends, however it ends.

use redis::Commands as _;
use sqlx::{Connection as _, PgConnection};
use url::Url;
use uuid::Uuid;

use super::environment;

const HOW_TO_RUN: &str = "run the tests with `./just test`, which starts the servers they need";

/// What a variable says that tests cannot do without.
fn needed(variable: &str) -> String {
    environment::text(variable).unwrap_or_else(|| panic!("{variable} is not set: {HOW_TO_RUN}"))
}

/// An empty database on the server that `DATABASE_URL` names.
pub(crate) struct Database {
    pub(crate) url: String,
    server: String,
    name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        Self::create_at(needed("DATABASE_URL")).await
    }

    /// On another server.
    pub(crate) async fn create_at(server: String) -> Self {
        let name = format!("sincro_it_{}", Uuid::now_v7().simple());
        let mut connection = match PgConnection::connect(&server).await {
            Ok(connection) => connection,
            Err(error) => panic!("the server at DATABASE_URL does not answer ({error}): {HOW_TO_RUN}"),
        };
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        let mut url = Url::parse(&server).unwrap();
        url.set_path(&name);
        Self { url: url.into(), server, name }
    }

    /// The URL of another database on its server, which need not be there.
    pub(crate) fn named(&self, name: &str) -> String {
        let mut url = Url::parse(&self.url).unwrap();
        url.set_path(name);
        url.into()
    }

    /// Ends every connection to it but the asking one, as a server does that fails over.
    pub(crate) async fn cut_connections(&self) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&mut connection)
        .await
        .unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let drop = async move {
            let mut connection = PgConnection::connect(&server).await?;
            let drop = sqlx::AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            sqlx::query(drop).execute(&mut connection).await
        };
        // The test's own runtime may be on its way out.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(drop)
        });
        // A server that is gone has no database left to drop.
        let _ = dropped.join();
    }
}

/// A part of the Redis that `REDIS_URL` names.
pub(crate) struct Namespace {
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        Self::at(needed("REDIS_URL"))
    }

    /// Of another Redis.
    pub(crate) fn at(url: String) -> Self {
        // A namespace has at most 32 characters; the first ones of the id are the time, and the same for long.
        let name = format!("it-{}", &Uuid::now_v7().simple().to_string()[3..]);
        Self { url, name }
    }

    /// What every key of the namespace begins with.
    fn pattern(&self) -> String {
        format!("sincro:{{{}/*", self.name)
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let mut redis = self.connect();
        redis.scan_match(self.pattern()).unwrap().map(Result::unwrap).collect()
    }

    /// Removes everything the queue keeps here, as a flush would, and returns how many keys that were.
    pub(crate) fn flush(&self) -> usize {
        let keys = self.keys();
        if !keys.is_empty() {
            let _: usize = self.connect().unlink(&keys).unwrap();
        }
        keys.len()
    }

    /// Removes the keys whose names, behind the shard's prefix, begin like that; returns how many there were.
    pub(crate) fn lose(&self, beginning: &str) -> usize {
        let named = |key: &String| key.split_once("}:").is_some_and(|(_, rest)| rest.starts_with(beginning));
        let keys: Vec<String> = self.keys().into_iter().filter(named).collect();
        if !keys.is_empty() {
            let _: usize = self.connect().unlink(&keys).unwrap();
        }
        keys.len()
    }

    /// The keys whose names, behind the shard's prefix, begin like that, with what they hold.
    pub(crate) fn copy(&self, beginning: &str) -> Vec<(String, Vec<u8>)> {
        let mut redis = self.connect();
        let named = |key: &String| key.split_once("}:").is_some_and(|(_, rest)| rest.starts_with(beginning));
        let dump = |key: String| {
            let value = redis::cmd("DUMP").arg(&key).query(&mut redis).unwrap();
            (key, value)
        };
        self.keys().into_iter().filter(named).map(dump).collect()
    }

    /// Puts keys back as they were.
    pub(crate) fn bring_back(&self, copy: &[(String, Vec<u8>)]) {
        let mut redis = self.connect();
        for (key, value) in copy {
            let () = redis::cmd("RESTORE").arg(key).arg(0).arg(value).arg("REPLACE").query(&mut redis).unwrap();
        }
    }

    /// Puts something of another type in the place of a key of the first shard, as somebody does who takes the wrong one.
    pub(crate) fn spoil(&self, name: &str) {
        let (mut redis, key) = (self.connect(), format!("sincro:{{{}/0}}:{name}", self.name));
        let of_a_kind: String = redis::cmd("TYPE").arg(&key).query(&mut redis).unwrap();
        let (command, value) = if of_a_kind == "string" { ("RPUSH", "x") } else { ("SET", "x") };
        let spoilt =
            redis::pipe().atomic().del(&key).ignore().cmd(command).arg(&key).arg(value).ignore().exec(&mut redis);
        spoilt.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Jobs that wait for their turn or their time in the first shard.
    pub(crate) fn waiting(&self) -> i64 {
        let key = |name: &str| format!("sincro:{{{}/0}}:{name}", self.name);
        let mut redis = self.connect();
        let queued: Vec<i64> = redis.hvals(key("queued")).unwrap();
        let lanes: Vec<String> = redis.zrange(key("delayed"), 0, -1).unwrap();
        let delayed = lanes.iter().map(|lane| redis.zcard::<_, i64>(key(&format!("later:{lane}"))).unwrap());
        queued.into_iter().sum::<i64>() + delayed.sum::<i64>()
    }

    /// When the leases in the first shard run out, the first one first: microseconds since the Unix epoch.
    pub(crate) fn leases(&self) -> Vec<u64> {
        let key = format!("sincro:{{{}/0}}:leases", self.name);
        let held: Vec<(String, String)> = self.connect().zrange_withscores(key, 0, -1).unwrap();
        held.iter().map(|(_, until)| until.parse().expect("whole microseconds")).collect()
    }

    fn connect(&self) -> redis::Connection {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        match client.get_connection() {
            Ok(connection) => connection,
            Err(error) => panic!("the server at REDIS_URL does not answer ({error}): {HOW_TO_RUN}"),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // While a test fails, a Redis that is gone must not hide why.
        if !std::thread::panicking() || redis::Client::open(self.url.as_str()).is_ok_and(|c| c.get_connection().is_ok())
        {
            self.flush();
        }
    }
}
