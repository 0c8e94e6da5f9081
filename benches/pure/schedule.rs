//! Claims and settlements of the model of the queue: 64 jobs at a time, as a worker with as many slots has them.

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::model::Model;

/// Times them over channels and depths.
pub(crate) fn time(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("claim and settle");
    group.throughput(Throughput::Elements(64));
    for (channels, jobs_each) in [(1, 10_000), (1, 1_000_000), (100, 2_000), (10_000, 100)] {
        let name = format!("{channels} channels of {jobs_each} jobs");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut model = Model::of(channels, jobs_each);
            bencher.iter(|| model.round());
        });
    }
    group.finish();
}
