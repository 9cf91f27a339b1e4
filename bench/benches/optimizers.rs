//! What each optimiser costs an evaluation, by batch size: whole runs whose scorer does next to nothing.
//!
//! # What bounds it
//! Every design handed out takes an index, a look-up and an insertion in the set of those visited, and a row of 20
//! bytes copied three times: `random` without constraints, 0.06 us. Under a limit each candidate that is made takes
//! its violation beside, which is most of the cost of all methods there: neighbours of good designs at a limit break
//! it often. To this, differential evolution adds some 25 random numbers a trial, and firefly the distance to each
//! better fly, 11 of 23 on average, and 10 logarithms; annealing and local search next to nothing. Proposals are
//! made in chunks of 256 on all threads; local search makes its neighbours on one.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::DesignSpace;
use prime_fast_core::search::{
    Annealing, AnnealingOptions, DifferentialEvolution, DifferentialEvolutionOptions, Domain, Firefly,
    FireflyOptions, Genetic, GeneticOptions, LimitedSpace, LocalSearch, LocalSearchOptions, Optimizer,
    Random,
};

const EVALUATIONS: usize = 50_000;
const BATCHES: [usize; 3] = [64, 512, 4096];

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

fn optimizer<'a, D: Domain + Send + Copy + 'a>(domain: D, name: &str) -> Box<dyn Optimizer + 'a> {
    match name {
        "annealing" => Box::new(Annealing::new(domain, AnnealingOptions::default()).expect("options")),
        "differential evolution" => {
            let options = DifferentialEvolutionOptions::default();
            Box::new(DifferentialEvolution::new(domain, options).expect("options"))
        }
        "firefly" => Box::new(Firefly::new(domain, FireflyOptions::default()).expect("options")),
        "genetic" => Box::new(Genetic::new(domain, GeneticOptions::default()).expect("options")),
        "local search" => Box::new(LocalSearch::new(domain, LocalSearchOptions::default()).expect("options")),
        _ => Box::new(Random::new(domain, 0).expect("space")),
    }
}

/// A separable score: the search converges on it as on any other, for a nanosecond a rank.
fn run(optimizer: &mut dyn Optimizer, batch: usize) {
    let (mut evaluations, mut ranks, mut scores) = (0, Vec::new(), Vec::new());
    let violations = vec![0.0; batch];
    while evaluations < EVALUATIONS {
        let n = optimizer.ask(batch.min(EVALUATIONS - evaluations), &mut ranks).expect("feasible");
        assert!(n > 0);
        scores.clear();
        scores.extend(ranks.chunks_exact(ranks.len() / n).map(|design| {
            let distances = design.iter().zip([7_u16, 2, 3, 5, 2, 4, 3, 1, 4, 2]);
            distances.map(|(&rank, best)| f64::from(rank.abs_diff(best))).sum::<f64>()
        }));
        optimizer.tell(&scores, &violations[..n]).expect("scores");
        evaluations += n;
    }
    black_box(optimizer.best());
}

fn overhead<D: Domain + Send>(criterion: &mut Criterion, space: &str, domain: &D) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads");
    for name in ["annealing", "differential evolution", "firefly", "genetic", "local search", "random"] {
        let mut group = criterion.benchmark_group(format!("{name}, {space}, 1 thread"));
        group.throughput(Throughput::Elements(EVALUATIONS as u64)).sample_size(10);
        for batch in BATCHES {
            group.bench_function(format!("batch {batch}"), |bencher| {
                pool.install(|| bencher.iter(|| run(&mut *optimizer(domain, name), batch)));
            });
        }
        group.finish();
    }
}

fn optimizers(criterion: &mut Criterion) {
    let space = DesignSpace::bundled("prime").expect("bundled");
    overhead(criterion, "no constraints", &Free { cardinalities: space.cardinalities().to_vec() });
    let limited = LimitedSpace::new(space, &[("area_mm2".to_owned(), 29.0)]).expect("metric");
    overhead(criterion, "29 mm2", &limited);
}

criterion_group!(benches, optimizers);
criterion_main!(benches);
