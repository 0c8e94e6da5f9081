//! One test's world: a database, a Redis namespace, an admin key, and the processes that work on them.

use std::{
    ops::Deref,
    path::Path,
    process::Output,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;
use sqlx::PgPool;

use super::{
    bounds::within,
    client::Client,
    process::{self, Process},
    servers::{Database, Namespace},
    turn::{self, Turn},
};

/// Base64 of 32 bytes; seals the credentials of this world's channels.
const SECRET_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// Settings of all processes that tests want otherwise than people do: a few connections each, errors tried again soon.
const SETTINGS: [(&str, &str); 8] = [
    ("SINCRO_SECRET_KEY", SECRET_KEY),
    ("SINCRO_LISTEN", "127.0.0.1:0"),
    ("SINCRO_LOG", "info"),
    ("SINCRO_LOG_FORMAT", "json"),
    ("SINCRO_DATABASE_CONNECTIONS", "5"),
    ("SINCRO_SWEEP_SECONDS", "0.5"),
    ("SINCRO_RETRY_BASE_SECONDS", "0.01"),
    ("SINCRO_RETRY_CAP_SECONDS", "0.1"),
];

/// A variable and its value.
pub(crate) type Setting<'a> = (&'a str, &'a str);

/// A migrated, empty installation. What runs in it is started by the test.
pub(crate) struct World {
    /// An admin key.
    pub(crate) key: String,
    /// For looking at rows that no call shows.
    pub(crate) sql: PgPool,
    pub(crate) queue: Namespace,
    pub(crate) database: Database,
    settings: Vec<(String, String)>,
    started: AtomicU32,
    // Last, so that the next test begins when all of this is gone.
    _turn: Turn,
}

/// A `sincro api` (or `all`) that listens, and a client of it with the admin key.
pub(crate) struct Api {
    pub(crate) process: Process,
    pub(crate) client: Client,
}

impl Deref for Api {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl World {
    /// With the settings of tests.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these settings for every process, in the words of the environment.
    pub(crate) async fn with(settings: &[Setting<'_>]) -> Self {
        Self::create(turn::beside_others().await, settings).await
    }

    /// The same for tests that mostly wait.
    pub(crate) async fn waiting(settings: &[Setting<'_>]) -> Self {
        Self::create(turn::waiting().await, settings).await
    }

    /// The same while no other test runs: for tests that measure time.
    pub(crate) async fn alone(settings: &[Setting<'_>]) -> Self {
        Self::create(turn::alone().await, settings).await
    }

    /// On servers of the test's own; without one, on those of all tests.
    pub(crate) async fn on(redis: Option<String>, postgres: Option<String>, settings: &[Setting<'_>]) -> Self {
        let turn = turn::beside_others().await;
        let queue = redis.map_or_else(Namespace::new, Namespace::at);
        let database = match postgres {
            Some(server) => Database::create_at(server).await,
            None => Database::create().await,
        };
        Self::assemble(turn, queue, database, settings).migrated().await
    }

    async fn create(turn: Turn, settings: &[Setting<'_>]) -> Self {
        Self::unmigrated(turn, settings).await.migrated().await
    }

    async fn migrated(self) -> Self {
        let mut world = self;
        let migrated = world.sincro(&["migrate"]).await;
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        world.key = world.create_key("admin").await;
        world
    }

    /// A world before `sincro migrate`, without a key.
    pub(crate) async fn unmigrated(turn: Turn, settings: &[Setting<'_>]) -> Self {
        Self::assemble(turn, Namespace::new(), Database::create().await, settings)
    }

    fn assemble(turn: Turn, queue: Namespace, database: Database, settings: &[Setting<'_>]) -> Self {
        let own = [
            ("DATABASE_URL", database.url.as_str()),
            ("REDIS_URL", queue.url.as_str()),
            ("SINCRO_REDIS_NAMESPACE", queue.name.as_str()),
        ];
        let settings = own.iter().chain(&SETTINGS).chain(settings);
        let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sql = PgPool::connect_lazy(&database.url).unwrap();
        Self { key: String::new(), sql, queue, database, settings, started: AtomicU32::new(0), _turn: turn }
    }

    /// Another key, made by `sincro key create`.
    pub(crate) async fn create_key(&self, scope: &str) -> String {
        let made = self.sincro(&["key", "create", "--name", "test", "--scope", scope]).await;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().lines().next_back().expect("a key is printed").to_owned()
    }

    /// Starts an API and waits until it listens.
    pub(crate) async fn api(&self) -> Api {
        self.listening("api", &[]).await
    }

    /// Starts a worker and waits until it works.
    pub(crate) async fn worker(&self) -> Process {
        self.worker_with(&[]).await
    }

    /// A worker with settings of its own.
    pub(crate) async fn worker_with(&self, settings: &[Setting<'_>]) -> Process {
        let worker = self.start(&["worker"], settings);
        worker.said("the worker works").await;
        worker
    }

    /// Starts `sincro api` or `sincro all` with settings of its own and waits until it listens.
    pub(crate) async fn listening(&self, verb: &str, settings: &[Setting<'_>]) -> Api {
        self.when_listening(self.start(&[verb], settings)).await
    }

    /// Waits until a process that was started listens.
    pub(crate) async fn when_listening(&self, process: Process) -> Api {
        let line = process.said("serving the API").await;
        let address = line["address"].as_str().expect("the log names the address");
        let client = Client::new(&format!("http://{address}"), &self.key);
        Api { process, client }
    }

    /// Starts a process and waits for nothing.
    pub(crate) fn start(&self, arguments: &[&str], settings: &[Setting<'_>]) -> Process {
        self.start_program(process::binary(), arguments, settings)
    }

    /// The same with another build of the program.
    pub(crate) fn start_program(&self, program: &Path, arguments: &[&str], settings: &[Setting<'_>]) -> Process {
        let mut command = process::command_of(program);
        command.args(arguments);
        self.set(&mut command, settings);
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Process::start(&format!("process {number} (sincro {})", arguments.join(" ")), command)
    }

    /// Runs a command to its end.
    pub(crate) async fn sincro(&self, arguments: &[&str]) -> Output {
        self.sincro_with(arguments, &[]).await
    }

    /// Runs a command with settings of its own to its end.
    pub(crate) async fn sincro_with(&self, arguments: &[&str], settings: &[Setting<'_>]) -> Output {
        self.run_program(process::binary(), arguments, settings).await
    }

    /// The same with another build of the program.
    pub(crate) async fn run_program(&self, program: &Path, arguments: &[&str], settings: &[Setting<'_>]) -> Output {
        let mut command = process::command_of(program);
        command.args(arguments).stdin(std::process::Stdio::null());
        self.set(&mut command, settings);
        let mut command = tokio::process::Command::from(command);
        let output = command.kill_on_drop(true).output();
        within(&format!("the end of sincro {arguments:?}"), output).await.expect("the binary can be started")
    }

    /// A setting of an empty value counts as not set.
    fn set(&self, command: &mut std::process::Command, settings: &[Setting<'_>]) {
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.envs(settings.iter().copied());
    }

    /// One number out of the database.
    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.sql).await.unwrap()
    }

    /// Waits until the queue knows all that was recorded so far: on a busy machine an answer to a client does not wait for it.
    pub(crate) async fn until_heard(&self) {
        let heard = async { while self.number("SELECT count(*) FROM notices").await > 0 {} };
        within("the queue's knowledge of what was recorded", heard).await;
    }

    /// Runs statements that change what no call changes.
    pub(crate) async fn run(&self, statements: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&self.sql).await.unwrap();
    }

    /// The rows of a query, each as JSON.
    pub(crate) async fn rows(&self, query: &str) -> Vec<Value> {
        let query = sqlx::AssertSqlSafe(format!("SELECT to_jsonb(q) FROM ({query}) q"));
        sqlx::query_scalar(query).fetch_all(&self.sql).await.unwrap()
    }
}
