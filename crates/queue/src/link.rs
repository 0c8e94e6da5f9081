//! The way to Redis: which server a request goes to, and what is done when it is the wrong one.
//!
//! All calls of a shard go to one server. Where there are several, a *view* says which; it is looked at anew after
//! every failure, and while an answer keeps a request waiting. A refusal that did nothing (`MOVED`, an unknown script)
//! is made good here. A lost answer is not: what was asked may have been done, and only the asker can say so when it
//! asks again (see [`Link::run`]).

mod atlas;
mod node;
mod place;
mod survey;
mod view;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value, aio::PubSub};
use secrecy::SecretString;

use self::{atlas::Atlas, node::Node, place::Address, view::View};
pub(crate) use self::{place::Place, view::slot};
use crate::{Error, script::Call};

const OLDEST_REDIS: (u32, u32) = (6, 2);
/// How often a call follows its slot; more would be a cluster at odds with itself.
const MOVES: usize = 3;
/// A request that waits longer wonders whether its server still has its slots.
const WONDER_AFTER: Duration = Duration::from_secs(1);

/// Answers of a pipeline, one for each call.
pub(crate) type Answers = Vec<Result<Value, Error>>;

/// A server, and the places of the calls that go to it.
type Trip = (Arc<Node>, Vec<usize>);

/// What a server says of itself.
pub(crate) struct Said {
    pub(crate) server: String,
    pub(crate) primary: bool,
    /// `field:value` lines.
    pub(crate) info: Result<String, Error>,
}

#[derive(Clone)]
pub(crate) struct Link(Arc<Atlas>);

impl Link {
    /// Fails within seconds when Redis is not there, is too old, or wants other credentials.
    pub(crate) async fn open(url: &SecretString) -> Result<Self, Error> {
        let link = Self::open_later(url)?;
        link.check_versions().await?;
        Ok(link)
    }

    /// Connects when it is first used, and then by itself whenever it can.
    pub(crate) fn open_later(url: &SecretString) -> Result<Self, Error> {
        Ok(Self(Arc::new(Atlas::new(Place::read(url)?)?)))
    }

