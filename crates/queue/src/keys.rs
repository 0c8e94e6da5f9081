//! Every key of the queue, named once: [`lua_header`] hands the same names to the scripts.
//!
//! A shard's keys share the prefix `sincro:{<namespace>/<shard>}:`. The braces are Redis Cluster's hash tag: they keep
//! a shard on one node, so that one script may touch all of it.

use std::fmt::Write as _;

/// (name in Lua, rest of the key, type and content); a rest that ends in `:` is followed by an id.
pub(crate) const NAMES: &[(&str, &str, &str)] = &[
    ("EPOCH", "epoch2", "string: the ledger's number for this life of the shard; missing = the shard was emptied"),
    (
        "HOME",
        "home",
        "string: `run_id|layout`, the Redis server that this life belongs to and the layout of its keys; written with the epoch",
    ),
    ("OPENED", "opened", "string: time (µs) of the shard's opening after a loss; what was called before is not known"),
    (
        "READY",
        "ready:",
        "zset per class: server -> time (µs) from which its next claim can succeed; nobody else is in it",
    ),
    ("DUE", "due:", "zset per class and server: channel -> time (µs) at which its own limit admits the next call"),
    ("ROUND", "round:", "zset per class and server: channel that waits for its turn -> tag; the lowest is next"),
    ("WORKING", "working:", "zset per server: channel with work -> its weight, 0 while it is paused"),
    ("SERVERS", "servers", "set: the servers of the shard"),
    ("SERVER", "server:", "hash: the server's limit, its limiter, its cooldown, and how many of its jobs workers hold"),
    ("CHANNEL", "channel:", "hash: the same of a channel, and its pause"),
    ("CALLS", "calls:", "list per channel and per server: times (µs) of the last permits, as far as a window reaches"),
    (
        "RUNNING",
        "running:",
        "set per channel and per server: jobs that workers hold; its size or the number in the hash, the larger one, is the concurrency in use",
    ),
    ("LANES", "lanes:", "zset: the channel's open lanes that hold something -> their order"),
    ("LANE", "lane:", "list: the sync's jobs that wait, as spans and single entries"),
    ("QUEUED", "queued", "hash: sync -> jobs in its lane; none has no field"),
    ("SYNC", "sync:", "hash: the lane's channel, seq, state, numbers; a closed lane keeps a stub for an hour"),
    ("ALIVE", "alive", "set: the syncs whose lane is open or paused"),
    ("DELAYED", "delayed", "zset: sync -> time (µs) at which the first of its delayed jobs is due"),
    ("LATER", "later:", "zset: the sync's delayed jobs, `job:attempts` -> due (µs)"),
    ("LEASES", "leases", "zset: job -> time (µs) at which its lease runs out"),
    ("HELD", "held", "hash: job -> `sync|attempt|channel|ticket`, and the time of its permits if they were moved"),
    ("PROBES", "probes", "string: counts the looks at sessions; each has a number below zero"),
    ("PROMISED", "promised", "string: `time asker`, who was told to come for the next slot; gone a minute after that"),
    ("TICKET", "ticket", "string: the last ticket given out"),
    ("ANSWER", "answer:", "string: what the worker's last successful claim gave it, for one lease"),
    ("RESTORING", "restoring", "string: the token of the restoration under way; lanes may be missing until it is gone"),
    ("ANEW", "anew", "string: there for a moment after the shard was begun anew, because its keys were of no use"),
    ("COMPARED", "compared", "string: there for a while after the shard was compared with the ledger"),
    ("WAKE", "wake", "pub/sub: something can be claimed earlier than it could"),
];

/// The number of this layout of the keys. Raised by a change that an older version cannot work beside: whoever finds a higher
/// one leaves the shard alone.
pub const LAYOUT: i32 = 4;

/// What every script begins with: the layout, and the names of [`NAMES`] as local variables.
pub(crate) fn lua_header() -> String {
    let mut header = format!("local P, LAYOUT = KEYS[1], {LAYOUT}\n");
    for (name, rest, _) in NAMES {
        // Writing to a String cannot fail.
        let _ = writeln!(header, "local {name} = P .. '{rest}'");
    }
    header
}

/// What all keys of a shard begin with.
pub(crate) fn prefix(namespace: &str, shard: u16) -> String {
    format!("sincro:{{{namespace}/{shard}}}:")
}

/// The pub/sub channel on which a shard says that there is something to claim.
pub(crate) fn wake(namespace: &str, shard: u16) -> String {
    prefix(namespace, shard) + "wake"
}

/// The shard of a provider server: all its channels live together, so that one script can see them all.
///
/// FNV-1a, because it must never change: another shard would mean other keys.
pub(crate) fn shard_of(server: &str, shards: u16) -> u16 {
    let hash = server
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    u16::try_from(hash % u64::from(shards.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_stays_in_its_shard_whatever_version_asks() {
        assert_eq!(shard_of("wuzapi/gateway.example:8080", 16), 8);
        assert_eq!(shard_of("whapi/gate.whapi.cloud", 16), 4);
        assert_eq!(shard_of("whapi/gate.whapi.cloud", 1), 0);
    }

    #[test]
    fn all_keys_of_a_shard_carry_one_hash_tag() {
        assert_eq!(prefix("main", 3), "sincro:{main/3}:");
        assert!(wake("main", 3).starts_with(&prefix("main", 3)));
        assert!(lua_header().contains("local WAKE = P .. 'wake'\n"));
    }
}
