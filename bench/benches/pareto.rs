//! Pareto fronts beside a plain sort of the same numbers, and what the methods that keep them cost an evaluation.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::search::{
    Domain, Front, MeasureRange, Nsga2, Nsga2Options, Optimizer, QualityDiversity, QualityDiversityOptions,
    Random, crowding_distances, hypervolume, non_dominated_sort,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const EVALUATIONS: usize = 50_000;

/// Points uniform in the unit cube: some tens of fronts of a few points each, and more with their number.
fn cloud(n: usize, objectives: usize) -> Vec<f64> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    (0..n * objectives).map(|_| random.random()).collect()
}

/// Points about a concave front, of which most are on it.
fn shell(n: usize, objectives: usize) -> Vec<f64> {
    let mut points = cloud(n, objectives);
    for point in points.chunks_mut(objectives) {
        let length = point.iter().map(|value| value * value).sum::<f64>().sqrt();
        for value in point {
            *value = 1.0 - *value / length;
        }
    }
    points
}

fn slices(criterion: &mut Criterion) {
    for objectives in [2, 3] {
        let mut group = criterion.benchmark_group(format!("pareto, {objectives} objectives"));
        group.sample_size(20);
        for n in [512, 4096, 65_536] {
            group.throughput(Throughput::Elements(n as u64));
            for (shape, points) in [("cloud", cloud(n, objectives)), ("shell", shell(n, objectives))] {
                let fronts = non_dominated_sort(&points, objectives, None).expect("points");
                let reference = vec![1.0; objectives];
                group.bench_function(format!("lower bound: sort of the rows, {shape} of {n}"), |bencher| {
                    bencher.iter(|| {
                        let mut rows: Vec<[u64; 3]> = points
                            .chunks_exact(objectives)
                            .map(|row| [row[0].to_bits(), row[1].to_bits(), row[objectives - 1].to_bits()])
                            .collect();
                        rows.sort_unstable();
                        rows
                    });
                });
                group.bench_function(format!("non-dominated sort, {shape} of {n}"), |bencher| {
                    bencher.iter(|| non_dominated_sort(black_box(&points), objectives, None));
                });
                group.bench_function(format!("crowding, {shape} of {n}"), |bencher| {
                    bencher.iter(|| crowding_distances(black_box(&points), objectives, &fronts));
                });
                group.bench_function(format!("hypervolume, {shape} of {n}"), |bencher| {
                    bencher.iter(|| hypervolume(black_box(&points), objectives, &reference));
                });
                // Each offer to a front of n designs that it joins looks at many of them.
                if n > 4096 {
                    continue;
                }
                group.bench_function(format!("archive offers, {shape} of {n}"), |bencher| {
                    bencher.iter(|| {
                        let mut front = Front::new(objectives, 1).expect("objectives");
                        for (index, point) in (0..).zip(points.chunks_exact(objectives)) {
                            front.offer(index, &[0], point).expect("a point");
                        }
                        front.len()
                    });
                });
            }
        }
        group.finish();
    }
}

/// PRIME's cardinalities without its constraints.
struct Free;

impl Domain for Free {
    fn cardinalities(&self) -> &[usize] {
        &[10, 10, 7, 10, 7, 11, 7, 4, 5, 6]
    }

    fn index_of(&self, ranks: &[u16]) -> u64 {
        let digits = ranks.iter().zip(self.cardinalities());
        digits.fold(0, |index, (&rank, &cardinality)| index * cardinality as u64 + u64::from(rank))
    }

    fn violation(&self, _ranks: &[u16]) -> f64 {
        0.0
    }
}

/// Distances from three corners, weighted unevenly: scores for a nanosecond a rank.
fn score(ranks: &[u16], columns: usize, scores: &mut Vec<f64>) {
    const CORNERS: [[u16; 10]; 3] =
        [[9, 8, 6, 9, 5, 9, 6, 3, 4, 5], [0, 1, 0, 2, 1, 0, 0, 1, 0, 0], [5, 0, 3, 9, 0, 5, 6, 0, 2, 4]];
    for design in ranks.chunks_exact(10) {
        scores.extend(CORNERS[..columns.min(3)].iter().map(|corner| {
            let away = design.iter().zip(corner).zip(1..);
            away.map(|((rank, at), weight)| f64::from(rank.abs_diff(*at) * weight)).sum::<f64>()
        }));
    }
}

fn run(optimizer: &mut dyn Optimizer, batch: usize) -> usize {
    let (mut ranks, mut scores, mut done) = (vec![], vec![], 0);
    let violations = vec![0.0; batch];
    while done < EVALUATIONS {
        let n = optimizer.ask(batch.min(EVALUATIONS - done), &mut ranks).expect("designs");
        scores.clear();
        score(&ranks, optimizer.columns(), &mut scores);
        optimizer.tell(&scores, &violations[..n]).expect("scores");
        done += n;
    }
    optimizer.found().len()
}

fn methods(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("own cost of multi-objective methods");
    group.throughput(Throughput::Elements(EVALUATIONS as u64)).sample_size(20);
    for batch in [256, 4096] {
        for objectives in [2, 3] {
            group.bench_function(format!("nsga2, {objectives} objectives, batch {batch}"), |bencher| {
                let options = Nsga2Options { objectives, ..Nsga2Options::default() };
                bencher.iter(|| run(&mut Nsga2::new(Free, options.clone()).expect("options"), batch));
            });
        }
        group.bench_function(format!("quality diversity, batch {batch}"), |bencher| {
            let measures = [MeasureRange { low: 0.0, high: 300.0, bins: 32 }; 2];
            let options = QualityDiversityOptions { seed: 0, measures };
            bencher.iter(|| run(&mut QualityDiversity::new(Free, options.clone()).expect("options"), batch));
        });
        group.bench_function(format!("lower bound: random designs, batch {batch}"), |bencher| {
            bencher.iter(|| run(&mut Random::new(Free, 0).expect("a space"), batch));
        });
    }
    group.finish();
}

criterion_group!(benches, slices, methods);
criterion_main!(benches);
