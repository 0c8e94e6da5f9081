//! Everything that runs: servers, members, gateway. What the plan says is done to it here.

use sincro_simulator::{Fault as Answer, Faults, Latency, Population, Rule, Settings, When};
use sqlx::PgPool;

use super::{
    fault::Fault,
    folder::Folder,
    member::{Found, Member},
    plan::{API, CHANNELS, Plan, WORKERS},
    servers::{End, Server},
};
use crate::support::{Gateway, private::free_port, process, within};

const PEOPLE: u32 = 90;
const SECRET_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// Errors are tried again soon, what dies is missed soon, and some jobs fail, so that there is something to retry.
const SETTINGS: [(&str, &str); 12] = [
    ("SINCRO_SECRET_KEY", SECRET_KEY),
    ("SINCRO_REDIS_NAMESPACE", "chaos"),
    ("SINCRO_LOG", "info"),
    ("SINCRO_LOG_FORMAT", "json"),
    ("SINCRO_DATABASE_CONNECTIONS", "6"),
    ("SINCRO_SWEEP_SECONDS", "0.5"),
    ("SINCRO_RETRY_BASE_SECONDS", "0.05"),
    ("SINCRO_RETRY_CAP_SECONDS", "0.5"),
    ("SINCRO_LEASE_SECONDS", "2"),
    ("SINCRO_MAX_ATTEMPTS", "4"),
    ("SINCRO_SHUTDOWN_GRACE_SECONDS", "2"),
    ("SINCRO_GATEWAY_TIMEOUT_SECONDS", "5"),
];

/// Dropped in this order.
pub(super) struct Site {
    /// The workers, then the API.
    pub(super) members: Vec<Member>,
    pub(super) gateway: Gateway,
    pub(super) redis: Server,
    pub(super) postgres: Server,
    pub(super) folder: Folder,
    /// Past all lines.
    pub(super) sql: PgPool,
    /// Where the API listens in all its lives.
    pub(super) api_port: u16,
    /// Of an admin.
    pub(super) key: String,
    /// Processes that died at a point of their code.
    pub(super) died_at_points: usize,
}

impl Site {
    /// Everything up and migrated, without channels.
    pub(super) async fn open(plan: &Plan, seed: u64) -> Self {
        let folder = Folder::new();
        let (mut redis, mut postgres) = (Server::redis(), Server::postgres(&folder));
        redis.start(&folder).await;
        postgres.start(&folder).await;
        let url = postgres.url(postgres.port);
        sincro(&url, &["migrate"]).await;
        let key = sincro(&url, &["key", "create", "--name", "chaos", "--scope", "admin"]).await;
        let api_port = free_port();
        let mut members = Vec::new();
        for (number, skew) in plan.skews.iter().enumerate() {
            let clock = format!("clock={skew}");
            let listen = format!("127.0.0.1:{api_port}");
            let mut settings = SETTINGS.to_vec();
            settings.push(("SINCRO_DRILL", &clock));
            let (name, verb) = if number == API {
                settings.push(("SINCRO_LISTEN", &listen));
                ("api".to_owned(), "api")
            } else {
                (format!("worker-{}", number + 1), "worker")
            };
            members.push(Member::new(&name, verb, &redis, &postgres, &settings).await);
        }
        let sql = PgPool::connect_lazy(&url).unwrap();
        let gateway = Gateway::start(gateway(seed)).await;
        let mut site = Self { members, gateway, redis, postgres, folder, sql, api_port, key, died_at_points: 0 };
        for member in &mut site.members {
            member.start(&site.folder, None);
        }
        for member in &mut site.members {
            member.until_up(&site.folder).await;
        }
        site
    }

    /// Starts again what died as it was told to. What ended otherwise must not.
    pub(super) fn look_after(&mut self) {
        for member in &mut self.members {
            match member.look_after(&self.folder) {
                Found::Fine => {}
                Found::Died => self.died_at_points += 1,
                Found::Ended(status) => panic!("{} ended by itself, or not as it was told to: {status}", member.name),
                Found::Lingers => panic!("{} was told to end and is still there", member.name),
            }
        }
    }

