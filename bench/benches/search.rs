//! What the search itself costs an evaluation: whole runs whose scorer does next to nothing, and their parts.
//!
//! # What bounds it
//! Every design handed out is entered into a hash set once and looked up about twice, which for 50,000 designs is a
//! megabyte: the bench `a random number and a hash set's entry` is a fifth of a run without constraints. A child
//! takes some 15 random numbers and four branches that nothing foretells (two parents or one, how many mutations, step
//! or reset, visited or not). Where a limit is tight, five or six designs are looked at for one handed out, mostly
//! because children are moved towards the limit step by step: each costs four table look-ups and eleven operations on
//! blocks of 32 designs.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::search::{
    Domain, Genetic, GeneticOptions, LimitedSpace, Optimizer, Options, Random, Scorer, minimize,
};
use prime_fast_core::{DesignSpace, Error};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rustc_hash::FxHashSet;

const EVALUATIONS: usize = 50_000;

/// The cardinalities of a space without its constraints.
struct Free {
    cardinalities: Vec<usize>,
}

impl Domain for Free {
    fn cardinalities(&self) -> &[usize] {
        &self.cardinalities
    }

    fn index_of(&self, ranks: &[u16]) -> u64 {
        let digits = ranks.iter().zip(&self.cardinalities);
        digits.fold(0, |index, (&rank, &cardinality)| index * cardinality as u64 + u64::from(rank))
    }

    fn violation(&self, _ranks: &[u16]) -> f64 {
        0.0
    }
}

/// A separable score: the search converges on it as on any other, for a nanosecond a rank.
struct Distance;

impl Scorer for Distance {
    type Error = Error;

    fn score(
        &mut self,
        ranks: &[u16],
        n: usize,
        scores: &mut [f64],
        _violations: &mut [f64],
    ) -> Result<(), Error> {
        for (score, design) in scores.iter_mut().zip(ranks.chunks_exact(ranks.len() / n)) {
            let distances = design.iter().zip([7_u16, 2, 3, 5, 2, 4, 3, 1, 4, 2]);
            *score = distances.map(|(&rank, best)| f64::from(rank.abs_diff(best))).sum();
        }
        Ok(())
    }
}

fn run<D: Domain>(domain: &D, optimizer: &mut dyn Optimizer, batch: usize) -> usize {
    let options = Options { evaluations: EVALUATIONS, batch, ..Options::default() };
    let outcome = minimize(domain, optimizer, &mut Distance, &options, &AtomicBool::new(false), &mut |_| {})
        .expect("scores");
    assert_eq!(outcome.evaluations, EVALUATIONS);
    outcome.evaluations
}

fn overhead<D: Domain + Send>(criterion: &mut Criterion, name: &str, domain: &D) {
    let mut group = criterion.benchmark_group(format!("search overhead, {name}"));
    group.throughput(Throughput::Elements(EVALUATIONS as u64)).sample_size(20);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        for batch in [512, 4096] {
            group.bench_function(format!("genetic, batch {batch}, {threads} threads"), |bencher| {
                pool.install(|| {
                    bencher.iter(|| {
                        let mut genetic = Genetic::new(domain, GeneticOptions::default()).expect("options");
                        run(domain, &mut genetic, batch)
                    });
                });
            });
        }
    }
    group.bench_function("random, batch 4096", |bencher| {
        bencher.iter(|| run(domain, &mut Random::new(domain, 0).expect("space"), 4096));
    });
    group.finish();
}

/// What `ask` takes for a batch of children, and what no search without repetitions can do without.
fn parts<D: Domain + Send>(criterion: &mut Criterion, name: &str, domain: &D) {
    const BATCH: usize = 512;
    let mut group = criterion.benchmark_group(format!("search parts, {name}"));
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads");
    let bred = || {
        let mut genetic = Genetic::new(domain, GeneticOptions::default()).expect("options");
        let options = Options { evaluations: 4 * BATCH, batch: BATCH, ..Options::default() };
        minimize(domain, &mut genetic, &mut Distance, &options, &AtomicBool::new(false), &mut |_| {})
            .expect("scores");
        genetic
    };
    group.bench_function("children, 1 threads", |bencher| {
        let mut ranks = Vec::new();
        let ask = |mut genetic: Genetic<_>| {
            genetic.ask(BATCH, &mut ranks).expect("designs");
            genetic
        };
        pool.install(|| bencher.iter_batched(bred, ask, BatchSize::PerIteration));
    });
    group.bench_function("known violation, 1 threads", |bencher| {
        let (mut genetic, mut ranks) = (bred(), Vec::new());
        genetic.ask(BATCH, &mut ranks).expect("designs");
        let mut violations = vec![0.0; BATCH];
        bencher.iter(|| domain.violations(black_box(&ranks), &mut violations));
    });
    group.finish();
}

fn duplicates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search parts");
    group.throughput(Throughput::Elements(EVALUATIONS as u64)).sample_size(20);
    group.bench_function("a random number and a hash set's entry", |bencher| {
        bencher.iter(|| {
            let (mut random, mut entered) = (Xoshiro256PlusPlus::seed_from_u64(0), FxHashSet::default());
            (0..EVALUATIONS).filter(|_| entered.insert(random.next_u64() % 452_760_000)).count()
        });
    });
    group.finish();
}

fn search(criterion: &mut Criterion) {
    let space = DesignSpace::bundled("prime").expect("bundled");
    let free = Free { cardinalities: space.cardinalities().to_vec() };
    overhead(criterion, "PRIME without constraints", &free);
    parts(criterion, "PRIME without constraints", &free);
    let limited = LimitedSpace::new(space, &[("area_mm2".to_owned(), 29.0)]).expect("metric");
    overhead(criterion, "PRIME at 29 mm2", &limited);
    parts(criterion, "PRIME at 29 mm2", &limited);
    duplicates(criterion);
}

criterion_group!(benches, search);
criterion_main!(benches);