    /// Whether everything that holds a part of the queue answers.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let primaries = self.0.view().await?.primaries();
        let answers = primaries.iter().map(|node| self.ask(node, node.query::<Value>(redis::cmd("PING"))));
        join_all(answers).await.into_iter().try_for_each(|answer| answer.map(|_| ()))
    }

    /// What each server says of itself, primaries first.
    pub(crate) async fn infos(&self) -> Result<Vec<Said>, Error> {
        let view = self.0.view().await?;
        let primaries = view.primaries();
        let all = primaries.iter().map(|node| (true, node)).chain(view.replicas.iter().map(|node| (false, node)));
        let said = all.map(async |(primary, node)| {
            let info = node.query(redis::cmd("INFO")).await;
            Said { server: node.name(), primary, info }
        });
        Ok(join_all(said).await)
    }

    /// Runs the calls, those of each server in order and in one round trip. An outer error means that nothing is known of
    /// any of them.
    pub(crate) async fn run(&self, calls: &[Call]) -> Result<Answers, Error> {
        let mut answers: Vec<Option<RedisResult<Value>>> = calls.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..calls.len()).collect();
        let mut moves = 0;
        while !open.is_empty() {
            let view = self.0.view().await?;
            let trips = by_server(&view, calls, &open).inspect_err(|_| self.0.doubt())?;
            let trips = trips.iter().map(async |(node, trip)| (node, trip, self.round_trip(node, calls, trip).await));
            open.clear();
            for (node, trip, answered) in join_all(trips).await {
                for (&i, answer) in trip.iter().zip(answered?) {
                    if moves < MOVES && self.note(node, &answer) {
                        open.push(i);
                    }
                    answers[i] = Some(answer);
                }
            }
            open.sort_unstable();
            moves += 1;
        }
        let missing = || Err(Error::Unreadable("no answer at all".to_owned()));
        Ok(answers
            .into_iter()
            .map(|answer| answer.map_or_else(missing, |answer| answer.map_err(Error::from)))
            .collect())
    }

    /// Runs one call.
    pub(crate) async fn run_one(&self, call: Call) -> Result<Value, Error> {
        let answer = self.run(&[call]).await?.pop();
        answer.unwrap_or_else(|| Err(Error::Unreadable("no answer at all".to_owned())))
    }

    /// A connection to subscribe on; `turn` chooses where there are several servers, any of which will do.
    pub(crate) async fn pubsub(&self, turn: usize) -> Result<PubSub, Error> {
        let primaries = self.0.view().await?.primaries();
        let node = primaries.get(turn % primaries.len().max(1)).ok_or_else(|| nobody_serves(0))?;
        let connected = node.pubsub().await;
        if connected.is_err() {
            self.0.doubt();
        }
        connected
    }

    /// Ends when other servers have the queue than at the moment of the call.
    pub(crate) fn moved(&self) -> impl Future<Output = ()> + use<> {
        self.0.moved()
    }

    /// The calls of one trip; scripts that the server does not know, as after its restart, are loaded and called again.
    async fn round_trip(
        &self,
        node: &Arc<Node>,
        calls: &[Call],
        trip: &[usize],
    ) -> Result<Vec<RedisResult<Value>>, Error> {
        let commands = |trip: &[usize]| trip.iter().map(|&i| calls[i].command.clone()).collect::<Vec<_>>().into_iter();
        let mut answers = self.ask(node, node.run(commands(trip))).await?;
        let unknown: Vec<usize> =
            (0..trip.len()).filter(|&i| is_server_error(&answers[i], ServerErrorKind::NoScript)).collect();
        if unknown.is_empty() {
            return Ok(answers);
        }
        let trip: Vec<usize> = unknown.iter().map(|&i| trip[i]).collect();
        let loads = trip.iter().map(|&i| calls[i].script.load()).collect::<Vec<_>>().into_iter();
        for loaded in self.ask(node, node.run(loads)).await? {
            loaded?;
        }
        let again = self.ask(node, node.run(commands(&trip))).await?;
        for (i, answer) in unknown.into_iter().zip(again) {
            answers[i] = answer;
        }
        Ok(answers)
    }

    /// Waits for an answer, for as long as nobody has taken the server's place.
    async fn ask<T>(&self, node: &Arc<Node>, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let replaced = async {
            loop {
                tokio::time::sleep(WONDER_AFTER).await;
                self.0.doubt();
                match self.0.view().await {
                    Ok(view) if !view.serves(node) => break,
                    _ => {}
                }
            }
        };
        let answer = tokio::select! {
            biased;
            answer = answer => answer,
            () = replaced => Err(Error::Unreachable(format!("{} was replaced while it was asked", node.name()).into())),
        };
        if matches!(answer, Err(Error::Unreachable(_))) {
            self.0.doubt();
        }
        answer
    }

    /// Learns from an answer; true when the call did nothing and another server will take it.
    fn note(&self, node: &Node, answer: &RedisResult<Value>) -> bool {
        let Err(error) = answer else { return false };
        if is_no_master(error) {
            self.0.distrust();
            return false;
        }
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => {
                self.0.doubt();
                let own_host = node.address.as_ref().map_or("", |address| address.host.as_str());
                let to = error.redirect_node().and_then(|(to, slot)| Some((slot, Address::read(to, own_host)?)));
                to.is_some_and(|(slot, to)| self.0.learn(slot, &to))
            }
            // A slot on its way to another server (ASK, TRYAGAIN) is in two places, and neither has the whole shard:
            // whoever asks waits until it is moved.
            ErrorKind::Server(ServerErrorKind::Ask | ServerErrorKind::TryAgain | ServerErrorKind::ClusterDown) => {
                self.0.doubt();
                false
            }
            // A master that lost its replicas may have lost its place.
            ErrorKind::Extension if error.code() == Some("NOREPLICAS") => {
                self.0.doubt();
                false
            }
            _ => false,
        }
    }

    /// A Redis that keeps its version to itself passes, and so does a replica that is away.
    async fn check_versions(&self) -> Result<(), Error> {
        for Said { server, primary, info } in self.infos().await? {
            let info = match info {
                Err(Error::Refused(_)) => continue,
                Err(_) if !primary => continue,
                info => info?,
            };
            self.check_server(&server, &info)?;
        }
        Ok(())
    }

    fn check_server(&self, server: &str, info: &str) -> Result<(), Error> {
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim()
        };
        let version = field("redis_version");
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if found < OLDEST_REDIS {
            let (major, minor) = OLDEST_REDIS;
            return Err(Error::Settings(format!("Redis {version} is too old, {major}.{minor} is the least")));
        }
        match (&self.0.place, field("redis_mode")) {
            (Place::Server(_), mode @ ("cluster" | "sentinel")) => Err(Error::Settings(format!(
                "{server} is a {mode}'s: its URL must begin with redis+{mode}:// (or rediss+{mode}://)"
            ))),
            _ => Ok(()),
        }
    }
}

/// Calls by the server they go to, in order.
fn by_server(view: &View, calls: &[Call], open: &[usize]) -> Result<Vec<Trip>, Error> {
    let mut trips: Vec<Trip> = Vec::new();
    for &i in open {
        let home = view.home(calls[i].slot).ok_or_else(|| nobody_serves(calls[i].slot))?;
        match trips.iter_mut().find(|(node, _)| Arc::ptr_eq(node, home)) {
            Some((_, trip)) => trip.push(i),
            None => trips.push((home.clone(), vec![i])),
        }
    }
    Ok(trips)
}

fn nobody_serves(slot: u16) -> Error {
    Error::Refused(format!("no server of the cluster has slot {slot}").into())
}

/// Whether a replica said it. Redis 7 hands the code of a refused write on; older ones put it into the text of the script's error.
fn is_no_master(error: &RedisError) -> bool {
    let in_script = || error.detail().is_some_and(|text| text.contains("-READONLY "));
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)) || in_script()
}

fn is_server_error(answer: &RedisResult<Value>, kind: ServerErrorKind) -> bool {
    matches!(answer, Err(error) if error.kind() == ErrorKind::Server(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_known_by_its_refusal_whatever_its_version() {
        let error = |line: &str| {
            let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
            answer.and_then(Value::extract_error).expect_err("an error is an error")
        };
        for line in [
            "READONLY You can't write against a read only replica. script: 5b0f, on @user_script:12.",
            "ERR Error running script (call to f_5b0f): @user_script:12: @user_script: 12: -READONLY You can't write",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        ] {
            assert!(is_no_master(&error(line)), "{line}");
        }
        for line in ["OOM command not allowed when used memory > 'maxmemory'.", "ERR settle_jobs: unreadable ruling"] {
            assert!(!is_no_master(&error(line)), "{line}");
        }
    }
}
