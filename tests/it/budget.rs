//! What a job costs in numbers that do not depend on the machine. A change that makes one of them worse fails here; what they were when
//! the budgets were set is written beside them. `docs/performance.md` has the figures of a machine.

use sincro_core::{limit::Limit, sync::SyncState};
use sincro_simulator::Settings;
use uuid::Uuid;

use crate::support::{Person, Stage, World, announce, people, private::redis::Redis, process::Process, within};

/// Both addresses known, so that each job is one call.
const JOBS: usize = 4_000;
/// So that nothing but the work itself keeps jobs apart.
const WIDE: Limit = Limit { rate_per_second: 10_000.0, burst: 1_000, concurrency: 1_000 };
const AT_ONCE: (&str, &str) = ("SINCRO_WORKER_CONCURRENCY", "256");
/// Bytes of Redis for a job that waits; up to 6 when this was written, nearly all of it for the lane.
const BYTES: f64 = 12.0;
/// Round trips to Redis, under load; 0.035 when this was written.
const ROUND_TRIPS: f64 = 0.1;
/// Commands that the scripts run in there for a job; 5 when this was written.
const COMMANDS: f64 = 8.0;
/// Transactions of Postgres; 0.12 when this was written, with few jobs and a build that is not optimised. Under load it is less than half.
const TRANSACTIONS: f64 = 0.2;

#[tokio::test]
async fn a_job_costs_few_bytes_round_trips_commands_and_transactions() {
    let redis = Redis::alone().await;
    let world = World::on(Some(redis.url()), None, &[AT_ONCE]).await;
    let mut stage = Stage::set(world, Settings { population: people(10), ..Settings::default() }, WIDE).await;
    // Scripts and connections are not what is counted.
    assert_eq!(stage.sync().await.state, SyncState::Completed);
    end(&mut stage.worker).await;
    let empty = counted(&redis, "memory", "used_memory").await;
    let sync = waiting(&stage).await;
    let bytes = (counted(&redis, "memory", "used_memory").await - empty) / of_jobs();

    // A connection to Postgres tells what it did when it ends, and otherwise some time.
    end(&mut stage.api.process).await;
    let before = traffic(&stage, &redis).await;
    stage.gateway.calls().clear();
    stage.api = stage.world.api().await;
    stage.worker = stage.world.worker().await;
    within("all calls", stage.gateway.calls().wait_for(JOBS, |_| true)).await;
    assert_eq!(stage.api.end_of(sync).await.state, SyncState::Completed);
    let after = traffic(&stage, &redis).await;
    end(&mut stage.worker).await;
    end(&mut stage.api.process).await;
    let transactions = (transactions(&stage).await - before.transactions) / of_jobs();
    let round_trips = (after.round_trips - before.round_trips) / of_jobs();
    let commands = (after.commands - before.commands) / of_jobs();
    announce(&format!(
        "a job: {bytes:.2} bytes, {round_trips:.4} round trips, {commands:.1} commands, {transactions:.4} transactions"
    ));
    assert!(bytes <= BYTES, "{bytes} bytes of Redis for a job that waits");
    assert!(round_trips <= ROUND_TRIPS, "{round_trips} round trips to Redis for a job");
    assert!(commands <= COMMANDS, "{commands} commands of Redis for a job");
    assert!(transactions <= TRANSACTIONS, "{transactions} transactions of Postgres for a job");
}

async fn end(process: &mut Process) {
    process.terminate();
    assert!(process.exit().await.success());
}

/// What the servers have counted so far.
struct Traffic {
    round_trips: f64,
    commands: f64,
    transactions: f64,
}

async fn traffic(stage: &Stage, redis: &Redis) -> Traffic {
    Traffic {
        // Times that there was something to read on a connection.
        round_trips: counted(redis, "stats", "total_reads_processed").await,
        commands: counted(redis, "stats", "total_commands_processed").await,
        transactions: transactions(stage).await,
    }
}

async fn counted(redis: &Redis, section: &str, name: &str) -> f64 {
    let info: String = redis.ask(&["INFO", section]).await.unwrap();
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap().trim().parse().unwrap()
}

async fn transactions(stage: &Stage) -> f64 {
    let count = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    f64::from(i32::try_from(stage.world.number(count).await).unwrap())
}

/// Jobs that wait for somebody to work.
async fn waiting(stage: &Stage) -> Uuid {
    let person = |number: usize| Person {
        phone_jid: Some(format!("{}@s.whatsapp.net", 5_511_900_000_000 + number)),
        lid: Some(format!("{}@lid", 190_000_000_000_000 + number)),
        name: None,
    };
    let persons: Vec<Person> = (0..JOBS / 2).map(person).collect();
    let sync = stage.api.start_sync_of(stage.channel, 5, &persons).await;
    let jobs = i64::try_from(JOBS).unwrap();
    assert_eq!(sync.jobs.total, jobs);
    let all_wait = async { while stage.world.queue.waiting() < jobs {} };
    within("all jobs in the queue", all_wait).await;
    sync.id
}

fn of_jobs() -> f64 {
    f64::from(u32::try_from(JOBS).unwrap())
}
