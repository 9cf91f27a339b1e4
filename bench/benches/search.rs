//! The parts of a search, each beside its limit, and whole searches with the bundled simulator.
//!
//! # What bounds it
//! A child takes a copy of its parent and, beyond the one random word of the limit, some 15 random numbers and four
//! branches that nothing foretells (two parents or one, how many mutations, step or reset, visited or not), an index
//! and a look-up. Where a limit is tight, five or six designs are looked at for one handed out, mostly because children
//! are moved towards the limit step by step: each costs four table look-ups and eleven operations on blocks of 32
//! designs (`known violation`). A look-up in the set of 50,000 designs visited, a megabyte, misses the first-level
//! cache; one of a million misses the second-level one. With the simulator a search is bounded by both its own cost and
//! the scorer's, which it does not overlap.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{EVALUATIONS, WIDTH, distances, spaces};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::search::{
    Domain, Genetic, GeneticOptions, Interrupt, LimitedSpace, Optimizer, Options, Scorer, Simulation,
    minimize,
};
use prime_fast_core::simulator::{Simulator, Technology};
use prime_fast_core::workload::Application;
use prime_fast_core::{DesignSpace, Error};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rustc_hash::FxHashSet;

const BATCH: usize = 512;

fn pools() -> [(&'static str, rayon::ThreadPool); 2] {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    // 0: as many as there are.
    [("1 thread", pool(1)), ("all threads", pool(0))]
}

/// The time of `ask` alone: what is told between, and a run's first batch, which is random, do not count.
fn asking<D: Domain + Send>(domain: &D, iterations: u64) -> Duration {
    let (mut ranks, mut scores, violations) = (Vec::new(), Vec::new(), vec![0.0; BATCH]);
    let (mut run, mut taken) = (None, Duration::ZERO);
    for iteration in 0..iterations {
        if iteration % (EVALUATIONS / BATCH) as u64 == 0 {
            run = None;
        }
        let genetic = run.get_or_insert_with(|| {
            let mut genetic = Genetic::new(domain, GeneticOptions::default()).expect("options");
            let n = genetic.ask(BATCH, &mut ranks).expect("designs");
            distances(&ranks, 1, &mut scores);
            genetic.tell(&scores, &violations[..n]).expect("scores");
            genetic
        });
        let before = Instant::now();
        let n = genetic.ask(BATCH, &mut ranks).expect("designs");
        taken += before.elapsed();
        assert_eq!(n, BATCH);
        distances(black_box(&ranks), 1, &mut scores);
        genetic.tell(&scores, &violations).expect("scores");
    }
    taken
}

/// What a child takes at least: its parent's ranks, one of which a random word changes.
fn copies<D: Domain>(criterion: &mut Criterion, name: &str, domain: &D) {
    const POPULATION: usize = 64;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut draw = |n: usize| -> Vec<u16> {
        let cardinalities = domain.cardinalities().iter().cycle().take(n * WIDTH);
        cardinalities.map(|&cardinality| (random.next_u64() % cardinality as u64) as u16).collect()
    };
    let (population, mut children) = (draw(POPULATION), draw(BATCH));
    let mut group = criterion.benchmark_group(format!("children, {name}"));
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
    group.bench_function("limit: a copy and a random word", |bencher| {
        bencher.iter(|| {
            for child in black_box(&mut children).chunks_exact_mut(WIDTH) {
                let word = random.next_u64();
                let parent = &population[(word >> 58) as usize * WIDTH..][..WIDTH];
                child.copy_from_slice(parent);
                child[(word as u32 as usize * WIDTH) >> 32] ^= 1;
            }
        });
    });
    group.finish();
}

fn children<D: Domain + Send>(criterion: &mut Criterion, name: &str, domain: &D) {
    copies(criterion, name, domain);
    let mut group = criterion.benchmark_group(format!("children, {name}"));
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
    for (threads, pool) in pools() {
        group.bench_function(format!("ask, {threads}"), |bencher| {
            pool.install(|| bencher.iter_custom(|iterations| asking(domain, iterations)));
        });
    }
    group.finish();
}

/// What a look at a design under a limit takes.
fn violations(criterion: &mut Criterion, domain: &LimitedSpace) {
    let mut group = criterion.benchmark_group("children, 29 mm2");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
    let mut genetic = Genetic::new(domain, GeneticOptions::default()).expect("options");
    let (mut ranks, mut violations) = (Vec::new(), vec![0.0; BATCH]);
    genetic.ask(BATCH, &mut ranks).expect("designs");
    group.bench_function("known violation, 1 thread", |bencher| {
        bencher.iter(|| domain.violations(black_box(&ranks), black_box(&mut violations)));
    });
    group.finish();
}

/// Look-ups, half of them of entries, as the search makes them: in sets of the designs visited.
fn duplicates(criterion: &mut Criterion) {
    const LOOKUPS: usize = 1 << 16;
    const DESIGNS: u64 = 452_760_000;
    let mut group = criterion.benchmark_group("duplicate check");
    group.throughput(Throughput::Elements(LOOKUPS as u64)).sample_size(20);
    // 1,000 entries, 16 KB, stay in the first-level cache.
    for (name, entries) in
        [("limit: 1,000 entries", 1_000), ("10,000 entries", 10_000), ("1,000,000 entries", 1_000_000)]
    {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
        let visited: Vec<u64> = (0..entries).map(|_| random.next_u64() % DESIGNS).collect();
        let set: FxHashSet<u64> = visited.iter().copied().collect();
        let lookup = |_| match random.next_u64() {
            word if word & 1 == 0 => visited[(word >> 1) as usize % entries],
            word => (word >> 1) % DESIGNS,
        };
        let lookups: Vec<u64> = (0..LOOKUPS).map(lookup).collect();
        group.bench_function(format!("look-up, {name}"), |bencher| {
            bencher.iter(|| black_box(&lookups).iter().filter(|index| set.contains(index)).count());
        });
    }
    group.finish();
}

/// Whole searches as `minimize` runs them, beside the scorer alone on the designs of one such search.
fn with_simulator(criterion: &mut Criterion, domain: &LimitedSpace) {
    for application in ["MobileNetV2", "U-Net"] {
        let mut group = criterion.benchmark_group(format!("search with simulator, {application} at 29 mm2"));
        group.throughput(Throughput::Elements(EVALUATIONS as u64)).sample_size(10);
        let technology = Technology::bundled().expect("bundled");
        let layers = Application::bundled(application).expect("bundled");
        let space = DesignSpace::bundled("prime").expect("bundled");
        let simulator = Simulator::new(space, layers, technology).expect("PRIME's space fits");
        let simulation = || Simulation::new(&simulator, &["latency_us".to_owned()], &[]).expect("output");
        let mut designs = Vec::new();
        let mut recording = |ranks: &[u16], n: usize, scores: &mut [f64], violations: &mut [f64]| {
            designs.extend_from_slice(ranks);
            simulation().score(ranks, n, scores, violations)
        };
        search(domain, &mut recording);
        let (mut scores, mut violations) = (vec![0.0; BATCH], vec![0.0; BATCH]);
        for (threads, pool) in pools() {
            group.bench_function(format!("limit: scorer alone, {threads}"), |bencher| {
                let mut simulated = simulation();
                pool.install(|| {
                    bencher.iter(|| {
                        for ranks in black_box(&designs).chunks(BATCH * WIDTH) {
                            let n = ranks.len() / WIDTH;
                            simulated
                                .score(ranks, n, &mut scores[..n], &mut violations[..n])
                                .expect("in range");
                        }
                    });
                });
            });
            group.bench_function(format!("genetic, {threads}"), |bencher| {
                let mut simulated = simulation();
                pool.install(|| bencher.iter(|| search(domain, &mut simulated)));
            });
        }
        group.finish();
    }
}

fn search<S: Scorer<Error = Error>>(domain: &LimitedSpace, scorer: &mut S) -> f64 {
    let mut genetic = Genetic::new(domain, GeneticOptions::default()).expect("options");
    let options = Options { evaluations: EVALUATIONS, batch: BATCH, keep: 1, ..Options::default() };
    let outcome =
        minimize(domain, &mut genetic, scorer, &options, &Interrupt::default(), &mut |_| {}).expect("scores");
    assert_eq!(outcome.evaluations, EVALUATIONS);
    outcome.best[0].score
}

fn parts(criterion: &mut Criterion) {
    let (free, limited) = spaces();
    children(criterion, "no constraints", &free);
    children(criterion, "29 mm2", &limited);
    violations(criterion, &limited);
    duplicates(criterion);
    with_simulator(criterion, &limited);
}

criterion_group!(benches, parts);
criterion_main!(benches);