    pub(super) async fn begin(&mut self, fault: &Fault) {
        match fault {
            Fault::Kill { member } => self.members[*member].end(),
            Fault::Drill { member, point, passage } => {
                self.members[*member].end();
                self.members[*member].start(&self.folder, Some(&format!("abort={point}:{passage}")));
            }
            Fault::Terminate { member } => self.members[*member].terminate(),
            Fault::Freeze { member } => self.members[*member].freeze(),
            Fault::Flush => self.flush().await,
            Fault::RestartRedis { end } => self.redis.stop(*end).await,
            Fault::EmptyRedis => self.redis.stop(End::Crash).await,
            Fault::RewindRedis => self.redis.keep_copy(&self.folder),
            Fault::RestartPostgres { end } => self.postgres.stop(*end).await,
            Fault::CutRedis { member } => self.members[*member].to_redis.cut(),
            Fault::CutPostgres { member } => self.members[*member].to_postgres.cut(),
            Fault::SlowRedis { member, by } => self.members[*member].to_redis.slow_down(*by),
            Fault::SlowPostgres { member, by } => self.members[*member].to_postgres.slow_down(*by),
            _ => self.trouble_gateway(fault),
        }
    }

    pub(super) async fn end(&mut self, fault: &Fault) {
        match fault {
            Fault::Kill { member } | Fault::Drill { member, .. } => {
                self.members[*member].end();
                self.members[*member].start(&self.folder, None);
            }
            Fault::Freeze { member } => self.members[*member].thaw(),
            Fault::RestartRedis { .. } => self.redis.start(&self.folder).await,
            Fault::EmptyRedis => {
                self.redis.empty(&self.folder);
                self.redis.start(&self.folder).await;
            }
            Fault::RewindRedis => {
                self.redis.stop(End::Crash).await;
                self.redis.go_back_to_copy(&self.folder);
                self.redis.start(&self.folder).await;
            }
            Fault::RestartPostgres { .. } => self.postgres.start(&self.folder).await,
            Fault::CutRedis { member } | Fault::SlowRedis { member, .. } => {
                self.members[*member].to_redis.mend().await;
            }
            Fault::CutPostgres { member } | Fault::SlowPostgres { member, .. } => {
                self.members[*member].to_postgres.mend().await;
            }
            Fault::LoseSession { channel } => self.gateway.set_session_of(&self.token(*channel), true).unwrap(),
            Fault::BreakAnswers => self.gateway.set_faults(Faults::default()).unwrap(),
            _ => {}
        }
    }

    /// The gateway has nothing to complain of any more. All other faults of the plan have an end.
    pub(super) fn calm_gateway(&self) {
        self.gateway.set_faults(Faults::default()).unwrap();
        self.gateway.set_session(true);
    }

    pub(super) fn token(&self, channel: usize) -> String {
        self.gateway.tokens().nth(channel).expect("a token per channel").to_owned()
    }

    /// How often any member has said this.
    pub(super) fn times_said(&self, message: &str) -> usize {
        self.members.iter().map(|member| member.times_said(&self.folder, message)).sum()
    }

    /// A connection to Redis past all lines.
    pub(super) async fn queue(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.redis.url(self.redis.port)).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    async fn flush(&self) {
        redis::cmd("FLUSHALL").exec_async(&mut self.queue().await).await.unwrap();
    }

    fn trouble_gateway(&self, fault: &Fault) {
        let next = |answer, calls| Rule::new(answer, When::Next(calls));
        let rules = match fault {
            Fault::Throttle { channel, calls, retry_after_s } => {
                let answer = Answer::TooManyRequests { retry_after_s: Some(*retry_after_s) };
                vec![next(answer, *calls).on_channel(*channel)]
            }
            Fault::Overload { calls, retry_after_s } => {
                vec![next(Answer::Unavailable { retry_after_s: Some(*retry_after_s) }, *calls)]
            }
            Fault::BreakAnswers => {
                let answers = [Answer::ServerError, Answer::CutConnection, Answer::TruncatedJson, Answer::Hang];
                answers.map(|answer| Rule::new(answer, When::Share(0.08))).into()
            }
            Fault::LoseSession { channel } => {
                return self.gateway.lose_session_of(&self.token(*channel)).unwrap();
            }
            other => unreachable!("the gateway has no part in {other:?}"),
        };
        for rule in rules {
            self.gateway.add_fault(rule).unwrap();
        }
    }
}

fn gateway(seed: u64) -> Settings {
    let mut settings = Settings::fleet([PEOPLE; CHANNELS]);
    settings.population = Population { seed, ..Population::default() };
    settings.latency = Latency { fixed_ms: 5, jitter_ms: 60 };
    settings
}

/// Runs a command to its end; its last line.
async fn sincro(database: &str, arguments: &[&str]) -> String {
    let mut command = process::command();
    command.args(arguments).env("DATABASE_URL", database).env("SINCRO_SECRET_KEY", SECRET_KEY);
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = within(&format!("the end of sincro {arguments:?}"), output).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().next_back().unwrap_or_default().to_owned()
}

const _: () = assert!(WORKERS == API, "the API comes after the workers");
