//! The connection to one server, restored by itself when it breaks.
//!
//! A request whose answer was lost is never sent again from here: a claim that is repeated must say so, and only
//! whoever made it can.

use std::time::Duration;

use parking_lot::Mutex;
use redis::{
    Client, Cmd, ConnectionInfo, FromRedisValue, Pipeline, RedisResult, Value,
    aio::{ConnectionLike as _, ConnectionManager, ConnectionManagerConfig, PubSub},
};
use tokio::time::Instant;

use crate::{Error, link::place::Address};

/// Longer than the longest script takes on a busy machine; redis-rs' own 500 ms would call a slow answer a lost one.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a server among others that are waiting to be asked.
pub(super) const PATIENCE_AMONG_OTHERS: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Per request that finds the connection gone; whoever asks has its own patience beyond that.
const RECONNECTS: usize = 2;
/// What a server that has kept somebody waiting in vain gets to show that it is back, and how often.
const SIGN_OF_LIFE: Duration = Duration::from_millis(250);
const LEFT_ALONE_FOR: Duration = Duration::from_secs(2);

/// One Redis server.
pub(crate) struct Node {
    /// Where it is, when it is one of several.
    pub(super) address: Option<Address>,
    client: Client,
    manager: ConnectionManager,
    /// It let a request wait in vain and has given no sign of life since; not to be asked for one before this moment.
    /// Whoever asks it in turn with others must not wait for it each time.
    silent: Mutex<Option<Instant>>,
}

impl Node {
    /// Connects when it is first used, and then by itself whenever it can.
    pub(super) fn new(address: Option<Address>, info: ConnectionInfo, patience: Duration) -> Result<Self, Error> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(patience))
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_number_of_retries(RECONNECTS)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500))
            .set_pipeline_buffer_size(256);
        let client = Client::open(info)?;
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        Ok(Self { address, client, manager, silent: Mutex::default() })
    }

    /// Runs the commands in order, in one round trip; an answer each.
    pub(super) async fn run(&self, commands: impl Iterator<Item = Cmd>) -> Result<Vec<RedisResult<Value>>, Error> {
        let mut pipeline = Pipeline::new();
        let mut sent = 0;
        for command in commands {
            pipeline.add_command(command);
            sent += 1;
        }
        self.hear_it().await?;
        let answers = pipeline.ignore_errors().query_async(&mut self.manager.clone()).await;
        let answers: Vec<RedisResult<Value>> = self.note(answers)?;
        if answers.len() == sent {
            Ok(answers)
        } else {
            Err(Error::Unreadable(format!("{} answers to {sent} calls", answers.len())))
        }
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: Cmd) -> Result<T, Error> {
        self.hear_it().await?;
        Ok(self.note(command.query_async(&mut self.manager.clone()).await)?)
    }

    /// A connection of its own, to subscribe on.
    pub(super) async fn pubsub(&self) -> Result<PubSub, Error> {
        Ok(self.client.get_async_pubsub().await?)
    }

    /// `host:port`, or the one server there is.
    pub(super) fn name(&self) -> String {
        self.address.as_ref().map_or_else(|| self.client.get_connection_info().addr().to_string(), Address::to_string)
    }

    async fn hear_it(&self) -> Result<(), Error> {
        {
            let (mut silent, now) = (self.silent.lock(), Instant::now());
            match *silent {
                None => return Ok(()),
                Some(until) if now < until => {
                    return Err(Error::Unreachable(format!("{} is silent", self.name()).into()));
                }
                Some(_) => *silent = Some(now + LEFT_ALONE_FOR),
            }
        }
        let ping = redis::cmd("PING");
        let heard = tokio::time::timeout(SIGN_OF_LIFE, self.manager.clone().req_packed_command(&ping)).await;
        // Any answer is a sign of life, also a refusal; a broken connection is opened anew by the request itself.
        heard.map_err(|elapsed| Error::Unreachable(Box::new(elapsed)))?.ok();
        *self.silent.lock() = None;
        Ok(())
    }

    fn note<T>(&self, answer: RedisResult<T>) -> RedisResult<T> {
        if answer.as_ref().is_err_and(redis::RedisError::is_timeout) {
            *self.silent.lock() = Some(Instant::now() + LEFT_ALONE_FOR);
        }
        answer
    }
}
