//! What the search itself costs an evaluation: whole runs whose scorer does next to nothing.

use std::sync::atomic::AtomicBool;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::search::{
    Domain, Genetic, GeneticOptions, LimitedSpace, Optimizer, Options, Random, Scorer, minimize,
};
use prime_fast_core::{DesignSpace, Error};

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

fn search(criterion: &mut Criterion) {
    let space = DesignSpace::bundled("prime").expect("bundled");
    overhead(criterion, "PRIME without constraints", &Free { cardinalities: space.cardinalities().to_vec() });
    let limited = LimitedSpace::new(space, &[("area_mm2".to_owned(), 29.0)]).expect("metric");
    overhead(criterion, "PRIME at 29 mm2", &limited);
}

criterion_group!(benches, search);
criterion_main!(benches);
