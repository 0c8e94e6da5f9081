//! Random histories: the scripts on a real Redis beside the model of `sincro_core::schedule`.
//!
//! After every step both must have given the same answer, and now and then both must hold the same. Beside them a
//! bookkeeping that knows neither checks what was promised, by name:
//!
//! | promise | kept in |
//! |---|---|
//! | `no_limit_is_exceeded` | `permits` |
//! | `no_job_is_lost`, `no_job_is_in_two_places` | `places`, `checkpoint` |
//! | `no_ready_channel_is_passed_over_longer_than_its_round` | `turns` |
//! | `no_slot_is_leaked` | `checkpoint` |
//!
//! One history again, with its steps: `SINCRO_SEED=123 cargo test -p sincro-queue --test it history -- --nocapture`.
//! More of them: `SINCRO_SEEDS=10000`.

mod broken;
mod checkpoint;
mod draw;
mod ledger;
mod permits;
mod places;
mod step;
mod tally;
mod turns;
mod twin;
mod world;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::AsyncConnectionConfig;
use secrecy::SecretString;
use sincro_queue::{Queue, QueueSettings};
use tokio::task::JoinSet;

use self::{
    broken::{Broken, Kept},
    checkpoint::Glass,
    twin::refused,
    world::World,
};
use crate::server::Place;

/// In every test run.
const HISTORIES: u64 = 2_000;
const STEPS: usize = 32;
/// Steps from one look inside to the next; a history that is told alone is looked at after every step.
const LOOK_EVERY: usize = 8;
/// Histories under way at once.
const AT_ONCE: usize = 24;
/// Of the histories that went wrong.
const SHOWN: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_and_model_agree_and_every_promise_is_kept_through_random_histories() {
    let seeds = seeds();
    let loud = seeds.end - seeds.start == 1;
    // Of its own: so many histories would keep everybody else's tests waiting.
    let place = Arc::new(Place::own());
    let next = Arc::new(AtomicU64::new(seeds.start));
    let mut tellers = JoinSet::new();
    for teller in 0..AT_ONCE {
        let (place, next) = (Arc::clone(&place), Arc::clone(&next));
        tellers.spawn(async move {
            let (queue, glass) = open(&place, format!("history-{teller}")).await;
            let mut broken = Vec::new();
            while broken.len() < SHOWN {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    break;
                }
                broken.extend(tell(seed, &queue, glass.clone(), loud).await.err());
            }
            broken
        });
    }
    let broken: Vec<String> = tellers.join_all().await.into_iter().flatten().collect();
    let shown = &broken[..broken.len().min(SHOWN)];
    assert!(broken.is_empty(), "{} histories went wrong:\n{}", broken.len(), shown.join("\n"));
}

#[expect(clippy::disallowed_methods, reason = "a seed to repeat is given by the environment")]
fn seeds() -> Range<u64> {
    let given = |name| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    match given("SINCRO_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..given("SINCRO_SEEDS").unwrap_or(HISTORIES),
    }
}

/// A namespace for one history after the other.
async fn open(place: &Place, namespace: String) -> (Queue, Glass) {
    let client = redis::Client::open(place.url.as_str()).unwrap();
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let raw = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
    let glass = Glass::new(raw, format!("sincro:{{{namespace}/0}}:"));
    let redis_url = SecretString::from(place.url.clone());
    (Queue::connect(QueueSettings { redis_url, namespace, shards: 1 }).await.unwrap(), glass)
}

/// One history from its beginning to its end, or what went wrong in it.
async fn tell(seed: u64, queue: &Queue, mut glass: Glass, loud: bool) -> Result<(), String> {
    let mut steps = 0;
    let told = async {
        glass.forget().await?;
        if let Some(restoration) = queue.begin_restore(0).await.map_err(refused)? {
            restoration.open_epoch(1, true).await.map_err(refused)?;
        }
        let mut world = World::new(seed, queue.clone(), glass);
        world.loud = loud;
        run(&mut world, &mut steps).await
    };
    told.await.map_err(|Broken { promise, seen }| {
        format!(
            "{promise} is broken by seed {seed} at step {steps}: {seen}\n\
             again: SINCRO_SEED={seed} cargo test -p sincro-queue --test it history -- --nocapture"
        )
    })
}

async fn run(world: &mut World, steps: &mut usize) -> Kept {
    while *steps < STEPS {
        *steps += 1;
        world.step().await?;
        if world.loud || steps.is_multiple_of(LOOK_EVERY) {
            world.look_inside().await?;
        }
    }
    world.run_dry().await
}
