//! A channel whose session is lost: it stands still and is looked at, at growing intervals.

use std::time::Duration;

use sincro_core::{
    channel::{Pause, PausedBy},
    notice::{ChannelRule, Notice},
    verdict::Rest,
};
use sincro_queue::Ruling;

use crate::bench::{Bench, Held, SERVER, WIDE, opens, rule};

const SECOND: Duration = Duration::from_secs(1);

fn lost() -> Ruling {
    Ruling::Rest(Rest::Pause(Pause::new(PausedBy::Session, "GET /chat/history: no session")))
}

/// A channel with 100 jobs of which three were refused for want of a session.
async fn without_session() -> (Bench, ChannelRule) {
    let mut bench = Bench::new().await;
    let channel = rule(WIDE);
    bench.apply(&[opens(&channel, 1, 100)]).await;
    let jobs = bench.claim(3).await;
    assert!(bench.settle(&jobs, &lost()).await.is_empty());
    (bench, channel)
}

async fn look(bench: &mut Bench) -> Held {
    let look = bench.claim(10).await;
    let [look] = &look[..] else { panic!("{look:?}") };
    assert!(look.job < 0, "a look at the session is no job");
    look.clone()
}

#[tokio::test]
async fn a_lost_session_is_looked_at_by_one_call_at_a_time_at_growing_intervals() {
    let (mut bench, channel) = without_session().await;
    let view = bench.clock().channel_view(SERVER, channel.id).await.unwrap().unwrap();
    assert_eq!(view.paused, Some(Pause::new(PausedBy::Session, "GET /chat/history: no session")));
    assert_eq!(view.probe_at, Some(bench.due_in(2 * SECOND)));
    for seconds in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert_eq!(bench.ask(10).await.wait, Some(seconds * SECOND));
        bench.pass(seconds * SECOND);
        let probe = look(&mut bench).await;
        assert!(bench.claim(10).await.is_empty());
        bench.settle(&[probe], &Ruling::StillLost).await;
    }
    assert_eq!(bench.depth().await.queued, 100);
}

#[tokio::test]
async fn a_session_that_is_back_lets_every_job_go_on_with_its_attempts() {
    let (mut bench, _) = without_session().await;
    bench.pass(2 * SECOND);
    let probe = look(&mut bench).await;
    bench.settle(&[probe], &Ruling::Done).await;
    let jobs = bench.claim(1_000).await;
    assert_eq!(jobs.len(), 100);
    assert!(jobs.iter().all(|held| held.attempt == 1));
}

#[tokio::test]
async fn the_pause_of_the_ledger_that_follows_does_not_begin_the_looking_anew() {
    let (mut bench, mut channel) = without_session().await;
    bench.pass(2 * SECOND);
    let probe = look(&mut bench).await;
    bench.settle(&[probe], &Ruling::StillLost).await;
    channel.version = 2;
    channel.paused = Some(Pause::new(PausedBy::Session, "GET /chat/history: no session"));
    bench.apply(&[Notice { id: 2, channel: channel.clone(), lane: None }]).await;
    assert_eq!(bench.ask(10).await.wait, Some(4 * SECOND));
    channel.version = 3;
    channel.paused = None;
    bench.apply(&[Notice { id: 3, channel, lane: None }]).await;
    assert_eq!(bench.claim(1_000).await.len(), 100, "somebody resumed it");
}

#[tokio::test]
async fn who_is_banned_is_not_looked_at() {
    let (mut bench, _) = without_session().await;
    bench.pass(2 * SECOND);
    let probe = look(&mut bench).await;
    let banned = Ruling::Rest(Rest::Pause(Pause::new(PausedBy::Gateway, "banned: GET /session/status")));
    bench.settle(&[probe], &banned).await;
    bench.pass(3_600 * SECOND);
    assert!(bench.claim(10).await.is_empty());
}

#[tokio::test]
async fn a_look_whose_worker_died_is_made_by_another() {
    let (mut bench, _) = without_session().await;
    bench.pass(2 * SECOND);
    let probe = look(&mut bench).await;
    bench.pass(crate::bench::LEASE);
    let another = look(&mut bench).await;
    assert_ne!(probe.job, another.job);
    assert_eq!(bench.settle(std::slice::from_ref(&probe), &Ruling::Done).await, [probe.job]);
    assert_eq!(bench.depth().await.running, 1);
}

#[tokio::test]
async fn ten_channels_without_a_session_do_not_slow_the_others() {
    let mut bench = Bench::new().await;
    let dead: Vec<Notice> = (0..10).map(|i| opens(&rule(WIDE), i * 1_000 + 1, i * 1_000 + 100)).collect();
    bench.apply(&dead).await;
    let jobs = bench.claim(10).await;
    bench.settle(&jobs, &lost()).await;
    let alive = rule(WIDE);
    bench.apply(&[opens(&alive, 50_001, 50_100)]).await;
    let jobs = bench.claim(64).await;
    assert_eq!(jobs.len(), 64);
    assert!(jobs.iter().all(|held| held.channel == alive.id));
}
