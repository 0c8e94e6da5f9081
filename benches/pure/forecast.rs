//! How long it takes to say how long something will take.

use std::hint::black_box;

use chrono::DateTime;
use criterion::Criterion;
use sincro_core::{
    forecast::{Question, Work, forecast},
    limit::Limit,
    scaling::{ChannelLoad, ServerLoad},
};
use uuid::Uuid;

/// Times a quiet channel, and a large one among many.
pub(crate) fn time(criterion: &mut Criterion) {
    let crowd = [ServerLoad {
        server: "wuzapi/gateway.test".to_owned(),
        rate: None,
        concurrency: None,
        running: 0,
        call_seconds: Some(0.2),
        blocked: None,
        channels: (2..102).map(busy).collect(),
    }];
    let alone = asked(2_000, &[]);
    let among = asked(100_000, &crowd);
    criterion.bench_function("forecast: 2,000 jobs alone", |bencher| bencher.iter(|| forecast(black_box(&alone))));
    let mut group = criterion.benchmark_group("forecast");
    group.sample_size(10);
    group.bench_function("100,000 jobs beside 100 channels", |bencher| bencher.iter(|| forecast(black_box(&among))));
    group.finish();
}

fn asked(jobs: i64, loads: &[ServerLoad]) -> Question<'_> {
    Question {
        work: Work { jobs, calls: jobs },
        channel: Uuid::from_u128(1),
        server: "wuzapi/gateway.test",
        channel_limit: Limit { rate_per_second: 20.0, burst: 1, concurrency: 8 }.into(),
        server_limit: Some(Limit { rate_per_second: 500.0, burst: 1, concurrency: 1_000 }.into()),
        blocked: None,
        loads,
        worker_slots: 64,
        now: DateTime::UNIX_EPOCH,
    }
}

fn busy(id: u128) -> ChannelLoad {
    ChannelLoad {
        id: Uuid::from_u128(id),
        rate: 20.0,
        concurrency: 8,
        weight: 1,
        queued: 20_000,
        running: 0,
        blocked: None,
    }
}
