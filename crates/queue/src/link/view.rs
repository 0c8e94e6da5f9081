//! Who serves what, as far as this process knows.
//!
//! The keys of a shard are in one of 16,384 *slots*, which a cluster hands out to its primaries. Elsewhere one server has
//! them all.

use std::{ops::RangeInclusive, sync::Arc};

use redis::Value;

use crate::{
    Error,
    link::{node::Node, place::Address},
};

const SLOTS: u16 = 16_384;
pub(super) const ALL_SLOTS: RangeInclusive<u16> = 0..=SLOTS - 1;

/// Slots and the server that has them.
pub(super) type Span<T> = (RangeInclusive<u16>, T);

/// What a survey found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) spans: Vec<Span<Address>>,
    pub(super) replicas: Vec<Address>,
}

/// The servers of the queue.
#[derive(Clone, Default)]
pub(super) struct View {
    /// The first one that holds a slot has it.
    pub(super) spans: Vec<Span<Arc<Node>>>,
    pub(super) replicas: Vec<Arc<Node>>,
}

impl View {
    pub(super) fn home(&self, slot: u16) -> Option<&Arc<Node>> {
        self.spans.iter().find(|(slots, _)| slots.contains(&slot)).map(|(_, node)| node)
    }

    /// Each server that has slots, once.
    pub(super) fn primaries(&self) -> Vec<Arc<Node>> {
        let mut primaries: Vec<Arc<Node>> = Vec::new();
        for (_, node) in &self.spans {
            if !primaries.iter().any(|known| Arc::ptr_eq(known, node)) {
                primaries.push(node.clone());
            }
        }
        primaries
    }

    pub(super) fn serves(&self, node: &Arc<Node>) -> bool {
        self.spans.iter().any(|(_, serving)| Arc::ptr_eq(serving, node))
    }
}

/// The slot of a key: that of what stands between its braces.
pub(crate) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or(key, |(tag, _)| tag);
    // CRC-16/XMODEM, as the cluster specification has it.
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    });
    crc % SLOTS
}

/// Reads the answer to `CLUSTER SLOTS`; `own_host` is what the server was reached by.
pub(super) fn read_slots(answer: Vec<Value>, own_host: &str) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    for row in answer {
        let mut row: Vec<Value> = redis::from_redis_value(row)?;
        let servers: Vec<Value> = row.drain(2.min(row.len())..).collect();
        let &[first, last] = redis::from_redis_value::<Vec<u16>>(Value::Array(row))?.as_slice() else {
            return Err(Error::Unreadable("slots without an end".to_owned()));
        };
        for (i, server) in servers.into_iter().enumerate() {
            let Some(address) = read_server(server, own_host)? else { continue };
            if i == 0 {
                findings.spans.push((first..=last, address));
            } else if !findings.replicas.contains(&address) {
                findings.replicas.push(address);
            }
        }
    }
    Ok(findings)
}

/// Host and port, and more that is of no use here.
fn read_server(server: Value, own_host: &str) -> Result<Option<Address>, Error> {
    let mut fields: Vec<Value> = redis::from_redis_value(server)?;
    fields.truncate(2);
    let (host, port): (Option<String>, u16) = redis::from_redis_value(Value::Array(fields))?;
    Ok(Address::new(&host.unwrap_or_default(), port, own_host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        // `CLUSTER KEYSLOT` of Redis 7.0 says the same.
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!(slot("foo{bar}zap"), slot("bar"));
        assert_eq!(slot("bar"), 5_061);
        assert_eq!(slot(&keys::prefix("main", 0)), slot("main/0"));
        assert_eq!(slot(&keys::wake("main", 7)), slot(&keys::prefix("main", 7)));
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn servers_of_slots_are_read_whatever_else_is_said_of_them() {
        let server = |host, port| {
            Value::Array(vec![
                host,
                Value::Int(port),
                text("07c37dfeb235213a872192d90877d0cd55635b91"),
                Value::Array(vec![]),
            ])
        };
        let row = |first, last, servers: Vec<Value>| {
            Value::Array([vec![Value::Int(first), Value::Int(last)], servers].concat())
        };
        let answer = vec![
            row(0, 8191, vec![server(text("10.0.0.1"), 7000), server(text("10.0.0.2"), 7001)]),
            row(8192, 16383, vec![server(Value::Nil, 7002), server(text("?"), 7003), server(text("10.0.0.2"), 7001)]),
        ];
        let address = |host: &str, port| Address { host: host.to_owned(), port };
        let expected = Findings {
            spans: vec![(0..=8191, address("10.0.0.1", 7000)), (8192..=16383, address("asked", 7002))],
            replicas: vec![address("10.0.0.2", 7001)],
        };
        assert_eq!(read_slots(answer, "asked").unwrap(), expected);
        assert!(read_slots(vec![Value::Array(vec![Value::Int(0)])], "asked").is_err());
    }
}
