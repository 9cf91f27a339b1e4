//! Designs a second of the simulator: a batch of any designs, one application with all its layers.
//!
//! `uniform` designs are drawn from all of PRIME's space; some 70 to 95% of them fail a check, most of them the area.
//! `feasible` ones pass every check. `first batch` starts from a new simulator, whose tables are empty.
//!
//! # What bounds it
//! A design is 10 bytes of ranks in, 34 bytes of results out: at 100 million designs a second 4.4 GB/s, no bound. A
//! rejected design takes four look-ups in the tables of the area's terms (150 KiB, second-level cache), some 20
//! multiplications and additions, and peak power with two square roots and three divisions (about 40 cycles on Zen
//! 4). A feasible one adds a look-up in 77,000 row heads (24 bytes each, 1.8 MB) and, at 64 bytes a cache line and 8
//! slots a line, those that exchange activations with DRAM: for MobileNetV2 one line, two misses of the second-level
//! cache (about 50 cycles each, several designs in flight), four vector operations and some 30 scalar ones. A
//! streaming design reads all of its row: 4 vector operations and 64 bytes every 8 slots.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::DesignSpace;
use prime_fast_core::simulator::{Simulator, Technology};
use prime_fast_core::workload::Application;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const DESIGNS: usize = 1 << 17;

fn simulator(application: &str) -> Simulator {
    let space = DesignSpace::bundled("prime").expect("bundled");
    let application = Application::bundled(application).expect("bundled");
    Simulator::new(space, application, Technology::bundled().expect("bundled")).expect("PRIME's space fits")
}

/// Designs drawn uniformly from those that the choice keeps, given their reason.
fn designs(simulator: &Simulator, keep: impl Fn(u16) -> bool) -> Vec<u8> {
    let space = simulator.space();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let (mut designs, mut drawn) = (Vec::new(), vec![0_u8; DESIGNS * space.dimensions()]);
    while designs.len() < drawn.len() {
        for design in drawn.chunks_exact_mut(space.dimensions()) {
            space.ranks_of(random.next_u64() % space.size() as u64, design);
        }
        let scores = simulator.score(&drawn).expect("in range");
        for (design, &reason) in drawn.chunks_exact(space.dimensions()).zip(&scores.reason) {
            if keep(reason) {
                designs.extend(design);
            }
        }
    }
    designs.truncate(drawn.len());
    designs
}

fn scoring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulator");
    group.throughput(Throughput::Elements(DESIGNS as u64));
    for application in ["MobileNetV2", "U-Net", "t-RNN Enc", "ResNet-50"] {
        let simulator = simulator(application);
        for (name, designs) in [
            ("uniform", designs(&simulator, |_| true)),
            ("feasible", designs(&simulator, |reason| reason == 0)),
        ] {
            for threads in [1, 2] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                group.bench_function(format!("{application}/{name}/{threads} threads"), |bencher| {
                    pool.install(|| bencher.iter(|| simulator.score(black_box(&designs)).expect("in range")));
                });
            }
        }
    }
    group.sample_size(10);
    let (mut batch, pool) = (None, rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads"));
    group.bench_function("MobileNetV2/first batch/1 threads", |bencher| {
        let designs = batch.get_or_insert_with(|| designs(&simulator("MobileNetV2"), |_| true));
        pool.install(|| {
            bencher.iter_batched(
                || simulator("MobileNetV2"),
                |simulator| simulator.score(black_box(designs)).expect("in range"),
                BatchSize::PerIteration,
            );
        });
    });
    group.finish();
}

criterion_group!(benches, scoring);
criterion_main!(benches);
