//! Designs a second: scoring by the simulator, alone and under the search, one application with all its layers.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::DesignSpace;
use prime_fast_core::search::{Genetic, GeneticOptions, LimitedSpace, Options, minimize};
use prime_fast_core::simulator::{Simulator, Technology};
use prime_fast_core::workload::Application;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const DESIGNS: usize = 4096;
const EVALUATIONS: usize = 20_000;

fn simulator(application: &str) -> Simulator {
    let space = DesignSpace::bundled("prime").expect("bundled");
    let application = Application::bundled(application).expect("bundled");
    Simulator::new(space, application, Technology::bundled().expect("bundled")).expect("PRIME's space fits")
}

/// Designs drawn uniformly, all of them feasible, so that none is rejected before its layers are looked at.
fn feasible_designs(simulator: &Simulator) -> Vec<u8> {
    let space = simulator.space();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let (mut designs, mut design) = (Vec::new(), vec![0_u8; space.dimensions()]);
    while designs.len() < DESIGNS * space.dimensions() {
        let index = random.next_u64() % u64::try_from(space.size()).expect("PRIME's space is small");
        space.ranks_of(index, &mut design);
        if simulator.score_one(&design).expect("in range").rejection.is_none() {
            designs.extend(&design);
        }
    }
    designs
}

fn scoring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulator");
    group.throughput(Throughput::Elements(DESIGNS as u64));
    for application in ["MobileNetV2", "U-Net", "t-RNN Enc"] {
        let simulator = simulator(application);
        let designs = feasible_designs(&simulator);
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            group.bench_function(format!("{application}/{threads} threads"), |bencher| {
                pool.install(|| bencher.iter(|| simulator.score(black_box(&designs)).expect("in range")));
            });
        }
    }
    group.finish();
}

fn search_with_simulator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search with simulator");
    group.throughput(Throughput::Elements(EVALUATIONS as u64)).sample_size(10);
    let simulator = simulator("MobileNetV2");
    let domain =
        LimitedSpace::new(simulator.space().clone(), &[("area_mm2".to_owned(), 29.0)]).expect("metric");
    group.bench_function("MobileNetV2 at 29 mm2", |bencher| {
        bencher.iter(|| {
            let mut genetic = Genetic::new(&domain, GeneticOptions::default()).expect("options");
            let mut score = |ranks: &[u16], _: usize, scores: &mut [f64], violations: &mut [f64]| {
                let result = simulator.score(ranks)?;
                scores.copy_from_slice(&result.latency_us);
                for (violation, reason) in violations.iter_mut().zip(result.reason) {
                    *violation = f64::from(reason.min(1));
                }
                Ok::<(), prime_fast_core::Error>(())
            };
            let options = Options { evaluations: EVALUATIONS, batch: 512, keep: 1, target: None };
            minimize(&domain, &mut genetic, &mut score, &options, &AtomicBool::new(false), &mut |_| {})
        });
    });
    group.finish();
}

criterion_group!(benches, scoring, search_with_simulator);
criterion_main!(benches);
