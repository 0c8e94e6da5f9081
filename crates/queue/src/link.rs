//! The connection to Redis: one for all requests of a process, restored by itself when it breaks.

use std::time::Duration;

use redis::{
    Client, ErrorKind, IntoConnectionInfo as _, Pipeline, ServerErrorKind, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Error, script::Call};

/// Longer than the longest script takes on a busy machine; redis-rs' own 500 ms would call a slow answer a lost one.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Per request that finds the connection gone; whoever asks has its own patience beyond that.
const RECONNECTS: usize = 2;
const OLDEST_REDIS: (u32, u32) = (6, 2);

/// Answers of a pipeline, one for each call.
pub(crate) type Answers = Vec<Result<Value, Error>>;

#[derive(Clone)]
pub(crate) struct Link {
    /// Opens further connections, for subscriptions.
    pub(crate) client: Client,
    manager: ConnectionManager,
}

impl Link {
    /// Fails within seconds when Redis is not there, is too old, or wants other credentials.
    pub(crate) async fn open(url: &SecretString) -> Result<Self, Error> {
        let (client, config) = prepare(url)?;
        let manager = ConnectionManager::new_with_config(client.clone(), config).await?;
        let link = Self { client, manager };
        link.check_version().await?;
        Ok(link)
    }

    /// Connects when it is first used, and then by itself whenever it can.
    pub(crate) fn open_later(url: &SecretString) -> Result<Self, Error> {
        let (client, config) = prepare(url)?;
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        Ok(Self { client, manager })
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        Ok(redis::cmd("PING").exec_async(&mut self.manager.clone()).await?)
    }

    /// What Redis says of itself, `field:value` lines.
    pub(crate) async fn info(&self) -> Result<String, Error> {
        Ok(redis::cmd("INFO").query_async(&mut self.manager.clone()).await?)
    }

    /// Runs the calls in order, in one round trip. An outer error means that nothing is known of any of them.
    pub(crate) async fn run(&self, calls: &[Call]) -> Result<Answers, Error> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = self.pipeline(calls.iter()).await?;
        let unknown: Vec<usize> = (0..calls.len()).filter(|&i| is_unknown_script(&answers[i])).collect();
        if unknown.is_empty() {
            return Ok(answers.into_iter().map(|answer| answer.map_err(Error::from)).collect());
        }
        self.load(unknown.iter().map(|&i| &calls[i])).await?;
        let again = self.pipeline(unknown.iter().map(|&i| &calls[i])).await?;
        for (i, answer) in unknown.into_iter().zip(again) {
            answers[i] = answer;
        }
        Ok(answers.into_iter().map(|answer| answer.map_err(Error::from)).collect())
    }

    /// Runs one call.
    pub(crate) async fn run_one(&self, call: Call) -> Result<Value, Error> {
        let answer = self.run(&[call]).await?.pop();
        answer.unwrap_or_else(|| Err(Error::Unreadable("no answer at all".to_owned())))
    }

    async fn pipeline<'a>(
        &self,
        calls: impl Iterator<Item = &'a Call>,
    ) -> Result<Vec<redis::RedisResult<Value>>, Error> {
        let mut pipeline = Pipeline::new();
        let mut sent = 0;
        for call in calls {
            pipeline.add_command(call.command.clone());
            sent += 1;
        }
        let answers: Vec<redis::RedisResult<Value>> =
            pipeline.ignore_errors().query_async(&mut self.manager.clone()).await?;
        if answers.len() == sent {
            Ok(answers)
        } else {
            Err(Error::Unreadable(format!("{} answers to {sent} calls", answers.len())))
        }
    }

    /// A Redis that was restarted knows no scripts.
    async fn load(&self, calls: impl Iterator<Item = &Call>) -> Result<(), Error> {
        let mut pipeline = Pipeline::new();
        for call in calls {
            pipeline.add_command(call.script.load()).ignore();
        }
        Ok(pipeline.exec_async(&mut self.manager.clone()).await?)
    }

    /// A Redis that keeps its version to itself passes.
    async fn check_version(&self) -> Result<(), Error> {
        let info = match self.info().await {
            Err(Error::Refused(_)) => return Ok(()),
            info => info?,
        };
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.trim().parse::<u32>().unwrap_or(0));
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if found < OLDEST_REDIS {
            let (major, minor) = OLDEST_REDIS;
            return Err(Error::Settings(format!("Redis {version} is too old, {major}.{minor} is the least")));
        }
        Ok(())
    }
}

fn prepare(url: &SecretString) -> Result<(Client, ConnectionManagerConfig), Error> {
    let info = url.expose_secret().into_connection_info()?.set_tcp_settings(tcp_settings());
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_number_of_retries(RECONNECTS)
        .set_min_delay(Duration::from_millis(50))
        .set_max_delay(Duration::from_millis(500))
        .set_pipeline_buffer_size(256);
    Ok((Client::open(info)?, config))
}

/// Small requests go out at once, and a connection whose other end vanished is noticed.
fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(RESPONSE_TIMEOUT);
    settings.set_keepalive(redis::io::tcp::socket2::TcpKeepalive::new().with_time(RESPONSE_TIMEOUT))
}

fn is_unknown_script(answer: &redis::RedisResult<Value>) -> bool {
    matches!(answer, Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
