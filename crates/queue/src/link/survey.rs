//! Finding out which servers there are: from the nodes of a cluster, or from Sentinels.
//!
//! What is found is checked as far as it can be: a Sentinel may name a server that is gone, or one that was demoted
//! while nobody could tell it. The answer with the highest epoch counts, and the server must call itself a master.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::{join_all, select_ok};
use redis::{ErrorKind, ServerErrorKind, Value};

use crate::{
    Error,
    link::{
        node::Node,
        place::Address,
        view::{ALL_SLOTS, Findings, read_slots},
    },
};

/// What one server may take to say what it knows.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks all nodes of a cluster; whoever answers first is believed, the others know no better.
pub(super) async fn ask_cluster(nodes: &[Arc<Node>]) -> Result<Findings, Error> {
    let asked = nodes.iter().map(|node| {
        Box::pin(within(async move {
            let mut slots = redis::cmd("CLUSTER");
            slots.arg("SLOTS");
            let answer: Vec<Value> = node.query(slots).await.map_err(|error| not_a_cluster(node, error))?;
            let own_host = node.address.as_ref().map_or("", |address| address.host.as_str());
            let findings = read_slots(answer, own_host)?;
            if findings.spans.is_empty() {
                let problem = format!("{} knows of no server that has slots", node.name());
                return Err(Error::Unreachable(problem.into()));
            }
            Ok(findings)
        }))
    });
    Ok(select_ok(asked).await?.0)
}

/// The address that the Sentinels give for this name, by the latest failover that one of them knows of.
pub(super) async fn ask_sentinels(sentinels: &[Arc<Node>], name: &str) -> Result<Address, Error> {
    let asked = sentinels.iter().map(|sentinel| {
        within(async move {
            let mut master = redis::cmd("SENTINEL");
            master.arg("MASTER").arg(name);
            let master: HashMap<String, String> = sentinel.query(master).await?;
            let number = |field: &str| master.get(field).and_then(|text| text.parse::<u64>().ok());
            let port = number("port").and_then(|port| u16::try_from(port).ok());
            let own_host = sentinel.address.as_ref().map_or("", |address| address.host.as_str());
            let address = port.zip(master.get("ip")).and_then(|(port, host)| Address::new(host, port, own_host));
            let address = address.ok_or_else(|| Error::Unreadable("a master without an address".to_owned()))?;
            Ok((number("config-epoch").unwrap_or_default(), address))
        })
    });
    let (mut latest, mut failures) = (None, Vec::new());
    for answer in join_all(asked).await {
        match answer {
            Ok((epoch, address)) if latest.as_ref().is_none_or(|(known, _)| *known < epoch) => {
                latest = Some((epoch, address));
            }
            Ok(_) => {}
            Err(error) => failures.push(error),
        }
    }
    match latest {
        Some((_, address)) => Ok(address),
        None if failures.iter().all(|error| matches!(error, Error::Refused(_))) => {
            let why = failures.pop().map(|error| error.to_string()).unwrap_or_default();
            Err(Error::Settings(format!("no Sentinel tells who the master {name:?} is: {why}")))
        }
        None => Err(failures.pop().unwrap_or_else(|| Error::Settings("there are no Sentinels".to_owned()))),
    }
}

/// Makes sure that a server is a master, and asks it for its replicas.
pub(super) async fn check_master(node: &Node, address: Address) -> Result<Findings, Error> {
    within(async {
        let mut role: Vec<Value> = node.query(redis::cmd("ROLE")).await?;
        let known = role.drain(..3.min(role.len())).collect::<Vec<_>>();
        let [word, _, replicas] = <[Value; 3]>::try_from(known)
            .map_err(|_| Error::Unreadable("a role in fewer than three parts".to_owned()))?;
        let word: String = redis::from_redis_value(word)?;
        if word != "master" {
            let problem = format!("the Sentinels name {address}, which is no master but a {word}");
            return Err(Error::Unreachable(problem.into()));
        }
        let replicas: Vec<(String, u16, String)> = redis::from_redis_value(replicas)?;
        let replicas = replicas.iter().filter_map(|(host, port, _)| Address::new(host, *port, &address.host));
        Ok(Findings { replicas: replicas.collect(), spans: vec![(ALL_SLOTS, address.clone())] })
    })
    .await
}

async fn within<T>(asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, asking).await.map_err(|elapsed| Error::Unreachable(Box::new(elapsed)))?
}

/// A server that runs alone says so with a general error.
fn not_a_cluster(node: &Node, error: Error) -> Error {
    match &error {
        Error::Refused(cause)
            if cause.downcast_ref::<redis::RedisError>().is_some_and(|error| {
                error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
                    && error.detail().is_some_and(|detail| detail.contains("cluster support disabled"))
            }) =>
        {
            Error::Settings(format!("{} is no part of a cluster; begin its URL with redis://", node.name()))
        }
        _ => error,
    }
}
