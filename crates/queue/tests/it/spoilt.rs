//! Keys that somebody else writes into.

use std::time::Duration;

use sincro_queue::{
    Error, Inspection,
    steps::{self, Ask},
};

use crate::{
    bench::{Bench, LEASE, sync_of},
    losing::{busy, is_whole, loss, run, snapshot},
};

/// Whether a claim, or a look at the shard, fails on what is written there.
async fn is_of_use(bench: &Bench) -> bool {
    let ask = Ask { shard: 0, max: 10, max_bulk: 10, lease: LEASE, asker: "other", number: 1, again: false };
    let failures =
        [steps::claim(&bench.clock(), &ask).await.err(), bench.clock().inspect(0, Duration::ZERO).await.err()];
    let unusable = |failure: &Error| match failure {
        Error::Unusable(_) => true,
        other => panic!("{other}"),
    };
    !failures.iter().flatten().any(unusable)
}

#[tokio::test]
async fn what_somebody_else_wrote_is_told_by_whoever_comes_upon_it() {
    for (key, value) in [("queued", "x"), ("held", "x"), ("leases", "x"), ("servers", "x"), ("delayed", "x")] {
        let (bench, ..) = busy().await;
        assert!(is_of_use(&bench).await);
        let _: () = run(&bench, "SET", key, &[value]);
        assert!(!is_of_use(&bench).await, "{key} is a text now");
    }
    for key in ["ticket", "opened"] {
        let (bench, ..) = busy().await;
        let _: () = run(&bench, "SET", key, &["x"]);
        assert!(!is_of_use(&bench).await, "{key} is no number now");
    }
    let (bench, _, notice) = busy().await;
    let _: () = run(&bench, "HSET", "queued", &[&sync_of(&notice).to_string(), "x"]);
    assert!(!is_of_use(&bench).await, "a lane has no number now");
}

#[tokio::test]
async fn a_shard_that_is_begun_anew_holds_nothing_of_what_was_there_whatever_it_is() {
    let (bench, _, notice) = busy().await;
    for key in bench.place.keys() {
        let mut raw = bench.place.raw();
        let of_a_kind: String = redis::cmd("TYPE").arg(&key).query(&mut raw).unwrap();
        let command = if of_a_kind == "string" { "RPUSH" } else { "SET" };
        redis::pipe().del(&key).cmd(command).arg(&key).arg("x").exec(&mut raw).unwrap();
    }
    let _: i64 = run(&bench, "RPUSH", "restoring", &["x"]);
    let _: () = run(&bench, "SET", "anew", &["for ever"]);
    let restoration = bench.clock().begin_anew(0).await.unwrap().unwrap();
    assert_eq!(bench.place.keys(), [bench.place.key("anew"), bench.place.key("restoring")]);
    restoration.open_epoch(2, false).await.unwrap();
    assert!(bench.put_back(2, &snapshot(&notice, &[(7, 100)])).await);
    bench.clock().finish_restore(0, 2).await.unwrap();
    assert!(is_whole(&bench).await && is_of_use(&bench).await);
    assert_eq!(loss(&bench, &notice).await, "");
    assert!(bench.clock().begin_anew(0).await.unwrap().is_none(), "that was done just now");
    assert_eq!(bench.depth().await.queued, 94);
}

#[tokio::test]
async fn a_shard_is_compared_with_the_ledger_again_although_a_mark_says_for_ever_that_it_was() {
    let (bench, ..) = busy().await;
    let _: () = run(&bench, "SET", "compared", &["x"]);
    for expected in [true, false] {
        let Inspection::Open { due, .. } = bench.clock().inspect(0, Duration::from_mins(1)).await.unwrap() else {
            panic!("it is open")
        };
        assert_eq!(due, expected);
    }
}
