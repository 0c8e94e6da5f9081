//! The rules that every job goes through: what a limit means, which rule holds, what a contact becomes, how ids fold.

use std::hint::black_box;

use criterion::Criterion;
use sincro_core::{
    address::Address,
    job::JobId,
    limit::{LevelLimit, Limit, LimitRule, Match, fair_share, resolve},
    notice::spans,
    plan::jobs_of,
    provider::{Capabilities, Provider},
};
use uuid::Uuid;

/// Times each.
pub(crate) fn time(criterion: &mut Criterion) {
    let limit = LevelLimit {
        per_minute: Some(1_000),
        per_hour: Some(20_000),
        per_day: Some(100_000),
        ..Limit { rate_per_second: 50.0, burst: 5, concurrency: 8 }.into()
    };
    criterion.bench_function("limit: spacing", |bencher| bencher.iter(|| black_box(&limit).spacing()));

    let rules: Vec<LimitRule> = (0..1_000)
        .map(|channel| LimitRule { matches: Match::Channel(Uuid::from_u128(channel)), admits: limit })
        .chain([LimitRule { matches: Match::EachServer(Provider::Wuzapi), admits: limit }])
        .collect();
    criterion.bench_function("limit: resolve among 1,001 rules", |bencher| {
        bencher.iter(|| resolve(black_box(&rules), "wuzapi/gateway.test", Uuid::from_u128(500)));
    });

    let others: Vec<(u32, f64)> = (1..100).map(|other| (1 + other % 4, f64::from(other))).collect();
    criterion.bench_function("limit: fair share among 100", |bencher| {
        bencher.iter(|| fair_share(1_000.0, (1, 50.0), black_box(&others)));
    });

    let phone: Option<Address> = "5511988887777@s.whatsapp.net".parse().ok();
    let lid: Option<Address> = "190000000000001@lid".parse().ok();
    let capabilities = Capabilities { lid_lookup: true, ..Capabilities::per_address(Provider::Wuzapi) };
    criterion.bench_function("plan: jobs of a contact", |bencher| {
        bencher.iter(|| jobs_of(black_box(phone.as_ref()), black_box(lid.as_ref()), true, capabilities));
    });

    let consecutive: Vec<JobId> = (1..=2_000).collect();
    let scattered: Vec<JobId> = (1..=2_000).map(|id| id * 2).collect();
    criterion.bench_function("spans: 2,000 in a row", |bencher| bencher.iter(|| spans(black_box(&consecutive))));
    criterion.bench_function("spans: 2,000 apart", |bencher| bencher.iter(|| spans(black_box(&scattered))));
}
