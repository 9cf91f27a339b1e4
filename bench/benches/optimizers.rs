//! What each method costs an evaluation, by batch size: whole runs of ask and tell whose scores cost next to nothing.
//!
//! # What bounds it
//! `limit` is the least that a search without repetitions can do: as many random designs, each looked at once for what
//! is known of its constraints and entered in a hash set. Under a limit on the area each candidate that is made takes
//! its violation, which is most of the cost of all methods there: neighbours of good designs at a limit break it
//! often. To this, differential evolution adds some 25 random numbers a trial, and firefly the distance to each better
//! fly, 11 of 23 on average, and 10 logarithms; annealing and local search next to nothing. `nsga2` sorts the
//! population once a batch: see the bench `pareto`.

mod common;

use std::hint::black_box;
use std::time::Duration;

use common::{EVALUATIONS, WIDTH, distances, spaces};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::search::{Domain, METHODS, MeasureRange, Optimizer, Setup, optimizer_named};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rustc_hash::FxHashSet;

const BATCHES: [usize; 3] = [64, 512, 4096];

fn optimizer<'a, D: Domain + Send + Copy + 'a>(domain: D, method: &str) -> Box<dyn Optimizer + 'a> {
    let measures = match method {
        "quality_diversity" => ["first", "second"]
            .map(|name| MeasureRange { name: name.to_owned(), low: 0.0, high: 300.0, bins: 32 })
            .to_vec(),
        _ => Vec::new(),
    };
    let objectives = if method == "nsga2" { 2 } else { 1 };
    let setup = Setup { seed: 0, objectives, measures, options: Vec::new() };
    optimizer_named(method, domain, &setup).expect("options")
}

fn run(optimizer: &mut dyn Optimizer, batch: usize) -> usize {
    let (mut evaluations, mut ranks, mut scores) = (0, Vec::new(), Vec::new());
    let violations = vec![0.0; batch];
    while evaluations < EVALUATIONS {
        let n = optimizer.ask(batch.min(EVALUATIONS - evaluations), &mut ranks).expect("feasible");
        assert!(n > 0);
        distances(&ranks, optimizer.columns(), &mut scores);
        optimizer.tell(&scores, &violations[..n]).expect("scores");
        evaluations += n;
    }
    black_box(optimizer.best());
    optimizer.found().len()
}

/// Random designs, looked at together and entered in a set.
fn limit<D: Domain>(domain: &D, batch: usize) -> usize {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let (mut entered, mut allowed, mut drawn) = (FxHashSet::default(), 0, 0);
    let (mut ranks, mut violations, mut scores) = (vec![0; batch * WIDTH], vec![0.0; batch], Vec::new());
    while drawn < EVALUATIONS {
        let n = batch.min(EVALUATIONS - drawn);
        ranks.truncate(n * WIDTH);
        for design in ranks.chunks_exact_mut(WIDTH) {
            for (rank, &cardinality) in design.iter_mut().zip(domain.cardinalities()) {
                *rank = random.random_range(0..cardinality as u32) as u16;
            }
        }
        domain.violations(&ranks, &mut violations[..n]);
        for (design, &violation) in ranks.chunks_exact(WIDTH).zip(&violations) {
            allowed += usize::from(entered.insert(domain.index_of(design)) && violation <= 0.0);
        }
        distances(&ranks, 1, &mut scores);
        black_box(&scores);
        drawn += n;
    }
    allowed
}

fn overhead<D: Domain + Send>(criterion: &mut Criterion, space: &str, domain: &D) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads");
    for batch in BATCHES {
        let mut group = criterion.benchmark_group(format!("{space}, batch {batch}, 1 thread"));
        group.throughput(Throughput::Elements(EVALUATIONS as u64)).sample_size(10);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        group.bench_function("limit", |bencher| bencher.iter(|| limit(domain, batch)));
        for method in METHODS {
            group.bench_function(method, |bencher| {
                pool.install(|| bencher.iter(|| run(&mut *optimizer(domain, method), batch)));
            });
        }
        group.finish();
    }
}

fn optimizers(criterion: &mut Criterion) {
    let (free, limited) = spaces();
    overhead(criterion, "no constraints", &free);
    overhead(criterion, "29 mm2", &limited);
}

criterion_group!(benches, optimizers);
criterion_main!(benches);
